"""A run's progress in a notebook: one line that is written over, and below it what a person should see."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from curation.escape import terminal
from pipelines.running.events import Event, Failed, InputSkipped, Notice, PhaseStarted, RunStarted, UnitEnded

REFRESH_SECONDS = 0.25
MOST_LINES = 10


def notebook_progress() -> InNotebook | None:
    """What shows the progress in the notebook that this process belongs to; None where there is none."""
    ask = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = None if ask is None else ask()
    if getattr(shell, "kernel", None) is None:
        return None
    from IPython.display import display

    shown = display({"text/plain": ""}, raw=True, display_id=True)
    return InNotebook(lambda text: shown.update({"text/plain": text}, raw=True))


class InNotebook:
    """Told of a run's events; `show` is given the whole text each time."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self.show = show
        self.lines: list[str] = []
        self._name = ""
        self._line = ""
        self._units = (0, 0)
        self._last = 0.0
        self._began = time.monotonic()

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted(run, rows):
                self._name = f"run {run}"
                self._now(f"{self._name}: {rows:,} documents")
            case PhaseStarted():
                self._units = (0, event.total)
                self._now(event.name)
            case UnitEnded():
                self._units = (self._units[0] + 1, self._units[1])
                name = self._line.partition(": ")[0]
                self._soon(f"{name}: {self._units[0]:,} of {self._units[1]:,}")
            case Failed(failure, path):
                self._add(f"failed[{failure.code}]: {path + ': ' if path else ''}{failure.message}")
            case InputSkipped(path, message):
                self._add(f"going on without {path}: {message}")
            case Notice(text):
                self._add(text)
            case _:
                if getattr(event, "to_score", None):
                    self._soon(_advanced(event))

    def close(self, outcome: str) -> None:
        self._now(f"{self._name}: {outcome}, {time.monotonic() - self._began:.1f} s".removeprefix(": "))

    def _add(self, line: str) -> None:
        self.lines = [*self.lines, terminal(line)][-MOST_LINES:]
        self._now(self._line)

    def _soon(self, line: str) -> None:
        if time.monotonic() - self._last >= REFRESH_SECONDS:
            self._now(line)

    def _now(self, line: str) -> None:
        self._line, self._last = terminal(line), time.monotonic()
        self.show("\n".join([self._line, *self.lines]))


def _advanced(event: Any) -> str:
    """`language + gopher: 312 of 650 documents, 41/s, 8 s left, 62 % kept`."""
    facts = [f"{event.documents:,} of {event.to_score:,} documents"]
    facts += [f"{event.documents_per_second:,.0f}/s"] if event.documents_per_second else []
    facts += [f"{event.seconds_left:,.0f} s left"] if event.seconds_left is not None else []
    facts += [f"{event.kept:.0%} kept"] if event.kept is not None else []
    facts += ["compiling text kernels, once on this machine (about a minute)"] if event.compiling else []
    return f"{event.name}: {', '.join(facts)}"
