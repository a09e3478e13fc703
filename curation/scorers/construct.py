"""The one place where an object of a stage, or of a scorer inside one, comes into being."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from curation.scorers.base import Context, Scorer, Transform
from curation.scorers.turns import per_turn


def construct(cls: type[Any], settings: BaseModel, context: Context) -> Any:
    """An object of a registered class, as it works on this data: where rows are conversations, a scorer of answers is
    asked for each."""
    built = cls(settings, context)
    if isinstance(built, Scorer) and not isinstance(built, Transform):
        return per_turn(built, context.turns)
    return built
