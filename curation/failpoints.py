"""Named places where a test may stop a process; inert unless CURATION_FAILPOINTS is set.

CURATION_FAILPOINTS is JSON: {"point": "before-rename", "hit": 3, "target": "driver|worker|scorer|self", "dir": "..."}.
The `dir` is shared by all processes of a run: it counts hits over all of them, so that a failpoint fires exactly once,
and holds the process ids that `register` wrote.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from pathlib import Path

POINTS = (
    "before-rename",
    "after-data",
    "before-part",
    "after-part",
    "in-score",
    "in-group",
    "in-decide",
    "in-write",
    "before-publish",
)
VARIABLE = "CURATION_FAILPOINTS"


def register(role: str) -> None:
    """Note this process as `driver`, `worker` or `scorer`, so that a failpoint elsewhere can kill it."""
    wanted = os.environ.get(VARIABLE)
    if wanted:
        Path(json.loads(wanted)["dir"], f"pid-{role}-{os.getpid()}").touch()


def hit(point: str) -> None:
    """Fire if a test asked for this point and this is its turn."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    spec = json.loads(wanted)
    if spec["point"] != point or not _is_turn(Path(spec["dir"]), spec["hit"]):
        return
    if spec.get("error"):
        number = getattr(errno, spec["error"])
        raise OSError(number, os.strerror(number))
    if spec.get("sleep"):
        time.sleep(spec["sleep"])
        return
    _kill(spec.get("target", "self"), Path(spec["dir"]))


def _is_turn(folder: Path, wanted: int) -> bool:
    for number in range(1, wanted + 1):
        try:
            os.close(os.open(folder / f"hit-{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        return number == wanted
    return False


def _kill(target: str, folder: Path) -> None:
    if target == "self":
        os.kill(os.getpid(), signal.SIGKILL)
    entries = sorted(folder.glob(f"pid-{target}-*"))
    if target == "driver" and not entries:  # no executor yet, so this is the driver
        os.kill(os.getpid(), signal.SIGKILL)
    for entry in entries:
        pid = int(entry.name.rsplit("-", 1)[1])
        (folder / f"killed-{target}-{pid}").touch()
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        if target != "driver":
            return
    if target == "driver":
        time.sleep(60)  # the driver's death takes this worker with it; never go on to commit
