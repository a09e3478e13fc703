import {count, Funnel, Line, share} from "../components/index.js";
import {go, href} from "./address.js";
import {useAnswer} from "./api.js";
import {Empty, Waiting} from "./parts.jsx";

const REASONS = 20;

/** The funnel, and why documents were dropped; every number leads to its documents. */
export function Overview({run, facts}) {
  const answer = useAnswer(`runs/${run}/funnel?at=${facts.state}-${facts.state === "running" ? Math.floor(Date.now() / 5000) : ""}`);
  return (
    <Waiting answer={answer} what="Counting documents by stage">
      {(funnel) => (
        <>
          {!facts.documents && facts.state === "running" ? (
            <Empty title="No document is decided yet">
              <p>Numbers appear here as soon as the first stage has decided.</p>
            </Empty>
          ) : (
            <>
              <ul class="outcome-links">
                {["kept", "dropped", "errored"].map((outcome) => (
                  <li key={outcome} class={outcome}>
                    <a href={href("runs", run, "documents", {outcome})}>
                      <strong>{count(facts[outcome])}</strong> {outcome}
                      <span class="faint"> {share(facts[outcome], facts.documents)}</span>
                    </a>
                  </li>
                ))}
              </ul>
              <h2 class="section-title">Funnel</h2>
              <Funnel data={funnel} onChoose={(stage) => go("runs", run, "documents", stage === "input" ? {} : {stage, outcome: "dropped"})} />
              <Reasons run={run} rows={funnel.rows} />
            </>
          )}
        </>
      )}
    </Waiting>
  );
}

function Reasons({run, rows}) {
  const reasons = rows.flatMap(({stage, reasons: each}) => each.map((reason) => ({stage, ...reason}))).sort((a, b) => b.documents - a.documents);
  const most = reasons[0]?.documents ?? 1;
  const rarer = reasons.length - REASONS + rows.reduce((sum, row) => sum + row.more_reasons, 0);
  if (!reasons.length) return null;
  return (
    <section aria-labelledby="reasons">
      <h2 class="section-title" id="reasons">
        Why documents were dropped
      </h2>
      <ul class="bars">
        {reasons.slice(0, REASONS).map(({stage, rule, documents}) => (
          <li key={`${stage} ${rule}`}>
            <span class="bar-name">
              <a href={href("runs", run, "documents", {outcome: "dropped", stage, rule})}>
                <Line text={rule} />
              </a>{" "}
              <span class="faint">
                <Line text={stage} />
              </span>
            </span>
            <span class="bar-track" aria-hidden="true">
              <span class="bar" style={{width: `${(100 * documents) / most}%`, background: "var(--dropped)"}} />
            </span>
            <span class="bar-number">{count(documents)}</span>
          </li>
        ))}
      </ul>
      {rarer > 0 && <p class="note">{count(rarer)} rarer reasons are not listed.</p>}
    </section>
  );
}
