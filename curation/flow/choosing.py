"""Choices: all documents are looked at together, and what became of each is remembered."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import parquet
from curation.flow.dataset_wide import Entered, Rows
from curation.flow.entrants import BY, Entrants
from curation.flow.ledger import Ledger
from curation.flow.selecting import SHOWN, SelectionFamily, example, joined, sources_of
from curation.flow.units import ResolveWork, ShardWork
from curation.flow.verdicts import StageVerdicts
from curation.selection.base import NOT_SELECTED, Choice, Choosing, Pool
from curation.selection.report import MOST, SEED, Outcome, selection_report
from curation.selection.vectors import Vectors, exact, nearest
from curation.sources import hash_rows, scramble


class ChoosingFamily(SelectionFamily):
    chosen: Choosing

    @property
    def schema(self) -> pa.Schema:
        return self.schema_with([BY + name for name in self.chosen.columns])

    def enter(self, shard_work: ShardWork, ledger: Ledger, rows: Rows) -> Entered:
        facts = self.facts(shard_work, ledger)
        numbers = {BY + name: values for name, values in facts.columns.items()}
        return Entered(self.table_with(shard_work, rows, facts.length, numbers))

    def resolve(self, task: ResolveWork, mark: str) -> dict[str, Any]:
        store, folder = task.work.store, f"groups/{task.group}"
        entrants = Entrants(task)
        scratch = store.scratch(f"{folder}/.tmp-vectors-{mark}")
        try:
            pool = _pool(task, self.chosen, entrants, scratch)
            choice = self.chosen.choose(pool)
            report = _report(task, pool, choice, entrants, self.chosen.barred)
        finally:
            scratch.unlink(missing_ok=True)
        table = _table(self.chosen, choice, entrants)
        written = store.add(
            f"{folder}/choice-{mark}.parquet", lambda path: parquet.write(table, path, row_group_size=65_536)
        )
        return {
            "choice": written.name,
            "report": json.dumps(report),
            "dropped": entrants.count - len(choice.picked),
            "bytes": written.bytes,
        }

    def verdicts(self, shard_work: ShardWork, ledger: Ledger) -> StageVerdicts:
        shard = shard_work.shard
        with shard_work.work.store.reading(shard_work.groups[self.stage.id]["choice"]) as source:
            table = parquet.read(source, filters=[("shard", "=", shard.index)])
        rows = table.column("row").to_numpy()
        index = np.full(shard.rows, -1, dtype=np.int64)
        index[rows] = np.arange(len(rows))
        struct = table.column("struct").combine_chunks().take(pa.array(index, mask=index < 0))
        selected = pc.fill_null(pc.struct_field(struct, "selected"), False).to_numpy(zero_copy_only=False)

        def spread(name: str, missing: float) -> np.ndarray:
            values = np.full(shard.rows, missing)
            values[rows] = table.column(name).to_numpy()
            return values

        reason = np.full(shard.rows, NOT_SELECTED, dtype=object)
        reason[rows] = table.column("reason").to_numpy()
        twins = {
            "twin_file": spread("twin_file", -1).astype(np.int64),
            "twin_row": spread("twin_row", -1).astype(np.int64),
            "similarity": spread("similarity", np.nan),
        }
        return StageVerdicts(struct, ~selected, reason, spread("value", np.nan), None, twins)


def _pool(task: ResolveWork, chosen: Choosing, entrants: Entrants, scratch: Any) -> Pool:
    keys = [hash_rows(item.shard, entrants.of(number)) for number, item in enumerate(task.shards)]
    sources, names = sources_of(task)
    counts = [record["rows"] for record in task.entrants]
    pool = Pool(
        {name: _numbers(entrants.column(BY + name)) for name in chosen.columns},
        entrants.column("length").to_numpy(),
        joined(keys, np.uint64),
        np.repeat(sources, counts).astype(np.int64),
        names,
    )
    required = chosen.requires()
    if "tokens" in required:
        pool.tokens = pc.fill_null(entrants.column("tokens"), -1).to_numpy()
    if "tags" in required:
        pool.tags = entrants.column("tags").combine_chunks()
    if "vectors" in required:
        pool.vectors = _vectors(task, entrants, scratch)
    return pool


def _vectors(task: ResolveWork, entrants: Entrants, scratch: Any) -> Vectors:
    """All entrants' vectors, float32 [n, d], zeros where there is none, in a file mapped into memory."""
    step = next(step for step in task.stage.steps if step.path == ("vectors",))
    width = step.columns.field("vector").type.list_size
    if not entrants.count:
        return np.zeros((0, width), dtype=np.float32)
    scratch.parent.mkdir(parents=True, exist_ok=True)
    matrix = np.lib.format.open_memmap(scratch, mode="w+", dtype=np.float32, shape=(entrants.count, width))
    for number, item in enumerate(task.shards):
        taken = pc.struct_field(item.stored(step, ["vector"]).rows(entrants.of(number)), "vector")
        present = np.asarray(taken.is_valid()).astype(bool)
        values = taken.filter(pa.array(present)).flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        block = np.zeros((len(taken), width), dtype=np.float32)
        block[present] = exact(values)
        matrix[entrants.start[number] : entrants.start[number + 1]] = block
    return matrix


def _table(chosen: Choosing, choice: Choice, entrants: Entrants) -> pa.Table:
    """What became of each entrant, in input order: by shard and row in the shard."""
    n = entrants.count
    every = np.arange(n)
    rank = np.full(n, -1, dtype=np.int64)
    rank[choice.picked] = np.arange(len(choice.picked))
    selected = rank >= 0
    reason = np.full(n, NOT_SELECTED, dtype=object) if choice.reason is None else choice.reason.copy()
    reason[selected] = None
    twin = choice.twin if choice.twin is not None else np.full(n, -1, dtype=np.int64)
    similarity = choice.similarity if choice.similarity is not None else np.full(n, np.nan)
    file, row = entrants.location(np.maximum(twin, 0)) if n else (twin, twin)
    columns = {
        "shard": pa.array(entrants.shard_of(every), pa.int32()),
        "row": pa.array(entrants.rows, pa.int64()),
        "reason": pa.array(reason.tolist(), pa.string()),
        "twin_file": pa.array(np.where(twin < 0, -1, file), pa.int32()),
        "twin_row": pa.array(np.where(twin < 0, -1, row), pa.int64()),
    }
    fields = {
        "selected": pa.array(selected),
        "rank": pa.array(rank, mask=rank < 0),
        "value": pa.array(choice.value, mask=np.isnan(choice.value)),
        "similarity": pa.array(similarity, mask=np.isnan(similarity)),
        **{name: pa.array(values, mask=values < 0) for name, values in choice.extra.items()},
    }
    struct = pa.StructArray.from_arrays(
        [fields[item.name].cast(item.type) for item in chosen.fields], fields=chosen.fields
    )
    columns["similarity"] = pa.array(similarity)
    columns["value"] = pa.array(choice.value)
    return pa.table({**columns, "struct": struct})


def _report(
    task: ResolveWork, pool: Pool, choice: Choice, entrants: Entrants, barred: tuple[str, ...]
) -> dict[str, Any]:
    n = pool.rows
    selected = np.zeros(n, dtype=bool)
    selected[choice.picked] = True
    sampled = np.arange(n)
    if n > MOST:
        sampled = np.flatnonzero(scramble(pool.key, SEED + 1) < np.uint64(MOST / n * 2.0**64))
    outcome = Outcome(
        selected[sampled],
        choice.value[sampled],
        pool.length[sampled],
        pool.key[sampled],
        pool.source[sampled],
        pool.sources,
        None if pool.vectors is None else pool.vectors[sampled],
    )
    near = choice.near
    if near is None:
        left_out = ~selected & ~np.isnan(choice.value)
        if choice.reason is not None:
            left_out &= ~np.isin(choice.reason, barred)
        rows = np.flatnonzero(left_out)
        near = rows[np.argsort(-choice.value[rows], kind="stable")]

    def shown(rows: Rows) -> list[dict[str, Any]]:
        file, row = entrants.location(rows)
        return [
            example(int(f), int(r), float(choice.value[number])) for f, r, number in zip(file, row, rows, strict=True)
        ]

    picked = shown(choice.picked[:SHOWN])
    if pool.vectors is not None and picked:
        rejected = np.flatnonzero(~selected & pool.usable())
        nearest_row, similarity = nearest(pool.vectors[choice.picked[:SHOWN]], pool.vectors[rejected])
        if len(rejected):
            for entry, neighbour, likeness in zip(picked, shown(rejected[nearest_row]), similarity, strict=True):
                entry["nearest_rejected"] = neighbour | {"similarity": float(likeness)}
    return selection_report(outcome) | {
        "entrants": n,
        "facts": choice.facts,
        "picked": picked,
        "near_misses": shown(near[:SHOWN]),
    }


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy()  # type: ignore[no-any-return]
