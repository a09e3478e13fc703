"""How far a unit is, from its task to the driver: a few numbers in the shared store, over and over the same ones.

A report that is lost or late harms nobody: what a unit did is in what it committed.
"""

from __future__ import annotations

import json
import time

from curation.progress import UnitProgress
from workers import shared_kv
from workers.executor import BEAT_SECONDS

REPORTED = ("to_score", "through", "kept", "part", "weight", "fraction", "step", "compiling", "loading")


class Reports:
    """What a unit says of itself while it goes on, for the driver: at most once a second, and nothing of a short one.

    >>> counts = UnitProgress(changed=Reports(task))
    """

    def __init__(self, task: str) -> None:
        self.key = key(task)
        self.due = time.monotonic() + BEAT_SECONDS
        self.written = False

    def __call__(self, counts: UnitProgress) -> None:
        now = time.monotonic()
        if now >= self.due:
            self.due = now + BEAT_SECONDS
            self.written = True
            shared_kv.write(self.key, json.dumps([getattr(counts, name) for name in REPORTED]))

    def close(self) -> None:
        if self.written:
            shared_kv.erase(self.key)


def key(task: str) -> str:
    """Where in the shared store stands how far a unit is."""
    return f"progress/{task}"


def take(report: str, counts: UnitProgress) -> None:
    """Read what a unit has said of itself."""
    for name, value in zip(REPORTED, json.loads(report), strict=True):
        setattr(counts, name, value)
