import {useState} from "preact/hooks";
import {bytes, Choice, count, DocumentText, Line, number, Outcome, share, WordDiff} from "../components/index.js";
import {href} from "./address.js";
import {useAnswer} from "./api.js";
import {Copy, Waiting} from "./parts.jsx";

/** One document: its text, what every stage said of it, and the document that stays for it. */
export function Document({run, doc}) {
  const answer = useAnswer(`runs/${run}/documents/${encodeURIComponent(doc)}`);
  return <Waiting answer={answer} what="Reading the document">{(data) => <Whole run={run} data={data} />}</Waiting>;
}

function Whole({run, data: {document, story, twin, diff, labels}}) {
  return (
    <article class="whole">
      <header>
        <p class="note">
          <a href={href("runs", run, "documents", {outcome: document.outcome, stage: document.stage})}>
            Documents {document.outcome}
            {document.stage && <> at <Line text={document.stage} /></>}
          </a>
        </p>
        <h2>
          <Line text={name(document)} />
        </h2>
        <p class="facts">
          <Outcome outcome={document.outcome} />
          <Line text={`${document.path}#${document.row}`} />
          {document.source && document.source !== document.path && <Line text={document.source} />}
          <span>{bytes(document.bytes)}</span>
          <span>
            doc <code>{document.doc}</code>
          </span>
          {labels?.length > 0 && <span class="tag">labelled {labelOf(labels.at(-1))}</span>}
        </p>
        {document.stage && (
          <p class="headline small-headline">
            {document.outcome === "errored" ? "Errored" : "Dropped"} at <strong><Line text={document.stage} /></strong>: <Line text={document.reason ?? document.rule} />.
            {document.twin && (
              <>
                {" "}
                It stands too much like{" "}
                <a href={href("runs", run, "documents", document.twin)} data-keeper>
                  {twin ? <Line text={name(twin)} /> : "another document"}
                </a>
                {twin?.outcome === "kept" ? ", which stays" : ""}
                {document.similarity != null && ` (${share(document.similarity)} alike)`}.
              </>
            )}
          </p>
        )}
      </header>
      <div class="document-columns">
        <section aria-labelledby="story">
          <h3 id="story">What each stage said</h3>
          <Story story={story} />
        </section>
        <section aria-labelledby="text" class="texts">
          {twin ? (
            <Beside document={document} twin={twin} diff={diff} run={run} />
          ) : (
            <>
              <h3 id="text">
                Text <span class="faint">{count(document.characters)} characters</span>
              </h3>
              <div class="tall">
                <DocumentText data={document} label="text of the document" />
              </div>
              <div class="buttons">
                <Copy text={document.pieces.map(({text}) => text).join("")}>Copy the text</Copy>
              </div>
            </>
          )}
        </section>
      </div>
    </article>
  );
}

const name = (document) => document.id ?? `${document.path}#${document.row}`;
const labelOf = ({label, good}) => label ?? (good == null ? "unsure" : good ? "good" : "bad");

/** The document and the one that stays: their texts beside each other, or as one with the words that differ. */
function Beside({document, twin, diff, run}) {
  const [view, setView] = useState(diff ? "words" : "beside");
  return (
    <>
      <h3 id="text">{document.outcome === "dropped" ? "This one, and the one that stays" : "This one and its twin"}</h3>
      {diff && (
        <div class="bar-of-controls">
          <Choice
            label="Texts"
            value={view}
            onChange={setView}
            options={[
              {value: "words", label: "word by word"},
              {value: "beside", label: "side by side"},
            ]}
          />
        </div>
      )}
      {view === "words" && diff ? (
        <div class="tall">
          <WordDiff data={diff} />
        </div>
      ) : (
        <div class="side-by-side">
          {[document, twin].map((each, index) => (
            <div key={each.doc} class="tall">
              <h4>
                <Outcome outcome={each.outcome} /> {index ? <a href={href("runs", run, "documents", each.doc)}><Line text={name(each)} /></a> : <Line text={name(each)} />}
              </h4>
              <DocumentText data={each} label={index ? "text of the twin" : "text of the document"} />
            </div>
          ))}
        </div>
      )}
    </>
  );
}

function Story({story}) {
  return (
    <ol class="story">
      {story.map((stage) => (
        <li key={stage.stage} class={stage.verdict}>
          <p>
            <strong>
              <Line text={stage.stage} />
            </strong>{" "}
            {stage.kind && stage.kind !== stage.stage && (
              <span class="faint">
                <Line text={stage.kind} />
              </span>
            )}{" "}
            <span class={`tag ${TAGS[stage.verdict] ?? ""}`}>
              <Line text={stage.verdict} />
            </span>
          </p>
          {stage.gate && <Line code text={stage.gate} />}
          {stage.reason && (
            <p class="why">
              <Line text={stage.reason} />
              {stage.score != null && stage.threshold != null && ` (${number(stage.score)} against ${number(stage.threshold)})`}
            </p>
          )}
          <Values values={stage.values ?? {}} />
        </li>
      ))}
    </ol>
  );
}

const TAGS = {kept: "kept", passed: "kept", dropped: "dropped", failed: "dropped", errored: "errored"};
const MANY = 6;

function Values({values}) {
  const entries = Object.entries(values);
  const [all, setAll] = useState(false);
  if (!entries.length) return null;
  return (
    <>
      <dl class="scores">
        {entries.slice(0, all ? entries.length : MANY).map(([field, value]) => (
          <div key={field}>
            <dt>
              <Line text={field} />
            </dt>
            <dd>{typeof value === "number" ? number(value) : <Line text={value == null ? "–" : typeof value === "object" ? JSON.stringify(value) : value} />}</dd>
          </div>
        ))}
      </dl>
      {entries.length > MANY && !all && (
        <button type="button" class="link small" onClick={() => setAll(true)}>
          {entries.length - MANY} more
        </button>
      )}
    </>
  );
}
