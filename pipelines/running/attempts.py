"""Which invocations are still at work."""

from __future__ import annotations

import json
import os
import socket
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from curation.manifest.parts import Manifest
from curation.store import Store

HEARTBEATS = "heartbeats"
"""Folder of the workspace: how far an attempt is, written by it for as long as it lives."""
OUTDATED_SECONDS = 600.0
"""A heartbeat this old, by clocks that may differ, is nobody's."""
GRACE_SECONDS = 24 * 3600
"""An attempt that cannot be looked at from here, and has neither an end nor a heartbeat, counts as running this long;
earlier versions wrote none."""
HOST = "pid:[4026531836]"
"""The namespace of processes that are in no container."""


def process_mark(pid: int) -> str:
    """Tells a process from all others of the same id: its start in the kernel's ticks, and whose id it is; "" if gone,
    or dead and only not yet waited for by its parent.

    Two containers have a process 1 each, perhaps under one host name. So the mark names the start of the kernel and the
    namespace of process ids as well.
    """
    try:
        facts = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return "" if facts[0] in "ZX" else f"{facts[19]} {_surroundings()}"
    except (OSError, IndexError):
        return ""


def alive(row: dict[str, Any]) -> bool | None:
    """Whether the process of an attempt without an end is at work; None where that cannot be seen from here."""
    if row["host"] != socket.gethostname():
        return None
    started, _, where = (row["process"] or "").partition(" ")
    if where and where != _surroundings():
        # a machine that was started anew has nothing left of before; of a container one cannot tell
        return False if where.endswith(HOST) and _surroundings().endswith(HOST) else None
    return bool(started) and process_mark(row["pid"]).partition(" ")[0] == started


def running(manifest: Manifest) -> dict[str, str]:
    """Attempts under way, with their runs."""
    ended = set(manifest.read("ends").column("attempt").to_pylist())
    run_of_attempt = {}
    for row in manifest.read("attempts").to_pylist():
        if row["attempt"] in ended:
            continue
        at_work = alive(row)
        if at_work is None:
            facts = heartbeat(manifest.store, row["attempt"])
            if facts is None:
                at_work = time.time() - row["started_at"].timestamp() < GRACE_SECONDS
            else:
                at_work = is_recent(facts)
        if at_work:
            run_of_attempt[row["attempt"]] = row["run"]
    return run_of_attempt


def heartbeat(store: Store, attempt: str) -> dict[str, Any] | None:
    """What an attempt last said of itself."""
    try:
        facts = json.loads(store.read(heartbeat_name(attempt)))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def heartbeat_name(attempt: str) -> str:
    return f"{HEARTBEATS}/{attempt}.json"


def is_recent(facts: dict[str, Any]) -> bool:
    """Whether an attempt with this heartbeat may be at work, at first sight."""
    moment = facts.get("time")
    return isinstance(moment, int | float) and time.time() - moment < OUTDATED_SECONDS


@lru_cache(maxsize=1)
def _surroundings() -> str:
    """Which start of which kernel this is, and which namespace of process ids; empty where the system does not say."""
    try:
        kernel = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{kernel} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
