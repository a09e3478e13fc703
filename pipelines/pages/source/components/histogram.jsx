import * as Plot from "@observablehq/plot";
import {useId, useState} from "preact/hooks";
import {Legend, More, Note} from "./controls.jsx";
import {compact, count, counted, number, share} from "./format.js";
import {COLOURS, Chart, scaleOf} from "./plot.jsx";
import {DataTable} from "./table.jsx";
import {Line} from "./text.jsx";

const SIGNS = {"<": "<", "<=": "≤", ">": ">", ">=": "≥", "=": "=", "<>": "≠"};
const FAILS = {"<": "are not below", "<=": "are above", ">": "are not above", ">=": "are below", "=": "are not", "<>": "are"};

/**
 * One measurement: how many documents have which value, before and after, and where gates cut. `data` is a Histogram of
 * schemas/charts.py. `bounds` are drawn in place of the data's, such as those of a slider that moves;
 * such a slider, under the drawing, is a child.
 */
export function Histogram({data, bounds = data.bounds, lead = sentence(data), legend = true, heading: Heading = "h3", children}) {
  const [source, setSource] = useState(null);
  const bars = data.by_source.find((entry) => entry.source === source) ?? data.bars;
  const constant = !data.bounds.length && data.minimum === data.maximum;
  const inside = sum(bars.before);
  return (
    <div class="piece histogram">
      <Heading>
        <Line text={data.name} />
      </Heading>
      {lead && <p class="lead">{lead}</p>}
      {data.by_source.length > 0 && <Sources data={data} source={source} setSource={setSource} />}
      {constant ? null : inside ? (
        <Chart
          label={`${data.name}: documents by value, before and after. ${plain(data)}`}
          inputs={[data, bars, JSON.stringify(bounds)]}
          options={(width) => drawing(data, bars, bounds, width)}
        />
      ) : (
        <p class="note">No document {source == null ? "has a value" : "of this source has a value"}.</p>
      )}
      {children}
      {legend && <HistogramLegend gates={bounds.length > 0} />}
      <Note text={[outside(data), data.note].filter(Boolean).join(" ") || null} />
      <More summary="Numbers">
        <DataTable caption={`Quantiles of ${data.name}`} columns={QUANTILES} rows={[{...data.quantiles, ...data}]} />
      </More>
    </div>
  );
}

const LEGEND = [
  {colour: "neutral", label: "came to the stage"},
  {colour: "kept", label: "kept in the end"},
  {colour: "dropped-soft", label: "values that fail a gate"},
];

export const HistogramLegend = ({gates = true}) => <Legend items={gates ? LEGEND : LEGEND.slice(0, 2)} />;

const QUANTILES = [
  {name: "minimum", label: "least"},
  {name: "0.05", label: "5 %"},
  {name: "0.25", label: "25 %"},
  {name: "0.5", label: "median"},
  {name: "0.75", label: "75 %"},
  {name: "0.95", label: "95 %"},
  {name: "maximum", label: "most"},
].map((column) => ({...column, numeric: true}));

function Sources({data, source, setSource}) {
  const id = useId();
  return (
    <div class="bar-of-controls">
      <label for={id}>Source</label>
      <select id={id} value={source ?? ""} onChange={(event) => setSource(event.target.value || null)}>
        <option value="">all</option>
        {data.by_source.map((entry) => (
          <option key={entry.source} value={entry.source}>
            {entry.source}
          </option>
        ))}
      </select>
      {data.more_sources > 0 && <span class="faint">and {counted(data.more_sources, "smaller source")}</span>}
    </div>
  );
}

function sentence(data) {
  const bound = data.bounds[0];
  const median = data.quantiles["0.5"];
  if (!bound && data.minimum == null) return "No document has a value.";
  if (!bound && data.minimum === data.maximum) return `It is ${data.type === "boolean" ? Boolean(data.minimum) : number(data.minimum)} for all of ${counted(data.documents, "document")}.`;
  if (!bound && data.type === "boolean") return `True for ${share(data.bars.before.at(-1), sum(data.bars.before))} of ${counted(data.documents, "document")}.`;
  if (!bound) return `Half of ${counted(data.documents, "document")} have ${number(median)} or less.`;
  return data.bounds.map((each) => (
    <>
      <strong>{share(each.failing, each.passing + each.failing)}</strong> of {counted(each.passing + each.failing, "document")} {FAILS[each.operator]}{" "}
      {number(each.value)} and fail
      {each.stage !== data.stage && (
        <>
          {" "}
          at <Line text={each.stage} />
        </>
      )}
      .{" "}
    </>
  ));
}

const plain = ({bounds}) =>
  bounds.map((each) => `${share(each.failing, each.passing + each.failing)} ${FAILS[each.operator]} ${number(each.value)} and fail.`).join(" ");

function outside({below, above, nulls, nans, edges}) {
  const told = [
    below && `${count(below)} below ${number(edges[0])}`,
    above && `${count(above)} above ${number(edges.at(-1))}`,
    nulls && `${count(nulls)} without a value`,
    nans && `${count(nans)} with no number`,
  ].filter(Boolean);
  return told.length ? `Not drawn: ${told.join(", ")}.` : null;
}

function drawing({edges, scale, type}, bars, bounds, width) {
  const rows = bars.before.map((before, bin) => ({low: edges[bin], high: edges[bin + 1], before, after: bars.after[bin]}));
  const [first, last] = [edges[0], edges.at(-1)];
  const within = bounds.filter(({value}) => value >= first && value <= last);
  const fails = within.flatMap(({operator, value}) => {
    if (operator.startsWith(">")) return [{x1: first, x2: value}];
    return operator.startsWith("<") && operator !== "<>" ? [{x1: value, x2: last}] : [];
  });
  return {
    height: 210,
    marginTop: 26,
    marginLeft: 44,
    marginRight: 12,
    marginBottom: 28,
    x: {...scaleOf({scale, edges}, Math.min(6, width / 70)), label: null, tickFormat: type === "whole" ? whole(compactTick) : compactTick, ...(type === "boolean" && twoBins(edges))},
    y: {label: null, ticks: 3, tickFormat: whole(compact), nice: true},
    marks: [
      Plot.rect(fails, {x1: "x1", x2: "x2", fill: "var(--dropped-soft)"}),
      Plot.gridY({ticks: 3, stroke: COLOURS.line, strokeOpacity: 1}),
      Plot.rectY(rows, {x1: "low", x2: "high", y: "before", fill: COLOURS.neutral, insetLeft: 0.5, insetRight: 0.5}),
      Plot.rectY(rows, {x1: "low", x2: "high", y: "after", fill: COLOURS.kept, insetLeft: 0.5, insetRight: 0.5}),
      Plot.ruleY([0], {stroke: "var(--line-strong)"}),
      Plot.ruleX(within, {x: "value", stroke: COLOURS.ink, strokeWidth: 1.5, marginTop: 0, insetTop: -6}),
      Plot.text(within, {
        x: "value",
        frameAnchor: "top",
        text: ({operator, value}) => `${SIGNS[operator]} ${number(value)}`,
        dy: -10,
        lineAnchor: "bottom",
        textAnchor: ({value}) => anchor(value, first, last),
        fill: COLOURS.ink,
        fontWeight: 600,
      }),
    ],
  };
}

const anchor = (value, first, last) => ((value - first) / (last - first) < 0.15 ? "start" : (value - first) / (last - first) > 0.85 ? "end" : "middle");

const twoBins = ([first, second, third]) => ({ticks: [(first + second) / 2, (second + third) / 2], tickFormat: (_, bin) => ["false", "true"][bin]});
/** Nothing lies between whole numbers. */
const whole = (show) => (value) => (Number.isInteger(value) ? show(value) : "");
const compactTick = (value) => (Math.abs(value) >= 10_000 ? compact(value) : number(value));
const sum = (values) => values.reduce((total, value) => total + value, 0);
