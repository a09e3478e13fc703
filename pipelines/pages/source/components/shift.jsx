import * as Plot from "@observablehq/plot";
import {Legend, Note} from "./controls.jsx";
import {count, number, share, tickShare} from "./format.js";
import {COLOURS, Chart} from "./plot.jsx";

const TITLES = {language: "Languages", source: "Sources", length: "Lengths", domain: "Domains", ngram: "N-grams"};

/** What changed from input to output. `data` is a Shift of schemas/charts.py. */
export function Shift({data, heading: Heading = "h3"}) {
  const panels = data.panels.filter(({rows}) => rows.length > 1).map(shortened);
  return (
    <>
      <Legend
        items={[
          {colour: "neutral", label: "share of the input"},
          {colour: "kept", label: "share of the output"},
        ]}
      />
      <div class="pieces">
        {panels.map((panel) => (
          <div class="piece" key={panel.of}>
            <Heading>{TITLES[panel.of]}</Heading>
            <p class="lead">{sentence(panel)}</p>
            <Chart label={`${TITLES[panel.of]} in input and output`} inputs={[panel]} options={(width) => (panel.of === "length" ? lengths(panel, width) : changes(panel, width))} />
            <Note text={panel.note} />
          </div>
        ))}
      </div>
      <Note text={data.note} />
    </>
  );
}

const MOST = 20;
const LEAST = 0.001; // a smaller share, before and after, is not drawn

/** Without what is rare on both sides, which is counted in the note. */
function shortened(panel) {
  if (panel.of === "length") return panel;
  const drawn = parts(panel)
    .filter(({was, is}) => Math.max(was, is) >= LEAST)
    .slice(0, MOST)
    .map(({row}) => row);
  const rows = drawn.length ? drawn : panel.rows.slice(0, MOST);
  const left = panel.rows.length - rows.length;
  return {...panel, rows, note: [left && `${count(left)} rarer ones are not drawn.`, panel.note].filter(Boolean).join(" ") || null};
}

const parts = ({rows, before, after}) =>
  rows.map((row) => ({name: row.name, was: before ? row.before / before : 0, is: after ? row.after / after : 0, row}));

function sentence(panel) {
  const moved = parts(panel).reduce((most, each) => (Math.abs(each.is - each.was) > Math.abs(most.is - most.was) ? each : most));
  const same = Math.abs(moved.is - moved.was) < 0.001;
  return (
    <>
      {same ? "Nothing moved by as much as a thousandth" : <><bdi>{clipped(moved.name, 40)}</bdi> moved most, from {share(moved.was)} to <strong>{share(moved.is)}</strong></>}
      {panel.divergence != null && `; the divergence is ${number(panel.divergence)} bits`}.
    </>
  );
}

const PITCH = 22;

/** Each name with its share before and after, and how it went between. */
function changes(panel, width) {
  const rows = parts(panel);
  const longest = Math.max(...rows.map(({name}) => [...name].length), 4);
  const names = Math.min(longest * 7 + 16, width * 0.42);
  const room = names < longest * 7 + 16 ? Math.floor((names - 16) / 7) : longest;
  return {
    height: rows.length * PITCH + 34,
    marginLeft: names,
    marginRight: 128,
    marginTop: 4,
    x: {label: null, ticks: 3, tickFormat: tickShare, nice: true, zero: true, grid: false},
    y: {type: "band", domain: rows.map((_, position) => position), axis: null},
    marks: [
      Plot.axisY({text: (position) => shown(clipped(rows[position].name, room)), tickSize: 0, fill: COLOURS.ink}),
      Plot.gridX({ticks: 3, stroke: COLOURS.line, strokeOpacity: 1}),
      Plot.ruleY(rows, {y: (_, position) => position, x1: "was", x2: "is", stroke: COLOURS.neutral, strokeWidth: 3}),
      Plot.dot(rows, {y: (_, position) => position, x: "was", r: 4, fill: COLOURS.neutral}),
      Plot.dot(rows, {y: (_, position) => position, x: "is", r: 5, fill: COLOURS.kept, title: ({name, row}) => `${shown(name)}: ${count(row.before)} before, ${count(row.after)} after`}),
      Plot.text(rows, {y: (_, position) => position, frameAnchor: "right", text: ({was, is}) => `${share(was)} → ${share(is)}`, dx: 126, fill: COLOURS.soft}),
    ],
  };
}

function lengths(panel, width) {
  const rows = parts(panel);
  const bar = (width - 56) / rows.length;
  const step = Math.ceil(58 / bar);
  const label = (name, index) => (step === 1 ? name : index % step ? "" : name.split(" to ")[0]);
  return {
    height: 220,
    marginLeft: 44,
    marginBottom: 28,
    x: {type: "band", domain: rows.map(({name}) => name), label: null, tickFormat: label, padding: 0.12},
    y: {label: null, ticks: 3, tickFormat: tickShare, nice: true},
    marks: [
      Plot.gridY({ticks: 3, stroke: COLOURS.line, strokeOpacity: 1}),
      Plot.barY(rows, {x: "name", y: "was", fill: COLOURS.neutral, title: ({row}) => `${count(row.before)} before`}),
      Plot.barY(rows, {x: "name", y: "is", fill: COLOURS.kept, insetLeft: bar * 0.2, insetRight: bar * 0.2, title: ({row}) => `${count(row.after)} after`}),
      Plot.ruleY([0], {stroke: "var(--line-strong)"}),
    ],
  };
}

const clipped = (name, room) => (name.length > room ? `${[...name].slice(0, Math.max(room - 1, 3)).join("")}…` : name);

/** Within a drawing there are no elements to isolate a name: controls go, and a mark at each end closes its direction. */
const shown = (name) => `\u2068${name.replace(/[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]/gu, "\ufffd")}\u2069`;
