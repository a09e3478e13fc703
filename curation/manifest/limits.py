"""How much time and memory a user's query may take, its result included; and that it can be stopped at any moment."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import duckdb

from schemas.errors import CurationError, Finding

MEMORY, SECONDS = "CURATION_SQL_MEMORY", "CURATION_SQL_SECONDS"
T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """Of one query."""

    memory: float = 2048.0
    """MB: of DuckDB, and of a result that is wanted whole."""
    seconds: float = 600.0

    @classmethod
    def of(cls, memory: float | None = None, seconds: float | None = None) -> Limits:
        """As given, else by environment variables, else the defaults. Raises C004 for what is no positive number."""
        return cls(
            memory if memory is not None else _setting(MEMORY, cls.memory),
            seconds if seconds is not None else _setting(SECONDS, cls.seconds),
        )

    def exceeded(self, what: str) -> CurationError:
        hint = (
            "ask for less with LIMIT or an aggregate, print it as it comes with -f jsonl or -f csv, or allow more with"
        )
        return CurationError(Finding("C057", what, f"{hint} --memory (MB) and --timeout (seconds)"))

    @property
    def too_large(self) -> CurationError:
        return self.exceeded(f"the query or its result takes more than {self.memory:g} MB of memory")


def _setting(name: str, default: float) -> float:
    given = os.environ.get(name, "").strip()
    try:
        number = float(given) if given else default
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        message = f"environment variable {name}: expected a number > 0, got '{given}'"
        raise CurationError(Finding("C004", message, f"leave it out for {default:g}"))
    return number


class Watch:
    """Runs the steps of one query, each in a thread of its own: DuckDB hears no signal while Arrow waits for it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, limits: Limits) -> None:
        self.connection = connection
        self.limits = limits
        self._end = time.monotonic() + limits.seconds

    def run(self, step: Callable[[], T]) -> T:
        """The step's result, or what it raises. Raises C057 at the end of the time, and KeyboardInterrupt at once."""
        done: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

        def work() -> None:
            try:
                done.put((step(), None))
            except BaseException as failure:
                done.put((None, failure))

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            value, failure = done.get(timeout=max(0.001, self._end - time.monotonic()))
        except queue.Empty:
            self._stop(done)
            raise self.limits.exceeded(f"the query takes more than {self.limits.seconds:g} s") from None
        except KeyboardInterrupt:
            self._stop(done)
            raise
        thread.join()  # one that is still letting go of results would end the process as Python itself ends
        if isinstance(failure, duckdb.OutOfMemoryException | MemoryError):
            raise self.limits.too_large from None
        if failure is not None:
            raise failure
        return value  # type: ignore[return-value]

    def _stop(self, done: queue.SimpleQueue[Any]) -> None:
        for _ in range(20):  # what is at work on one row hears nothing, and is left behind
            self.connection.interrupt()  # forgotten where it comes before the query has begun
            with suppress(queue.Empty, KeyboardInterrupt):
                done.get(timeout=0.1)
                return


@contextmanager
def confined(limits: Limits) -> Iterator[None]:
    """This process gets no more memory than it has, the query's, and as much again: DuckDB's own limit does not hold
    for what one function makes of one row. For a process that does nothing else; without effect where the system has no
    such limits.
    """
    try:
        import resource

        with open("/proc/self/statm", "rb") as file:
            now = int(file.read().split()[5]) * resource.getpagesize()
        before = resource.getrlimit(resource.RLIMIT_DATA)
        size = now + int(2 * limits.memory * 2**20)
        most = size if before[1] == resource.RLIM_INFINITY else min(size, before[1])
        resource.setrlimit(resource.RLIMIT_DATA, (most, before[1]))
    except (ImportError, OSError, ValueError):
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
