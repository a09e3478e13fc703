"""A run that another attempt is at: wait for that one, and take over where it ends without its dataset.

Of an attempt on this machine it is known at once whether it lives. One elsewhere writes a heartbeat into the workspace,
for as long as it lives, and counts as gone once that stands still. So nobody waits for what was killed here, and for
what was killed elsewhere no longer than `STALE_SECONDS`. Where this is mistaken nothing is lost but time: of two
attempts at one unit the first commit counts.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC
from typing import Any

from curation.manifest.parts import Manifest
from curation.store import TEMPORARY, Store
from pipelines.running.attempts import HEARTBEATS, alive, heartbeat, heartbeat_name, is_recent
from pipelines.running.events import Advanced, Event, Joined, Notice, PhaseStarted, Report
from pipelines.running.result import Result, finished
from schemas.errors import CurationError

BEAT_SECONDS = 5.0
BEAT_SECONDS_FAR = 10.0
"""The same where each is a request."""
STALE_SECONDS = 45.0
"""A heartbeat that has stood still for so long is nobody's."""
POLL_SECONDS = 0.5
POLL_SECONDS_FAR = 5.0
SETTLE_SECONDS = 5.0
SETTLE_SECONDS_FAR = 20.0
"""So long the first of several that began at once waits for the others to step back."""
_ours: set[str] = set()
"""Attempts of this process that are under way."""


class Heartbeat:
    """Told of an attempt's events, which it reports on, and says in the workspace how far that is."""

    def __init__(self, store: Store, attempt: str, report: Report) -> None:
        self.store = store
        self.attempt = attempt
        self.report = report
        self._phase: PhaseStarted | None = None
        self._state: Advanced | None = None
        self._number = 0
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __call__(self, event: Event) -> None:
        if isinstance(event, PhaseStarted):
            self._phase, self._state = event, None
        elif isinstance(event, Advanced):
            self._state = event
        self.report(event)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Within, the attempt has a heartbeat: from before it is announced, so that nobody has to go by clocks."""
        self._take_up(self.attempt)
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()
            self._leave(self.attempt)

    @contextmanager
    def going_on_as(self, attempt: str) -> Iterator[None]:
        """The same process, under another attempt's name; within, under both, so that it is never at nothing."""
        before = self.attempt
        self._take_up(attempt)
        try:
            yield
        finally:
            self._leave(before)

    def _take_up(self, attempt: str) -> None:
        _ours.add(attempt)
        with self._writing:
            self.attempt = attempt
            self._write()

    def _leave(self, attempt: str) -> None:
        _ours.discard(attempt)
        with suppress(OSError, CurationError):
            self.store.remove(heartbeat_name(attempt))

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_SECONDS_FAR if self.store.far else BEAT_SECONDS):
            with self._writing:
                self._write()

    def _write(self) -> None:
        self._number += 1
        phase, state = self._phase, self._state
        facts = {"beat": self._number, "time": time.time(), "phase": phase and asdict(phase)}
        with suppress(OSError, CurationError):  # a store that is away for a while stops nobody
            file = self.store.scratch(f"{HEARTBEATS}/{TEMPORARY}{self.attempt}.json")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({**facts, "advanced": state and asdict(state)}))
            self.store.replace(heartbeat_name(self.attempt), file)


def at_work(manifest: Manifest, run: str, gone: Collection[str]) -> list[dict[str, Any]]:
    """Attempts at a run that may be at work, the first of them first, but for those that are known to be `gone`."""
    ended = set(manifest.read("ends").column("attempt").to_pylist())
    rows = [row for row in manifest.where("attempts", run=run).to_pylist() if row["attempt"] not in {*ended, *gone}]
    return sorted((row for row in rows if _may_work(manifest.store, row)), key=_order)


def alone(manifest: Manifest, run: str, gone: Collection[str], attempt: str) -> bool:
    """Whether an attempt that has announced itself has its run to itself. To be asked before its first unit.

    Each announces itself first and looks then, so of any two one at least sees the other, and does not go on while that
    one is there. Where both do, the first in order waits a moment for the other to step back.
    """
    position = _order(next(row for row in manifest.where("attempts", run=run).to_pylist() if row["attempt"] == attempt))
    end = time.monotonic() + (SETTLE_SECONDS_FAR if manifest.store.far else SETTLE_SECONDS)
    while others := at_work(manifest, run, {*gone, attempt}):
        if _order(others[0]) < position or time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS_FAR if manifest.store.far else POLL_SECONDS)
    return True


def join(store: Store, run: str, gone: set[str], report: Report) -> Result | None:
    """Wait while another attempt is at a run. Its result, once one has finished it; None where nobody is at it. Those
    that turn out to be `gone` are added to these."""
    manifest = Manifest(store)  # lists what is there each time, and reads only what is new
    others = at_work(manifest, run, gone)
    if not others:
        return None
    beats: dict[str, tuple[Any, float]] = {}
    told: dict[str, Any] = {}
    announced: set[str] = set()
    while True:
        gone |= {row["attempt"] for row in others if not _beats(store, row, beats)}
        others = [row for row in others if row["attempt"] not in gone]
        if not others:
            break
        row = others[0]
        if row["attempt"] not in announced:
            announced.add(row["attempt"])
            started = row["started_at"].astimezone(UTC)
            seen = alive(row) is not None
            report(Joined(run, row["attempt"], row["host"], row["pid"], started, None if seen else STALE_SECONDS))
        _repeat(beats.get(row["attempt"], (None, 0.0))[0], told, report)
        time.sleep(POLL_SECONDS_FAR if store.far else POLL_SECONDS)
        others = at_work(manifest, run, gone)
    done = finished(manifest, run)
    ended = "has finished the run" if done is not None else "has ended without finishing the run, which goes on here"
    report(Notice(f"that attempt {ended}"))
    return done


def tell_beside(manifest: Manifest, run: str, report: Report) -> None:
    """Say who else is at a run that goes on all the same."""
    for row in at_work(manifest, run, ()):
        who = f"process {row['pid']} on {row['host']}, attempt {row['attempt']}"
        report(Notice(f"beside {who}, which is at this run, too: documents may be scored twice"))


def _repeat(facts: Any, told: dict[str, Any], report: Report) -> None:
    """Tell what another attempt said of itself as if it were this one's."""
    if not isinstance(facts, dict) or facts == told.get("facts"):
        return
    told["facts"] = facts
    with suppress(TypeError):  # of another version
        if facts.get("phase") and facts["phase"] != told.get("phase"):
            told["phase"] = facts["phase"]
            report(PhaseStarted(**facts["phase"]))
        if facts.get("advanced"):
            report(Advanced(**facts["advanced"]))


def _beats(store: Store, row: dict[str, Any], beats: dict[str, tuple[Any, float]]) -> bool:
    """Whether an attempt lives, by its process, or where that cannot be seen by its heartbeat moving."""
    facts, now = heartbeat(store, row["attempt"]), time.monotonic()
    before = beats.get(row["attempt"])
    if before is None or (facts is not None and facts != before[0]):
        beats[row["attempt"]] = before = facts, now
    return alive(row) or now - before[1] < STALE_SECONDS


def _may_work(store: Store, row: dict[str, Any]) -> bool:
    """The same at first sight."""
    lives = alive(row)
    if lives and row["pid"] == os.getpid():
        return row["attempt"] in _ours  # what ended in this process without saying so
    if lives is not None:
        return lives
    facts = heartbeat(store, row["attempt"])
    return time.time() - row["started_at"].timestamp() < STALE_SECONDS if facts is None else is_recent(facts)


def _order(row: dict[str, Any]) -> tuple[int, str]:
    return int(row["number"] or 0), str(row["attempt"])
