"""Why a stage gave one document its score: the document is read again as the stage saw it, and the scorer asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.documents import TEXT
from schemas.errors import CurationError, Finding

if TYPE_CHECKING:
    from curation.manifest.parts import Manifest
    from curation.scorers.attribution import Attribution


def attribute(manifest: Manifest, run: str, path: str, row: int, stage: str) -> Attribution | None:
    """What moved the score that `stage` gave to the document at `path`, `row` (in the file); None where the scorer
    cannot say. Raises CurationError C032 for a stage that scores nothing, R002 where the file has changed."""
    from curation.flow.objects import scorer_object
    from curation.plugins import contained
    from curation.scorers.leave_one_out import attribution_of
    from pipelines.planning.resolve import resolve_recorded

    plan = resolve_recorded(manifest, run)
    scoring = [item for item in plan.stages if item.family == "scorer"]
    chosen = next((item for item in scoring if item.id == stage), None)
    if chosen is None:
        known = ", ".join(item.id for item in scoring) or "none"
        raise CurationError(Finding("C032", f"run {run} has no scorer '{stage}'", f"its scorers: {known}"))
    scorer = scorer_object(chosen.steps[-1])
    shards = [shard for shard in plan.shards if shard.path == path and shard.row_start <= row < shard.row_end]
    if not shards:
        raise CurationError(Finding("R002", f"{path} is gone since run {run}", "its text can no longer be shown", path))
    names = sorted(scorer.all_reads() | {"text"})
    document = _document(manifest, plan, shards[0], row, chosen.position, names)
    with contained():
        return attribution_of(scorer, document)


def _document(manifest: Manifest, plan: Any, shard: Any, row: int, position: int, names: list[str]) -> pa.RecordBatch:
    """One document as the stage at `position` saw it: its columns by our names, its text edited."""
    from curation.flow.score import last_transform
    from curation.flow.score_index import ScoreIndex
    from curation.flow.stored import load_known
    from curation.sources import read_batches
    from curation.text.edits import apply_edits

    numbers = {name for step in plan.steps() for name in step.numbers}
    wanted = pa.schema([plan.reading.field(source) for source in plan.columns.sources(names)])
    at = row - shard.row_start
    for batch in read_batches(shard, wanted, lambda start, rows: start <= at < start + rows):
        if batch.start <= at < batch.start + batch.columns.num_rows:
            taken = batch.columns.slice(at - batch.start, 1)
            break
    opened = plan.columns.open(taken)
    columns = {name: opened.field(name, name in numbers) for name in names}
    transform = last_transform(plan.stages[:position])
    if transform is not None:
        step = transform.steps[-1]
        files = ScoreIndex(manifest, plan)[shard.index].get(step.fingerprint, [])
        known = load_known(manifest.store, files, step, shard.row_start, shard.rows, ["edits"])
        edits = pc.struct_field(known.rows(np.array([at])), "edits")
        columns["text"] = apply_edits(columns["text"].cast(TEXT), edits)
    return pa.RecordBatch.from_pydict(columns)
