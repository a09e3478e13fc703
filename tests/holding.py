"""A command in a process of its own that waits at a failpoint for as long as a file is there:
holding.py POINT TURN FILE MODULE ARGUMENTS. When it has come there, FILE.reached is there, too.

A failpoint that sleeps would make a test wait for the whole of it, and fail wherever the test itself is slower.
"""

from __future__ import annotations

import itertools
import runpy
import subprocess
import sys
import time
from pathlib import Path

from curation import failpoints


def hold(point: str, turn: int, file: Path) -> None:
    """From here on, the so many-th time that this process passes the point, it waits."""
    passed, times = failpoints.hit, itertools.count(1)

    def hit(here: str) -> None:
        if here == point and next(times) == turn:
            reached(file).touch()
            while file.exists():
                time.sleep(0.02)
        passed(here)

    failpoints.hit = hit


def reached(file: Path) -> Path:
    return file.with_name(f"{file.name}.reached")


def stopping(process: subprocess.Popen[str]) -> str:
    """What a command says on stderr, up to the line that it has heard a signal."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if line.startswith("stopping: "):
            return said
    raise AssertionError(f"it has heard nothing: {said}")


def rest(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What else a command says, once some of its stderr was read, to its end: `communicate` would miss lines."""
    assert process.stdout is not None
    assert process.stderr is not None
    err, out = process.stderr.read(), process.stdout.read()
    process.wait()
    return out, err


if __name__ == "__main__":
    point, turn, file, module = sys.argv[1:5]
    hold(point, int(turn), Path(file))
    sys.argv = [module, *sys.argv[5:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
