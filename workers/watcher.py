"""Waits until whoever holds the other end of its stdin has ended; then ends a private cluster's processes, and removes
its folder. Run as a script with the folder's path, so it imports nothing but the standard library; it is told on stdin
which sessions the cluster's processes have.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time

MARK = "CURATION_PRIVATE_RAY"
"""Variable that all processes of a private cluster inherit: its folder. Ray's agents write their titles over it."""
LOCK = "lock"
SECONDS = 10.0
"""How long it tries: what is being started just now appears late."""


def end_and_remove(folder: str, sessions: frozenset[int] = frozenset()) -> None:
    """End every process of these sessions, or that has inherited the folder's mark, until there is none, and remove the
    folder."""
    end = time.monotonic() + SECONDS
    while True:
        left = members(folder, sessions)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        shutil.rmtree(folder, ignore_errors=True)
        if (not left and not os.path.exists(folder)) or time.monotonic() > end:
            return
        time.sleep(0.1)


def members(folder: str, sessions: frozenset[int]) -> list[int]:
    """Processes of a private cluster that are not dead; on a system without /proc none are found."""
    wanted = f"{MARK}={folder}".encode()
    pids = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, _, _, session, *_ = file.read().rpartition(b")")[2].split()
                with open(f"/proc/{name}/environ", "rb") as file:
                    inherited = wanted in file.read()
            except OSError:  # another user's, or it has just ended
                continue
            if state != b"Z" and (inherited or int(session) in sessions):
                pids.append(int(name))
    return pids


if __name__ == "__main__":
    told = sys.stdin.buffer.read().split()
    end_and_remove(sys.argv[1], frozenset(map(int, told)))
