import "../style/index.css";
import {render} from "preact";

render(<h1>Workspace</h1>, document.getElementById("page"));
