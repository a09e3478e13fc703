import {sectionsOf, Striking} from "../report/report.jsx";
import {useAnswer} from "./api.js";
import {Waiting} from "./parts.jsx";

/** The pieces of the run's report, one section at a time. */
export function Pieces({run, params, facts}) {
  const answer = useAnswer(`runs/${run}/report`, facts.state === "done");
  return (
    <Waiting answer={answer} what="Drawing the report, which reads the whole run">
      {(report) => <Sections run={run} report={report} chosen={params.section} />}
    </Waiting>
  );
}

function Sections({run, report, chosen}) {
  const sections = sectionsOf(report).filter(({id}) => id !== "funnel" && id !== "reasons");
  const current = sections.find(({id}) => id === chosen) ?? sections[0];
  return (
    <div class="with-side">
      <nav class="side" aria-label="Sections of the report">
        <ol>
          {sections.map(({id, title}) => (
            <li key={id}>
              <a
                href={`#/runs/${run}/report?section=${id}`}
                aria-current={id === current.id ? "true" : undefined}
              >
                {title}
              </a>
            </li>
          ))}
        </ol>
      </nav>
      <section key={current.id} aria-labelledby="section-title">
        <Striking data={report} />
        <h2 class="section-title" id="section-title">
          {current.title}
        </h2>
        {current.content}
      </section>
    </div>
  );
}
