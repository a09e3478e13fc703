"""A fault of the engine itself: what can be told of it, in a file that can be sent to those who mend it."""

from __future__ import annotations

import os
import platform
import tempfile
from importlib import metadata

from curation.credentials import masked
from curation.flow.faults import place_of, said_by, trace_of
from curation.plugins import kind_of
from curation.registry import blames
from pipelines.cli.render import tell_text
from schemas.errors import Finding

VERSIONS = ("curation-engine", "pyarrow", "duckdb", "numpy", "numba", "ray", "torch", "transformers", "typer")


def finding(failure: BaseException, arguments: list[str]) -> Finding:
    """What is said of an exception that nobody foresaw; the rest is in a file, without any document's text."""
    if isinstance(failure, MemoryError):
        return Finding("R003", "not enough memory", "fewer --workers need less")
    message = said_by(failure)
    what = f"{kind_of(failure)}{': ' + message if message else ''} {place_of(failure)}".rstrip()
    if blames(failure):
        return Finding("C054", f"code of a plugin failed: {what}", "mend it, or ask those who made it")
    file = _written(failure, what, arguments)
    where = f"please send us {file}" if file else "please send us the lines above"
    return Finding("R016", f"the engine failed where it should not: {what}", f"{where}; it holds no text of documents")


def _written(failure: BaseException, what: str, arguments: list[str]) -> str | None:
    lines = [
        what,
        "curate " + " ".join(map(masked, arguments)),
        f"Python {platform.python_version()} on {platform.platform()}",
        *(f"{name} {_version(name)}" for name in VERSIONS),
        "",
        trace_of(failure),
    ]
    text = "\n".join(lines)
    try:
        handle, name = tempfile.mkstemp(prefix="curate-fault-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError:
        tell_text(text)
        return None
    return name


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"
