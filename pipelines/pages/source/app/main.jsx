import "../style/index.css";
import "../style/app.css";
import {render} from "preact";
import {App} from "./app.jsx";

const page = document.getElementById("page");
page.replaceChildren(); // what stands there for readers without JavaScript
render(<App />, page);
