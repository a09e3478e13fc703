import "../style/index.css";
import {render} from "preact";
import {Report} from "./report.jsx";

const data = JSON.parse(document.getElementById("data").textContent);
const page = document.getElementById("page");

page.replaceChildren(); // what stands there for readers without JavaScript
render(<Report data={data} />, page);
