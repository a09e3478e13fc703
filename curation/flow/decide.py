"""Write down what became of each document of one shard, or of each shard of a bundle."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import failpoints, parquet
from curation.flow.commit import once_all
from curation.flow.ledger import DROPPED, ERRORED, KEPT, OUTCOMES, OUTSIDE, Ledger
from curation.flow.replay import replay
from curation.flow.units import DecideWork, Work
from curation.manifest.sketch import sketch_struct
from curation.reasons import rules_of
from curation.sources import AnyShard, Bundle
from schemas.errors import CurationError, Finding
from schemas.manifest import DECISION, SHARD

COUNTED = {"kept": KEPT, "dropped": DROPPED, "errored": ERRORED}


def decide_shard(task: DecideWork) -> list[dict[str, Any]]:
    """Commit the `decisions` record, with a row for each shard, and return these: in = kept + dropped + errored, or an
    error."""
    failpoints.hit("in-decide")
    work = task.work
    key = f"{work.run}-{task.shard.index:08d}"
    sketched = lambda: work.manifest.has("sketches", key)  # noqa: E731
    return once_all(work, "decisions", key, lambda: _decided(task, key), sketched)


def _decided(task: DecideWork, key: str) -> tuple[list[dict[str, Any]], list[str]]:
    shard_work, work = task.shard_work, task.work
    ledger = replay(shard_work, len(work.stages))
    inside = np.flatnonzero(ledger.outcome != OUTSIDE)
    counts = ledger.counts()
    if counts["pending"] or len(inside) != counts["kept"] + counts["dropped"] + counts["errored"]:
        raise CurationError(Finding("R003", f"shard {task.shard.index}, {task.shard.path}: {counts} do not add up"))
    ids = pc.struct_field(shard_work.stored(work.stages[0].steps[-1], ["id"]).struct, "id")
    table = _table(task.shard, ledger, inside, work, ids)
    data = f"decisions/{work.run}/{task.shard.index:08d}-{work.mark()}.parquet"
    store = work.store
    written = store.add(data, lambda path: parquet.write(table, path, compression_level=1, row_group_size=65_536))
    size = shard_work.stored(work.stages[0].steps[-1], ["bytes"]).struct
    sizes = pc.fill_null(pc.struct_field(size, "bytes"), 0).to_numpy(zero_copy_only=False)
    member = task.shard.member_at(inside) if isinstance(task.shard, Bundle) else np.zeros(len(inside), np.int64)
    ends = np.searchsorted(member, np.arange(len(task.shard.members) + 1))
    tally, lost = _tally(table, member), _lost(table, member)
    records = []
    for number, shard in enumerate(task.shard.members):
        of_shard = slice(ends[number], ends[number + 1])
        outcome = ledger.outcome[inside[of_shard]]
        records.append(
            {
                "run": work.run,
                "shard": shard.index,
                "data": written.name,
                "rows": len(outcome),
                **{name: int((outcome == code).sum()) for name, code in COUNTED.items()},
                "kept_bytes": int(sizes[inside[of_shard]][outcome == KEPT].sum()),
                "bytes": written.bytes * len(outcome) // max(1, len(inside)),
                "content": written.content,
                "tally": tally[number],
                "lost": lost[number],
            }
        )
    # Before the decision, so that a decided shard has its sketches; those of somebody who was killed here are the same.
    work.manifest.commit("sketches", key, _sketches(task, table))
    return records, [written.name]


def _table(shard: AnyShard, ledger: Ledger, inside: np.ndarray, work: Work, ids: pa.Array) -> pa.Table:
    stages = work.stages
    names = np.array([stage.id for stage in stages] + [None], dtype=object)
    taken = pa.array(inside)
    columns: dict[str, Any] = {
        "row": pa.array(shard.located(inside)[1]),
        "id": ids.take(taken),
        "outcome": pa.array(np.array(OUTCOMES, dtype=object)[ledger.outcome[inside]].tolist(), pa.string()),
        "dropped_by": pa.array(names[ledger.stage[inside]].tolist(), pa.string()),
        "reason": pa.array(ledger.reason[inside].tolist(), pa.string()),
        "score": _floats(ledger.score[inside]),
        "threshold": _floats(ledger.threshold[inside]),
        "details": pa.array(ledger.details[inside].tolist(), pa.string()),
    }
    for item in DECISION:
        if item.name not in columns:
            values = ledger.twins.get(item.name)
            if values is None:
                columns[item.name] = pa.nulls(len(inside), item.type)
            elif pa.types.is_floating(item.type):
                columns[item.name] = _floats(values[inside])
            else:
                columns[item.name] = pa.array(values[inside], mask=values[inside] < 0).cast(item.type)
    fields = list(DECISION)
    if work.bundled:
        fields.append(pa.field(SHARD, pa.int32()))
        numbers = [member.index for member in shard.members]
        of_row = shard.member_at(inside) if isinstance(shard, Bundle) else np.zeros(len(inside), dtype=np.int64)
        columns[SHARD] = pa.array(np.array(numbers, dtype=np.int32)[of_row])
    for stage in stages:
        struct = ledger.structs.get(stage.id)
        if struct is None:  # no document reached it
            struct = pa.nulls(ledger.rows, pa.struct(stage.shown))
        columns[stage.id] = struct.take(taken)
        fields.append(pa.field(stage.id, struct.type))
    return pa.table([columns[item.name] for item in fields], schema=pa.schema(fields))


def _sketches(task: DecideWork, table: pa.Table) -> list[dict[str, Any]]:
    common = {"run": task.work.run, "shard": task.shard.index, "source": task.shard.source}
    return [
        {**common, "stage": stage.id, "field": name, **sketch.record()}
        for stage in task.work.stages
        for name, sketch in sketch_struct(table.column(stage.id).combine_chunks())
    ]


def _tally(table: pa.Table, member: np.ndarray) -> defaultdict[int, list[dict[str, Any]]]:
    """By member, counts by stage, outcome and reason, these without the values that make each document's its own."""
    keys = ["member", "dropped_by", "outcome", "reason"]
    index = table.schema.get_field_index("reason")
    table = table.set_column(index, "reason", rules_of(table.column("reason")))
    table = table.append_column("member", pa.array(member)).select(keys)
    counts = table.group_by(keys, use_threads=False).aggregate([([], "count_all")])
    by_member: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for number, *row in zip(*(column.to_pylist() for column in counts.columns), strict=True):
        by_member[number].append(dict(zip(("stage", "outcome", "reason", "rows"), row, strict=True)))
    for rows in by_member.values():
        rows.sort(key=lambda row: (str(row["stage"]), row["outcome"], str(row["reason"])))
    return by_member


def _lost(table: pa.Table, member: np.ndarray) -> defaultdict[int, list[dict[str, Any]]]:
    """By member, what is lost by the drops of each dedup: a gate may keep some of its duplicates."""
    losses = table.select(["dropped_by", "loss"]).append_column("member", pa.array(member))
    losses = losses.filter(pc.is_valid(losses.column("loss")))
    losses = losses.append_column("nothing", pc.equal(losses.column("loss"), 0.0).cast(pa.int64()))
    sums = losses.group_by(["member", "dropped_by"], use_threads=False).aggregate(
        [("loss", "sum"), ("loss", "count"), ("nothing", "sum")]
    )
    by_member: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(sums.to_pylist(), key=lambda row: str(row["dropped_by"])):
        by_member[row["member"]].append(
            {
                "stage": row["dropped_by"],
                "rows": row["loss_count"],
                "loss": row["loss_sum"],
                "nothing_lost": row["nothing_sum"],
            }
        )
    return by_member


def _floats(values: np.ndarray) -> pa.Array:
    return pa.array(values, type=pa.float64(), mask=np.isnan(values))
