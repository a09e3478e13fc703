"""Stable codes of all that can be wrong with a recipe, its inputs or a workspace. Explained in docs/errors.md."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

CODES = {
    "C001": "recipe not readable",
    "C002": "recipe is not valid YAML",
    "C003": "unknown key",
    "C004": "wrong type or value",
    "C005": "missing key",
    "C006": "unknown stage kind",
    "C007": "two stages with one id",
    "C008": "reserved or invalid stage id",
    "C009": "gate does not parse",
    "C010": "gate reads an unknown column",
    "C011": "gate is not one scalar, deterministic condition",
    "C012": "stage settings refused",
    "C013": "model refused",
    "C014": "selection reads an unknown column",
    "C020": "no input file",
    "C021": "input column missing",
    "C022": "input column of an unusable type",
    "C023": "input schemas cannot be reconciled",
    "C024": "input file listed twice",
    "C025": "unknown output column",
    "C030": "workspace not usable",
    "C031": "workspace of a newer format",
    "C032": "no such run, stage, document or profile",
    "C033": "query refused",
    "C034": "query failed",
    "C035": "executor not available",
    "C036": "scores of another class of hardware",
    "C037": "folder in use",
    "C038": "examples not usable",
    "C039": "nothing to edit",
    "C040": "not exportable",
    "C041": "audit refused",
    "C042": "URL not usable",
    "C043": "no room on the cluster",
    "C044": "node not fit for the run",
    "C045": "jobs server not usable",
    "C046": "job not submitted, or not found",
    "C047": "package hidden by another module",
    "C048": "record of the workspace damaged",
    "C049": "dataset damaged",
    "C050": "input is our own output",
    "C051": "path not usable",
    "C054": "code of a plugin not usable",
    "C055": "module would hide another",
    "C056": "gate that fails or holds for no document",
    "C057": "limit of time or memory exceeded",
    "C058": "output name with two meanings",
    "C061": "Ray is in use in this process",
    "C062": "file never sent",
    "C063": "request refused",
    "C064": "page cannot be served",
    "R001": "file unreadable",
    "R002": "source file changed",
    "R003": "stage failed",
    "R004": "error budget exceeded",
    "R005": "no space left",
    "R006": "worker lost",
    "R007": "model out of memory",
    "R008": "endpoint not answering",
    "R009": "supervisors not usable together",
    "R010": "object store not answering, or refusing",
    "R011": "data of the workspace damaged",
    "R016": "fault of the engine itself",
    "R017": "not what was planned",
    "R019": "stage ends its process",
}
"""C: refused before anything was written (exit code 2). R: found while running (exit code 1)."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, where, and what to do about it."""

    code: str
    message: str
    hint: str | None = None
    file: str | None = None
    line: int | None = None
    """1-based."""
    excerpt: str | None = None
    """The source line as written; a second line may hold carets."""


class CurationError(Exception):
    """Something that the user can act on: carries all findings at once, never a row's text."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(f"{finding.code}: {finding.message}" for finding in findings))
        self.findings = findings

    def __reduce__(self) -> tuple[type[CurationError], tuple[Finding, ...]]:
        return (type(self), self.findings)


class Refusal(ValueError):  # noqa: N818 - it is no fault of the code's
    """Something given that cannot be used, below where findings are made: one line, and what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}"


def command(words: str, workspace: object) -> str:
    """A command over a workspace as it can be pasted into a shell, for a hint."""
    return f"curate {words} -w {shlex.quote(str(workspace))}"


def advice(failure: BaseException) -> tuple[str, str | None]:
    """An exception's message in one line, and its hint: of a Refusal, or of any exception that has a `hint`."""
    message = failure.message if isinstance(failure, Refusal) else str(failure)
    return " ".join(message.split()) or type(failure).__name__, getattr(failure, "hint", None) or None
