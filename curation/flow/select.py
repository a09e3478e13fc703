"""Decide a selection: the cut of a ranking, or a choice among all documents; and what can be said about it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import parquet
from curation.flow.enter import BY
from curation.flow.entrants import Entrants
from curation.flow.units import ResolveWork, database
from curation.selection.base import NO_SCORE, NO_VECTOR, NOT_SELECTED, Choice, Choosing, Cut, Place, Pool, Ranking, Rows
from curation.selection.report import MOST, SEED, Outcome, selection_report
from curation.selection.vectors import Vectors, exact, nearest
from curation.sources.shards import hash_rows, scramble
from curation.store.scan import scan

SHOWN = 10
"""Examples of what was picked, and of what was nearly picked."""


def rank(task: ResolveWork, chosen: Ranking, rows: int) -> dict[str, Any]:
    """What the `groups` record holds of a ranking."""
    cut = _cut(task, chosen, rows)
    report = json.dumps(_report_of_ranking(task, chosen, cut, rows))
    return {"cut": json.dumps(asdict(cut)), "report": report, "dropped": rows - cut.rows, "bytes": 0}


def choose(task: ResolveWork, chosen: Choosing, folder: str, mark: str) -> dict[str, Any]:
    """What the `groups` record holds of a choice; writes what became of each document."""
    entrants = Entrants(task)
    scratch = task.work.store.scratch(f"{folder}/.tmp-vectors-{mark}")
    try:
        pool = _pool(task, chosen, entrants, scratch)
        choice = chosen.choose(pool)
        report = _report_of_choice(task, pool, choice, entrants)
    finally:
        scratch.unlink(missing_ok=True)
    table = _table(chosen, choice, entrants)
    written = task.work.store.add(
        f"{folder}/choice-{mark}.parquet", lambda path: parquet.write(table, path, row_group_size=65_536)
    )
    return {
        "choice": written.name,
        "report": json.dumps(report),
        "dropped": entrants.count - len(choice.picked),
        "bytes": written.bytes,
    }


# --- rankings --------------------------------------------------------------------------------------------------------


def _cut(task: ResolveWork, chosen: Ranking, rows: int) -> Cut:
    store = task.work.store
    paths = [store.checked(record["data"]) for record in task.entrants]
    if not paths:
        return Cut(None, None)
    with database(store, f"groups/{task.group}", task.work.mark()) as connection:
        connection.execute("CREATE TABLE place(file INTEGER, row_start BIGINT, path VARCHAR)")
        connection.executemany(
            "INSERT INTO place VALUES (?, ?, ?)",
            [
                (item.shard.file, item.shard.row_start, store.uri(record["data"]))
                for item, record in zip(task.shards, task.entrants, strict=True)
            ],
        )
        ranked = (
            f"{scan(paths, filename=True)} entrant JOIN place ON entrant.filename = place.path WHERE value IS NOT NULL"
        )
        order = "value DESC, file, row_start + entrant.row"

        def asked(query: str, **values: Any) -> Any:
            return connection.execute(query, values).fetchone()

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


def _report_of_ranking(task: ResolveWork, chosen: Ranking, cut: Cut, rows: int) -> dict[str, Any]:
    share = MOST / max(rows, 1)
    values, lengths, keys, files, places, source = [], [], [], [], [], []
    sources, names = _sources(task)
    for number, (item, record) in enumerate(zip(task.shards, task.entrants, strict=True)):
        with task.work.store.reading(record["data"]) as opened:
            table = parquet.read(opened, columns=["row", "value", "length"])
        row = table.column("row").to_numpy()
        key = hash_rows(item.shard, row)
        some = np.ones(len(row), dtype=bool)
        if share < 1:
            some = scramble(key, SEED + 1) < np.uint64(share * 2.0**64)
        values.append(pc.fill_null(table.column("value"), float("nan")).to_numpy()[some])
        lengths.append(table.column("length").to_numpy()[some])
        keys.append(key[some])
        files.append(np.full(int(some.sum()), item.shard.file))
        places.append(item.shard.row_start + row[some])
        source.append(np.full(int(some.sum()), sources[number]))
    value, file, place = _joined(values, np.float64), _joined(files, np.int64), _joined(places, np.int64)
    order = np.lexsort((place, file, np.where(np.isnan(value), np.inf, -value)))
    order = order[: int((~np.isnan(value)).sum())]
    above = _up_to(order, value, file, place, cut.first, itself=False)
    upto = _up_to(order, value, file, place, cut.last, itself=True)
    selected = np.zeros(len(value), dtype=bool)
    selected[order[above:upto]] = True
    outcome = Outcome(
        selected, chosen.sign * value, _joined(lengths, np.int64), _joined(keys, np.uint64), _joined(source, np.int64),
        names,
    )  # fmt: skip
    report = selection_report(outcome) | {"entrants": rows, "facts": {}}
    near = np.concatenate([order[upto : upto + SHOWN], order[max(0, above - SHOWN) : above]])[:SHOWN]

    def shown(at: Rows) -> list[dict[str, Any]]:
        return [_example(int(file[i]), int(place[i]), float(chosen.sign * value[i])) for i in at]

    return report | {"picked": shown(order[above:upto][:SHOWN]), "near_misses": shown(near)}


def _up_to(order: Rows, value: np.ndarray, file: Rows, place: Rows, end: Place | None, itself: bool) -> int:
    """How many documents of a ranking come before a place, or are it."""
    if end is None:
        return 0
    ranked = value[order]
    before = (ranked > end.score) | (
        (ranked == end.score)
        & ((file[order] < end.file) | ((file[order] == end.file) & (place[order] < end.row + itself)))
    )
    return int(before.sum())


# --- choices ---------------------------------------------------------------------------------------------------------


def _pool(task: ResolveWork, chosen: Choosing, entrants: Entrants, scratch: Any) -> Pool:
    keys = [hash_rows(item.shard, entrants.of(number)) for number, item in enumerate(task.shards)]
    sources, names = _sources(task)
    counts = [record["rows"] for record in task.entrants]
    pool = Pool(
        {name: _numbers(entrants.column(BY + name)) for name in chosen.columns},
        entrants.column("length").to_numpy(),
        _joined(keys, np.uint64),
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
        taken = pc.struct_field(item.known(step, ["vector"]).rows(entrants.of(number)), "vector")
        there = np.asarray(taken.is_valid()).astype(bool)
        values = taken.filter(pa.array(there)).flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        block = np.zeros((len(taken), width), dtype=np.float32)
        block[there] = exact(values)
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
    file, row = entrants.place(np.maximum(twin, 0)) if n else (twin, twin)
    columns = {
        "shard": pa.array(entrants.shard_of(every), pa.int32()),
        "row": pa.array(entrants.rows, pa.int64()),
        "reason": pa.array(reason.tolist(), pa.string()),
        "twin_file": pa.array(np.where(twin < 0, -1, file), pa.int32()),
        "twin_row": pa.array(np.where(twin < 0, -1, row), pa.int64()),
    }
    own = {
        "selected": pa.array(selected),
        "rank": pa.array(rank, mask=rank < 0),
        "value": pa.array(choice.value, mask=np.isnan(choice.value)),
        "similarity": pa.array(similarity, mask=np.isnan(similarity)),
        **{name: pa.array(values, mask=values < 0) for name, values in choice.extra.items()},
    }
    struct = pa.StructArray.from_arrays(
        [own[item.name].cast(item.type) for item in chosen.fields], fields=chosen.fields
    )
    columns["similarity"] = pa.array(similarity)
    columns["value"] = pa.array(choice.value)
    return pa.table({**columns, "struct": struct})


def _report_of_choice(task: ResolveWork, pool: Pool, choice: Choice, entrants: Entrants) -> dict[str, Any]:
    n = pool.rows
    selected = np.zeros(n, dtype=bool)
    selected[choice.picked] = True
    some = np.arange(n)
    if n > MOST:
        some = np.flatnonzero(scramble(pool.key, SEED + 1) < np.uint64(MOST / n * 2.0**64))
    outcome = Outcome(
        selected[some], choice.value[some], pool.length[some], pool.key[some], pool.source[some], pool.sources,
        None if pool.vectors is None else pool.vectors[some],
    )  # fmt: skip
    near = choice.near
    if near is None:
        known = ~selected & ~np.isnan(choice.value)
        if choice.reason is not None:
            known &= ~np.isin(choice.reason, [NO_SCORE, NO_VECTOR])
        rows = np.flatnonzero(known)
        near = rows[np.argsort(-choice.value[rows], kind="stable")]

    def shown(rows: Rows) -> list[dict[str, Any]]:
        file, row = entrants.place(rows)
        return [_example(int(f), int(r), float(choice.value[at])) for f, r, at in zip(file, row, rows, strict=True)]

    picked = shown(choice.picked[:SHOWN])
    if pool.vectors is not None and picked:
        rejected = np.flatnonzero(~selected & pool.usable())
        place, similarity = nearest(pool.vectors[choice.picked[:SHOWN]], pool.vectors[rejected])
        if len(rejected):
            for entry, neighbour, likeness in zip(picked, shown(rejected[place]), similarity, strict=True):
                entry["nearest_rejected"] = neighbour | {"similarity": float(likeness)}
    return selection_report(outcome) | {
        "entrants": n,
        "facts": choice.facts,
        "picked": picked,
        "near_misses": shown(near[:SHOWN]),
    }


def _sources(task: ResolveWork) -> tuple[Rows, list[str]]:
    """Source of each shard, as a number, and the names, in the order of the input."""
    names = list(dict.fromkeys(item.shard.source for item in task.shards))
    return np.array([names.index(item.shard.source) for item in task.shards], dtype=np.int64), names


def _example(file: int, row: int, value: float) -> dict[str, Any]:
    return {"file": file, "row": row, "value": None if np.isnan(value) else value}


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy()  # type: ignore[no-any-return]


def _joined(parts: list[np.ndarray], kind: Any) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=kind)
