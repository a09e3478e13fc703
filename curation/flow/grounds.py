"""Why a stage's own verdict is what it is: rule, value and bound, from columns that are stored."""

from __future__ import annotations

import pyarrow as pa

from curation.flow.objects import tokenising_object
from curation.plan import StagePlan
from curation.reasons import Grounds
from curation.registry import find
from curation.scorers.base import Scorer


def grounds(stage: StagePlan, rejected: pa.StructArray) -> Grounds | None:
    """Of documents that the stage itself rejects, by its columns [n]; None for one that says no more than it stored."""
    if stage.family not in ("scorer", "transform") or stage.spec.turns is not None:
        return None  # of a conversation the columns are those of several answers
    if find(stage.family, stage.kind).grounds is Scorer.grounds:
        return None
    return tokenising_object(stage.steps[-1]).grounds(rejected)
