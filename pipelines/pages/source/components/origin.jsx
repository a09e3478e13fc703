import {Bars} from "./bars.jsx";
import {More, Note} from "./controls.jsx";
import {bytes, compact, count, counted, duration, number, share, time} from "./format.js";
import {DataTable} from "./table.jsx";
import {Block, Line} from "./text.jsx";

/** Where a dataset comes from: models, inputs, steps, machines, recipe. `data` is an Origin of schemas/charts.py. */
export function Origin({data, heading: Heading = "h3"}) {
  return (
    <>
      <p class="lead">{sentence(data)}</p>
      {data.steps.some(({seconds}) => seconds) && (
        <Piece heading={Heading} title="Steps" about="seconds of all workers together">
          <Bars
            label="seconds by step"
            colour="kept"
            rows={data.steps.filter(({seconds}) => seconds).map((step) => ({name: step.step, value: step.seconds, show: speed(step)}))}
          />
          <More summary="Versions, devices and estimates">
            <DataTable caption="Steps" columns={STEPS} rows={data.steps} />
          </More>
        </Piece>
      )}
      <Piece heading={Heading} title="Models" about={data.models.length ? null : "no step uses one"}>
        {data.models.length > 0 && <DataTable caption="Models" columns={MODELS} rows={data.models} />}
      </Piece>
      <Piece heading={Heading} title="Inputs" about={counted(data.inputs.length + data.more_inputs, "file")}>
        <More summary="Files">
          <div>
            <DataTable caption="Input files" columns={INPUTS} rows={data.inputs} />
            {data.more_inputs > 0 && <p class="note">And {counted(data.more_inputs, "file")} more.</p>}
          </div>
        </More>
      </Piece>
      <Piece heading={Heading} title="Attempts" about={counted(data.attempts.length, "attempt")}>
        <DataTable caption="Attempts" columns={ATTEMPTS} rows={data.attempts} />
      </Piece>
      <Piece heading={Heading} title="Recipe" about={data.recipe_path && <Line text={data.recipe_path} />}>
        <pre class="recipe">
          <Block text={data.recipe} label="recipe" />
        </pre>
      </Piece>
      <Note text={data.note} />
    </>
  );
}

const Piece = ({heading: Heading, title, about, children}) => (
  <div class="piece">
    <Heading>{title}</Heading>
    {about && <p class="faint">{about}</p>}
    {children}
  </div>
);

function sentence({seconds, estimated, documents_per_second: rate, bytes_per_second: throughput, dataset_files: files, dataset_bytes: size, version}) {
  return [
    seconds != null && `It took ${duration(seconds)}${rate ? `, ${number(rate)} documents and ${bytes(throughput)} a second` : ""}.`,
    estimated && `The plan would say ${duration(estimated[0])} to ${duration(estimated[1])}.`,
    files != null && `The dataset is ${bytes(size)} in ${counted(files, "file")}.`,
    `Made by curation-engine ${version}.`,
  ]
    .filter(Boolean)
    .join(" ");
}

const speed = ({seconds, documents_per_second: rate, tokens_per_second: tokens}) =>
  [duration(seconds), rate && `${compact(Math.round(rate))} documents/s`, tokens && `${compact(Math.round(tokens))} tokens/s`].filter(Boolean).join(" · ");

const STEPS = [
  {name: "step"},
  {name: "stage_kind", label: "kind"},
  {name: "version", numeric: true},
  {name: "scored", numeric: true, show: ({scored}) => count(scored)},
  {name: "seconds", label: "took", numeric: true, show: ({seconds}) => duration(seconds)},
  {name: "estimated_seconds", label: "estimate", numeric: true, show: ({estimated_seconds: seconds}) => duration(seconds)},
  {name: "device", show: ({device, dtype}) => <Line text={[device, dtype].filter(Boolean).join(" ")} />},
  {name: "busy", label: "computing", numeric: true, show: ({busy}) => share(busy)},
];
const MODELS = [
  {name: "step"},
  {name: "address", label: "model", show: ({address, revision}) => <Line text={revision ? `${address} at ${revision}` : address} />},
  {name: "licence", show: ({licence}) => <Line text={licence ?? "not stated"} />},
  {name: "bytes", label: "size", numeric: true, show: ({bytes: size}) => bytes(size)},
  {
    name: "file",
    label: "file and sha256",
    show: ({file, sha256}) => (
      <>
        <Line text={file} />
        <Hash text={sha256} />
      </>
    ),
  },
];
const INPUTS = [
  {name: "path"},
  {name: "source"},
  {name: "rows", label: "documents", numeric: true, show: ({rows}) => count(rows)},
  {name: "bytes", label: "size", numeric: true, show: ({bytes: size}) => bytes(size)},
  {name: "fingerprint", label: "XXH3-128", show: ({fingerprint}) => <Hash text={fingerprint} />},
];
const ATTEMPTS = [
  {name: "started", show: ({started}) => time(started)},
  {name: "outcome", show: ({outcome}) => <Line text={outcome ?? "no end is recorded"} />},
  {name: "seconds", label: "took", numeric: true, show: ({seconds}) => duration(seconds)},
  {name: "scored", numeric: true, show: ({scored}) => count(scored)},
  {name: "executor"},
  {name: "host"},
  {name: "hardware"},
];

const Hash = ({text}) => (text ? <code class="hash">{text}</code> : null);
