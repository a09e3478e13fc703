"""Why a stage gave one document its score: the document is read again as the stage saw it, and the scorer asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from schemas.errors import CurationError, Finding

if TYPE_CHECKING:
    from curation.manifest.parts import Manifest
    from curation.scorers.attribution import Attribution


def attribute(manifest: Manifest, run: str, path: str, row: int, stage: str) -> Attribution | None:
    """What moved the score that `stage` gave to the document at `path`, `row` (in the file); None where the scorer
    cannot say. Raises CurationError C032 for a stage that scores nothing, R002 where the file has changed."""
    from curation.flow.documents import rows_at, wanted_columns
    from curation.flow.objects import scorer_object
    from curation.flow.score_index import Shards
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
    numbers = {name for step in chosen.steps for name in step.numbers}
    [shard_work] = Shards.recorded(manifest, plan).of(shards)
    at = np.array([row - shards[0].row_start])
    [documents] = rows_at(shard_work, at, chosen.position, wanted_columns(plan, names))
    document = documents.batch(names, numbers)
    with contained():
        return attribution_of(scorer, document)
