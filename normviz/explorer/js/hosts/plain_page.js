// An exported page whose tensors are fixed.

import { startPage } from "./page.js";

startPage();
