"""Signals that ask a run to stop: the first lets it drain, the second ends the process at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from schemas.errors import CurationError, Finding

STOPPING = tuple(signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Ctrl-C; `kill`, systemd, Slurm, `docker stop`, `timeout`; a terminal that was closed."""
DRAIN_SECONDS = 30.0
"""How long units that are under way may go on after an interrupt; CURATION_DRAIN_SECONDS."""
CODE = 130
"""Exit code of what was interrupted."""


def drain_seconds() -> float:
    """Raises C004 for a setting that is no number: an interrupt is no time to find that out."""
    given = os.environ.get("CURATION_DRAIN_SECONDS", "").strip()
    try:
        seconds = float(given) if given else DRAIN_SECONDS
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        message = f"environment variable CURATION_DRAIN_SECONDS: expected a number from 0, got '{given}'"
        raise CurationError(Finding("C004", message, f"leave it out for {DRAIN_SECONDS:g}"))
    return seconds


class Stop:
    """A handler that raises KeyboardInterrupt in the main thread, once; where that must not be, when it may."""

    def __init__(self, told: Callable[[int], None], again: Callable[[], None] = lambda: os._exit(CODE)) -> None:
        """`told` is called at the first signal, with its number; `again` at the second."""
        self._told = told
        self._again = again
        self._seen = False
        self.holds = 0
        self.pending = False

    def __call__(self, number: int, frame: Any) -> None:
        if self._seen:
            self._again()
        self._seen = True
        self._told(number)
        if self.holds:
            self.pending = True
        else:
            raise KeyboardInterrupt


def _in_force() -> dict[int, Any]:
    """Handlers of this process by signal, but for those that it ignores, as under `nohup`."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    found = {number: signal.getsignal(number) for number in STOPPING}
    return {number: handler for number, handler in found.items() if handler is not signal.SIG_IGN}


@contextmanager
def stoppable(told: Callable[[int], None]) -> Iterator[None]:
    """Within, a signal to stop raises KeyboardInterrupt; a second one ends this process at once."""
    stop = Stop(told)
    before = _in_force()
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _interrupt() -> None:
    raise KeyboardInterrupt


@contextmanager
def held() -> Iterator[None]:
    """Put a signal to stop off to the end of what must not be cut in two. Where nobody has said `stoppable`, only
    Ctrl-C is, and a second one is not."""
    before = _in_force()
    stops = {handler for handler in before.values() if isinstance(handler, Stop)}
    deferring = None
    if not stops and before.get(signal.SIGINT) is signal.default_int_handler:
        deferring = Stop(lambda number: None, _interrupt)
        signal.signal(signal.SIGINT, deferring)
        stops = {deferring}
    for stop in stops:
        stop.holds += 1
    try:
        yield
    finally:
        for stop in stops:
            stop.holds -= 1
        for number, handler in before.items():  # what ran within may have taken them, as Ray does
            signal.signal(number, handler or signal.SIG_DFL)
        for stop in stops:
            if stop.pending and not stop.holds:
                stop.pending = False
                raise KeyboardInterrupt
