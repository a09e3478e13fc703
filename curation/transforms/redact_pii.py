"""Personally identifying information, found and put out of the text."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
from pydantic import Field

from curation.rules import pii
from curation.scorers import base
from curation.scorers.base import Context, Transform
from curation.text import characters
from schemas.documents import EDITS

Type = Literal["email", "phone", "ipv4", "ipv6", "credit_card", "iban", "secret"]
SPAN = pa.struct(
    [
        pa.field("type", pa.string(), nullable=False),
        pa.field("start", pa.uint32(), nullable=False),
        pa.field("end", pa.uint32(), nullable=False),
    ]
)
REPLACEMENTS = {"tag": pii.TAGS, "example": pii.EXAMPLES, "remove": dict.fromkeys(pii.TYPES, " ")}
"""What takes the place of each type; a space where it is removed, so that no two neighbours become one word."""


class Settings(base.Settings):
    """What is looked for, and what takes its place."""

    types: list[Type] = Field(default=list(get_args(Type)), min_length=1)
    """Kinds of personal data that are looked for."""
    replacement: Literal["tag", "example", "remove", "none"] = "tag"
    """A tag such as [EMAIL], an example that belongs to nobody, a space; or none, to find and not to edit."""


class RedactPii(Transform):
    """Columns `found` (spans in all), a count for each of `types`, `spans` (type, and bytes [start, end) of the text
    that the stage was given) and the edits. What each type is, `curation.rules.pii` says.

    Whatever is replaced, nothing is found in the edited text. That may take edits beyond the spans: an address that
    was none for what stood beside it is replaced too, once that is gone.
    """

    kind = "redact-pii"
    version = 1
    Settings = Settings

    def __init__(self, settings: base.Settings, context: Context) -> None:
        super().__init__(settings, context)
        self.types = [type for type in pii.TYPES if type in self.settings.types]

    @property
    def fields(self) -> list[pa.Field]:
        counts = [pa.field(name, pa.int32()) for name in ("found", *self.types)]
        return [*counts, pa.field("spans", pa.list_(SPAN))]

    def identity(self) -> dict[str, Any]:
        return {"rules": pii.VERSION, "unicode": characters.UNICODE}

    def load(self) -> None:
        # the second address is found only when the first is gone, so this compiles all there is
        text = pa.array([f"host {'a' * 40}@example.net 5.9.12.34"], pa.large_string())
        pii.redact(text, pii.find(text), pii.TAGS)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        text = batch.column("text")
        matches = pii.find(text, self.types)
        counts = np.diff(matches.documents)
        cells = np.repeat(np.arange(len(text)), counts) * len(pii.TYPES) + matches.types
        by_type = np.bincount(cells, minlength=len(text) * len(pii.TYPES)).reshape(-1, len(pii.TYPES))
        return pa.RecordBatch.from_arrays(
            [
                pa.array(counts, pa.int32()),
                *(pa.array(by_type[:, pii.TYPES.index(type)], pa.int32()) for type in self.types),
                self._spans(matches),
                self._edits(text, matches),
            ],
            schema=pa.schema([*self.fields, pa.field("edits", EDITS)]),
        )

    def _spans(self, matches: pii.Spans) -> pa.ListArray:
        types = pa.array(pii.TYPES, pa.string()).take(pa.array(matches.types))
        spans = pa.StructArray.from_arrays([types, pa.array(matches.starts), pa.array(matches.ends)], fields=list(SPAN))
        return pa.ListArray.from_arrays(pa.array(matches.documents, pa.int32()), spans, type=pa.list_(SPAN))

    def _edits(self, text: pa.LargeStringArray, matches: pii.Spans) -> pa.ListArray:
        if self.settings.replacement == "none":
            return pa.array([[]] * len(text), EDITS)
        replacements = REPLACEMENTS[self.settings.replacement]
        return pii.redact(text, matches, {type: replacements[type] for type in self.types})
