// The explorer as a widget: anywidget calls the `render` of the default export.

import { render } from "../explorer.js";

export default { render: (context) => render(context) };
