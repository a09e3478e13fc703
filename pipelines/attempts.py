"""Which invocations are still at work."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from curation.manifest.parts import Manifest

GRACE_SECONDS = 24 * 3600
"""An attempt on another machine without an end counts as running this long."""


def process_mark(pid: int) -> str:
    """Tells a process from a later one of the same id: its start in the kernel's ticks; empty once it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""


def running(manifest: Manifest) -> dict[str, str]:
    """Attempts under way, with their runs."""
    ended = set(manifest.read("ends").column("attempt").to_pylist())
    alive = {}
    for row in manifest.read("attempts").to_pylist():
        if row["attempt"] in ended:
            continue
        if row["host"] == socket.gethostname():
            here = process_mark(row["pid"])
            at_work = bool(here) and here == row["process"]
        else:
            at_work = time.time() - row["started_at"].timestamp() < GRACE_SECONDS
        if at_work:
            alive[row["attempt"]] = row["run"]
    return alive
