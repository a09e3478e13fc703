"""Rankings: all documents in one order, of which one stretch stays. Two places of it say which."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import parquet
from curation.flow.dataset_wide import Entered, Rows
from curation.flow.ledger import Ledger
from curation.flow.selecting import SHOWN, SelectionFamily, example, joined, sources_of
from curation.flow.units import ResolveWork, ShardWork, database
from curation.flow.verdicts import StageVerdicts
from curation.selection.base import SELECTED, Cut, Ranking, RankPosition
from curation.selection.report import MOST, SEED, Outcome, selection_report
from curation.sources import hash_rows, scramble
from curation.store.scan import scan

PLACES = pa.schema([("file", pa.int32()), ("row_start", pa.int64()), ("path", pa.string()), ("begin", pa.int64())])


class RankingFamily(SelectionFamily):
    chosen: Ranking

    @property
    def schema(self) -> pa.Schema:
        return self.schema_with(["value"])

    def enter(self, shard_work: ShardWork, ledger: Ledger, rows: Rows) -> Entered:
        facts = self.facts(shard_work, ledger)
        value = self.chosen.sign * self.chosen.values(facts)
        return Entered(self.table_with(shard_work, rows, facts.length, {"value": value}))

    def resolve(self, task: ResolveWork, mark: str) -> dict[str, Any]:
        rows = sum(record["rows"] for record in task.entrants)
        cut = _cut(task, self.chosen, rows)
        report = json.dumps(_report(task, self.chosen, cut, rows))
        return {"cut": json.dumps(asdict(cut)), "report": report, "dropped": rows - cut.rows, "bytes": 0}

    def verdicts(self, shard_work: ShardWork, ledger: Ledger) -> StageVerdicts:
        shard, sign = shard_work.shard, self.chosen.sign
        cut = Cut.of(json.loads(shard_work.groups[self.stage.id]["cut"]))
        values = self.chosen.values(self.facts(shard_work, ledger))
        threshold = np.full(shard.rows, np.nan)
        if cut.first is None or cut.last is None:
            selected = np.zeros(shard.rows, dtype=bool)
        else:
            file, row = shard.located(np.arange(shard.rows))
            above = _before(sign * values, file, row, cut.first, itself=False)
            selected = _before(sign * values, file, row, cut.last, itself=True) & ~above
            threshold[:] = np.where(above, sign * cut.first.score, sign * cut.last.score)
        struct = pa.StructArray.from_arrays([pa.array(selected)], fields=[SELECTED])
        return StageVerdicts(struct, ~selected, self.chosen.reason, values, threshold, {})


def _cut(task: ResolveWork, chosen: Ranking, rows: int) -> Cut:
    store = task.work.store
    paths = [store.checked(record["data"]) for record in task.entrants]
    if not paths:
        return Cut(None, None)
    with database(store, f"groups/{task.group}", task.work.mark()) as connection:
        connection.register("place", _places(task))
        # of a bundle, whose rows count on from file to file, the last shard that begins at a row or before is the row's
        ranked = (
            f"{scan(paths, filename=True)} entrant ASOF JOIN place ON entrant.filename = place.path"
            " AND entrant.row >= place.begin WHERE value IS NOT NULL"
        )
        order = "value DESC, file, row_start + entrant.row"

        def asked(query: str, **values: Any) -> Any:
            return connection.execute(query, values).fetchone()

        def position_of(rank: int) -> RankPosition:
            query = f"SELECT value, file, row_start + entrant.row FROM {ranked} ORDER BY {order} LIMIT 1 OFFSET $rank"
            return RankPosition(*asked(query, rank=rank))

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
        return Cut(position_of(span.skip), position_of(span.skip + count - 1), count)


def _places(task: ResolveWork) -> pa.Table:
    """Of each shard, those of bundles too, the file of its entrants, the row from which they are counted there, and
    what makes rows in the input's file of those."""
    rows = []
    for item, record in zip(task.shards, task.entrants, strict=True):
        begin = 0
        for member in item.shard.members:
            path = task.work.store.uri(record["data"])
            rows.append({"file": member.file, "row_start": member.row_start - begin, "path": path, "begin": begin})
            begin += member.rows
    return pa.Table.from_pylist(rows, schema=PLACES)


def _report(task: ResolveWork, chosen: Ranking, cut: Cut, rows: int) -> dict[str, Any]:
    share = MOST / max(rows, 1)
    values, lengths, keys, files, rows_in_file, source = [], [], [], [], [], []
    sources, names = sources_of(task)
    for number, (item, record) in enumerate(zip(task.shards, task.entrants, strict=True)):
        with task.work.store.reading(record["data"]) as opened:
            table = parquet.read(opened, columns=["row", "value", "length"])
        row = table.column("row").to_numpy()
        key = hash_rows(item.shard, row)
        sampled = np.ones(len(row), dtype=bool)
        if share < 1:
            sampled = scramble(key, SEED + 1) < np.uint64(share * 2.0**64)
        values.append(pc.fill_null(table.column("value"), float("nan")).to_numpy()[sampled])
        lengths.append(table.column("length").to_numpy()[sampled])
        keys.append(key[sampled])
        located = item.shard.located(row[sampled])
        files.append(located[0].astype(np.int64))
        rows_in_file.append(located[1])
        source.append(np.full(int(sampled.sum()), sources[number]))
    value, file, row_in_file = joined(values, np.float64), joined(files, np.int64), joined(rows_in_file, np.int64)
    order = np.lexsort((row_in_file, file, np.where(np.isnan(value), np.inf, -value)))
    order = order[: int((~np.isnan(value)).sum())]
    above = _up_to(order, value, file, row_in_file, cut.first, itself=False)
    upto = _up_to(order, value, file, row_in_file, cut.last, itself=True)
    selected = np.zeros(len(value), dtype=bool)
    selected[order[above:upto]] = True
    outcome = Outcome(
        selected, chosen.sign * value, joined(lengths, np.int64), joined(keys, np.uint64), joined(source, np.int64),
        names,
    )  # fmt: skip
    report = selection_report(outcome) | {"entrants": rows, "facts": {}}
    near = np.concatenate([order[upto : upto + SHOWN], order[max(0, above - SHOWN) : above]])[:SHOWN]

    def shown(numbers: Rows) -> list[dict[str, Any]]:
        return [example(int(file[i]), int(row_in_file[i]), float(chosen.sign * value[i])) for i in numbers]

    return report | {"picked": shown(order[above:upto][:SHOWN]), "near_misses": shown(near)}


def _up_to(order: Rows, value: np.ndarray, file: Rows, row: Rows, end: RankPosition | None, itself: bool) -> int:
    """How many documents of a ranking come before a place, or are it."""
    if end is None:
        return 0
    ranked = value[order]
    before = (ranked > end.score) | (
        (ranked == end.score)
        & ((file[order] < end.file) | ((file[order] == end.file) & (row[order] < end.row + itself)))
    )
    return int(before.sum())


def _before(ranked: np.ndarray, file: np.ndarray, row: np.ndarray, bound: RankPosition, itself: bool) -> np.ndarray:
    """Which rows of files (bool [n]) rank before a place, or are the place itself; NaN ranks nowhere."""
    tied = (file < bound.file) | ((file == bound.file) & (row < bound.row + itself))
    return np.asarray((ranked > bound.score) | ((ranked == bound.score) & tied))
