import {useEffect, useMemo, useRef} from "preact/hooks";
import {Links} from "../components/links.js";
import {Line} from "../components/index.js";
import {Guard} from "../report/guard.jsx";
import {href, useAddress} from "./address.js";
import {useAnswer, useRuns} from "./api.js";
import {Diff} from "./diff.jsx";
import {Help, useKeys} from "./keys.jsx";
import {Failure, title, Waiting} from "./parts.jsx";
import {Run} from "./run.jsx";
import {Runs} from "./runs.jsx";
import {Sql} from "./sql.jsx";

/** The whole page: a bar, and below it the view that the address names. */
export function App() {
  const {path, params} = useAddress();
  const workspace = useAnswer("workspace");
  const {runs, connected, error} = useRuns();
  const main = useRef(null);
  const [place, run] = path;
  const current = runs?.find((each) => each.run === run);
  useView(main, path, current);
  useKeys({"/": () => focusSearch(main.current)});
  const links = useMemo(() => (run && place === "runs" ? {document: (doc) => href("runs", run, "documents", doc)} : null), [place, run]);
  return (
    <Links.Provider value={links}>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), main.current.focus())}>
        Skip to content
      </a>
      <Bar place={place} workspace={workspace.data} run={run} />
      <main id="main" ref={main} tabIndex={-1} class="view">
        {!connected && (
          <p class="banner" role="status">
            The server does not answer; this page tries again by itself. Is <code>curate ui</code> still running?
          </p>
        )}
        {error && <Failure error={error} />}
        <Waiting answer={workspace}>
          {(data) => (
            <Guard key={path.join("/")}>
              <View {...{path, params, runs, workspace: data, current}} />
            </Guard>
          )}
        </Waiting>
      </main>
      <Help />
    </Links.Provider>
  );
}

function View({path, params, runs, workspace, current}) {
  const [place, run, view, doc] = path;
  if (!place) return <Runs runs={runs} workspace={workspace} />;
  if (place === "runs" && run) return <Run key={run} {...{run, view, doc, params, workspace, runs, live: current}} />;
  if (place === "sql") return <Sql params={params} runs={runs} />;
  if (place === "compare") return <Diff params={params} runs={runs} />;
  return <Failure error={{message: "there is no such view", hint: "Start with the runs."}} />;
}

function Bar({place, workspace, run}) {
  const folder = workspace?.root.replace(/\/+$/, "").split("/").at(-1);
  return (
    <header class="app-bar">
      <a class="home" href={href()} title={workspace?.root}>
        <span class="home-mark" aria-hidden="true" />
        <strong>{folder ? <Line text={folder} /> : "curation"}</strong>
      </a>
      <nav aria-label="Workspace">
        <NavLink to={href()} current={!place || place === "runs"}>
          Runs
        </NavLink>
        <NavLink to={href("sql", {run: place === "runs" ? run : null})} current={place === "sql"}>
          SQL
        </NavLink>
        <NavLink to={href("compare", {b: place === "runs" ? run : null})} current={place === "compare"}>
          Compare
        </NavLink>
      </nav>
      <button type="button" class="quiet" aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)" onClick={() => document.getElementById("help").showModal()}>
        ?
      </button>
    </header>
  );
}

export const NavLink = ({to, current, children}) => (
  <a href={to} aria-current={current ? "page" : undefined}>
    {children}
  </a>
);

/** A new view begins at its top, and its heading has the focus: so a screen reader says where one is. */
function useView(main, path, run) {
  const view = path.join("/");
  const first = useRef(true);
  useEffect(() => {
    if (!first.current) {
      scrollTo(0, 0);
      main.current?.focus({preventScroll: true});
    }
    first.current = false;
  }, [view]);
  const [place, , name, doc] = path;
  useEffect(() => {
    const parts = place === "runs" ? [doc && `document ${doc}`, name, run ? title(run) : path[1]] : [place === "sql" ? "SQL" : place];
    document.title = [...parts.filter(Boolean), "curation"].join(" · ");
  }, [view, run && title(run)]);
}

function focusSearch(main) {
  main?.querySelector("[data-search]")?.focus();
}
