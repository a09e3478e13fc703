import {count, duration, Line, Note, time} from "../components/index.js";
import {href} from "./address.js";
import {Empty, Meter, Progress, State, title} from "./parts.jsx";

/** All runs of the workspace: those that go on, with their progress, and those that have ended. */
export function Runs({runs, workspace}) {
  return (
    <>
      <header class="view-head">
        <h1>Runs</h1>
        <p class="facts">
          <Line code text={workspace.root} />
          {workspace.readonly && <span class="tag">read-only: labels cannot be written</span>}
        </p>
      </header>
      {runs == null ? <p class="waiting" role="status">Looking for runs …</p> : <List runs={runs} workspace={workspace} />}
    </>
  );
}

function List({runs, workspace}) {
  if (!runs.length)
    return (
      <Empty title="No run yet">
        <p>Start one, and it appears here while it goes on:</p>
        <p>
          <Line code text={`curate run recipe.yaml -w ${workspace.root}`} />
        </p>
        <p>
          Without a recipe yet: <code>curate init DATA</code> writes one for your files, and <code>curate demo web</code> brings data to try.
        </p>
      </Empty>
    );
  const going = runs.filter(({state}) => state === "running");
  const ended = runs.filter(({state}) => state !== "running");
  return (
    <>
      {going.length > 0 && (
        <section aria-label="Runs that go on" class="going">
          {going.map((run) => (
            <article key={run.run} class="card">
              <h2>
                <a href={href("runs", run.run)}>
                  <Line text={title(run)} />
                </a>{" "}
                <code class="faint">{run.run.slice(0, 8)}</code>
              </h2>
              <Progress run={run} />
              {!run.progress && <p class="faint">It has just started.</p>}
            </article>
          ))}
        </section>
      )}
      {ended.length > 0 && <Table runs={ended} />}
      {workspace.note && <Note text={workspace.note} />}
    </>
  );
}

function Table({runs}) {
  return (
    <div class="scroll-x" tabIndex={0} role="group" aria-label="Runs">
      <table class="wide">
        <caption class="visually-hidden">Runs that have ended, the latest first</caption>
        <thead>
          <tr>
            <th scope="col">run</th>
            <th scope="col">state</th>
            <th scope="col">started</th>
            <th scope="col" class="numeric">took</th>
            <th scope="col" class="numeric">documents</th>
            <th scope="col" class="numeric">kept</th>
            <th scope="col">share kept</th>
            <th scope="col"><span class="visually-hidden">compare</span></th>
          </tr>
        </thead>
        <tbody>
          {runs.map((run, index) => (
            <tr key={run.run}>
              <th scope="row">
                <a href={href("runs", run.run)}>
                  <Line text={title(run)} />
                </a>{" "}
                <code class="faint">{run.run.slice(0, 8)}</code>
              </th>
              <td>
                <State state={run.state} />
              </td>
              <td>{time(run.started)}</td>
              <td class="numeric">{duration(run.seconds)}</td>
              <td class="numeric">{count(run.documents)}</td>
              <td class="numeric">{count(run.kept)}</td>
              <td>{run.documents > 0 && run.kept != null && <Meter part={run.kept} whole={run.documents} />}</td>
              <td>
                {runs[index + 1] && (
                  <a href={href("compare", {a: runs[index + 1].run, b: run.run})} aria-label={`compare ${title(run)} ${run.run.slice(0, 8)} with the one before`}>
                    compare
                  </a>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

