"""Why a stage gave one document its score: the document is read again as the stage saw it, and the scorer asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.errors import CurationError, Finding

if TYPE_CHECKING:
    from curation.flow.score_index import Shards
    from curation.manifest.parts import Manifest
    from curation.scorers.attribution import Attribution


def attribute(manifest: Manifest, run: str, path: str, row: int, stage: str) -> Attribution | None:
    """What moved the score that `stage` gave to the document at `path`, `row` (in the file); None where the scorer
    cannot say. Raises CurationError C032 for a stage that scores nothing, R002 where the file has changed."""
    from curation.flow.score_index import Shards
    from pipelines.planning.resolve import resolve_recorded

    return Scorers(Shards.recorded(manifest, resolve_recorded(manifest, run))).attribute(path, row, stage)


class Scorers:
    """The scorers of a run, each made once, for several documents."""

    def __init__(self, recorded: Shards) -> None:
        self.recorded = recorded
        self._scorers: dict[str, Any] = {}

    def attribute(self, path: str, row: int, stage: str) -> Attribution | None:
        """As the function."""
        from curation.flow.documents import rows_at, wanted_columns
        from curation.flow.objects import scorer_object
        from curation.plugins import contained
        from curation.scorers.leave_one_out import attribution_of

        plan = self.recorded.plan
        scoring = [item for item in plan.stages if item.family == "scorer"]
        chosen = next((item for item in scoring if item.id == stage), None)
        if chosen is None:
            known = ", ".join(item.id for item in scoring) or "none"
            raise CurationError(Finding("C032", f"run {plan.run} has no scorer '{stage}'", f"its scorers: {known}"))
        if stage not in self._scorers:
            self._scorers[stage] = scorer_object(chosen.steps[-1])
        scorer = self._scorers[stage]
        shards = [shard for shard in plan.shards if shard.path == path and shard.row_start <= row < shard.row_end]
        if not shards:
            message = f"{path} is gone since run {plan.run}"
            raise CurationError(Finding("R002", message, "its text can no longer be shown", path))
        names = sorted(scorer.all_reads() | {"text"})
        numbers = {name for step in chosen.steps for name in step.numbers}
        [shard_work] = self.recorded.of(shards)
        at = np.array([row - shards[0].row_start])
        [documents] = rows_at(shard_work, at, chosen.position, wanted_columns(plan, names))
        document = documents.batch(names, numbers)
        with contained():
            return attribution_of(scorer, document)
