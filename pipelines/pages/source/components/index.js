// Charts and parts that report and app share. Each takes `data`, a piece of schemas/charts.py.
export {Bars} from "./bars.jsx";
export {Cluster, Clusters} from "./clusters.jsx";
export {Choice, Legend, More, Note} from "./controls.jsx";
export {DocumentCard, DocumentGroups, DocumentText, Outcome} from "./document.jsx";
export * from "./format.js";
export {Funnel} from "./funnel.jsx";
export {Histogram, HistogramLegend} from "./histogram.jsx";
export {Origin} from "./origin.jsx";
export {COLOURS, Chart} from "./plot.jsx";
export {Reliability} from "./reliability.jsx";
export {Scatter} from "./scatter.jsx";
export {SelectionMap} from "./selection.jsx";
export {Shift} from "./shift.jsx";
export {DataTable} from "./table.jsx";
export {Block, Line, visible} from "./text.jsx";
export {WordDiff} from "./word_diff.jsx";
