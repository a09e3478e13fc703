import {Bars} from "./bars.jsx";
import {More, Note} from "./controls.jsx";
import {DocumentCard} from "./document.jsx";
import {count, counted, share} from "./format.js";
import {Line} from "./text.jsx";
import {WordDiff} from "./word_diff.jsx";

/** What one dedup found. `data` is Clusters of schemas/charts.py. */
export function Clusters({data, heading: Heading = "h3"}) {
  return (
    <div class="piece clusters">
      <Heading>
        <Line text={data.stage} />
      </Heading>
      <p class="lead">
        <strong>{share(data.dropped, data.documents)}</strong> of {counted(data.documents, "document")} went as duplicates of
        one that stays: {count(data.dropped)}, in {counted(data.clusters, "cluster")}.
        {data.loss != null && ` Of a dropped one, ${share(data.loss)} stands in no document of its cluster that stays, on average.`}
      </p>
      {data.sizes.length > 0 && (
        <Figure title="Sizes of clusters" about="documents in clusters of this many members">
          <Bars label="documents by size of their cluster" rows={data.sizes.map(size)} />
        </Figure>
      )}
      {data.sources.length > 1 && (
        <Figure title="Which sources lose most" about="of the documents of each source, the share that went">
          <Bars
            label="share dropped by source"
            rows={data.sources.map(({source, documents, dropped}) => ({
              name: source,
              value: 1,
              part: dropped / documents,
              show: `${share(dropped, documents)} of ${count(documents)}`,
            }))}
          />
          {data.more_sources > 0 && <p class="note">And {counted(data.more_sources, "source")} that lose less.</p>}
        </Figure>
      )}
      {data.largest.length > 0 && <h4>The largest clusters</h4>}
      {data.largest.map((cluster) => (
        <Cluster key={cluster.cluster} data={cluster} />
      ))}
      {data.stayed.length > 0 && <h4>Near, and stayed</h4>}
      {data.refused.length > 0 && (
        <p class="note">
          Near pairs that stayed:{" "}
          <Line text={data.refused.map(({rule, documents}) => `${count(documents)} because ${rule}`).join("; ")} />.
        </p>
      )}
      {data.stayed.map((pair, index) => (
        <Pair key={index} data={pair} />
      ))}
      <Note text={data.note} />
    </div>
  );
}

const size = ({least, most, clusters, documents}) => ({
  name: least === most ? count(least) : `${count(least)}–${count(most)}`,
  detail: counted(clusters, "cluster"),
  value: documents,
  show: count(documents),
});

const Figure = ({title, about, children}) => (
  <figure class="figure">
    <figcaption>
      <strong>{title}</strong> <span class="faint">{about}</span>
    </figcaption>
    {children}
  </figure>
);

export function Cluster({data, open = false}) {
  const [best] = data.members;
  return (
    <More
      open={open}
      summary={
        <>
          {counted(data.size, "document")}, {count(data.dropped)} dropped{" "}
          {data.template && <span class="tag dropped">one template?</span>} <span class="below">
            <Line text={title(best)} />
          </span>
        </>
      }
    >
      <div>
        {data.common.length > 0 && (
          <>
            <p class="note">All that are shown have in common:</p>
            <ul class="common">
              {data.common.map((words, index) => (
                <li key={index}>
                  <Line text={words} />
                </li>
              ))}
            </ul>
          </>
        )}
        {data.diff && <WordDiff data={data.diff} />}
        <div class="documents">
          {data.members.map((member) => (
            <DocumentCard key={member.doc} data={member} heading="h5" />
          ))}
        </div>
      </div>
    </More>
  );
}

function Pair({data}) {
  return (
    <More
      summary={
        <>
          {share(data.similarity)} alike{" "}
          <span class="below">
            <Line text={`${title(data.a)} and ${title(data.b)}`} />
            {data.reason && <>: <Line text={data.reason} /></>}
          </span>
        </>
      }
    >
      <div>
        {data.diff ? <WordDiff data={data.diff} /> : null}
        <div class="documents">
          <DocumentCard data={data.a} heading="h5" />
          <DocumentCard data={data.b} heading="h5" />
        </div>
      </div>
    </More>
  );
}

const title = (document) => (document ? (document.id ?? `${document.path}#${document.row}`) : "");
