import {useEffect, useRef, useState} from "preact/hooks";
import * as Plot from "@observablehq/plot";
import {Chart, Choice, COLOURS, compact, count, counted, DataTable, duration, Note} from "../components/index.js";
import {replace} from "./address.js";
import {post} from "./api.js";
import {csv} from "./csv.js";
import {Copy, download, Failure, title} from "./parts.jsx";

const LIMIT = 1000;
const EXAMPLES = [
  ["Why documents were dropped", "SELECT rule, count(*) AS documents\nFROM drops\nGROUP BY ALL\nORDER BY 2 DESC\nLIMIT 15"],
  ["How alike duplicates are", "SELECT round(similarity, 2) AS similarity, count(*) AS documents\nFROM documents\nWHERE similarity IS NOT NULL\nGROUP BY ALL\nORDER BY 1"],
  ["The funnel", "SELECT * FROM funnel"],
  ["Views and their columns", "SELECT table_name, string_agg(column_name, ', ') AS columns\nFROM information_schema.columns\nWHERE NOT starts_with(table_name, '_')\nGROUP BY ALL\nORDER BY 1"],
];

/** The locked SQL of `curate sql`: it reads the workspace's views and nothing else. */
export function Sql({params, runs}) {
  const [query, setQuery] = useState(params.query ?? EXAMPLES[0][1]);
  const [state, setState] = useState({});
  const abort = useRef(null);
  const run = params.run ?? "";
  const ask = (text = query) => {
    abort.current?.abort();
    abort.current = new AbortController();
    replace("sql", {run, query: text});
    setState(({answer}) => ({answer, asking: true}));
    post("sql", {query: text, ...(run ? {run} : {}), limit: LIMIT}, abort.current.signal).then(
      (answer) => setState({answer}),
      (error) => error.name === "AbortError" || setState({error})
    );
  };
  useEffect(() => {
    if (params.query) ask(params.query);
    return () => abort.current?.abort();
  }, [run]);
  return (
    <>
      <header class="view-head">
        <h1>SQL</h1>
        <p class="lead">It reads the views of this workspace, and nothing else.</p>
      </header>
      <form
        class="sql"
        onSubmit={(event) => {
          event.preventDefault();
          ask();
        }}
      >
        <label class="visually-hidden" for="query">
          Query
        </label>
        <textarea
          id="query"
          data-search
          rows={Math.min(Math.max(query.split("\n").length + 1, 5), 16)}
          value={query}
          spellcheck={false}
          onInput={(event) => setQuery(event.target.value)}
          onKeyDown={(event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && (event.preventDefault(), ask())}
        />
        <div class="buttons">
          <button class="primary" disabled={state.asking}>
            Run <kbd>Ctrl + Enter</kbd>
          </button>
          <label>
            <span>Run</span>
            <select value={run} onChange={(event) => replace("sql", {run: event.target.value, query})}>
              <option value="">the latest</option>
              {(runs ?? []).map((each) => (
                <option key={each.run} value={each.run}>
                  {`${title(each)} ${each.run.slice(0, 8)}`}
                </option>
              ))}
            </select>
          </label>
          <label>
            <span>Examples</span>
            <select
              value=""
              onChange={(event) => {
                const text = EXAMPLES[Number(event.target.value)]?.[1];
                if (text) (setQuery(text), ask(text));
              }}
            >
              <option value="">choose one</option>
              {EXAMPLES.map(([name], index) => (
                <option key={name} value={index}>
                  {name}
                </option>
              ))}
            </select>
          </label>
        </div>
      </form>
      {state.error && <Failure error={state.error} />}
      {state.asking && !state.answer && <p class="waiting" role="status">Asking …</p>}
      {state.answer && !state.error && <Result answer={state.answer} asking={state.asking} />}
    </>
  );
}

function Result({answer, asking}) {
  const {columns, rows, truncated, seconds, note} = answer;
  const drawable = chartOf(columns, rows);
  const [view, setView] = useState("table");
  const shown = drawable && view === "chart" ? "chart" : "table";
  const text = csv(columns, rows);
  return (
    <section class={asking ? "stale" : undefined} aria-labelledby="result">
      <h2 id="result" class="count" aria-live="polite">
        {truncated ? `The first ${counted(rows.length, "row")}` : counted(rows.length, "row")}{" "}
        {seconds != null && <span class="faint">in {duration(seconds)}</span>}
      </h2>
      <div class="bar-of-controls">
        {drawable && (
          <Choice
            label="Result"
            value={shown}
            onChange={setView}
            options={[
              {value: "table", label: "table"},
              {value: "chart", label: "chart"},
            ]}
          />
        )}
        <Copy text={text}>Copy as CSV</Copy>
        <button type="button" onClick={() => download("result.csv", text, "text/csv")}>
          Download CSV
        </button>
      </div>
      {shown === "chart" ? (
        <Chart label={`${columns[1].name} by ${columns[0].name}`} inputs={[answer]} options={(width) => drawable(width)} />
      ) : (
        <DataTable
          caption="Result"
          columns={columns.map(({name, type}, index) => ({name: index, label: name, numeric: numeric(type)}))}
          rows={rows}
        />
      )}
      <Note text={note} />
    </section>
  );
}

const numeric = (type) => /int|float|double|decimal|hugeint/i.test(type);
const MOST_BARS = 60;

/** How to draw two columns: bars by name, or a line over numbers. Null where they don't lend themselves to it. */
function chartOf(columns, rows) {
  if (columns.length !== 2 || !numeric(columns[1].type) || rows.length < 2) return null;
  const points = rows.map(([x, y]) => ({x, y: y == null ? null : Number(y)})).filter(({y}) => Number.isFinite(y));
  const grid = {ticks: 4, stroke: COLOURS.line, strokeOpacity: 1};
  if (numeric(columns[0].type)) {
    const dots = points.filter(({x}) => x != null).map(({x, y}) => ({x: Number(x), y}));
    return () => ({
      height: 320,
      marginLeft: 56,
      marginBottom: 40,
      x: {label: `${columns[0].name} →`},
      y: {label: `↑ ${columns[1].name}`, tickFormat: compact, ticks: 4, zero: true, nice: true},
      marks: [Plot.gridY(grid), Plot.line(dots, {x: "x", y: "y", sort: "x", stroke: COLOURS.kept}), Plot.dot(dots, {x: "x", y: "y", r: 3, fill: COLOURS.kept, title: ({x, y}) => `${x}: ${y}`}), Plot.ruleY([0], {stroke: "var(--line-strong)"})],
    });
  }
  if (rows.length > MOST_BARS) return null;
  const names = points.map(({x}) => shown(String(x ?? "none")));
  return (width) => ({
    height: points.length * 24 + 40,
    marginLeft: Math.min(Math.max(...names.map(({length}) => length)) * 6.8 + 12, width * 0.5),
    marginRight: 60,
    x: {label: null, ticks: 4, tickFormat: compact, zero: true},
    y: {type: "band", domain: points.map((_, index) => index), axis: null, padding: 0.2},
    marks: [
      Plot.axisY({text: (index) => names[index], tickSize: 0, fill: COLOURS.ink, lineWidth: (width * 0.5) / 12, textOverflow: "ellipsis"}),
      Plot.gridX(grid),
      Plot.barX(points, {y: (_, index) => index, x: "y", fill: COLOURS.kept, title: ({x, y}) => `${shown(String(x))}: ${count(y)}`}),
      Plot.text(points, {y: (_, index) => index, x: "y", text: ({y}) => compact(y), textAnchor: "start", dx: 6, fill: COLOURS.soft}),
    ],
  });
}

const shown = (text) => `\u2068${text.slice(0, 80).replace(/[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]/gu, "\ufffd")}\u2069`;
