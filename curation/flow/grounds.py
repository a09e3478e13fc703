"""Why a stage's own verdict is what it is: rule, value and bound, from columns that are stored."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from curation.plan import StagePlan
from curation.reasons import Grounds
from curation.registry import find
from curation.scorers.base import Context, Scorer


def grounds(stage: StagePlan, rejected: pa.StructArray) -> Grounds | None:
    """Of documents that the stage itself rejects, by its columns [n]; None for one that says no more than it stored."""
    if stage.family not in ("scorer", "transform") or any(step.turns is not None for step in stage.steps):
        return None  # of a conversation the columns are those of several answers
    if find(stage.family, stage.kind).grounds is Scorer.grounds:
        return None
    settings = json.dumps(stage.settings, sort_keys=True)
    return _scorer(stage.family, stage.kind, settings, stage.recipe_dir).grounds(rejected)


@lru_cache(maxsize=64)
def _scorer(family: str, kind: str, settings: str, recipe_dir: str) -> Scorer:
    cls = find(family, kind)
    scorer: Scorer = cls(cls.Settings.model_validate_json(settings), Context(Path(recipe_dir)))
    return scorer
