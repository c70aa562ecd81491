// An exported page on which the reader makes a tensor.

import { createTensorPanel } from "../views/tensor.js";
import { startPage } from "./page.js";

startPage({ editable: createTensorPanel });
