import * as Plot from "@observablehq/plot";
import {Note} from "./controls.jsx";
import {count, counted, share, tickShare} from "./format.js";
import {COLOURS, Chart} from "./plot.jsx";
import {DataTable} from "./table.jsx";
import {Line} from "./text.jsx";

/** Weak labels and what students learned of them. `data` is a Reliability of schemas/charts.py. */
export function Reliability({data, heading: Heading = "h3"}) {
  return (
    <div class="piece reliability">
      <Heading>
        <Line text={data.name} />
      </Heading>
      <p class="lead">
        {counted(data.labelled, "of", "of")} {counted(data.rows, "row")} were labelled
        {data.accuracy?.value != null && <>; the labels are right for <strong>{share(data.accuracy.value)}</strong>{interval(data.accuracy)}</>}
        {data.majority != null && `, where the largest class alone is ${share(data.majority)}`}.
      </p>
      <div class="pieces">
        {data.bins.length > 0 && (
          <figure class="figure">
            <figcaption>
              <strong>Are the confidences right?</strong> <span class="faint">on the line they are</span>
            </figcaption>
            <Chart label="Accuracy by confidence" inputs={[data]} options={(width) => diagram(data, width)} />
            {data.ece != null && <p class="note">Calibration error {share(data.ece)}{data.ece_before != null && `, ${share(data.ece_before)} before the temperature was fitted`}.</p>}
          </figure>
        )}
        {data.coverage.length > 1 && (
          <figure class="figure">
            <figcaption>
              <strong>How many, and how wrong?</strong> <span class="faint">error when only the surest are labelled</span>
            </figcaption>
            <Chart label="Error by coverage" inputs={[data]} options={(width) => coverage(data, width)} />
            {data.automatic != null && data.error_target != null && <p class="note">{counted(data.automatic, "row")} can be labelled with at most {share(data.error_target)} wrong.</p>}
          </figure>
        )}
      </div>
      {data.students.some(({accuracy}) => accuracy) && (
        <figure class="figure">
          <figcaption>
            <strong>What students recovered</strong> <span class="faint">accuracy of the weak labels, of the student, and of the ceiling</span>
          </figcaption>
          <Chart label="Weak, student and ceiling accuracy" inputs={[data]} options={(width) => gaps(data, width)} />
        </figure>
      )}
      {data.students.length > 0 && <DataTable caption="Students" columns={STUDENTS} rows={data.students} />}
      {data.supervisors.length > 0 && <DataTable caption="Supervisors" columns={SUPERVISORS} rows={data.supervisors} />}
      <Note text={data.note} />
    </div>
  );
}

const interval = (estimate) => (estimate?.low == null || estimate.high == null ? "" : ` (${share(estimate.low)} to ${share(estimate.high)})`);
const estimate = (value) => (value?.value == null ? "–" : `${share(value.value)}${interval(value)}`);

const STUDENTS = [
  {name: "student", label: "student"},
  {name: "seeds", label: "seeds", numeric: true},
  {name: "recovered", label: "gap recovered", numeric: true, show: ({recovered}) => estimate(recovered)},
  {name: "because", label: "", show: ({because, identifiable}) => (because ? <Line text={because} /> : identifiable ? null : "cannot be told")},
];
const SUPERVISORS = [
  {name: "name", label: "supervisor"},
  {name: "supervisor_kind", label: "kind"},
  {name: "accuracy", label: "accuracy", numeric: true, show: ({accuracy}) => estimate(accuracy)},
  {name: "estimated_accuracy", label: "estimated without gold", numeric: true, show: ({estimated_accuracy: value}) => share(value)},
  {name: "votes", label: "votes on", numeric: true, show: ({votes}) => share(votes)},
  {name: "dependence", label: "dependence", numeric: true},
];

const axis = {label: null, tickFormat: tickShare, ticks: 4};

function diagram({bins}, width) {
  const most = Math.max(...bins.map(({rows}) => rows), 1);
  const low = Math.min(...bins.flatMap((bin) => [bin.confidence, bin.low ?? bin.accuracy])) - 0.03;
  const domain = [Math.max(0, low), 1];
  return {
    height: Math.min(width, 320),
    marginLeft: 52,
    marginTop: 30,
    marginBottom: 40,
    x: {...axis, domain, label: "confidence →"},
    y: {...axis, domain, label: "↑ right"},
    r: {range: [2.5, 9], domain: [0, most]},
    marks: [
      Plot.gridY({ticks: 4, stroke: COLOURS.line, strokeOpacity: 1}),
      Plot.line([[domain[0], domain[0]], [1, 1]], {stroke: COLOURS.soft, strokeDasharray: "4,4"}),
      Plot.ruleX(bins.filter(({low, high}) => low != null && high != null), {x: "confidence", y1: "low", y2: "high", stroke: COLOURS.kept, strokeWidth: 1.5}),
      Plot.dot(bins, {x: "confidence", y: "accuracy", r: "rows", fill: COLOURS.kept, title: (bin) => `${counted(bin.rows, "row")}: ${share(bin.confidence)} sure, ${share(bin.accuracy)} right`}),
    ],
  };
}

function coverage({coverage: points, error_target: target}, width) {
  return {
    height: Math.min(width, 320),
    marginLeft: 52,
    marginTop: 30,
    marginRight: 16,
    marginBottom: 40,
    x: {...axis, domain: [0, 1], label: "labelled →"},
    y: {...axis, zero: true, nice: true, label: "↑ wrong"},
    marks: [
      Plot.gridY({ticks: 4, stroke: COLOURS.line, strokeOpacity: 1}),
      Plot.line(points, {x: "coverage", y: "error", stroke: COLOURS.kept, strokeWidth: 2}),
      target == null ? null : Plot.ruleY([target], {stroke: COLOURS.ink, strokeDasharray: "4,4"}),
      target == null ? null : Plot.text([target], {y: (value) => value, frameAnchor: "left", text: () => `allowed: ${share(target)}`, dx: 4, dy: -8, fill: COLOURS.ink}),
      Plot.ruleY([0], {stroke: "var(--line-strong)"}),
    ],
  };
}

function gaps({students}, width) {
  const rows = students.filter(({accuracy}) => accuracy).map((student) => ({...student, w: student.weak?.value, s: student.accuracy.value, c: student.ceiling?.value}));
  const dots = [["w", "weak", COLOURS.dropped], ["s", "student", COLOURS.kept], ["c", "ceiling", COLOURS.baseline]];
  const defined = (key) => rows.filter((row) => row[key] != null);
  return {
    height: rows.length * 44 + 40,
    marginLeft: Math.min(150, width * 0.35),
    marginRight: 40,
    x: {...axis},
    y: {type: "band", label: null, domain: rows.map(({student}) => student), tickSize: 0},
    marks: [
      Plot.gridX({ticks: 4, stroke: COLOURS.line, strokeOpacity: 1}),
      Plot.ruleY(rows.filter(({w, c}) => w != null && c != null), {y: "student", x1: "w", x2: "c", stroke: COLOURS.neutral, strokeWidth: 3}),
      Plot.ruleY(rows.filter(({accuracy}) => accuracy.low != null), {y: "student", x1: (row) => row.accuracy.low, x2: (row) => row.accuracy.high, stroke: COLOURS.kept, strokeWidth: 1.5, dy: 9}),
      ...dots.flatMap(([key, name, fill]) => [
        Plot.dot(defined(key), {y: "student", x: key, r: 5.5, fill, title: (row) => `${name} ${share(row[key])}`}),
        Plot.text(defined(key), {y: "student", x: key, text: () => name, dy: -14, fill: COLOURS.soft}),
      ]),
    ],
  };
}
