"""A run's progress in a notebook: one line that is written over, and below it what a person should see."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from curation.escape import terminal
from pipelines.running import phases
from pipelines.running.events import Advanced, Event, Failed, InputSkipped, Joined, Notice, PhaseStarted, RunStarted

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
        self._phase: PhaseStarted | None = None
        self._last = 0.0
        self._began = time.monotonic()

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted(run, rows):
                self._name = f"run {run}"
                self._now(f"{self._name}: {rows:,} documents")
            case PhaseStarted():
                self._phase = event
                self._now(phases.title(event))
            case Advanced() if self._phase is not None:
                self._soon(phases.sentence(self._phase, event, event.seconds))
            case Joined(_, _, host, pid):
                self._add(f"process {pid} on {host} is at this run, and is waited for; force=True goes on beside it")
            case Failed(failure, path):
                self._add(f"failed[{failure.code}]: {path + ': ' if path else ''}{failure.message}")
            case InputSkipped(path, message):
                self._add(f"going on without {path}: {message}")
            case Notice(text):
                self._add(text)

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
