// Small parts of the views.
import {useEffect, useRef, useState} from "preact/hooks";
import {bytes, compact, count, counted, duration, Line, Outcome, share} from "../components/index.js";

export const title = (run) => run.label || run.dataset || run.run.slice(0, 8);

/** An answer of the server: what it says, or that one waits for it, or what went wrong and what to do. */
export function Waiting({answer, children, what = "Loading"}) {
  if (answer.error) return <Failure error={answer.error} again={answer.again} />;
  if (!answer.data) return <p class="waiting" role="status">{what} …</p>;
  return <div class={answer.loading ? "stale" : undefined} aria-busy={answer.loading ? "true" : undefined}>{children(answer.data)}</div>;
}

export function Failure({error, again}) {
  return (
    <div class="failure" role="alert">
      <p>
        <strong>
          <Line text={sentence(error.message ?? String(error))} />
        </strong>
        {error.code && <code>{error.code}</code>}
      </p>
      {error.hint && <p class="hint"><Line text={error.hint} /></p>}
      {again && (
        <button type="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

const sentence = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);

/** Nothing is there, and what to do about it. */
export const Empty = ({title: heading, children}) => (
  <div class="empty">
    <p>
      <strong>{heading}</strong>
    </p>
    {children}
  </div>
);

export const State = ({state}) => <span class={`tag state-${state}`}>{state}</span>;

/** How far a run is. */
export function Progress({run}) {
  const {progress} = run;
  if (!progress) return null;
  const part = progress.total ? Math.min(progress.done / progress.total, 1) : null;
  const facts = [
    progress.total ? `${count(progress.done)} of ${count(progress.total)}` : progress.done ? count(progress.done) : null,
    progress.rate && `${compact(Math.round(progress.rate))}/s`,
    progress.tokens_rate && `${compact(Math.round(progress.tokens_rate))} tokens/s`,
    progress.kept_share != null && `${share(progress.kept_share)} kept`,
    progress.seconds_left != null && `${duration(progress.seconds_left)} left`,
  ].filter(Boolean);
  return (
    <div class="progress">
      <p>
        <strong>
          <Line text={progress.phase ?? "starting"} />
        </strong>{" "}
        <span class="faint">{facts.join(" · ")}</span>
      </p>
      <progress aria-label={`progress of ${title(run)}`} {...(part == null ? {} : {value: part, max: 1})} />
      {progress.host && (
        <p class="faint small">
          on <Line text={progress.host} />{progress.pid ? `, process ${progress.pid}` : ""}
        </p>
      )}
    </div>
  );
}

/** A share as a thin bar beside its number. */
export const Meter = ({part, whole}) => (
  <span class="meter">
    <span class="meter-track" aria-hidden="true">
      <span style={{width: `${whole ? (100 * part) / whole : 0}%`}} />
    </span>
    {share(part, whole)}
  </span>
);

/** Says a sentence to screen readers once it has stood still, so that a moving slider is not a stream of numbers. */
export function Announced({text, pause = 700}) {
  const [said, setSaid] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setSaid(text ?? ""), pause);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <p class="visually-hidden" aria-live="polite" data-announced>
      {said}
    </p>
  );
}

export function useDelayed(value, pause) {
  const [delayed, setDelayed] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setDelayed(value), pause);
    return () => clearTimeout(timer);
  }, [JSON.stringify(value), pause]);
  return delayed;
}

/** A document as one line of a list. */
export function DocumentRow({data, href}) {
  const name = data.id ?? `${data.path}#${data.row}`;
  const text = data.pieces.map((piece) => piece.text).join("").slice(0, 280).replace(/\s+/g, " ");
  return (
    <li class="document-row">
      <p>
        <Outcome outcome={data.outcome} />
        <a href={href} data-document>
          <Line text={name} />
        </a>
        <span class="faint">
          {data.stage && (
            <>
              <Line text={data.stage} />
              {(data.reason ?? data.rule) && <>: <Line text={data.reason ?? data.rule} /></>}
              {" · "}
            </>
          )}
          {bytes(data.bytes)}
        </span>
      </p>
      <p class="snippet">{data.shown ? <Line text={text} /> : <span class="faint">{data.note ? <Line text={data.note} /> : "no text"}</span>}</p>
    </li>
  );
}

/** Copies a text, and says that it did. */
export function Copy({text, children = "Copy"}) {
  const [done, setDone] = useState(null);
  const timer = useRef();
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async () => {
    const copied = await navigator.clipboard?.writeText(text).then(() => true, () => false);
    setDone(copied ? "Copied" : "The browser refuses; select the text instead");
    timer.current = setTimeout(() => setDone(null), 2500);
  };
  return (
    <>
      <button type="button" onClick={copy}>
        {children}
      </button>
      <span class="faint small" role="status">{done}</span>
    </>
  );
}

export function download(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type}));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const documents = (value) => counted(value, "document");
