"""A scorer of single answers on one side of preference pairs: the chosen answers, or the rejected ones."""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa

from curation.scorers.base import Scorer
from curation.scorers.wrapper import Wrapper
from schemas.documents import TEXT

Name = Literal["chosen", "rejected"]
VERSION = 1
_OF_A_SIDE = {"output": "{}", "text": "{}_text", "messages": "{}_messages"}
_OF_BOTH = {"instruction": "prompt"}
_BLANK = ("input",)
"""Columns that pairs do not have."""


class Side(Wrapper):
    """What the scorer says of one side's answers (`curation.formats.preference`).

    It reads `chosen` or `rejected` as `output`, `SIDE_text` as `text`, `SIDE_messages` as `messages`, `prompt` as
    `instruction`, nothing as `input`, and every other column as it is. Both sides of one scorer share its model.

    Raises ValueError for a scorer that requires others, or reads no answer.
    """

    def __init__(self, inner: Scorer, side: Name) -> None:
        super().__init__(inner)
        if inner.requires():
            raise ValueError(f"{inner.kind} cannot score the sides of a pair one by one")
        if not _OF_A_SIDE.keys() & set(inner.reads):
            raise ValueError(f"{inner.kind} reads {', '.join(inner.reads)}: neither output, nor text, nor messages")
        self._source = {
            name: _OF_A_SIDE.get(name, _OF_BOTH.get(name, name)).format(side)
            for name in inner.reads
            if name not in _BLANK
        }
        self.reads = tuple(dict.fromkeys(self._source.values()))

    def identity(self) -> dict[str, Any]:
        return {**self.inner.identity(), "side": VERSION}

    def prepare(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = {
            name: batch.column(self._source[name]) if name in self._source else _nothing(batch.num_rows)
            for name in self.inner.reads
        }
        return self.inner.prepare(pa.RecordBatch.from_pydict(columns))


def _nothing(rows: int) -> pa.Array:
    return pa.repeat(pa.scalar("", TEXT), rows)
