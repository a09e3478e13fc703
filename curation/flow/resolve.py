"""Decide a dataset-wide stage: verify candidate pairs, connect clusters, name keepers; or find the cut of a ranking."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation import failpoints
from curation.dedup.base import Dedup
from curation.flow.enter import evidence_matrix
from curation.flow.work import ResolveWork, stage_object
from curation.manifest.parts import now
from curation.selection.base import Cut, Place, Selection

CHUNK = 200_000
MEMORY = "2GB"
"""DuckDB's limit while it merges pairs or sorts scores; beyond it, it spills to the workspace."""
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
    if isinstance(chosen, Dedup):
        record |= _duplicates(task, chosen)
    else:
        assert isinstance(chosen, Selection)
        cut = _cut(task, chosen, record["entrants"])
        record |= {"cut": json.dumps(asdict(cut)), "dropped": record["entrants"] - cut.rows, "bytes": 0}
    failpoints.hit("after-data")
    record |= {"seconds": time.monotonic() - began, "created_at": now()}
    return work.settle("groups", task.group, record, [record[name] for name in ("members", "links") if name in record])


def _duplicates(task: ResolveWork, chosen: Dedup) -> dict[str, Any]:
    from curation.dedup.components import components  # compiled code, so only where there is a dedup
    from curation.dedup.keepers import keepers, links

    work = task.work
    store = work.store
    folder, mark = f"groups/{task.group}", work.mark()
    nodes = _Entrants(task)
    a, b = _distinct_pairs(task)
    involved = np.unique(np.concatenate([a, b]))
    scratch = store.path(f"{folder}/.tmp-evidence-{mark}")
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
    store.write(members, lambda path: pq.write_table(table, path, compression="zstd", row_group_size=65_536))
    store.write(linked, lambda path: pq.write_table(pairs, path, compression="zstd", row_group_size=65_536))
    return {
        "members": members,
        "links": linked,
        "dropped": int((keeper[member] != member).sum()),
        "bytes": store.path(members).stat().st_size + store.path(linked).stat().st_size,
    }


class _Entrants:
    """All shards' entrants, numbered from 0 in the run's input order: 24 bytes each in memory."""

    def __init__(self, task: ResolveWork) -> None:
        self.task = task
        self.start = np.cumsum([0, *(item["rows"] for item in task.entrants)])
        tables = [pq.read_table(task.work.store.path(item["data"])) for item in task.entrants]
        whole = (
            pa.concat_tables(tables)
            if tables
            else pa.table({"row": pa.array([], pa.int64()), "bytes": pa.array([], pa.int64())})
        )
        self.rows = whole.column("row").to_numpy()
        self.bytes = whole.column("bytes").to_numpy()

    def shard_at(self, nodes: np.ndarray) -> np.ndarray:
        """Position of each node's shard in the task."""
        return np.searchsorted(self.start, nodes, side="right") - 1

    def shard_of(self, nodes: np.ndarray) -> np.ndarray:
        index = np.array([item.shard.index for item in self.task.shards], dtype=np.int32)
        return index[self.shard_at(nodes)] if len(nodes) else np.zeros(0, np.int32)

    def place(self, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(file index in the run's order, row in the file) of each node."""
        if not len(nodes):
            return np.zeros(0, np.int32), np.zeros(0, np.int64)
        at = self.shard_at(nodes)
        file = np.array([item.shard.file for item in self.task.shards], dtype=np.int32)
        first = np.array([item.shard.row_start for item in self.task.shards], dtype=np.int64)
        return file[at], first[at] + self.rows[nodes]

    def evidence(self, nodes: np.ndarray, scratch: Path) -> np.ndarray:
        """Evidence uint8 [n, width] of ascending nodes, in a file mapped into memory: the kernel pages it."""
        step = self.task.stage.steps[0]
        width = step.columns.field("evidence").type.byte_width
        if not len(nodes):
            return np.zeros((0, width), dtype=np.uint8)
        scratch.parent.mkdir(parents=True, exist_ok=True)
        matrix = np.lib.format.open_memmap(scratch, mode="w+", dtype=np.uint8, shape=(len(nodes), width))
        at = self.shard_at(nodes)
        for number in np.unique(at):
            wanted = np.flatnonzero(at == number)
            taken = self.task.shards[number].known(step, ["evidence"]).rows(self.rows[nodes[wanted]])
            matrix[wanted] = evidence_matrix(pc.struct_field(taken, "evidence"))
        return matrix


def _distinct_pairs(task: ResolveWork) -> tuple[np.ndarray, np.ndarray]:
    """All prefixes' pairs, each once, sorted: two documents often meet in several bands."""
    paths = [str(task.work.store.path(name)) for name in task.pairs]
    if not paths:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if len(paths) == 1:
        table = pq.read_table(paths[0])
        return table.column("a").to_numpy(), table.column("b").to_numpy()
    with _database(task) as connection:
        result = connection.execute("SELECT DISTINCT a, b FROM read_parquet(?) ORDER BY a, b", [paths]).fetchnumpy()
    return np.asarray(result["a"]), np.asarray(result["b"])


def _compare(chosen: Dedup, evidence: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    similarity = np.zeros(len(first))
    for start in range(0, len(first), CHUNK):
        span = slice(start, start + CHUNK)
        similarity[span] = chosen.similarity(np.asarray(evidence[first[span]]), np.asarray(evidence[second[span]]))
    return similarity


def _cut(task: ResolveWork, chosen: Selection, rows: int) -> Cut:
    store = task.work.store
    paths = [str(store.path(record["data"])) for record in task.entrants]
    if not paths:
        return Cut(None, None)
    with _database(task) as connection:
        connection.execute("CREATE TABLE place(file INTEGER, row_start BIGINT, path VARCHAR)")
        connection.executemany(
            "INSERT INTO place VALUES (?, ?, ?)",
            [
                (item.shard.file, item.shard.row_start, str(store.path(record["data"])))
                for item, record in zip(task.shards, task.entrants, strict=True)
            ],
        )
        ranked = (
            "read_parquet($paths, filename = true) entrant"
            " JOIN place ON entrant.filename = place.path WHERE value IS NOT NULL"
        )
        order = "value DESC, file, row_start + entrant.row"

        def asked(query: str, **values: Any) -> Any:
            return connection.execute(query, {"paths": paths, **values}).fetchone()

        def place(rank: int) -> Place:
            query = f"SELECT value, file, row_start + entrant.row FROM {ranked} ORDER BY {order} LIMIT 1 OFFSET $rank"
            return Place(*asked(query, rank=rank))

        scored = int(asked(f"SELECT count(*) FROM {ranked}")[0])
        span = chosen.span(rows, scored)
        count = scored if span.count is None else span.count
        if span.tokens is not None:
            fitting = f"""SELECT max(position) FROM (
                SELECT row_number() OVER (ORDER BY {order}) AS position,
                       sum(tokens) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING) AS total FROM {ranked})
                WHERE total <= $tokens"""
            count = min(count, asked(fitting, tokens=span.tokens)[0] or 0)
        count = min(count, scored - span.skip)
        if count <= 0:
            return Cut(None, None)
        return Cut(place(span.skip), place(span.skip + count - 1), count)


def _database(task: ResolveWork) -> duckdb.DuckDBPyConnection:
    spill = task.work.store.path(f"groups/{task.group}/.tmp-spill-{task.work.mark()}")
    return duckdb.connect(
        config={"memory_limit": MEMORY, "temp_directory": str(spill), "autoinstall_known_extensions": "false"}
    )
