import * as Plot from "@observablehq/plot";
import {Note} from "./controls.jsx";
import {count, counted, number, share} from "./format.js";
import {COLOURS, Chart, scaleOf} from "./plot.jsx";
import {Line} from "./text.jsx";

/** Two measurements against each other, as a grid of shares that were kept. `data` is a Scatter of schemas/charts.py. */
export function Scatter({data, heading: Heading = "h3"}) {
  const {x, y, documents, spearman} = data;
  return (
    <div class="piece scatter">
      <Heading>
        <Line text={x.name} /> against <Line text={y.name} />
      </Heading>
      <p class="lead">
        {counted(documents, "document")}
        {spearman != null && (
          <>
            ; rank correlation <strong>{number(spearman)}</strong>
          </>
        )}
        .
      </p>
      <Chart
        label={`${x.name} across, ${y.name} upwards; colour says which share was kept`}
        inputs={[data]}
        options={(width) => drawing(data, width)}
      />
      <Scale />
      <Note text={[data.outside && `Not drawn: ${count(data.outside)} outside or without a value.`, data.note].filter(Boolean).join(" ") || null} />
    </div>
  );
}

/** From none kept to all kept. */
const mixed = (part) => `color-mix(in oklab, var(--kept) ${Math.round(100 * part)}%, var(--dropped))`;

const Scale = () => (
  <p class="legend" aria-hidden="true">
    <span>none kept</span>
    <span class="ramp" />
    <span>all kept</span>
    <span>fainter: fewer documents</span>
  </p>
);

function drawing({x, y, cells}, width) {
  const most = Math.max(...cells.map(([, , documents]) => documents), 1);
  const rows = cells.map(([i, j, documents, kept]) => ({
    x1: x.edges[i],
    x2: x.edges[i + 1],
    y1: y.edges[j],
    y2: y.edges[j + 1],
    fill: mixed(kept / documents),
    opacity: 0.25 + (0.75 * Math.log1p(documents)) / Math.log1p(most),
    title: `${counted(documents, "document")}, ${share(kept, documents)} kept`,
  }));
  const within = ({edges, bounds}) => bounds.filter(({value}) => value >= edges[0] && value <= edges.at(-1));
  const gates = {stroke: COLOURS.ink, strokeWidth: 1.5};
  return {
    height: Math.min(Math.max(width * 0.7, 240), 420),
    marginTop: 30,
    marginLeft: 52,
    marginBottom: 40,
    x: {...scaleOf(x, width / 80), label: `${x.name} →`, tickFormat: number},
    y: {...scaleOf(y, 5), label: `↑ ${y.name}`, tickFormat: number},
    color: {type: "identity"},
    opacity: {type: "identity"},
    marks: [
      Plot.rect(rows, {x1: "x1", x2: "x2", y1: "y1", y2: "y2", fill: "fill", fillOpacity: "opacity", title: "title"}),
      Plot.ruleX(within(x), {x: "value", ...gates}),
      Plot.ruleY(within(y), {y: "value", ...gates}),
    ],
  };
}
