"""How far a unit of work is, counted by the code that does it while it does it.

One object a unit, of plain numbers, which whoever shows them reads when they like. Counting costs an addition for each
batch, or each pass of a model; it waits for nobody, and no score or decision reads it. Where nobody counts, as in a
scorer that is called alone, nothing happens.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


class StoppedError(Exception):
    """The unit is to end without a commit: its run was interrupted, and the time to drain is over."""


@dataclass
class UnitProgress:
    """Counts of one unit. Written by the thread that performs it; other threads may read."""

    to_score: int = 0
    """Documents that lack a score of the pass."""
    through: int = 0
    """Of these, those that have been through all of it."""
    kept: int = 0
    """Of those that have been through, those that its gates let pass."""
    part: float = 0.0
    """Documents' worth of work on the batch at hand, beside what `fraction` says."""
    weight: float = 0.0
    """Documents' worth of the step that works now."""
    fraction: float = 0.0
    """How much of that step is done."""
    tokens: int = 0
    """That models have read, without padding."""
    step: str = ""
    compiling: int = 0
    """Kernels that this thread is compiling, one within the other."""
    loading: bool = False
    """Whether the step opens its model, before the first document."""
    stopped: bool = False
    """Set by whoever wants the unit to end: `StoppedError` is raised where it counts next."""
    changed: Callable[[UnitProgress], None] = field(default=lambda counts: None, repr=False)
    """Called by the thread that performs the unit whenever it has counted something."""
    _expected: int = 0
    _read: int = 0

    @property
    def scored(self) -> float:
        """Documents done, those under way in part."""
        return self.through + self.part + self.weight * self.fraction

    def counted(self) -> None:
        if self.stopped:
            raise StoppedError
        self.changed(self)


_local = threading.local()


def current() -> UnitProgress | None:
    """Of the unit that this thread performs."""
    return getattr(_local, "counts", None)


@contextmanager
def counting(counts: UnitProgress) -> Iterator[None]:
    """Within, this thread performs the unit of these counts."""
    before, _local.counts = current(), counts
    try:
        yield
    finally:
        _local.counts = before


@contextmanager
def working(step: str, weight: float) -> Iterator[None]:
    """Around a step's work on a batch, which is worth so many documents."""
    counts = current()
    if counts is None:
        yield
        return
    counts.step, counts.weight, counts.fraction = step, weight, 0.0
    counts._expected = counts._read = 0
    counts.counted()
    try:
        yield
    finally:
        counts.step, counts.weight, counts.fraction = "", 0.0, 0.0


@contextmanager
def loading() -> Iterator[None]:
    """Around opening what the step needs."""
    counts = current()
    if counts is None:
        yield
        return
    counts.loading = True
    counts.changed(counts)
    try:
        yield
    finally:
        counts.loading = False


def documents(done: int, of: int) -> None:
    """The step has done so many documents of its batch."""
    counts = current()
    if counts is not None:
        counts.fraction = done / max(of, 1)
        counts.counted()


def expect(tokens: int) -> None:
    """A model is about to read so many tokens of the step's batch."""
    counts = current()
    if counts is not None:
        counts._expected += tokens


def read(tokens: int) -> None:
    """It has read so many of them."""
    counts = current()
    if counts is not None:
        counts.tokens += tokens
        counts._read += tokens
        # what it will read of the batch after this it has not said yet
        counts.fraction = max(counts.fraction, min(counts._read / max(counts._expected, 1), 1.0))
        counts.counted()


def listen_to_numba() -> None:
    """Have numba say when it compiles: with a full cache it only loads, and nothing else tells the two apart."""
    from numba.core import event

    class Compiling(event.Listener):  # type: ignore[misc]
        def on_start(self, event: Any) -> None:
            _count_compilers(1)

        def on_end(self, event: Any) -> None:
            _count_compilers(-1)

    event.register("numba:compile", Compiling())


def _count_compilers(change: int) -> None:
    counts = current()
    if counts is not None:
        counts.compiling += change  # a kernel's parts are compiled within it
        counts.changed(counts)
