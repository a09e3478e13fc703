"""Labelling functions: regular expressions and SQL conditions, each of which votes for a class or abstains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.gates import Gate, GateError, values
from curation.weak_to_strong.label_model import ABSTAIN
from curation.weak_to_strong.supervisors.base import Fixed, TaskRows, Votes
from curation.weak_to_strong.task import as_text, codes
from schemas.errors import CurationError, Finding
from schemas.weak_to_strong import Function, Functions


class FunctionsSupervisor(Fixed):
    """Functions of a row, each a voter `id.name` of its own.

    SQL is held to what a gate may be, one scalar, deterministic expression, over mapped columns by their names and the
    task's text as `text` where none is mapped to that. Raises CurationError for what cannot be read.
    """

    kind = "functions"

    def __init__(self, name: str, settings: Functions, classes: tuple[str, ...], base: Path) -> None:
        super().__init__(name, settings, classes, base)
        findings: list[Finding] = []
        self._sql: dict[str, Gate] = {}
        for function in settings.functions:
            try:
                if function.label is not None and function.label not in classes:
                    raise ValueError(f"votes for {function.label!r}, which is no class")
                if function.sql is not None:
                    self._sql[function.name] = Gate.parse(function.sql)
                    self._sql[function.name].check_constants()
                else:
                    pc.match_substring_regex(pa.array([""]), function.regex)
            except GateError as failure:
                findings += [
                    Finding(found.code, f"function '{function.name}': {_without_gate(found.message)}", found.hint)
                    for found in failure.findings
                ]
            except (ValueError, pa.ArrowException) as failure:
                line = str(failure).strip().splitlines()[0]
                findings.append(Finding("C012", f"function '{function.name}': {line}"))
        if findings:
            raise CurationError(*findings)
        read = [column for gate in self._sql.values() for column in gate.columns]
        self.reads = tuple(dict.fromkeys([*read, *(f.column for f in settings.functions if f.column is not None)]))

    @property
    def voters(self) -> Sequence[str]:
        return [f"{self.name}.{function.name}" for function in self.settings.functions]

    def vote(self, rows: TaskRows) -> Votes:
        return Votes(np.stack([self._votes(function, rows) for function in self.settings.functions], axis=1))

    def _votes(self, function: Function, rows: TaskRows) -> NDArray[np.int8]:
        if function.regex is not None:
            text = rows.text if function.column is None else as_text(rows.column(function.column))
            return self._where(function, pc.match_substring_regex(text, function.regex))
        columns = rows.columns
        if "text" not in columns.column_names:
            columns = columns.append_column("text", rows.text)
        try:
            answers = values(self._sql[function.name], columns).combine_chunks()
        except duckdb.Error as failure:  # its message may hold a row's text
            raise ValueError(f"function '{function.name}': {type(failure).__name__}") from None
        if function.label is None:
            return codes(answers, self.classes)
        if not pa.types.is_boolean(answers.type):
            raise ValueError(f"function '{function.name}': a {answers.type}, not a condition")
        return self._where(function, pc.fill_null(answers, False))

    def _where(self, function: Function, holds: pa.BooleanArray) -> NDArray[np.int8]:
        place = self.classes.index(str(function.label))
        return np.where(holds.to_numpy(zero_copy_only=False), place, ABSTAIN).astype(np.int8)


def _without_gate(message: str) -> str:
    return message.replace("gate is ", "it is ").replace("gate ", "it ", 1)
