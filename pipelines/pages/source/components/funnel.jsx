import {useState} from "preact/hooks";
import {Choice, Legend, Note} from "./controls.jsx";
import {bytes, compact, count, duration, share} from "./format.js";
import {Line} from "./text.jsx";

const UNITS = [
  {value: "documents", label: "documents", into: "rows_in", out: "rows_out", show: count},
  {value: "tokens", label: "tokens", into: "tokens_in", out: "tokens_out", show: compact},
  {value: "bytes", label: "bytes", into: "bytes_in", out: "bytes_out", show: bytes},
];
const OUTCOMES = [
  {label: "goes on", colour: "kept"},
  {label: "dropped", colour: "dropped"},
  {label: "errored", colour: "errored"},
];

/**
 * What comes to each stage and leaves it, as a flow from top to bottom: the width of a band is a number of documents,
 * tokens or bytes. `data` is a Funnel of schemas/charts.py; with `onChoose(stage)` the names of stages are buttons.
 */
export function Funnel({data, chosen, onChoose}) {
  const units = UNITS.filter(({into}) => data.rows.some((row) => row[into] != null));
  const [name, setName] = useState("documents");
  const unit = units.find(({value}) => value === name) ?? UNITS[0];
  const total = Math.max(...data.rows.map((row) => row[unit.into] ?? 0), 1);
  const errors = data.rows.some((row) => row.errored);
  return (
    <div class="funnel">
      <div class="bar-of-controls">
        {units.length > 1 && <Choice label="Width of the bands" value={name} onChange={setName} options={units} />}
        <Legend items={errors ? OUTCOMES : OUTCOMES.slice(0, 2)} />
      </div>
      <ol class="funnel-stages">
        {data.rows.map((row) => (
          <Stage key={row.stage} {...{row, unit, total, onChoose}} chosen={chosen === row.stage} />
        ))}
      </ol>
      <Note text={data.note} />
      {unit.value === "tokens" && data.tokens_of && <Note text={`Tokens as ${data.tokens_of} counts them.`} />}
    </div>
  );
}

function Stage({row, unit, total, chosen, onChoose}) {
  const end = row.family === "input" || row.family === "output";
  const name = <Line text={row.stage} />;
  return (
    <li class={`funnel-stage ${row.family}`} aria-current={chosen ? "true" : undefined}>
      <div class="funnel-name">
        {onChoose && row.family !== "output" ? (
          <button type="button" class="link" onClick={() => onChoose(row.stage)}>
            {name}
          </button>
        ) : (
          <strong>{name}</strong>
        )}
        {!end && row.stage_kind !== row.stage && (
          <span class="faint">
            <Line text={row.stage_kind} />
          </span>
        )}
        {row.keep && <Line code text={row.keep} />}
        <Cost row={row} />
      </div>
      <Band last={row.family === "output"} into={row[unit.into]} out={row[unit.out]} errored={unit.into === "rows_in" ? row.errored : 0} total={total} />
      <Numbers row={row} unit={unit} />
    </li>
  );
}

function Numbers({row, unit}) {
  const [into, out] = [row[unit.into], row[unit.out]];
  const lost = into == null || out == null ? 0 : into - out;
  return (
    <div class="funnel-numbers">
      <strong>{unit.show(row.family === "input" ? into : out)}</strong>
      {row.family === "input" && <span class="faint">{unit.label} in</span>}
      {row.family === "output" && <span class="faint">{unit.label} kept</span>}
      {lost > 0 && (
        <span class="lost">
          −{unit.show(lost)} · {share(lost, into)}
        </span>
      )}
      {row.errored > 0 && unit.into === "rows_in" && <span class="failed">{count(row.errored)} of them errored</span>}
      {lost < 0 && <span class="faint">+{unit.show(-lost)}</span>}
    </div>
  );
}

function Cost({row: {seconds, scored, family, documents_per_second: rate}}) {
  if (seconds == null) return family === "scorer" && !scored ? <span class="cost">scored before</span> : null;
  return <span class="cost">{rate ? `${duration(seconds)}, ${compact(Math.round(rate))} documents/s` : duration(seconds)}</span>;
}

const WIDTH = 1000;

/** The band of one stage: a bar to be read, and below it what goes on straight down and what is lost aside. */
function Band({last, into, out, errored, total}) {
  if (into == null || out == null) return <div class="funnel-band none">not counted here</div>;
  const scale = (value) => (WIDTH * value) / total;
  const dropped = Math.max(into - out - errored, 0);
  const parts = [
    {name: "kept", from: 0, to: scale(out)},
    {name: "dropped", from: scale(out), to: scale(out + dropped)},
    {name: "errored", from: scale(out + dropped), to: scale(out + dropped + errored)},
  ].filter(({from, to}) => to > from);
  const lost = parts.filter(({name}) => name !== "kept").map(widened);
  return (
    <div class="funnel-band" aria-hidden="true">
      <svg viewBox={`0 0 ${WIDTH} 1`} preserveAspectRatio="none">
        {[...parts.filter(({name}) => name === "kept"), ...lost].map(({name, from, to}) => (
          <rect key={name} class={name} x={from} width={to - from} height={1} />
        ))}
      </svg>
      {!last && (
        <svg class="flow" viewBox={`0 0 ${WIDTH} 100`} preserveAspectRatio="none">
          <rect class="kept" width={scale(out)} height={100} />
          {lost.map(({name, from, to}) => (
            <path key={name} class={name} d={aside(from, to)} />
          ))}
        </svg>
      )}
    </div>
  );
}

/** One document of a million is there to be seen. */
function widened({name, from, to}) {
  const width = Math.max(to - from, 3);
  const left = Math.min(from, WIDTH - width);
  return {name, from: left, to: left + width};
}

function aside(from, to) {
  const [by, end] = [20, 76];
  const half = end / 2;
  return `M${from},0H${to}C${to},${half} ${to + by},${half} ${to + by},${end}H${from + by}C${from + by},${half} ${from},${half} ${from},0Z`;
}
