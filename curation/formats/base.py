"""What a format of instruction data is: which mapped columns make it, and which columns it gives to stages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import pyarrow as pa

from curation.formats.turns import Turns

PARAGRAPH = "\n\n"
"""Stands between the messages of a conversation where they are read as one text."""


class FormatRows(ABC):
    """Some rows in a format. Columns are made when they are asked for."""

    faults: dict[int, str]
    """By row, why it could not be read; its columns are empty."""
    replaced: dict[int, int]
    """By row, characters that were half a surrogate pair and are U+FFFD now."""

    @abstractmethod
    def column(self, name: str) -> pa.Array:
        """One of the format's `gives`, `schemas.documents.TEXT`, null where the row holds nothing at all."""

    @abstractmethod
    def conversation(self) -> Turns:
        """The messages of each row, [n]; of two answers the chosen one's."""


class Format(ABC):
    """A way in which rows hold questions and answers."""

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised whenever the same row would give other columns; part of the fingerprint of what reads them."""
    required: ClassVar[tuple[str, ...]]
    """Names under `input.columns` by which the format is known."""
    optional: ClassVar[tuple[str, ...]] = ()
    gives: ClassVar[tuple[str, ...]]
    """Columns that stages can read beside those that are mapped."""
    conversation: ClassVar[bool] = False
    """Whether a row may hold more than one answer, so that answers are scored one by one."""

    @abstractmethod
    def read(self, columns: dict[str, pa.Array]) -> FormatRows:
        """Open rows. `columns` has what is mapped of `required` and `optional`: texts, or lists of objects."""
