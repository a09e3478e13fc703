"""Quality rules as a scorer: the verdict of a named profile, and every measurement behind it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pydantic import Field

from curation.reasons import Grounds
from curation.rules import resolve
from curation.scorers import base
from curation.scorers.base import Context, Scorer
from curation.text.words import VERSION


class Settings(base.Settings):
    """Which rules, and where they differ from their paper."""

    profile: str
    """A profile's name, such as "gopher-quality@datatrove"."""
    thresholds: dict[str, float | int | None] = Field(default_factory=dict)
    """Bounds that replace the profile's own, by rule name; null switches a rule off."""


class Rules(Scorer):
    """Columns `pass`, `reason` (the first rule that rejects; null when it passes), and the profile's measurements.

    Thresholds decide `pass` and `reason`, so they are part of the fingerprint, the defaults too. A gate on the
    measurements instead (`keep: gopher.words >= 20`) may be changed at will and scores nothing anew. A text with
    nothing in it is judged like any other, as too short.

    Raises ValueError for an unknown profile or threshold, naming the known ones.
    """

    kind = "rules"
    version = 1
    Settings = Settings

    def __init__(self, settings: base.Settings, context: Context) -> None:
        super().__init__(settings, context)
        self.profile = resolve(self.settings.profile)
        self.thresholds = self.profile.thresholds(self.settings.thresholds)

    @property
    def fields(self) -> list[pa.Field]:
        return self.profile.fields

    @property
    def contract(self) -> base.Contract:
        return base.Contract("pass", 1, "ordinal")

    def identity(self) -> dict[str, Any]:
        bounds = {name: None if bound is None else float(bound) for name, bound in self.thresholds.items()}
        return {"profile": self.profile.name, "version": self.profile.version, "words": VERSION, "thresholds": bounds}

    def grounds(self, rejected: pa.StructArray) -> Grounds:
        return self.profile.grounds(rejected, self.thresholds)

    def load(self) -> None:
        self.profile.measure(pa.array(["A few words."], pa.large_string()), self.thresholds)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return self.profile.measure(batch.column("text"), self.thresholds)
