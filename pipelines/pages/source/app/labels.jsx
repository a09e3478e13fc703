import {useCallback, useState} from "preact/hooks";
import {count, counted, DataTable, DocumentText, Line, share} from "../components/index.js";
import {post, useAnswer} from "./api.js";
import {useKeys} from "./keys.jsx";
import {Announced, Empty, Failure, Waiting} from "./parts.jsx";

const LABELS = [
  {key: "g", label: "good", about: "it belongs into the dataset"},
  {key: "b", label: "bad", about: "it does not"},
  {key: "u", label: "unsure", about: "leave it out"},
];

const ROWS = 200;

/** Labels by hand for the run's audit: a document at a time, without what became of it, which would sway the answer. */
export function Labels({run, workspace}) {
  const first = useAnswer(`runs/${run}/audit`);
  return <Waiting answer={first} what="Opening the audit">{(audit) => <Labelling run={run} audit={audit} workspace={workspace} />}</Waiting>;
}

function Labelling({run, audit: begun, workspace}) {
  const [audit, setAudit] = useState(begun);
  const [said, setSaid] = useState("");
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const doc = audit.next[0];
  const act = useCallback(
    async (path, body, what) => {
      setBusy(true);
      try {
        const answer = await post(`runs/${run}/${path}`, body);
        setAudit("undone" in answer ? answer.audit : answer);
        setSaid(what(answer));
        setError(null);
      } catch (failure) {
        setError(failure);
      }
      setBusy(false);
    },
    [run]
  );
  const label = (value) => !busy && doc && act("labels", {doc, label: value}, () => `labelled ${value}`);
  const undo = () => !busy && act("labels/undo", {}, ({undone}) => (undone ? `${undone.label} is taken back` : "nothing to take back"));
  useKeys({g: () => label("good"), b: () => label("bad"), u: () => label("unsure"), z: undo});
  if (!audit.sampled)
    return (
      <Empty title="No sample was drawn for labels yet">
        <p>Half of its documents are kept, half dropped, some of each stage and reason; it stays the same until you draw another.</p>
        <p>
          <button type="button" class="primary" disabled={busy || workspace.readonly} onClick={() => act("audit", {rows: ROWS}, () => "drawn")}>
            Draw {ROWS} documents
          </button>
        </p>
        {error && <Failure error={error} />}
      </Empty>
    );
  return (
    <div class="labelling">
      <section aria-labelledby="to-label">
        <h2 id="to-label">
          {doc ? "Does this belong into the dataset?" : "All are labelled"}{" "}
          <span class="faint" data-left={audit.left}>
            {counted(audit.left, "document")} left
          </span>
        </h2>
        <progress aria-label="labelled" value={audit.sampled - audit.left} max={audit.sampled} />
        {error && <Failure error={error} />}
        <div class="label-buttons" role="group" aria-label="Label">
          {LABELS.map(({key, label: value, about}) => (
            <button key={value} type="button" class={`label-${value}`} disabled={!doc || workspace.readonly} onClick={() => label(value)} title={about}>
              {value} <kbd>{key}</kbd>
            </button>
          ))}
          <button type="button" class="quiet" disabled={audit.left === audit.sampled || workspace.readonly} onClick={undo}>
            undo <kbd>z</kbd>
          </button>
          <span class="faint small" role="status">
            {said}
          </span>
        </div>
        {doc ? <ToLabel key={doc} run={run} doc={doc} /> : <p class="lead">Nothing is left. <code>curate audit sample --seed 1</code> draws more.</p>}
      </section>
      <aside aria-label="What the labels say">
        <h2>What the labels say</h2>
        <Estimate name="Precision" about="of the documents kept, how many are good" value={audit.precision} />
        <Estimate name="Recall" about="of the good documents, how many are kept" value={audit.recall} />
        <p class="note">
          {count(audit.labelled)} of {count(audit.sampled)} labelled{audit.unsure > 0 && `, ${count(audit.unsure)} unsure`}. Bars are 95 % intervals; they shrink as you go on.
        </p>
        <Announced
          text={audit.precision ? `precision ${share(audit.precision.value)}, ${count(audit.left)} left` : `${count(audit.left)} left`}
        />
        {audit.by_stratum?.length > 0 && (
          <details class="more">
            <summary>By stratum</summary>
            <DataTable caption="Labels by stratum" columns={STRATA} rows={audit.by_stratum} />
          </details>
        )}
      </aside>
    </div>
  );
}

const STRATA = [{name: "name", label: "stratum"}, ...["documents", "sampled", "labelled", "good"].map((name) => ({name, numeric: true, show: (row) => count(row[name])}))];

function ToLabel({run, doc}) {
  const answer = useAnswer(`runs/${run}/documents/${encodeURIComponent(doc)}`);
  return (
    <Waiting answer={answer} what="Reading the document">
      {({document}) => (
        <article class="tall to-label" data-doc={doc}>
          <p class="faint small">
            <Line text={document.id ?? `${document.path}#${document.row}`} />
          </p>
          <DocumentText data={{...document, pieces: [{text: document.pieces.map(({text}) => text).join(""), mark: null}]}} />
        </article>
      )}
    </Waiting>
  );
}

/** A share with its interval, on a line from 0 to 1. */
function Estimate({name, about, value}) {
  const known = value?.value != null;
  const [low, high] = [value?.low ?? value?.value, value?.high ?? value?.value];
  return (
    <div class="estimate" data-estimate={name.toLowerCase()}>
      <p>
        <strong>{name}</strong> <span class="big">{known ? share(value.value) : "–"}</span>
        {low != null && (
          <span class="faint">
            {" "}
            {share(low)} to {share(high)}
          </span>
        )}
      </p>
      <div class="estimate-line" aria-hidden="true">
        {low != null && <span class="interval" style={{left: `${100 * low}%`, width: `${100 * (high - low)}%`}} />}
        {known && <span class="point" style={{left: `${100 * value.value}%`}} />}
      </div>
      <p class="faint small">{about}</p>
    </div>
  );
}
