// An exported page of recordings over time.

import { createTimePart } from "../views/time.js";
import { startPage } from "./page.js";

startPage({ time: createTimePart });
