import {useEffect, useRef} from "preact/hooks";
import {count, duration, Line, share, time} from "../components/index.js";
import {go, href} from "./address.js";
import {useAnswer} from "./api.js";
import {NavLink} from "./app.jsx";
import {Document} from "./document.jsx";
import {Documents} from "./documents.jsx";
import {Duplicates} from "./duplicates.jsx";
import {useKeys} from "./keys.jsx";
import {Labels} from "./labels.jsx";
import {Overview} from "./overview.jsx";
import {documents, Failure, Progress, State, title, Waiting} from "./parts.jsx";
import {Pieces} from "./pieces.jsx";
import {Thresholds} from "./thresholds.jsx";

const VIEWS = [
  {name: undefined, label: "Overview", show: Overview},
  {name: "thresholds", label: "Thresholds", show: Thresholds},
  {name: "documents", label: "Documents", show: Documents},
  {name: "duplicates", label: "Duplicates", show: Duplicates},
  {name: "report", label: "Report", show: Pieces},
  {name: "label", label: "Label", show: Labels},
];

/** One run: its name and state, and one of its views. */
export function Run({run, view, doc, params, workspace, live}) {
  const ended = live && live.state !== "running" ? live.ended : null;
  const answer = useAnswer(`runs/${encodeURIComponent(run)}${ended ? `?ended=${encodeURIComponent(ended)}` : ""}`);
  useKeys(Object.fromEntries(VIEWS.map(({name}, index) => [String(index + 1), () => go("runs", run, ...(name ? [name] : []))])));
  const tabs = useRef(null);
  useEffect(() => tabs.current?.querySelector("[aria-current]")?.scrollIntoView({block: "nearest", inline: "center"}), [view, Boolean(answer.data)]);
  return (
    <Waiting answer={answer} what="Opening the run">
      {(facts) => {
        const now = {...facts, ...live};
        return (
          <>
            <Head run={now} />
            <nav class="tabs" ref={tabs} aria-label="Views of the run">
              {VIEWS.map(({name, label}) => (
                <NavLink key={label} to={href("runs", run, ...(name ? [name] : []))} current={view === name}>
                  {label}
                </NavLink>
              ))}
            </nav>
            <Chosen {...{run, view, doc, params, workspace}} facts={now} />
          </>
        );
      }}
    </Waiting>
  );
}

function Chosen({view, doc, ...rest}) {
  if (view === "documents" && doc) return <Document key={doc} doc={doc} {...rest} />;
  const Show = VIEWS.find(({name}) => name === view)?.show;
  return Show ? <Show {...rest} /> : <Failure error={{message: "a run has no such view", hint: "Choose one of those above."}} />;
}

function Head({run}) {
  return (
    <header class="view-head">
      <h1>
        <a href={href("runs", run.run)} class="plain">
          <Line text={title(run)} />
        </a>
      </h1>
      <p class="facts">
        <span>
          run <code>{run.run.slice(0, 12)}</code>
        </span>
        <State state={run.state} />
        {run.started && <span>{time(run.started)}</span>}
        {run.seconds != null && <span>{duration(run.seconds)}</span>}
        {run.documents > 0 && run.kept != null && (
          <span>
            {count(run.kept)} of {documents(run.documents)} kept, {share(run.kept, run.documents)}
          </span>
        )}
      </p>
      {run.state === "running" && <Progress run={run} />}
    </header>
  );
}
