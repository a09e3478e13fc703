"""What a person sees of a run, on stderr: bars in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, TextIO

from curation.escape import terminal
from curation.text import nothing_compiled
from pipelines.cli.render import counted, tell_text
from pipelines.running.events import (
    Event,
    Failed,
    FitStarted,
    InputSkipped,
    ModelMetered,
    Notice,
    PhaseEnded,
    PhaseStarted,
    RunStarted,
    UnitEnded,
)

if TYPE_CHECKING:
    from curation.flow import Failure, Outcome
    from workers.executor import Metered

HEARTBEAT_SECONDS = 30.0


class Progress:
    """Told of a run's events; `quiet` says nothing but failures, `verbose` adds a line for each unit and tracebacks."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False, verbose: bool = False) -> None:
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self.verbose = verbose
        self.bars = self.stream.isatty() and not quiet and not verbose
        self._bar: Any = None
        self._task: Any = None
        self._phase: tuple[str, int] | None = None
        self._done = 0
        self._began = 0.0
        self._stop = threading.Event()
        self._failures: Counter[tuple[str, str]] = Counter()

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._run_started(event)
            case FitStarted(stage, rows):
                self._talk(f"fitting '{stage}' on its seeds and {rows:,} documents of the pool")
            case PhaseStarted(name, total):
                self._phase, self._done, self._began = (name, total), 0, time.monotonic()
                if self.bars:
                    self._start_bar(name, total)
            case UnitEnded(outcome):
                self._unit_ended(outcome)
            case PhaseEnded(name):
                self._phase_ended(name)
            case ModelMetered(reading):
                self._talk(_meter_line(reading))
            case Failed(failure, path):
                self._failed_line(failure, path)
            case InputSkipped(path, message):
                self.say(f"warning: going on without {path}: {message}")
            case Notice(text):
                self.say(text)

    def close(self) -> None:
        """Take down what is on the screen."""
        self._stop.set()
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def say(self, text: str) -> None:
        """One line of talk."""
        self._print(terminal(text))

    def _print(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)
        else:
            tell_text(text, self.stream)

    def _talk(self, text: str) -> None:
        if not self.quiet:
            self.say(text)

    def _run_started(self, event: RunStarted) -> None:
        self._talk(f"run {event.run}: {counted(event.rows, 'document')} in {counted(event.shards, 'shard')}")
        if nothing_compiled():
            self._talk("compiling kernels on their first use: a minute or two, once on this machine")
        if not self.bars and not self.quiet:
            threading.Thread(target=self._heartbeat, daemon=True).start()

    def _unit_ended(self, outcome: Outcome) -> None:
        self._done += 1
        if self._bar is not None:
            self._bar.advance(self._task)
        if self.verbose and self._phase:
            self.say(f"[{self._done}/{self._phase[1]}] {self._phase[0]}{_unit_facts(outcome)}")

    def _phase_ended(self, name: str) -> None:
        seconds = time.monotonic() - self._began
        total = self._phase[1] if self._phase else 0
        self._phase = None
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._talk(f"{name}: {total:,} done in {seconds:.1f} s")

    def _failed_line(self, failure: Failure, path: str) -> None:
        same = (failure.code, failure.message.replace(path, "") if path else failure.message)
        self._failures[same] += 1
        if self._failures[same] > 1 and not self.verbose:  # one fault of many inputs is counted at the end
            return
        self.say(f"failed[{failure.code}]: {failure.message}")
        if self.verbose and failure.trace:
            self._print(terminal(failure.trace, lines=True))

    def _start_bar(self, name: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._bar = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(file=self.stream),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(terminal(name), total=total)

    def _heartbeat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            if self._phase is not None:
                what, total = self._phase
                self.say(f"{what}: {self._done:,} of {total:,} after {time.monotonic() - self._began:.0f} s")


def _meter_line(meter: Metered) -> str:
    share = meter.reading.utilisation(meter.peak)
    figures = [
        f"{meter.reading.tokens_per_second:,.0f} tokens/s",
        f"padding {meter.reading.padding:.1%}",
        f"busy {meter.reading.busy_share:.0%}",
        *([] if share is None else [f"{share:.0%} of the device's FLOP/s"]),
    ]
    return f"  {meter.step} on {meter.host} ({meter.device}, {meter.dtype}): {', '.join(figures)}"


def _unit_facts(outcome: Outcome) -> str:
    if outcome.failure:
        return ": failed"
    unit, value = outcome.unit, outcome.value
    shard = getattr(unit, "shard", None)
    name = f" {shard.path}" + (f" rows {shard.row_start}..{shard.row_end}" if shard.row_start else "") if shard else ""
    if hasattr(value, "alive"):
        rate = f", {value.rows / value.seconds:,.0f} documents/s" if value.rows and value.seconds else ""
        return f"{name}: {shard.rows:,} → {value.alive:,} left, {value.rows:,} scored{rate}" if shard else name
    if hasattr(unit, "title"):
        return f": {unit.title}"
    if isinstance(value, dict) and "kept" in value:
        return f"{name}: {value['rows']:,} → {value['kept']:,} kept"
    return name
