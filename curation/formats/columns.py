"""Which columns stages may read, and how they come out of a batch of source rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.formats.base import Format, FormatRows
from curation.formats.instruction import Instruction
from curation.formats.messages import Messages
from curation.formats.preference import Preference
from curation.formats.sharegpt import ShareGpt
from curation.sources.texts import names as id_names
from curation.sources.texts import nested, stringlike, valid_text
from schemas.documents import TEXT

FORMATS: tuple[type[Format], ...] = (Messages, ShareGpt, Preference, Instruction)
"""In the order in which they are looked for among mapped names."""


@dataclass(frozen=True)
class Columns:
    """Our names of columns: those that the recipe maps to a source's column, and those that a format makes of them."""

    mapping: dict[str, str]
    """Ours: theirs."""
    kind: str | None = None
    """The format, or None where every column is a source's own."""

    @classmethod
    def of(cls, mapped: dict[str, str]) -> Columns:
        """From `input.columns`. The format is the first whose names are all mapped; `text` is a source's column of that
        name unless it is mapped or the format gives it."""
        found = next((item for item in FORMATS if mapped.keys() >= set(item.required)), None)
        mapping = dict(mapped) if found is not None and "text" in found.gives else {"text": "text", **mapped}
        return cls(mapping, found.kind if found else None)

    @cached_property
    def format(self) -> Format | None:
        return next((item() for item in FORMATS if item.kind == self.kind), None)

    @property
    def conversation(self) -> bool:
        """Whether a row may hold several answers."""
        return self.format is not None and self.format.conversation

    @property
    def has_answers(self) -> bool:
        """Whether rows hold answers: an `output` by this name."""
        return self.format is not None

    @property
    def names(self) -> list[str]:
        """Everything that a stage may read."""
        return [*self.mapping, *(name for name in (self.format.gives if self.format else ()) if self.makes(name))]

    @property
    def parts(self) -> list[str]:
        """Mapped names that the format reads."""
        known = (*self.format.required, *self.format.optional) if self.format else ()
        return [name for name in known if name in self.mapping]

    def makes(self, name: str) -> bool:
        """Whether the format makes the column, rather than the source having it."""
        return (
            self.format is not None and name in self.format.gives and (name in self.parts or name not in self.mapping)
        )

    def sources(self, names: Iterable[str]) -> list[str]:
        """The source's columns that are read for some of ours, each once: always those of the format."""
        found = [*self.parts, *(name for name in names if not self.makes(name))]
        return list(dict.fromkeys(self.mapping[name] for name in found))

    def identity(self, name: str) -> Any:
        """What a column is made of, for fingerprints; None for one that there is not."""
        if not self.makes(name):
            return self.mapping.get(name)
        assert self.format is not None
        return [self.format.kind, self.format.version, [[part, self.mapping[part]] for part in self.parts]]

    def open(self, batch: pa.RecordBatch) -> Opened:
        """Columns of a batch that has the `sources` of what will be asked for."""
        return Opened(self, batch)


class Opened:
    """One batch of source rows, n of them, by our names."""

    def __init__(self, columns: Columns, batch: pa.RecordBatch) -> None:
        self.columns = columns
        self.batch = batch

    @cached_property
    def rows(self) -> FormatRows:
        """The rows in their format."""
        assert self.columns.format is not None
        return self.columns.format.read({name: self._valid(name)[0] for name in self.columns.parts})

    @property
    def faults(self) -> dict[int, str]:
        """By row, why the format cannot read it."""
        return self.rows.faults if self.columns.format is not None else {}

    @property
    def replaced(self) -> dict[int, int]:
        """By row, characters of the format's texts that were half a surrogate pair."""
        return self.rows.replaced if self.columns.format is not None else {}

    @cached_property
    def text(self) -> tuple[pa.Array, np.ndarray]:
        """`schemas.documents.TEXT` with null where a row has none, and where that is for want of UTF-8 (bool [n])."""
        if not self.columns.makes("text"):
            return self._valid("text")
        invalid = np.zeros(self.batch.num_rows, dtype=bool)
        for name in self.columns.parts:
            invalid |= self._valid(name)[1]
        return self.rows.column("text"), invalid

    @property
    def ids(self) -> pa.Array | None:
        """The user's own ids, or None where none are mapped."""
        return self.batch.column(self.columns.mapping["id"]) if "id" in self.columns.mapping else None

    def field(self, name: str, number: bool = False) -> pa.Array:
        """A column as a scorer is given it: `schemas.documents.TEXT` without nulls, or float64 for a `number`."""
        if self.columns.makes(name):
            return pc.fill_null(self.rows.column(name), "")
        column = self.batch.column(self.columns.mapping[name])
        if number and stringlike(column.type):  # digits that no number's type holds
            return pa.array([None if value is None else float(value) for value in column.to_pylist()], pa.float64())
        if number:  # unsafe: integers beyond 2^53 are rounded
            return column.cast(pa.float64(), safe=False)
        return pc.fill_null(id_names(column).cast(TEXT) if name == "id" else self._valid(name)[0], "")

    def _valid(self, name: str) -> tuple[pa.Array, np.ndarray]:
        column = self.batch.column(self.columns.mapping[name])
        return (column, np.zeros(len(column), dtype=bool)) if nested(column.type) else valid_text(column)
