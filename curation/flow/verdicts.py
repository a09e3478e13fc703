"""What a resolved dataset-wide stage says about the rows of one shard."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import parquet
from curation.dedup.base import FIELDS as DEDUP_FIELDS
from curation.dedup.base import Dedup
from curation.flow.ledger import Grouped, Ledger
from curation.plan import StagePlan
from curation.selection.base import NOT_SELECTED, SELECTED, Choosing, Cut, Facts, Place, Ranking, Selection
from curation.sources import Shard, hash_rows
from curation.store import Store
from schemas.documents import INPUT
from schemas.manifest import TWIN


def load_grouped(
    store: Store, stage: StagePlan, chosen: Any, record: dict[str, Any], shard: Shard, ledger: Ledger
) -> Grouped:
    """Rows of `shard` (n of them) as the stage's result in `record` (kind `groups`) judges them."""
    if isinstance(chosen, Dedup):
        with store.reading(record["members"]) as source:
            return _duplicates(source, chosen, shard)
    if isinstance(chosen, Choosing):
        with store.reading(record["choice"]) as source:
            return _choice(source, chosen, shard)
    return _cut(Cut.of(json.loads(record["cut"])), chosen, shard, ledger)


def ranking_facts(chosen: Selection, shard: Shard, ledger: Ledger) -> Facts:
    """What a selection may go by, of the rows of one shard."""
    size = ledger.structs[INPUT]
    name = "answer_bytes" if size.type.get_field_index("answer_bytes") >= 0 else "bytes"
    length = pc.fill_null(pc.struct_field(size, name), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    columns = {column: stage_values(ledger, column) for column in chosen.columns}
    return Facts(columns, length, hash_rows(shard, np.arange(shard.rows)))


def stage_values(ledger: Ledger, column: str) -> np.ndarray:
    """A stage's column as float64 [n], NaN where there is no value."""
    stage, name = column.split(".", 1)
    values = pc.struct_field(ledger.structs[stage], name.split("."))
    filled = pc.fill_null(values.cast(pa.float64()), float("nan"))
    return filled.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _duplicates(source: Any, chosen: Dedup, shard: Shard) -> Grouped:
    table = parquet.read(source, filters=[("shard", "=", shard.index)])
    at = table.column("row").to_numpy()
    duplicate = np.zeros(shard.rows, dtype=bool)
    duplicate[at] = ~table.column("keeper").to_numpy(zero_copy_only=False)
    size = np.ones(shard.rows, dtype=np.int32)
    size[at] = table.column("cluster_size").to_numpy()
    twins: dict[str, np.ndarray] = {}
    for item in TWIN:
        floating = pa.types.is_floating(item.type)
        values = np.full(shard.rows, np.nan if floating else -1, dtype=np.float64 if floating else np.int64)
        values[at] = table.column(item.name).to_numpy()
        twins[item.name] = values
    similarity = twins["similarity"]
    measured = [pa.array(twins[name], mask=np.isnan(twins[name])) for name in ("similarity", "containment", "loss")]
    struct = pa.StructArray.from_arrays([pa.array(duplicate), pa.array(size), *measured], fields=DEDUP_FIELDS)
    return Grouped(struct, duplicate, chosen.reason, similarity, chosen.threshold, twins)


def _choice(source: Any, chosen: Choosing, shard: Shard) -> Grouped:
    table = parquet.read(source, filters=[("shard", "=", shard.index)])
    at = table.column("row").to_numpy()
    place = np.full(shard.rows, -1, dtype=np.int64)
    place[at] = np.arange(len(at))
    struct = table.column("struct").combine_chunks().take(pa.array(place, mask=place < 0))
    selected = pc.fill_null(pc.struct_field(struct, "selected"), False).to_numpy(zero_copy_only=False)

    def spread(name: str, missing: float) -> np.ndarray:
        values = np.full(shard.rows, missing)
        values[at] = table.column(name).to_numpy()
        return values

    reason = np.full(shard.rows, NOT_SELECTED, dtype=object)
    reason[at] = table.column("reason").to_numpy()
    twins = {
        "twin_file": spread("twin_file", -1).astype(np.int64),
        "twin_row": spread("twin_row", -1).astype(np.int64),
        "similarity": spread("similarity", np.nan),
    }
    return Grouped(struct, ~selected, reason, spread("value", np.nan), None, twins)


def _cut(cut: Cut, chosen: Ranking, shard: Shard, ledger: Ledger) -> Grouped:
    values = chosen.values(ranking_facts(chosen, shard, ledger))
    threshold = np.full(shard.rows, np.nan)
    if cut.first is None or cut.last is None:
        selected = np.zeros(shard.rows, dtype=bool)
    else:
        row = shard.row_start + np.arange(shard.rows)
        ranked = chosen.sign * values
        above = _before(ranked, shard.file, row, cut.first, itself=False)
        selected = _before(ranked, shard.file, row, cut.last, itself=True) & ~above
        threshold[:] = np.where(above, chosen.sign * cut.first.score, chosen.sign * cut.last.score)
    struct = pa.StructArray.from_arrays([pa.array(selected)], fields=[SELECTED])
    return Grouped(struct, ~selected, chosen.reason, values, threshold, {})


def _before(ranked: np.ndarray, file: int, row: np.ndarray, place: Place, itself: bool) -> np.ndarray:
    """Which rows of a file (bool [n]) rank before a place, or are the place itself; NaN ranks nowhere."""
    if file != place.file:
        tied = np.full(len(row), file < place.file)
    else:
        tied = row <= place.row if itself else row < place.row
    return np.asarray((ranked > place.score) | ((ranked == place.score) & tied))
