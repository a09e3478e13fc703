import {More, Note} from "./controls.jsx";
import {bytes, count, number, share} from "./format.js";
import {Block, Line, visible} from "./text.jsx";

const WHAT = {pii: "personal data", contaminated: "in an evaluation set", repeated: "repeated", moved: "moved the score", found: "found"};

/** A document: what became of it and why, and its text with what stages marked there. `data` is a Document. */
export function DocumentCard({data, heading: Heading = "h4", href, children}) {
  const name = data.id ?? `${data.path}#${data.row}`;
  return (
    <article class="document" aria-label={`document ${data.doc}`}>
      <header>
        <Outcome outcome={data.outcome} />
        <Heading>{href ? <a href={href}><Line text={name} /></a> : <Line text={name} />}</Heading>
        <span class="faint">
          {data.id != null && (
            <>
              <Line text={`${data.path}#${data.row}`} />
              {" · "}
            </>
          )}
          {bytes(data.bytes)}
        </span>
      </header>
      {data.stage && <Why data={data} />}
      <DocumentText data={data} />
      <Scores scores={data.scores} />
      {children}
    </article>
  );
}

export const Outcome = ({outcome}) => <span class={`tag ${outcome}`}>{outcome}</span>;

function Why({data}) {
  return (
    <p class="why">
      <Line text={data.stage} />
      {": "}
      <Line text={data.reason ?? data.rule} />
      {data.similarity != null && ` · ${share(data.similarity)} alike`}
    </p>
  );
}

/** The text, as the source has it, with its marks. */
export function DocumentText({data, label}) {
  const marks = data.pieces.map(({mark}) => mark).filter(Boolean);
  const marked = [...new Set(marks.filter(({what}) => what !== "edit").map(said))];
  const edited = marks.some(({what}) => what === "edit");
  return (
    <>
      {data.shown > 0 && (
        <Block text="" label={label}>
          {data.pieces.map((piece, index) => (
            <Piece key={index} piece={piece} />
          ))}
          {data.shown < data.characters && <span class="faint"> … {count(data.characters - data.shown)} more characters</span>}
        </Block>
      )}
      {data.characters === 0 && !data.note && <p class="note">The text is empty.</p>}
      {edited && <p class="note">Struck out: what a transform took out. Underlined: what it put there.</p>}
      {marked.length > 0 && <p class="note">Marked: <Line text={marked.slice(0, 8).join("; ")} />.</p>}
      <Note text={data.note} />
    </>
  );
}

function Piece({piece: {text, mark}}) {
  if (!mark) return visible(text);
  if (mark.what === "edit") {
    return (
      <>
        {text && <del title={mark.stage ?? undefined}>{visible(text)}</del>}
        {mark.put && <ins>{visible(mark.put)}</ins>}
      </>
    );
  }
  const weight = mark.weight == null ? "" : ` ${number(mark.weight)}`;
  const strength = mark.what === "loss" || mark.what === "moved" ? {"--strength": `${Math.min(Math.abs(mark.weight ?? 0) / (mark.what === "loss" ? 10 : 1), 1) * 100}%`} : undefined;
  return (
    <mark class={`${mark.what}${mark.weight < 0 ? " against" : ""}`} style={strength} title={`${said(mark)}${weight}`}>
      {visible(text)}
    </mark>
  );
}

function said({what, label, stage}) {
  const words = what === "loss" ? "loss of each token" : WHAT[what];
  return `${words}${label && what !== "loss" ? ` (${label})` : ""}${stage ? ` by ${stage}` : ""}`;
}

function Scores({scores}) {
  const entries = Object.entries(scores);
  if (!entries.length) return null;
  return (
    <dl class="scores">
      {entries.map(([name, value]) => (
        <div key={name}>
          <dt>
            <Line text={name} />
          </dt>
          <dd>{typeof value === "number" ? number(value) : <Line text={value == null ? "–" : value} />}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Groups of documents; one is open at a time where there are many. `data` is Documents. */
export function DocumentGroups({data, heading = "h3"}) {
  return (
    <>
      {data.groups.map((group, index) => (
        <More key={index} open={index === 0} summary={<GroupTitle group={group} />}>
          <div class="documents">
            {group.documents.map((document) => (
              <DocumentCard key={document.doc} data={document} heading={heading} />
            ))}
          </div>
        </More>
      ))}
      <Note text={data.note} />
    </>
  );
}

function GroupTitle({group: {title, total, documents}}) {
  return (
    <>
      <Line text={title} />
      <span class="faint">
        {" "}
        {total != null && total > documents.length ? `${documents.length} of ${count(total)}` : documents.length}
      </span>
    </>
  );
}
