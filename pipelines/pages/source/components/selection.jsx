import * as Plot from "@observablehq/plot";
import {Legend, More, Note} from "./controls.jsx";
import {bytes, count, counted, share, tickShare} from "./format.js";
import {COLOURS, Chart} from "./plot.jsx";
import {DataTable} from "./table.jsx";
import {Line} from "./text.jsx";

const CHOICES = [
  {name: "chosen", title: "Selected"},
  {name: "random", title: "As many by chance"},
  {name: "longest", title: "The longest"},
];

/** What one selection chose, beside chance and length. `data` is a SelectionMap of schemas/charts.py. */
export function SelectionMap({data, heading: Heading = "h3"}) {
  return (
    <div class="piece selection">
      <Heading>
        <Line text={data.stage} />
      </Heading>
      <p class="lead">
        <strong>{share(data.selected, data.documents)}</strong> of {counted(data.documents, "document")} were chosen:{" "}
        {count(data.selected)}. {data.sentence && <Line text={data.sentence} />}
      </p>
      {data.x.length > 0 && <Maps data={data} />}
      {data.length_tenths.length > 0 && <Tenths data={data} />}
      <More summary="Beside the baselines">
        <div>
          {data.baselines.length > 0 && (
            <DataTable caption="Overlap with baselines" columns={BASELINES} rows={data.baselines} />
          )}
          {data.coverage.length > 0 && <DataTable caption="Coverage" columns={COVERAGE} rows={data.coverage} />}
          {Object.keys(data.lengths).length > 0 && (
            <DataTable caption="Bytes of the documents" columns={lengthColumns(data.lengths)} rows={Object.entries(data.lengths).map(([name, quantiles]) => ({name, ...quantiles}))} />
          )}
        </div>
      </More>
      <Note text={data.note} />
    </div>
  );
}

const BASELINES = [
  {name: "name", label: "baseline"},
  {name: "overlap", label: "chosen by both", numeric: true, show: ({overlap}) => share(overlap)},
  {name: "chance", label: "by chance", numeric: true, show: ({chance}) => share(chance)},
  {name: "spearman", label: "rank correlation", numeric: true},
];
const COVERAGE = [
  {name: "name", label: "choice"},
  {name: "mean", label: "mean distance to the nearest chosen", numeric: true},
  {name: "radius", label: "greatest", numeric: true},
];
const lengthColumns = (lengths) => [
  {name: "name", label: "bytes of"},
  ...[...new Set(Object.values(lengths).flatMap(Object.keys))].map((quantile) => ({
    name: quantile,
    label: Number.isNaN(Number(quantile)) ? quantile : share(Number(quantile)),
    numeric: true,
    show: (row) => bytes(row[quantile]),
  })),
];

function Maps({data}) {
  const [across, upwards] = data.explained;
  return (
    <>
      <div class="maps">
        {CHOICES.map(({name, title}) => (
          <figure key={name}>
            <figcaption>{title}</figcaption>
            <Chart
              label={`Map of the documents' vectors: ${title.toLowerCase()}`}
              inputs={[data]}
              options={(width) => map(data, data[name], width, name === "chosen" ? COLOURS.kept : COLOURS.baseline)}
            />
          </figure>
        ))}
      </div>
      <Legend
        items={[
          {colour: "kept", label: "selected"},
          {colour: "baseline", label: "chosen by a baseline"},
          {colour: "neutral", label: "not chosen"},
        ]}
      />
      <p class="note">
        The two principal components of <Line text={data.vectors_of ?? "the vectors"} />
        {across != null && `, which hold ${share(across)} and ${share(upwards)} of their variance`}. Near points are alike; axes have
        no unit.
      </p>
    </>
  );
}

function map({x, y}, chosen, width, colour) {
  const index = x.map((_, position) => position);
  const dots = (filter, options) => Plot.dot(index.filter(filter), {x: (i) => x[i], y: (i) => y[i], stroke: null, ...options});
  return {
    height: width,
    margin: 4,
    x: {axis: null},
    y: {axis: null},
    marks: [
      Plot.frame({stroke: COLOURS.line}),
      dots((i) => !chosen[i], {r: 1.3, fill: COLOURS.neutral}),
      dots((i) => chosen[i], {r: 1.8, fill: colour, fillOpacity: 0.8}),
    ],
  };
}

function Tenths({data}) {
  const rows = data.length_tenths.map((value, position) => ({tenth: position + 1, value}));
  const overall = data.documents ? data.selected / data.documents : 0;
  return (
    <figure class="figure">
      <figcaption>
        <strong>By length</strong> <span class="faint">share chosen of each tenth of the documents, the shortest first</span>
      </figcaption>
      <Chart
        label="Share chosen of each tenth of the documents by length"
        inputs={[data]}
        options={() => ({
          height: 170,
          marginLeft: 44,
          marginRight: 64,
          marginTop: 16,
          x: {type: "band", label: null, tickFormat: (tenth) => (tenth === 1 ? "shortest" : tenth === 10 ? "longest" : ""), tickSize: 0},
          y: {domain: [0, Math.max(...data.length_tenths, overall, 0.01)], nice: true, ticks: 3, tickFormat: tickShare, label: null},
          marks: [
            Plot.gridY({ticks: 3, stroke: COLOURS.line, strokeOpacity: 1}),
            Plot.barY(rows, {x: "tenth", y: "value", fill: COLOURS.kept, title: ({value}) => share(value)}),
            Plot.ruleY([overall], {stroke: COLOURS.ink, strokeDasharray: "3,3"}),
            Plot.text([overall], {y: (value) => value, frameAnchor: "right", text: () => `all ${share(overall)}`, dx: 6, textAnchor: "start", fill: COLOURS.ink}),
          ],
        })}
      />
    </figure>
  );
}
