import "../style/index.css";
import {render} from "preact";
import {Clusters, DocumentCard, DocumentGroups, Funnel, Histogram, Origin, Reliability, Scatter, SelectionMap, Shift, WordDiff} from "../components/index.js";
import {Report} from "./report.jsx";

const PIECES = {
  report: Report,
  funnel: Funnel,
  histogram: Histogram,
  scatter: Scatter,
  document: DocumentCard,
  documents: DocumentGroups,
  word_diff: WordDiff,
  clusters: Clusters,
  selection: SelectionMap,
  shift: Shift,
  reliability: Reliability,
  origin: Origin,
};

const data = JSON.parse(document.getElementById("data").textContent);
const page = document.getElementById("page");
const Piece = PIECES[data.kind];

page.replaceChildren(); // what stands there for readers without JavaScript
page.classList.toggle("single", data.kind !== "report");
render(<Piece data={data} />, page);
