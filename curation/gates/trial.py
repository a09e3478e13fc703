"""Trying expressions on a few rows, in a process of its own where they could take any amount of memory.

DuckDB's own limit of memory does not hold for what one function makes of one row (`range(1000000000)`), and its
interrupt is not heard until that function is done; so what may do so is tried where the system sets the limits.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import duckdb
import pyarrow as pa

from curation.gates.database import MEMORY, SECONDS, connect, exceeded, first_line, limit, suggestion
from schemas.errors import Finding

BATCH = "gate batch"
"""Names with a space, which no stage can have: a stage called `batch` must not hide behind the table's name."""
COPIES = 256
"""Documents that are evaluated together where each may take much."""
_START_SECONDS = 60.0
"""That an interpreter may take to start on a busy machine."""


@dataclass(frozen=True)
class Fault:
    """One expression that failed."""

    expression: int
    stage: str
    """`bind` (no row), `null` (a row of nulls), `typical`, or `ordered` (its variant with >, on no row)."""
    error: str
    """Name of DuckDB's exception."""
    message: str
    hint: str | None


@dataclass(frozen=True)
class Report:
    """What became of n expressions."""

    types: list[str]
    """DuckDB's, of each; empty where it does not bind."""
    nulls: list[bool]
    """Whether each gives NULL for the row of nulls."""
    faults: list[Fault]
    """At most one for each expression."""


def attempt(
    connection: duckdb.DuckDBPyConnection,
    expressions: Sequence[str],
    ordered: Sequence[str | None],
    table: pa.Table,
    copies: int = 1,
) -> Report:
    """Evaluate on no row, on the first one, of nulls, and on `copies` of each of the others, which are typical."""
    types, nulls = [""] * len(expressions), [True] * len(expressions)
    rows = [("bind", table.slice(0, 0)), ("null", table.slice(0, 1))]
    if copies == 1:
        rows.append(("typical", table.slice(1)))
    else:  # one after another, so that no failing cast hides what the next would take
        rows += [("typical", table.take(pa.array([row] * copies))) for row in range(1, table.num_rows)]
    faults: dict[int, Fault] = {}
    for stage, some in rows:
        numbers = [n for n in range(len(expressions)) if n not in faults or faults[n].stage == stage == "typical"]
        done = _each(connection, [expressions[number] for number in numbers], some)
        for number, outcome in zip(numbers, done, strict=True):
            if isinstance(outcome, Exception):
                faults.setdefault(number, _fault(number, stage, outcome))
            elif stage == "bind":
                types[number] = outcome[0]
            elif stage == "null":
                nulls[number] = outcome[1]
    sound = [number for number in range(len(expressions)) if number not in faults or faults[number].stage == "typical"]
    variants = {number: ordered[number] for number in sound if ordered and ordered[number] is not None}
    done = _each(connection, [str(variant) for variant in variants.values()], table.slice(0, 0))
    for number, outcome in zip(variants, done, strict=True):
        if isinstance(outcome, Exception):
            faults[number] = _fault(number, "ordered", outcome)
    return Report(types, nulls, list(faults.values()))


def _fault(number: int, stage: str, error: Exception) -> Fault:
    return Fault(number, stage, type(error).__name__, " ".join(first_line(error).split()), suggestion(error))


_Outcome = tuple[str, bool] | Exception
"""Type of an expression and whether it is NULL for all rows, or why it cannot be computed."""


def _each(connection: duckdb.DuckDBPyConnection, expressions: list[str], rows: pa.Table) -> list[_Outcome]:
    """All at once; one after another where some fail."""
    if not expressions:
        return []
    connection.register(BATCH, rows)
    try:
        columns = ", ".join(f"({expression}) AS value{number}" for number, expression in enumerate(expressions))
        done = connection.sql(f'SELECT {columns} FROM "{BATCH}"')
        values = done.to_arrow_table()
        kinds = [str(kind) for kind in done.types]
        return [(kind, column.null_count == len(column)) for kind, column in zip(kinds, values.columns, strict=True)]
    except (duckdb.OutOfMemoryException, duckdb.InterruptException):
        raise
    except (duckdb.Error, UnicodeError) as error:
        if len(expressions) == 1:
            return [error]
    finally:
        connection.unregister(BATCH)
    return [_each(connection, [expression], rows)[0] for expression in expressions]


def attempt_apart(expressions: Sequence[str], ordered: Sequence[str | None], table: pa.Table) -> Report | Finding:
    """`attempt` in another process, within the limits of memory and time; the finding C057 beyond them."""
    seconds, memory = limit(SECONDS), limit(MEMORY)
    asked = {"expressions": list(expressions), "ordered": list(ordered), "seconds": seconds, "memory": memory}
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema.with_metadata({"asked": json.dumps(asked)})) as writer:
        writer.write_table(table.replace_schema_metadata({"asked": json.dumps(asked)}))
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", "from curation.gates.trial import answer; answer()"],
            input=sink.getvalue().to_pybytes(),
            capture_output=True,
            timeout=_START_SECONDS + seconds,
            env={**os.environ, "PYTHONPATH": paths, **_PLAIN},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return exceeded("gate", f"{seconds:g} s for some documents")
    try:
        answer = json.loads(done.stdout)
    except ValueError:  # the system has ended it
        if done.returncode > 0 and b"MemoryError" not in done.stderr:  # it could not begin: nothing of the gate's
            why = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise RuntimeError(f"the process that tries gates ended with {done.returncode}: {why}") from None
        late = done.returncode < 0 and -done.returncode in _TIME_SIGNALS
        return exceeded("gate", f"{seconds:g} s for some documents" if late else _memory(memory))
    if answer is None:
        return exceeded("gate", _memory(memory))
    faults = [Fault(**fault) for fault in answer["faults"]]
    if any("allocat" in fault.message.casefold() for fault in faults):
        return exceeded("gate", _memory(memory))
    return Report(answer["types"], answer["nulls"], faults)


def _memory(memory: float) -> str:
    return f"{memory:g} MB of memory for some documents"


_PLAIN = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OPENBLAS_NUM_THREADS": "1"}
"""No pool that reserves more than it uses: what is reserved counts."""
_TIME_SIGNALS = (24, 9)
"""SIGXCPU, and the SIGKILL that follows."""


def answer() -> None:
    """The other process: reads what `attempt_apart` sends, prints the report, or null where memory ran out."""
    table = pa.ipc.open_stream(sys.stdin.buffer).read_all()
    asked = json.loads(table.schema.metadata[b"asked"])
    os.environ[MEMORY] = str(asked["memory"])
    connection = connect()
    _confine(asked["memory"] * 2**20, asked["seconds"])
    try:
        rows = table.replace_schema_metadata(None)
        report = attempt(connection, asked["expressions"], asked["ordered"], rows, COPIES)
        reply = json.dumps(asdict(report))
    except (duckdb.OutOfMemoryException, MemoryError):
        reply = "null"
    sys.stdout.buffer.write(reply.encode())  # a pipe to the process that asked
    sys.stdout.buffer.flush()
    os._exit(0)  # nothing that takes memory or time to take apart


def _confine(size: float, seconds: float) -> None:
    """Let this process have `size` more bytes of memory, and `seconds` of processor time."""
    import resource  # not on every system, where no limits are set

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open("/proc/self/statm", "rb") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (int(now + size),) * 2)
    except (OSError, ValueError):  # no such limits here: time is limited still
        pass
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 2))
