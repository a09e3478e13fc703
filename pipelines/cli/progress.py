"""What a person sees of a run, on stderr: one line that lives in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from curation.escape import terminal
from pipelines.cli.render import counted, tell_text
from pipelines.running import phases
from pipelines.running.events import (
    Advanced,
    Event,
    Failed,
    FitStarted,
    InputSkipped,
    Joined,
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

HEARTBEAT_SECONDS = 10.0
"""When a phase first says in a log how far it is, and then again; of a long one it is said more rarely."""
RARELY_SECONDS = 300.0
PREPARING_SECONDS = 0.75
"""When it is said in a log what comes before a run, unless that is over by then."""
REFRESHES = 4
"""A second, of the line in a terminal."""


class Progress:
    """Told of a run's events; `quiet` says nothing but failures, `verbose` adds a line for each unit and tracebacks.
    Of a run that `keeps` nothing, as a preview, no interrupt says so."""

    def __init__(
        self, stream: TextIO | None = None, quiet: bool = False, verbose: bool = False, keeps: bool = True
    ) -> None:
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self.verbose = verbose
        self.keeps = keeps
        self.live = self.stream.isatty() and not quiet and not verbose
        self._line: Any = None
        self._phase: PhaseStarted | None = None
        self._state: Advanced | None = None
        self._done = 0
        self._began = 0.0
        self._spent: Counter[str] = Counter()
        """Seconds of the phases so far that have one title."""
        self._compiling = False  # said once, though each kernel of a stage begins anew
        self._waiting = False
        """Whether another process is waited for, whose phases are shown."""
        self._stop = threading.Event()
        self._heart: threading.Thread | None = None
        self._failures: Counter[tuple[str, str]] = Counter()

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted(run, rows, shards):
                self._phase, self._waiting = None, False
                self._take_down()
                self._talk(f"run {run}: {counted(rows, 'document')} in {counted(shards, 'shard')}")
            case Joined():
                self._joined(event)
            case FitStarted(stage, rows):
                self._talk(f"fitting '{stage}' on its seeds and {rows:,} documents of the pool")
            case PhaseStarted():
                self._phase_started(event)
            case Advanced():
                self._advanced(event)
            case UnitEnded(outcome):
                self._unit_ended(outcome)
            case PhaseEnded():
                self._phase_ended()
            case ModelMetered(reading):
                if self.verbose:
                    self.say(_meter_line(reading))
            case Failed(failure, path):
                self._failed_line(failure, path)
            case InputSkipped(path, message):
                self.say(f"warning: going on without {path}: {message}")
            case Notice(text):
                self.say(text)

    def prepare(self, doing: str) -> None:
        """Say at once, before a run has begun, that it is being prepared."""
        self._phase_started(PhaseStarted(doing, 0))

    def close(self) -> None:
        """Take down what is on the screen."""
        self._stop.set()
        self._take_down()
        if self._heart is not None:
            self._heart.join()

    def say(self, text: str) -> None:
        """One line of talk."""
        self._print(terminal(text))

    def stopping(self, seconds: float) -> None:
        """Say that a signal to stop was heard, in its handler: units under way have so long."""
        if self._waiting:
            self.say("stopping: no longer waiting; the other process goes on")
            return
        if self._phase is None or not self._phase.total:
            self.say("stopping: press again to stop now")
        else:
            self.say(phases.stopping(self._phase, self._state, seconds))
        if self.keeps:
            self.say("what is done is kept: the same command goes on from there")

    def _print(self, text: str) -> None:
        if self._line is not None:
            self._line.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)
        else:
            tell_text(text, self.stream)

    def _talk(self, text: str) -> None:
        if not self.quiet:
            self.say(text)

    def _joined(self, other: Joined) -> None:
        self._waiting = True
        from pipelines.tables.human import duration

        ago = duration(round((datetime.now(UTC) - other.since).total_seconds()))
        who = f"process {other.pid} on {other.host}, since {other.since.astimezone():%H:%M:%S} ({ago} ago)"
        self.say(f"this run is under way: {who}, as attempt {other.attempt}")
        self.say("waiting for it; --force goes on beside it, and Ctrl-C leaves it alone")
        if other.stale_seconds is not None:
            self.say(f"it cannot be seen from here: without a sign of it for {other.stale_seconds:.0f} s this goes on")

    def _phase_started(self, phase: PhaseStarted) -> None:
        self._take_down()
        self._phase, self._state, self._done, self._began = phase, None, 0, time.monotonic()
        if self.live:
            self._put_up()
        elif self._heart is None and not self.quiet:
            self._heart = threading.Thread(target=self._beat, daemon=True)
            self._heart.start()

    def _advanced(self, state: Advanced) -> None:
        self._state = state
        if state.compiling and not self._compiling and not self.live:
            self._compiling = True
            self._talk(phases.COMPILING)

    def _unit_ended(self, outcome: Outcome) -> None:
        self._done += 1
        if self.verbose and self._phase:
            self.say(f"[{self._done}/{self._phase.total}] {phases.title(self._phase)}{_unit_facts(outcome)}")

    def _phase_ended(self) -> None:
        phase, state = self._phase, self._state
        self._phase = None
        self._take_down()
        if phase is None:
            return
        doing = phases.title(phase)
        self._spent[doing] += time.monotonic() - self._began  # type: ignore[assignment]
        if phase.step not in ("entrants", "pairs"):  # what they are for ends with the group that is made of them
            self._talk(phases.ended(phase, state, self._spent.pop(doing)))

    def _failed_line(self, failure: Failure, path: str) -> None:
        same = (failure.code, failure.message.replace(path, "") if path else failure.message)
        self._failures[same] += 1
        if self._failures[same] > 1 and not self.verbose:  # one fault of many inputs is counted at the end
            return
        self.say(f"failed[{failure.code}]: {failure.message}")
        if self.verbose and failure.trace:
            self._print(terminal(failure.trace, lines=True))

    def _put_up(self) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self.stream)
        self._line = Live(
            get_renderable=lambda: self._text(console.width),
            console=console,
            refresh_per_second=REFRESHES,
            transient=True,
        )
        self._line.start()

    def _take_down(self) -> None:
        if self._line is not None:
            self._line.stop()
            self._line = None

    def _text(self, width: int) -> Any:
        from rich.text import Text

        phase = self._phase
        # one column is left free: some terminals go to the next line when the last one is written to
        text = phases.line(phase, self._state, self._seconds, width - 1) if phase is not None else ""
        return Text(terminal(text), no_wrap=True, overflow="crop")

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _beat(self) -> None:
        told: PhaseStarted | None = None
        due = 0.0
        while not self._stop.wait(HEARTBEAT_SECONDS / 20):
            phase, state, seconds = self._phase, self._state, self._seconds
            if phase is not told:
                told, due = phase, HEARTBEAT_SECONDS if phase is None or phase.total else PREPARING_SECONDS
            if phase is not None and seconds >= due:
                due = seconds + max(HEARTBEAT_SECONDS, min(seconds / 3, RARELY_SECONDS))
                self.say(phases.sentence(phase, state, seconds))


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
    if isinstance(value, list):  # of decisions, a row for each shard
        rows, kept = (sum(row[what] for row in value) for what in ("rows", "kept"))
        return f"{name}: {rows:,} → {kept:,} kept"
    return name
