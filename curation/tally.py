"""Counts of what happens in this process: commits, races lost, retries. Plain numbers, published elsewhere.

An increment costs a dictionary entry, and where nobody takes the counts they stay a handful of integers.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock

COMMITS, LOST, RETRIES = "commits", "lost", "retries"

_lock = Lock()
_counts: Counter[tuple[str, str]] = Counter()


def add(name: str, what: str) -> None:
    """Count one event: `what` is a kind of record for commits and races, and who repeats something for retries."""
    with _lock:
        _counts[name, what] += 1


def take() -> dict[tuple[str, str], int]:
    """What was counted since this was last asked."""
    with _lock:
        taken = dict(_counts)
        _counts.clear()
        return taken
