import {useEffect, useMemo, useState} from "preact/hooks";
import {count, counted, DataTable, duration, Line, list, share} from "../components/index.js";
import {replace} from "./address.js";
import {post} from "./api.js";
import {Gate} from "./gate_card.jsx";
import {Announced, Copy, DocumentRow, documents, download, Empty, Failure, useDelayed} from "./parts.jsx";
import {href} from "./address.js";

const EXAMPLES = 5;
const PAUSE = 50; // milliseconds without a move until the server is asked for numbers
const REST = 500; // and until it is asked for documents, whose texts it has to read

/** Gates with their numbers as sliders. What would change is answered from stored scores; nothing is written. */
export function Thresholds({run, params, facts}) {
  const stages = facts.stages.filter(({gate}) => gate);
  const gates = useMemo(() => changed(stages, params), [JSON.stringify(params)]);
  const set = (stage, expression) => {
    const original = stages.find((each) => each.stage === stage).gate;
    const {[`gate.${stage}`]: _, ...others} = params;
    replace("runs", run, "thresholds", expression === original ? others : {...others, [`gate.${stage}`]: expression});
  };
  const asked = useWhatIf(run, gates);
  if (!stages.length)
    return (
      <Empty title="No stage of this run has a gate">
        <p>
          A gate is a condition on scores, such as <code>keep: gopher.words &gt;= 50</code>. Stages without one drop what their own kind says.
        </p>
      </Empty>
    );
  return (
    <div class="thresholds">
      <div class="gates">
        {stages.map((stage) => (
          <Gate key={stage.stage} run={run} stage={stage} expression={gates[stage.stage] ?? stage.gate} onChange={(expression) => set(stage.stage, expression)} />
        ))}
      </div>
      {asked.answer && Object.keys(gates).length > 0 && (
        <p class="now" aria-hidden="true">
          {plain(asked.answer)}
        </p>
      )}
      <Outcome run={run} gates={gates} asked={asked} onReset={() => replace("runs", run, "thresholds")} />
    </div>
  );
}

const changed = (stages, params) =>
  Object.fromEntries(stages.map(({stage}) => [stage, params[`gate.${stage}`]]).filter(([, expression]) => expression));

/** What these gates would keep, beside what the run kept. */
function Outcome({run, gates, asked: {answer, examples, error, asking}, onReset}) {
  const moved = Object.keys(gates).length > 0;
  return (
    <section class="what-if" aria-labelledby="what-if" aria-busy={asking ? "true" : undefined}>
      <h2 id="what-if">{moved ? "With these gates" : "As the run decided"}</h2>
      {error ? <Failure error={error} /> : answer ? <Answer answer={answer} moved={moved} /> : <p class="waiting">Counting …</p>}
      <Announced text={error ? error.message : answer && moved ? plain(answer) : ""} />
      <div class="buttons">
        <button type="button" onClick={onReset} disabled={!moved}>
          Reset all
        </button>
        <Recipe run={run} gates={gates} moved={moved} />
      </div>
      {examples && moved && !error && <Examples run={run} answer={examples} />}
    </section>
  );
}

/** [{stage, documents}] that a run would have to score, and that a dedup or a selection would have to decide, first. */
const toScore = ({unscored}) => unscored.map(({stage, documents, to_decide: other = 0}) => ({stage, documents: documents - other})).filter((each) => each.documents);
const toDecide = ({unscored}) => unscored.filter((each) => each.to_decide).map(({stage, to_decide: other}) => ({stage, documents: other}));
const total = (stages) => stages.reduce((sum, stage) => sum + stage.documents, 0);
const names = (stages) => <Line text={list(stages.map(({stage}) => stage))} />;

const plain = (answer) =>
  [
    `${share(answer.kept, answer.documents)} kept`,
    `${documents(answer.gained + answer.lost)} ${answer.gained + answer.lost === 1 ? "changes" : "change"} sides`,
    total(toScore(answer)) > 0 && `${count(total(toScore(answer)))} would have to be scored first`,
  ]
    .filter(Boolean)
    .join(", ");

function Answer({answer, moved}) {
  const [scoring, deciding] = [toScore(answer), toDecide(answer)];
  return (
    <>
      <p class="big" data-kept={answer.kept}>
        <strong>{share(answer.kept, answer.documents)}</strong> kept
      </p>
      <p class="what-if-bar" aria-hidden="true">
        <span style={{width: `${(100 * answer.kept) / Math.max(answer.documents, 1)}%`}} />
        <i style={{left: `${(100 * answer.kept_before) / Math.max(answer.documents, 1)}%`}} />
      </p>
      <p class="lead">
        {count(answer.kept)} of {documents(answer.documents)}
        {moved && answer.kept !== answer.kept_before && <>, {count(answer.kept_before)} before</>}.
      </p>
      {moved && (
        <ul class="changes">
          <li data-gained={answer.gained}>
            <span class="tag kept">+{count(answer.gained)}</span> {answer.gained === 1 ? "comes" : "come"} in
          </li>
          <li data-lost={answer.lost}>
            <span class="tag dropped">−{count(answer.lost)}</span> {answer.lost === 1 ? "goes" : "go"} out
          </li>
          {scoring.length > 0 && (
            <li>
              <span class="tag">{count(total(scoring))}</span> would have to be scored first, at {names(scoring)}
            </li>
          )}
          {deciding.length > 0 && (
            <li>
              <span class="tag">{count(total(deciding))}</span> would be new to {names(deciding)}, which a run decides again
            </li>
          )}
        </ul>
      )}
      <details class="more">
        <summary>By stage</summary>
        <DataTable caption="Documents by stage" columns={STAGES} rows={answer.by_stage} />
      </details>
      {answer.seconds != null && <p class="faint small">answered in {duration(answer.seconds)}, from stored scores</p>}
    </>
  );
}

const STAGES = [
  {name: "stage"},
  {name: "rows_in", label: "in", numeric: true, show: ({rows_in: rows}) => count(rows)},
  {name: "rows_out", label: "out", numeric: true, show: ({rows_out: rows}) => count(rows)},
  {name: "share", label: "goes on", numeric: true, show: ({rows_in: into, rows_out: out}) => share(out, into)},
];

function Examples({run, answer}) {
  const {examples, gained, lost} = answer;
  return (
    <>
      {[
        ["gained", "Some that come in", gained],
        ["lost", "Some that go out", lost],
        ["unscored", "Some that wait for a run", total(answer.unscored)],
      ].map(
        ([side, title, all]) =>
          examples[side]?.length > 0 && (
            <div key={side}>
              <h3>
                {title} <span class="faint">{examples[side].length} of {count(all)}</span>
              </h3>
              <ul class="document-rows">
                {examples[side].map((document) => (
                  <DocumentRow key={document.doc} data={document} href={href("runs", run, "documents", document.doc)} />
                ))}
              </ul>
            </div>
          )
      )}
    </>
  );
}

/** The run's own recipe with these gates, to copy or to save. */
function Recipe({run, gates, moved}) {
  const [state, setState] = useState(null);
  const now = JSON.stringify(gates);
  useEffect(() => setState(null), [now]);
  const write = () => post(`runs/${run}/recipe`, {gates}).then(({recipe}) => setState({recipe}), (error) => setState({error}));
  return (
    <>
      <button type="button" class="primary" onClick={write} disabled={!moved}>
        Write this into a recipe
      </button>
      {state?.error && <Failure error={state.error} />}
      {state?.recipe && (
        <div class="recipe-out">
          <p class="note">The recipe of this run with {counted(Object.keys(gates).length, "other gate")}. Run it in the same workspace: nothing is scored twice.</p>
          <textarea readOnly rows={14} aria-label="recipe" value={state.recipe} spellcheck={false} />
          <div class="buttons">
            <Copy text={state.recipe} />
            <button type="button" onClick={() => download("recipe.yaml", state.recipe, "application/yaml")}>
              Download recipe.yaml
            </button>
          </div>
        </div>
      )}
    </>
  );
}

/** {answer, examples, error, asking}: the numbers as the hand moves, documents once it rests. */
function useWhatIf(run, gates) {
  const [state, setState] = useState({});
  const question = useDelayed(gates, PAUSE);
  const rested = useDelayed(gates, REST);
  const ask = (about, examples, take) => {
    const abort = new AbortController();
    post(`runs/${run}/gates`, {gates: about, examples}, abort.signal).then(
      (answer) => setState((before) => take(before, answer)),
      (error) => error.name === "AbortError" || setState((before) => ({...before, error, asking: false}))
    );
    return () => abort.abort();
  };
  useEffect(() => {
    setState((before) => ({...before, asking: true}));
    return ask(question, 0, (before, answer) => ({...before, answer, error: null, asking: false}));
  }, [run, JSON.stringify(question)]);
  useEffect(() => {
    if (Object.keys(rested).length) return ask(rested, EXAMPLES, (before, answer) => ({...before, examples: answer}));
  }, [run, JSON.stringify(rested)]);
  return state;
}
