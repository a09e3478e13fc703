"""What a run may take on this machine: time on its workers, memory, disk, tokens. Estimates, and called that."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from curation.flow.objects import describe
from curation.manifest.parts import Manifest
from curation.plan import Plan, Step
from curation.plugins import contained
from schemas.documents import INPUT

SPREAD = (0.7, 1.5)
"""Between which parts of an estimate the time may lie."""
BASE_BYTES = 350_000_000
"""Of a process with Arrow, DuckDB and the kernels."""
TORCH_BYTES = 500_000_000
"""What a first model brings along, beside its weights."""
WORKER_BYTES = 100_000_000
"""Of each worker: batches of 8 MB as they are read, decoded, scored and written."""
ENTRANT_BYTES = 200
"""Of each document at a dataset-wide stage, where all of them are looked at together."""
DECISION_BYTES = 24
"""Of each document in decisions, packed, beside what its stages measured."""
WRITTEN_SHARE = 0.45
"""Of uncompressed input, as Zstandard leaves text."""


@dataclass(frozen=True)
class Cost:
    """What a run that scores all that may reach its stages takes on this machine."""

    workers: int
    """Units at a time: as many as there are cores, and no more than there are shards."""
    seconds: tuple[float, float] | None
    """Least and most, on these workers; None where no stage's pace is known."""
    unknown: tuple[str, ...]
    """Steps and dataset-wide stages that are not in `seconds`: nothing says how fast they are here."""
    memory: int
    """Bytes at the peak, about."""
    disk: int
    """Bytes that are written, about: scores, decisions, and the dataset if all is kept."""
    tokens: int | None
    """That models will read, about; None where a model's documents were never counted here."""


def local_workers(plan: Plan) -> int:
    return max(1, min(os.cpu_count() or 1, len(plan.good_shards) or 1))


def cost(plan: Plan, manifest: Manifest, most: dict[str, int], rates: dict[str, float], told: dict[str, float]) -> Cost:
    """`most`: documents that each step may score, by name; `rates`: seconds a document, by fingerprint; `told`: tokens
    a document that a timed sample had, by fingerprint."""
    workers = local_workers(plan)
    steps = [step for step in plan.steps() if most.get(step.name)]
    timed = [step for step in steps if step.fingerprint in rates]
    barriers = [stage for stage in plan.stages if stage.barrier]
    paces = _paces(manifest)
    alone = sum(rates[step.fingerprint] * most[step.name] for step in timed if step.heavy)
    shared = sum(rates[step.fingerprint] * most[step.name] for step in timed if not step.heavy)
    together = sum(paces[stage.kind] * plan.rows for stage in barriers if stage.kind in paces)
    seconds = alone + shared / workers + together
    unknown = [step.name for step in steps if step not in timed and step.family != INPUT]
    unknown += [stage.id for stage in barriers if stage.kind not in paces]
    heavy = [step for step in plan.steps() if step.heavy]
    measured = bool(timed) or any(stage.kind in paces for stage in barriers)
    return Cost(
        workers,
        (seconds * SPREAD[0], seconds * SPREAD[1]) if measured else None,
        tuple(unknown) if any(most.values()) else (),
        BASE_BYTES
        + workers * WORKER_BYTES
        + (TORCH_BYTES + _weights(heavy) if heavy else 0)
        + (ENTRANT_BYTES * plan.rows if barriers else 0),
        _disk(plan, manifest, most),
        _tokens(manifest, [step for step in steps if step.heavy], most, told),
    )


def _paces(manifest: Manifest) -> dict[str, float]:
    """Seconds a document of dataset-wide stages that this workspace has resolved, by kind: of the largest, since what a
    small one takes is mostly the same for any number."""
    rows = manifest.read("groups").sort_by("entrants").to_pylist()
    return {row["kind"]: row["seconds"] / row["entrants"] for row in rows if row["entrants"] and row["seconds"]}


def _weights(heavy: list[Step]) -> int:
    """Bytes of the models' files, each model once."""
    files: dict[tuple[str, str], int] = {}
    for step in heavy:
        with contained():
            files.update({(facts["address"], facts["file"]): facts["bytes"] or 0 for facts in describe(step)})
    return sum(files.values())


def _tokens(manifest: Manifest, heavy: list[Step], most: dict[str, int], told: dict[str, float]) -> int | None:
    metered: dict[str, list[int]] = {}
    for row in manifest.read("meters").to_pylist():
        total = metered.setdefault(row["step"], [0, 0])
        total[0] += row["tokens"]
        total[1] += row["documents"]
    each = {name: tokens / documents for name, (tokens, documents) in metered.items() if documents}
    paces = [told.get(step.fingerprint, each.get(step.name)) for step in heavy]
    if any(pace is None for pace in paces):
        return None
    return round(sum((pace or 0) * most[step.name] for pace, step in zip(paces, heavy, strict=True)))


def _disk(plan: Plan, manifest: Manifest, most: dict[str, int]) -> int:
    scores = manifest.read("scores")
    stored: dict[str, float] = {}
    if scores.num_rows:
        sums = scores.group_by("fingerprint", use_threads=False).aggregate([("rows", "sum"), ("bytes", "sum")])
        stored = {row["fingerprint"]: row["bytes_sum"] / row["rows_sum"] for row in sums.to_pylist() if row["rows_sum"]}
    scored = sum(stored.get(step.fingerprint, _width(step.fields)) * most.get(step.name, 0) for step in plan.steps())
    decided = plan.rows * (DECISION_BYTES + sum(_width(stage.shown) for stage in plan.stages))
    share = 1.0 if plan.sample is None else plan.rows / max(1, sum(shard.rows for shard in plan.good_shards))
    return round(scored + decided + share * WRITTEN_SHARE * sum(shard.bytes for shard in plan.good_shards))


def _width(fields: Iterable[pa.Field]) -> float:
    """Bytes of a document's values as they are stored, about."""
    return sum(_bytes_of(item.type) for item in fields)


def _bytes_of(kind: Any) -> float:
    if pa.types.is_fixed_size_list(kind):
        return float(kind.list_size) * _bytes_of(kind.value_type)
    if pa.types.is_boolean(kind):
        return 0.125
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return float(kind.bit_width) / 8
    return 4.0  # texts are of few kinds, and lists mostly empty
