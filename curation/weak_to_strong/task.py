"""The question that is asked about each row: the text that is read, and the classes that may be answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.sources.json_texts import as_json
from curation.sources.texts import nested, stringlike, valid_text
from curation.weak_to_strong.label_model import ABSTAIN
from schemas.documents import TEXT


@dataclass(frozen=True)
class Template:
    """A text with columns in it: `{name}` stands for one, `{{` and `}}` for braces."""

    pieces: tuple[tuple[str, str | None], ...]
    """Words, and the column that follows them, if any."""

    @classmethod
    def parse(cls, source: str) -> Template:
        """Raises ValueError for what is no template."""
        pieces = []
        for words, name, style, conversion in Formatter().parse(source):
            if style or conversion or (name is not None and not name.isidentifier()):
                raise ValueError(f"{{{name}}} is no column's name: write {{text}}, and {{{{ for a brace")
            pieces.append((words, name))
        return cls(tuple(pieces))

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for _, name in self.pieces if name is not None))

    def render(self, columns: Mapping[str, pa.Array], rows: int) -> pa.LargeStringArray:
        """The text of each row; `columns` hold `TEXT` without nulls."""
        parts = [part for words, name in self.pieces for part in (words, columns[name] if name else "") if part != ""]
        if not parts:
            return pa.array([""] * rows, TEXT)
        whole = [part if isinstance(part, pa.Array) else pa.repeat(pa.scalar(part, TEXT), rows) for part in parts]
        return whole[0] if len(whole) == 1 else pc.binary_join_element_wise(*whole, pa.scalar("", TEXT))


def as_text(column: pa.Array) -> pa.LargeStringArray:
    """Any column as `TEXT` without nulls: lists and structs as JSON, invalid UTF-8 and null empty."""
    if nested(column.type):
        column = as_json(column)
    elif not stringlike(column.type) and column.type != TEXT:
        column = column.cast(pa.string())
    return pc.fill_null(valid_text(column.cast(TEXT))[0], "")


def codes(column: pa.Array, classes: Sequence[str]) -> NDArray[np.int8]:
    """The class of each row, ABSTAIN where the column is null: from names of classes, places from 0, or booleans.

    Raises ValueError where a value is none of them.
    """
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    class_codes = np.full(len(column), ABSTAIN, np.int8)
    if pa.types.is_null(column.type):
        return class_codes
    if pa.types.is_boolean(column.type) and len(classes) == 2:
        return np.where(valid, pc.fill_null(column, False).to_numpy(zero_copy_only=False), ABSTAIN).astype(np.int8)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        number = pc.fill_null(column.cast(pa.float64(), safe=False), 0.0).to_numpy(zero_copy_only=False)
        good = (number == np.round(number)) & (number >= 0) & (number < len(classes))
        index = np.where(good, number, 0).astype(np.int8)
    elif stringlike(column.type):
        index = pc.index_in(column.cast(TEXT), pa.array(classes, TEXT))
        good = index.is_valid().to_numpy(zero_copy_only=False)
        index = pc.fill_null(index, 0).to_numpy(zero_copy_only=False).astype(np.int8)
    else:
        raise ValueError(f"the column is {column.type}, and names no classes")
    wrong = int((valid & ~good).sum())
    if wrong:
        raise ValueError(f"{wrong:,} rows name none of the classes {', '.join(classes)}")
    class_codes[valid] = index[valid]
    return class_codes
