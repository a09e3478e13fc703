"""Lines that no reader came for, taken out: C4's rules as a transform."""

from __future__ import annotations

from typing import Any, ClassVar

import pyarrow as pa

from curation.rules import c4
from curation.rules.profile import did_you_mean
from curation.scorers import base
from curation.scorers.base import Context, Transform
from curation.text import words


class Settings(base.Settings):
    """Which rules choose the lines."""

    profile: str = c4.NAME


class RemoveLines(Transform):
    """Columns `pass`, `reason` (lorem_ipsum, curly_bracket, too_few_sentences; null when it passes), `lines`,
    `lines_removed_<rule>` for each rule, `sentences` and the edits.

    Applied, the edits leave the surviving lines, stripped and without citation marks, joined by line feeds. Whether a
    document that fails is dropped is the gate's business (`keep: remove-lines.pass`): it is edited all the same.

    Raises ValueError for an unknown profile, naming the known ones.
    """

    kind: ClassVar[str] = "remove-lines"
    version: ClassVar[int] = 1
    Settings = Settings

    def __init__(self, settings: base.Settings, context: Context) -> None:
        super().__init__(settings, context)
        if self.settings.profile != c4.NAME:
            raise ValueError(did_you_mean("profile", self.settings.profile, [c4.NAME]))

    @property
    def fields(self) -> list[pa.Field]:
        return list(c4.FIELDS)

    def identity(self) -> dict[str, Any]:
        return {"profile": c4.NAME, "version": c4.VERSION, "words": words.VERSION}

    def load(self) -> None:
        c4.clean(pa.array(["A few words."], pa.large_string()))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return c4.clean(batch.column("text"))
