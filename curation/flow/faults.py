"""What went wrong with a unit of work, as a value: in which words, and whose fault it is."""

from __future__ import annotations

import errno
import re
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from curation.plugins import kind_of
from curation.sources import AnyShard, Shard
from curation.store import StoreError

MACHINE = ("R005", "R006", "R007", "R008", "R010", "R011", "R017", "R019")
"""Codes of what a machine, a service or a model did: never an input's fault, whatever was being read."""
LIBRARIES = ("duckdb", "pyarrow", "zlib", "zstandard")
"""Whose exceptions name files, columns and types; all others' messages may hold a document's text."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"|`([^`]*)`")
_CUT = re.compile(r"(CSV parse error: .*?got \d+).*|(.*?\bInput: ).*")
_PLACE = re.compile(r" \(at [^\s:()]+:\d+\)| at [^\s:()]+\.p(?:y|yx|xi):\d+")
_LONGEST = 300
T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """Why a unit did not commit. `trace` is for `--verbose`; nothing here holds a document's text."""

    code: str
    message: str
    hint: str | None = None
    trace: str = ""
    shard: int | None = None
    """Index of the input at fault; None where none is."""
    more: tuple[Failure, ...] = ()
    """Of a unit of several inputs: those of the others that are at fault, too."""
    done: Any = None
    """Of such a unit: its value for those that are not at fault, whose work is committed."""


class WorkerLostError(Exception):
    """What was to score was lost, and no document is at fault: the unit is for another try."""


@dataclass(frozen=True)
class Outcome:
    """A unit's value, or its failure."""

    unit: Any
    value: Any = None
    failure: Failure | None = None


@contextmanager
def fault_of(shard: AnyShard) -> Iterator[None]:
    """Around what depends on one input's content: what is raised is that input's fault, but for a machine's. Of a
    bundle, whose it is cannot be said."""
    try:
        yield
    except (MemoryError, StoreError):
        raise
    except Exception as failure:
        machine = isinstance(failure, OSError) and failure.errno in FULL
        if isinstance(shard, Shard) and not machine and faulty(failure) is None:
            with suppress(AttributeError):
                failure.faulty_shard = shard.index  # type: ignore[attr-defined]
        raise


def faulty(failure: BaseException) -> int | None:
    """Index of the input whose fault an exception is."""
    return getattr(failure, "faulty_shard", None)


def faults_of(shard: AnyShard, reading: Iterator[T]) -> Iterator[T]:
    """What is read of an input, its failures being the input's."""
    with fault_of(shard):
        yield from reading


def system_failure(failure: OSError) -> Failure:
    """What the operating system refused."""
    if failure.errno in FULL:
        what = f"no space left while writing {failure.filename or 'to the workspace'}"
        return Failure("R005", what, "free some space and run again; what is committed stays", trace_of(failure))
    if isinstance(failure, StoreError):
        return Failure("R010", str(failure), failure.hint)
    lines = str(failure).splitlines() or [""]
    return Failure("R003", f"{type(failure).__name__}: {lines[0]}", None, trace_of(failure))


def unforeseen(failure: BaseException, doing: str, names: Collection[str], root: str = "") -> Failure:
    """An exception that nothing was made of: what was being done, what was raised, and what it said as far as that
    cannot be a document's text. `names`: of columns, stages and files, to be shown; also what lies below `root`."""
    if isinstance(failure, MemoryError):
        return Failure("R003", f"{doing}: not enough memory", "fewer --workers need less", trace_of(failure))
    own_words = said_by(failure, names, root)
    message = f"{doing}: {kind_of(failure)}{': ' + own_words if own_words else ''}"
    return Failure("R003", f"{message} ({place_of(failure)})", "see --verbose", trace_of(failure))


def said_by(failure: BaseException, names: Collection[str] = (), root: str = "") -> str:
    """A library's message in one line, what is quoted in it left out unless it is one of `names` or lies below `root`.
    Empty where it may be text all the same."""
    if type(failure).__module__.split(".")[0] not in LIBRARIES:
        return ""
    line = (str(failure).strip().splitlines() or [""])[0]
    line = _CUT.sub(lambda match: match[1] or f"{match[2]}…", line)

    def is_a_name(quoted: str) -> bool:
        return quoted in names or (bool(root) and quoted.startswith(root))

    quoted = [next(filter(None, match.groups()), "") for match in _QUOTED.finditer(line)]
    rest = _QUOTED.sub("", line)
    if not all(map(is_a_name, quoted)) or any(mark in rest for mark in "'\"`"):
        first = min(line.find(mark) for mark in "'\"`" if mark in line)
        last = max(line.rfind(mark) for mark in "'\"`")
        line = f"{line[: first + 1]}…{line[last:] if last > first else ''}"
    return line[:_LONGEST].rstrip(". ")


def place_of(failure: BaseException) -> str:
    """Where in the code an exception was raised: for whoever mends that, and not to be stored."""
    frames = traceback.extract_tb(failure.__traceback__)
    return f"at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def to_be_stored(message: str) -> str:
    """A message without places in the code, which are other ones in another version of it."""
    return _PLACE.sub("", message)


def trace_of(failure: BaseException | None) -> str:
    """Frames of an exception and of what caused it, without their messages: those may hold a document's text."""
    parts: list[str] = []
    while failure is not None:
        parts.append(f"{''.join(traceback.format_tb(failure.__traceback__))}{type(failure).__name__}\n")
        failure = failure.__cause__ or (None if failure.__suppress_context__ else failure.__context__)
    return "\ncaused by:\n".join(parts)
