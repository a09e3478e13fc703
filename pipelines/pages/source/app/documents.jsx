import {useEffect, useRef, useState} from "preact/hooks";
import {Choice, count, Line, Note} from "../components/index.js";
import {go, href} from "./address.js";
import {address, useAnswer} from "./api.js";
import {useKeys} from "./keys.jsx";
import {documents, DocumentRow, Empty, Waiting} from "./parts.jsx";

const PER_PAGE = 20;
const OUTCOMES = ["", "kept", "dropped", "errored"].map((value) => ({value, label: value || "all"}));

/** Documents of the run by outcome, stage, rule, text and SQL, a page at a time. */
export function Documents({run, params, facts}) {
  const {from, ...filters} = params;
  const answer = useAnswer(address(`runs/${run}/documents`, {...filters, n: PER_PAGE, after: from}));
  const list = useRef(null);
  const heading = useRef(null);
  useKeys({j: () => step(list.current, 1), k: () => step(list.current, -1)});
  useEffect(() => {
    if (from) heading.current?.focus();
  }, [from]);
  return (
    <>
      <Filters key={JSON.stringify(filters)} run={run} filters={filters} stages={facts.stages} />
      <Waiting answer={answer} what="Looking for documents">
        {({documents: found, after, total, note}) => (
          <>
            <h2 class="count" tabIndex={-1} ref={heading} aria-live="polite">
              {total == null ? "Documents" : documents(total)}
              {total > found.length && <span class="faint"> {count(Number(from ?? 0) + 1)} to {count(Number(from ?? 0) + found.length)}</span>}
            </h2>
            {!found.length && (
              <Empty title="No document is like this">
                <p>
                  Take a condition away, or <a href={href("runs", run, "documents")}>look at all documents</a>.
                </p>
              </Empty>
            )}
            <ul class="document-rows" ref={list}>
              {found.map((document) => (
                <DocumentRow key={document.doc} data={document} href={href("runs", run, "documents", document.doc)} />
              ))}
            </ul>
            <Note text={note} />
            <nav class="paging" aria-label="Pages">
              {from && <a href={href("runs", run, "documents", filters)}>First page</a>}
              {after && (
                <a rel="next" href={href("runs", run, "documents", {...filters, from: after})}>
                  Next {PER_PAGE}
                </a>
              )}
            </nav>
          </>
        )}
      </Waiting>
    </>
  );
}

function Filters({run, filters, stages}) {
  const [more, setMore] = useState(Boolean(filters.where || filters.order || filters.id));
  const set = (changes) => go("runs", run, "documents", {...filters, ...changes});
  const submit = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    set(Object.fromEntries(["text", "rule", "where", "order", "id"].filter((name) => form.has(name)).map((name) => [name, form.get(name).trim()])));
  };
  return (
    <form class="filters" role="search" aria-label="Documents" onSubmit={submit}>
      <Choice label="Outcome" options={OUTCOMES} value={filters.outcome ?? ""} onChange={(outcome) => set({outcome})} />
      <label>
        <span>Stage</span>
        <select value={filters.stage ?? ""} onChange={(event) => set({stage: event.target.value})}>
          <option value="">any</option>
          {stages.map(({stage}) => (
            <option key={stage} value={stage}>
              {stage}
            </option>
          ))}
        </select>
      </label>
      <label class="grow">
        <span>In id, path or reason</span>
        <input type="search" name="text" data-search defaultValue={filters.text ?? ""} placeholder="words" autocomplete="off" />
      </label>
      {(filters.rule || more) && (
        <label class="grow">
          <span>Rule</span>
          <input type="search" name="rule" defaultValue={filters.rule ?? ""} autocomplete="off" />
        </label>
      )}
      {more && (
        <>
          <label>
            <span>Id</span>
            <input type="search" name="id" defaultValue={filters.id ?? ""} autocomplete="off" />
          </label>
          <label class="grow">
            <span>SQL condition</span>
            <input type="search" name="where" class="code" defaultValue={filters.where ?? ""} placeholder="similarity > 0.9" spellcheck={false} autocomplete="off" />
          </label>
          <label>
            <span>Order by</span>
            <input type="search" name="order" class="code" defaultValue={filters.order ?? ""} placeholder="score desc" spellcheck={false} autocomplete="off" />
          </label>
        </>
      )}
      <div class="buttons">
        <button>Search</button>
        {!more && (
          <button type="button" class="quiet" onClick={() => setMore(true)}>
            SQL and more
          </button>
        )}
        {Object.keys(filters).length > 0 && <a href={href("runs", run, "documents")}>Clear</a>}
      </div>
      {filters.rule && !more && (
        <p class="faint small">
          only documents dropped for <Line text={filters.rule} />
        </p>
      )}
    </form>
  );
}

/** To the next or previous document of a list. */
function step(list, by) {
  const links = [...(list?.querySelectorAll("[data-document]") ?? [])];
  const now = links.indexOf(document.activeElement);
  links[Math.min(Math.max(now + by, 0), links.length - 1)]?.focus();
}
