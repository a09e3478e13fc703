"""The DuckDB that gates are read and evaluated with, and the time and memory that it may take."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from schemas.errors import CurationError, Finding

MEMORY, SECONDS = "CURATION_GATE_MEMORY", "CURATION_GATE_SECONDS"
"""Environment variables: MB that the evaluation of a gate may take, and seconds for each `ROWS` documents."""
DEFAULTS = {MEMORY: 1024.0, SECONDS: 10.0}
ROWS = 10_000

AGAIN = 0.01
"""Seconds between interrupts: DuckDB forgets one that comes before it has begun a query, or between two."""
_local = threading.local()


def limit(name: str) -> float:
    """MEMORY in MB, or SECONDS. Raises CurationError C004 for a setting that is no positive number."""
    given = os.environ.get(name, "").strip()
    try:
        number = float(given) if given else DEFAULTS[name]
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        message = f"environment variable {name}: expected a number > 0, got '{given}'"
        raise CurationError(Finding("C004", message, f"leave it out for {DEFAULTS[name]:g}"))
    return number


def connect() -> duckdb.DuckDBPyConnection:
    """This thread's own in-memory DuckDB: one thread, UTC, no extensions, no files."""
    connection = getattr(_local, "connection", None)
    if connection is None:
        memory = f"{int(limit(MEMORY))}MB"
        connection = duckdb.connect(":memory:", config={"threads": 1, "memory_limit": memory})
        for statement in (
            "SET TimeZone = 'UTC'",
            "SET autoinstall_known_extensions = false",
            "SET autoload_known_extensions = false",
            "SET python_enable_replacements = false",
            "SET temp_directory = ''",
            # It hoists `x::int` out of CASE and TRY when the expression occurs twice, and the batch fails again.
            "SET disabled_optimizers = 'common_subexpressions'",
            "SET enable_external_access = false",
            "SET lock_configuration = true",
        ):
            connection.execute(statement).fetchall()
        _local.connection = connection
    return connection


@contextmanager
def limited(what: str, rows: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """`connect`, interrupted after the time for `rows` documents. Raises CurationError C057 beyond time or memory.

    It is never a fact about one document: how far a slow machine came must not decide what is kept.
    """
    connection = connect()
    seconds = limit(SECONDS) * max(1.0, rows / ROWS)
    late, done, one = threading.Event(), threading.Event(), threading.Lock()

    def stop() -> None:
        late.set()
        while not done.wait(AGAIN):
            with one:
                if not done.is_set():
                    connection.interrupt()

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield connection
    except duckdb.OutOfMemoryException:
        raise CurationError(exceeded(what, f"{limit(MEMORY):g} MB of memory")) from None
    except (duckdb.InterruptException, RuntimeError):
        if not late.is_set():
            raise
        raise CurationError(exceeded(what, f"{seconds:g} s")) from None
    finally:
        with one:  # no interrupt reaches what this thread asks next
            done.set()
        timer.cancel()


def exceeded(what: str, bound: str) -> Finding:
    """What takes more than its limit."""
    hint = f"let it do less for a document, or allow more with {MEMORY} (in MB) and {SECONDS}"
    return Finding("C057", f"{what} takes more than {bound}", hint)


def fetch(sql: str, parameters: list[Any]) -> Any:
    return connect().execute(sql, parameters).fetchall()[0][0]


def fetch_all(sql: str) -> list[tuple[Any, ...]]:
    return connect().execute(sql).fetchall()


def first_line(error: Exception) -> str:
    """DuckDB's message without its class and excerpt."""
    line = str(error).strip().split("\n")[0]
    return line.split(": ", 1)[-1]


def suggestion(error: Exception) -> str | None:
    for line in str(error).split("\n")[1:]:
        hint = line.strip()
        # A heading of functions by the types they take, below it, is of no use without them.
        if hint.startswith(("Did you mean", "Candidate")) and not hint.endswith(":"):
            return hint
    return None


def quoted(name: str, quote: str = '"') -> str:
    return f"{quote}{name.replace(quote, quote * 2)}{quote}"
