import {count, DataTable, Line} from "../components/index.js";
import {go, href} from "./address.js";
import {address, useAnswer} from "./api.js";
import {documents, Empty, title, Waiting} from "./parts.jsx";

/** Two runs beside each other. */
export function Diff({params, runs}) {
  const b = params.b || runs?.[0]?.run;
  const a = params.a || before(runs, b);
  const ready = a && b && a !== b;
  const answer = useAnswer(ready ? address("diff", {a, b}) : null);
  if (runs && runs.length < 2)
    return (
      <>
        <h1>Compare</h1>
        <Empty title="There are no two runs to compare">
          <p>Change a number in the recipe and run it again: what is scored is not scored twice.</p>
        </Empty>
      </>
    );
  return (
    <>
      <header class="view-head">
        <h1>Compare two runs</h1>
        <div class="filters">
          {[
            ["a", "From", a],
            ["b", "To", b],
          ].map(([name, label, value]) => (
            <label key={name}>
              <span>{label}</span>
              <select value={value} onChange={(event) => go("compare", {a, b, [name]: event.target.value})}>
                {(runs ?? []).map((run) => (
                  <option key={run.run} value={run.run}>
                    {`${title(run)} ${run.run.slice(0, 8)}`}
                  </option>
                ))}
              </select>
            </label>
          ))}
          <div class="buttons">
            <button type="button" onClick={() => go("compare", {a: b, b: a})}>
              Swap
            </button>
          </div>
        </div>
      </header>
      {ready ? <Waiting answer={answer} what="Comparing">{(data) => <Differences data={data} />}</Waiting> : <p class="lead">Choose two runs.</p>}
    </>
  );
}

function before(runs, b) {
  const index = runs?.findIndex(({run}) => run === b) ?? -1;
  return runs?.[index + 1]?.run ?? runs?.find(({run}) => run !== b)?.run;
}

function Differences({data}) {
  const {a, b, recipe, stages, inputs, funnel, moved, elsewhere, only_a, only_b} = data;
  const nothing = !recipe.length && !moved.length && !inputs.length && !stages.length && !elsewhere;
  return (
    <>
      <p class="headline">
        <strong>{count(a.kept)}</strong> of {documents(a.rows)} were kept, now <strong>{count(b.kept)}</strong> of {documents(b.rows)}.
        {nothing && " There is no difference."}
      </p>
      <ul class="changes">
        {elsewhere > 0 && <li>{documents(elsewhere)} are dropped by both, at different stages</li>}
        {only_a > 0 && <li>{documents(only_a)} only the first one read</li>}
        {only_b > 0 && <li>{documents(only_b)} only the second one read</li>}
        {stages.length > 0 && <li>the same settings, but other code, models or files: <Line text={stages.join(", ")} /></li>}
      </ul>
      {recipe.length > 0 && (
        <section aria-labelledby="recipes">
          <h2 class="section-title" id="recipes">
            Recipe
          </h2>
          <pre class="recipe-diff" tabIndex={0} role="group" aria-label="differences of the recipes">
            {recipe.map((line, index) => (
              <div key={index} class={side(line)}>
                <Line text={line || " "} />
              </div>
            ))}
          </pre>
        </section>
      )}
      {moved.length > 0 && (
        <section aria-labelledby="moved">
          <h2 class="section-title" id="moved">
            Documents that changed sides
          </h2>
          <Moved rows={moved} a={a} b={b} />
        </section>
      )}
      {funnel.length > 0 && (
        <section aria-labelledby="funnel">
          <h2 class="section-title" id="funnel">
            Funnel
          </h2>
          <DataTable caption="Funnel of both runs" columns={FUNNEL} rows={funnel} />
        </section>
      )}
      {inputs.length > 0 && (
        <section aria-labelledby="inputs">
          <h2 class="section-title" id="inputs">
            Inputs
          </h2>
          <DataTable caption="Files that differ" columns={Object.keys(inputs[0]).map((name) => ({name, numeric: typeof inputs[0][name] === "number"}))} rows={inputs} />
        </section>
      )}
    </>
  );
}

const side = (line) => (/^(@@|---|\+\+\+) /.test(line) ? "faint" : {"+": "more", "-": "less"}[line[0]]);

const FUNNEL = [
  {name: "stage"},
  {name: "dropped_a", label: "dropped, from", numeric: true, show: ({dropped_a: value}) => count(value)},
  {name: "dropped_b", label: "dropped, to", numeric: true, show: ({dropped_b: value}) => count(value)},
  {name: "rows_out_a", label: "left, from", numeric: true, show: ({rows_out_a: value}) => count(value)},
  {name: "rows_out_b", label: "left, to", numeric: true, show: ({rows_out_b: value}) => count(value)},
  {name: "more", label: "difference", numeric: true, show: ({more}) => (more > 0 ? `+${count(more)}` : count(more))},
];

const gains = ({change}) => change.endsWith("kept");

/** Groups of documents by the stage and reason that drop them in one of the two. */
function Moved({rows, a, b}) {
  return (
    <ul class="moved">
      {rows.map((row, index) => (
        <li key={index}>
          <p>
            <span class={`tag ${gains(row) ? "kept" : "dropped"}`}>{row.change}</span> <strong>{count(row.documents)}</strong>{" "}
            <Line text={row.stage} />: <Line text={row.reason} />
          </p>
          {(row.examples ?? []).length > 0 && (
            <p class="faint small">
              {row.examples.map((example, at) => (
                <span key={at}>
                  {at > 0 && ", "}
                  {typeof example === "object" ? (
                    <a href={href("runs", (gains(row) ? a : b).run, "documents", example.doc)}>
                      <Line text={example.id ?? example.doc} />
                    </a>
                  ) : (
                    <Line text={example} />
                  )}
                </span>
              ))}
            </p>
          )}
        </li>
      ))}
    </ul>
  );
}
