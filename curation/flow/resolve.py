"""Decide a dataset-wide stage: of a dedup verify candidate pairs, connect clusters, name keepers."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa

from curation import failpoints, parquet
from curation.dedup.base import Dedup
from curation.flow.places import Entrants
from curation.flow.select import choose, rank
from curation.flow.work import ResolveWork, database, stage_object
from curation.manifest.parts import now
from curation.selection.base import Choosing, Ranking
from curation.store.scan import scan

CHUNK = 200_000
MEMBERS = pa.schema(
    [
        pa.field("shard", pa.int32()),
        pa.field("row", pa.int64()),
        pa.field("keeper", pa.bool_()),
        pa.field("cluster_size", pa.int32()),
        pa.field("twin_file", pa.int32()),
        pa.field("twin_row", pa.int64()),
        pa.field("similarity", pa.float64()),
        pa.field("link_file", pa.int32()),
        pa.field("link_row", pa.int64()),
        pa.field("link_similarity", pa.float64()),
        pa.field("file", pa.int32()),
        pa.field("file_row", pa.int64()),
    ]
)
LINKS = pa.schema(
    [
        pa.field("a_file", pa.int32()),
        pa.field("a_row", pa.int64()),
        pa.field("b_file", pa.int32()),
        pa.field("b_row", pa.int64()),
        pa.field("similarity", pa.float64()),
    ]
)


def resolve_group(task: ResolveWork) -> dict[str, Any]:
    """Commit the stage's `groups` record and return it."""
    failpoints.hit("in-group")
    began = time.monotonic()
    work = task.work
    earlier = work.earlier("groups", task.group)
    if earlier is not None:
        return earlier
    chosen = stage_object(task.stage)
    record: dict[str, Any] = {
        "group": task.group,
        "attempt": work.attempt,
        "kind": task.stage.kind,
        "entrants": sum(item["rows"] for item in task.entrants),
    }
    folder, mark = f"groups/{task.group}", work.mark()
    if isinstance(chosen, Dedup):
        record |= _duplicates(task, chosen, folder, mark)
    elif isinstance(chosen, Ranking):
        record |= rank(task, chosen, record["entrants"])
    else:
        assert isinstance(chosen, Choosing)
        record |= choose(task, chosen, folder, mark)
    failpoints.hit("after-data")
    record |= {"seconds": time.monotonic() - began, "created_at": now()}
    files = [record[name] for name in ("members", "links", "choice") if name in record]
    return work.settle("groups", task.group, record, files)


def _duplicates(task: ResolveWork, chosen: Dedup, folder: str, mark: str) -> dict[str, Any]:
    from curation.dedup.components import components  # compiled code, so only where there is a dedup
    from curation.dedup.keepers import keepers, links

    store = task.work.store
    nodes = Entrants(task)
    a, b = _distinct_pairs(task)
    involved = np.unique(np.concatenate([a, b]))
    scratch = store.scratch(f"{folder}/.tmp-evidence-{mark}")
    evidence = nodes.evidence(involved, scratch)
    try:
        ia, ib = np.searchsorted(involved, a), np.searchsorted(involved, b)
        similarity = _compare(chosen, evidence, ia, ib)
        alike = similarity >= chosen.threshold
        ia, ib, similarity = ia[alike], ib[alike], similarity[alike]
        label = components(ia, ib, len(involved))
        keeper = keepers(label, nodes.bytes[involved], chosen.settings.survivor)
        neighbour, near = links(ia, ib, similarity, len(involved))
        member = np.flatnonzero(neighbour >= 0)
        to_keeper = _compare(chosen, evidence, member, keeper[member])
    finally:
        del evidence
        scratch.unlink(missing_ok=True)
    size = np.bincount(label, minlength=len(involved))[label]
    file, row = nodes.place(involved)
    table = pa.table(
        {
            "shard": nodes.shard_of(involved[member]),
            "row": nodes.rows[involved[member]],
            "keeper": keeper[member] == member,
            "cluster_size": size[member],
            "twin_file": file[keeper[member]],
            "twin_row": row[keeper[member]],
            "similarity": to_keeper,
            "link_file": file[neighbour[member]],
            "link_row": row[neighbour[member]],
            "link_similarity": near[member],
            "file": file[member],
            "file_row": row[member],
        }
    ).cast(MEMBERS)
    pairs = pa.table(
        {"a_file": file[ia], "a_row": row[ia], "b_file": file[ib], "b_row": row[ib], "similarity": similarity}
    ).cast(LINKS)
    members = f"{folder}/members-{mark}.parquet"
    linked = f"{folder}/links-{mark}.parquet"
    first = store.write(members, lambda path: parquet.write(table, path, row_group_size=65_536))
    second = store.write(linked, lambda path: parquet.write(pairs, path, row_group_size=65_536))
    return {
        "members": members,
        "links": linked,
        "dropped": int((keeper[member] != member).sum()),
        "bytes": first.bytes + second.bytes,
    }


def _distinct_pairs(task: ResolveWork) -> tuple[np.ndarray, np.ndarray]:
    """All prefixes' pairs, each once, sorted: two documents often meet in several bands."""
    if not task.pairs:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if len(task.pairs) == 1:
        table = parquet.read(task.work.store.source(task.pairs[0]))
        return table.column("a").to_numpy(), table.column("b").to_numpy()
    paths = [task.work.store.uri(name) for name in task.pairs]
    with database(task.work.store, f"groups/{task.group}", task.work.mark()) as connection:
        result = connection.execute(f"SELECT DISTINCT a, b FROM {scan(paths)} ORDER BY a, b").fetchnumpy()
    return np.asarray(result["a"]), np.asarray(result["b"])


def _compare(chosen: Dedup, evidence: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    similarity = np.zeros(len(first))
    for start in range(0, len(first), CHUNK):
        span = slice(start, start + CHUNK)
        similarity[span] = chosen.similarity(np.asarray(evidence[first[span]]), np.asarray(evidence[second[span]]))
    return similarity
