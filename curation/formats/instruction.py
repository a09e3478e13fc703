"""Columns `instruction`, `input` and `output`, as in Alpaca's and Dolly's data; `system` where there is one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.formats.base import PARAGRAPH, Format, FormatRows
from curation.formats.turns import ASSISTANT, SYSTEM, TOOL, USER, Turns, exchange, side_by_side
from schemas.documents import TEXT


class Instruction(Format):
    """One question, one answer.

    Gives `prompt` (instruction, newline, input), `text` (system, prompt and output as paragraphs), `messages` (JSON),
    and `input` as "" where none is mapped.
    """

    kind = "instruction"
    required = ("instruction", "output")
    optional = ("input", "system")
    gives = ("text", "prompt", "input", "system", "messages")

    def read(self, columns: dict[str, pa.Array]) -> FormatRows:
        return _Pairs(columns)


class _Pairs(FormatRows):
    def __init__(self, columns: dict[str, pa.Array]) -> None:
        self.columns = columns
        self.faults = {}
        self.replaced = {}

    def column(self, name: str) -> pa.Array:
        if name == "prompt":
            return self._joined({USER: self._raw("instruction"), TOOL: self._raw("input")}, "\n")
        if name == "text":
            columns = {SYSTEM: self._raw("system"), USER: self.column("prompt"), ASSISTANT: self._raw("output")}
            return self._joined(columns, PARAGRAPH)
        if name == "messages":
            return self.conversation().json()
        return pc.fill_null(self._raw(name), "")

    def conversation(self) -> Turns:
        return exchange(self.column("prompt"), self._raw("output"), self._raw("system"))

    def _joined(self, columns: dict[int, pa.Array], separator: str) -> pa.Array:
        """Row by row, blank ones left out; null where all are null."""
        there = np.any([column.is_valid().to_numpy(zero_copy_only=False) for column in columns.values()], axis=0)
        return pc.if_else(pa.array(there), side_by_side(columns).joined(separator), None)

    def _raw(self, name: str) -> pa.Array:
        rows = len(self.columns["output"])
        return self.columns[name] if name in self.columns else pa.nulls(rows, TEXT)
