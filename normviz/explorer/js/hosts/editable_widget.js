// The explorer as a widget whose reader makes a tensor: anywidget calls the `render` of the default export.

import { render } from "../explorer.js";
import { createTensorPanel } from "../views/tensor.js";

export default { render: (context) => render(context, { editable: createTensorPanel }) };
