"""What a model did and how busy it was: counted where the passes are, shown for each actor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from time import perf_counter


@dataclass(frozen=True)
class Reading:
    """A meter's totals since its model was opened. Differences of two readings are readings."""

    documents: int = 0
    tokens: int = 0
    """Real ones."""
    slots: int = 0
    """Places for tokens in all passes: with padding."""
    flops: float = 0.0
    """Operations that the real tokens need, by the model's formula: padding earns nothing."""
    busy: float = 0.0
    """Seconds in which passes ran."""
    wall: float = 0.0
    """Seconds from the first document's arrival to the last one's result."""

    def since(self, earlier: Reading) -> Reading:
        """What was added after `earlier`."""
        return Reading(*(getattr(self, name) - getattr(earlier, name) for name in self.__dataclass_fields__))

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.wall if self.wall else 0.0

    @property
    def padding(self) -> float:
        """Share of places that held no real token."""
        return 1 - self.tokens / self.slots if self.slots else 0.0

    @property
    def busy_share(self) -> float:
        return min(self.busy / self.wall, 1.0) if self.wall else 0.0

    def utilisation(self, peak: float | None) -> float | None:
        """Model FLOP utilisation while busy: needed operations a second, of `peak`. None where that is not known."""
        return None if peak is None or not self.busy else self.flops / self.busy / peak


class Meter:
    """Counts one model's passes; `reading` may be asked for by another thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._total = Reading()
        self._began: float | None = None
        self._wall = 0.0

    def add(self, documents: int, tokens: int, slots: int, flops: float) -> None:
        with self._lock:
            had = self._total
            self._total = Reading(
                had.documents + documents, had.tokens + tokens, had.slots + slots, had.flops + flops, had.busy, had.wall
            )

    @contextmanager
    def working(self) -> Iterator[None]:
        """Around everything that a call has the device do."""
        began = perf_counter()
        if self._began is None:
            self._began = began
        try:
            yield
        finally:
            ended = perf_counter()
            with self._lock:
                had = self._total
                wall = self._wall + ended - self._began
                self._total = Reading(had.documents, had.tokens, had.slots, had.flops, had.busy + ended - began, wall)

    def reading(self) -> Reading:
        with self._lock:
            return self._total

    def reset(self) -> None:
        """Forget what was counted."""
        with self._lock:
            self._total, self._began, self._wall = Reading(), None, 0.0

    def mark(self) -> Reading:
        """The reading; time counts again from the next document on."""
        with self._lock:
            self._began, self._wall = None, self._total.wall
            return self._total
