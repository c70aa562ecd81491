// An exported page that has both: recordings over time, and a tensor that the reader makes.

import { createTensorPanel } from "../views/tensor.js";
import { createTimePart } from "../views/time.js";
import { startPage } from "./page.js";

startPage({ editable: createTensorPanel, time: createTimePart });
