import {Bars, Clusters, count, counted, DocumentGroups, Funnel, Histogram, HistogramLegend, Line, More, Note, number, Origin, Reliability, Scatter, SelectionMap, share, Shift, time} from "../components/index.js";
import {Contents} from "./contents.jsx";
import {Guard} from "./guard.jsx";

/** The report of a run: `data` is a Report of schemas/charts.py. */
export function Report({data}) {
  const sections = sectionsOf(data);
  return (
    <div class="page">
      <header>
        <p class="eyebrow">What became of the documents</p>
        <h1>
          <Line text={data.name} />
        </h1>
        <p class="facts">
          <span>
            run <code>{data.run}</code>
          </span>
          {data.labels.map((label) => (
            <Line key={label} text={label} />
          ))}
          {data.created && <span>{time(data.created)}</span>}
          {data.state !== "done" && <span class="tag dropped">{data.state}</span>}
        </p>
      </header>
      <Contents sections={sections} />
      <main>
        <Summary data={data} />
        {sections.map(({id, title, content}) => (
          <section class="section" id={id} key={id} aria-labelledby={`${id}-title`}>
            <h2 id={`${id}-title`}>{title}</h2>
            <Guard>{content}</Guard>
          </section>
        ))}
        <Note text={data.note} />
        {data.missing.map(({piece, code, message}) => (
          <p class="note" key={piece}>
            Without {piece}: <Line text={message} /> ({code})
          </p>
        ))}
      </main>
    </div>
  );
}

function Summary({data}) {
  const worst = data.funnel.rows.reduce((most, row) => (row.dropped > (most?.dropped ?? 0) ? row : most), null);
  return (
    <>
      <p class="headline">
        <strong>{share(data.kept, data.documents)}</strong> of {counted(data.documents, "document")} were kept
        {worst && (
          <>
            ; the largest loss is at <strong><Line text={worst.stage} /></strong>, which dropped {share(worst.dropped, worst.rows_in)} of
            what came to it
          </>
        )}
        .
      </p>
      <Outcomes data={data} />
      <Striking data={data} />
    </>
  );
}

/** What should be looked at before the dataset is used. */
export const Striking = ({data}) =>
  data.striking.length > 0 && (
    <ul class="striking">
      {data.striking.map((sentence, index) => (
        <li key={index}>
          <Line text={sentence} />
        </li>
      ))}
    </ul>
  );

const OUTCOMES = ["kept", "dropped", "errored"];

function Outcomes({data}) {
  return (
    <>
      <div class="outcome-bar" aria-hidden="true">
        {OUTCOMES.filter((outcome) => data[outcome]).map((outcome) => (
          <span key={outcome} class={outcome} style={{flexGrow: data[outcome]}} />
        ))}
      </div>
      <dl class="outcomes">
        {OUTCOMES.map((outcome) => (
          <div key={outcome} class={outcome}>
            <dt>{outcome}</dt>
            <dd>
              {count(data[outcome])} <span>{share(data[outcome], data.documents)}</span>
            </dd>
          </div>
        ))}
      </dl>
    </>
  );
}

/** [{id, title, content}] */
export function sectionsOf(data) {
  const gated = data.histograms.filter(({bounds}) => bounds.length);
  const others = data.histograms.filter(({bounds}) => !bounds.length);
  const reasons = reasonsOf(data.funnel);
  return [
    {id: "funnel", title: "Funnel", content: <FunnelSection data={data.funnel} />},
    reasons.length && {id: "reasons", title: "Why documents were dropped", content: <Reasons rows={reasons} more={data.funnel.rows.reduce((sum, row) => sum + row.more_reasons, 0)} />},
    gated.length && {id: "gates", title: "Gates", content: <Pieces about="What each gate reads, where it cuts, and what is left in the end." items={gated} of={Histogram} />},
    data.scatters.length && {id: "together", title: "Two at a time", content: <Pieces items={data.scatters} of={Scatter} about="Measurements of one gate against each other." />},
    others.length && {id: "measurements", title: "Other measurements", content: <Others items={others} />},
    data.documents_shown.groups.length && {id: "documents", title: "Documents", content: <DocumentGroups data={data.documents_shown} />},
    data.clusters.length && {id: "duplicates", title: "Duplicates", content: data.clusters.map((each) => <Clusters key={each.stage} data={each} />)},
    data.selections.length && {id: "selection", title: "Selection", content: data.selections.map((each) => <SelectionMap key={each.stage} data={each} />)},
    data.shift.panels.some(({rows}) => rows.length) && {id: "shift", title: "From input to output", content: <Shift data={data.shift} />},
    data.reliability.length && {id: "weak-to-strong", title: "Weak to strong", content: data.reliability.map((each) => <Reliability key={each.run} data={each} />)},
    {id: "origin", title: "Where it comes from", content: <Origin data={data.origin} />},
  ].filter(Boolean);
}

function FunnelSection({data}) {
  const stages = data.rows.filter(({family}) => family !== "input" && family !== "output");
  const idle = stages.filter(({dropped, errored}) => !dropped && !errored).length;
  return (
    <>
      <p class="lead">
        {counted(stages.length, "stage")}; {idle ? `${idle === 1 ? "one drops" : `${idle} drop`} nothing` : "each drops something"}.
      </p>
      <Funnel data={data} />
    </>
  );
}

const REASONS = 16;

const reasonsOf = ({rows}) =>
  rows
    .flatMap(({stage, reasons}) => reasons.map((reason) => ({stage, ...reason})))
    .sort((a, b) => b.documents - a.documents);

function Reasons({rows, more}) {
  const total = rows.reduce((sum, {documents}) => sum + documents, 0);
  const [first] = rows;
  const left = rows.length - REASONS + more;
  return (
    <>
      <p class="lead">
        The commonest reason is <strong><Line text={first.rule} /></strong> at <Line text={first.stage} />: {share(first.documents, total)} of the
        drops that are listed here.
      </p>
      <Bars
        label="documents dropped by reason"
        colour="dropped"
        rows={rows.slice(0, REASONS).map(({stage, rule, documents}) => ({name: rule, detail: stage, value: documents, show: count(documents)}))}
      />
      {left > 0 && <Note text={`${counted(left, "rarer reason")} not shown.`} />}
    </>
  );
}

const FEW = 4;

/** What no gate reads: some, and the rest for those who ask. */
function Others({items}) {
  const constant = items.filter(({minimum, maximum}) => minimum === maximum);
  const varied = items.filter(({minimum, maximum}) => minimum !== maximum);
  return (
    <>
      <Pieces items={varied.slice(0, FEW)} of={Histogram} about="No gate reads these." gates={false} />
      {varied.length > FEW && (
        <More summary={`${varied.length - FEW} more`}>
          <div class="pieces">
            {varied.slice(FEW).map((item) => (
              <Histogram key={item.name} data={item} legend={false} />
            ))}
          </div>
        </More>
      )}
      {constant.length > 0 && (
        <p class="note">
          The same for all documents:{" "}
          <Line text={constant.map(({name, minimum}) => `${name} (${minimum == null ? "no value" : number(minimum)})`).join(", ")} />.
        </p>
      )}
    </>
  );
}

const Pieces = ({items, of: Piece, about, gates}) => (
  <>
    <p class="lead">{about}</p>
    {Piece === Histogram && <HistogramLegend gates={gates} />}
    <div class="pieces">
      {items.map((item, index) => (
        <Piece key={index} data={item} legend={false} />
      ))}
    </div>
  </>
);
