"""A linear head on the last layer of a frozen causal language model, learned from weak labels."""

from __future__ import annotations

from pathlib import Path

from curation.models.config import read_json
from curation.models.locate import ModelError, locate
from curation.models.reader import CAUSAL
from curation.weak_to_strong.students.head import HeadStudent
from schemas.weak_to_strong import CausalHeadStudent as Settings


class CausalHead(HeadStudent):
    """As `head`, on the state of the last token (Burns et al. 2023) or the mean of all states.

    Raises ModelError for a model that is not causal.
    """

    kind = "causal-head"

    def __init__(self, name: str, settings: Settings, classes: tuple[str, ...], base: Path) -> None:
        super().__init__(name, settings, classes, base)
        kind = str(read_json(locate(settings.model, base), "config.json").get("model_type"))
        if kind not in CAUSAL:
            raise ModelError(f"{settings.model} is a {kind} model", hint="write `student: head` for encoders")
