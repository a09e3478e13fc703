import {Choice, Cluster, Clusters} from "../components/index.js";
import {href, replace} from "./address.js";
import {useAnswer, address} from "./api.js";
import {Empty, Waiting} from "./parts.jsx";

/** What each dedup of the run found. */
export function Duplicates({run, params, facts}) {
  const stages = facts.stages.filter(({family}) => family === "dedup").map(({stage}) => stage);
  const stage = stages.includes(params.stage) ? params.stage : stages.at(-1);
  if (!stage)
    return (
      <Empty title="This run looked for no duplicates">
        <p>
          A stage such as <code>- dedup: minhash</code> in the recipe finds near-duplicates; <code>- dedup: exact</code> equal ones.
        </p>
      </Empty>
    );
  return (
    <>
      {stages.length > 1 && (
        <div class="bar-of-controls">
          <Choice label="Stage" value={stage} options={stages.map((value) => ({value, label: value}))} onChange={(value) => replace("runs", run, "duplicates", {stage: value})} />
        </div>
      )}
      {params.cluster ? <OneCluster key={params.cluster} {...{run, stage}} cluster={params.cluster} /> : <AllClusters key={stage} {...{run, stage}} />}
    </>
  );
}

function AllClusters({run, stage}) {
  const answer = useAnswer(address(`runs/${run}/clusters`, {stage}));
  return <Waiting answer={answer} what="Reading clusters">{(data) => <Clusters data={data} heading="h2" />}</Waiting>;
}

function OneCluster({run, stage, cluster}) {
  const answer = useAnswer(address(`runs/${run}/cluster`, {stage, cluster}));
  return (
    <>
      <p class="note">
        <a href={href("runs", run, "duplicates", {stage})}>All clusters</a>
      </p>
      <Waiting answer={answer} what="Reading the cluster">{(data) => <Cluster data={data} open />}</Waiting>
    </>
  );
}
