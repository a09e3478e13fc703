"""A real run in a pseudo-terminal, as whoever sits before it sees it: one line that lives, and nothing of it left."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

SCORER = '''
import time
import pyarrow as pa
from curation.scorers.base import Scorer

class Slow(Scorer):
    """Rows, a tenth of a second each."""
    kind = "slow"
    @property
    def fields(self):
        return [pa.field("rows", pa.int64())]
    def score(self, batch):
        time.sleep(0.1 * batch.num_rows)
        return pa.record_batch({"rows": pa.array([1] * batch.num_rows, pa.int64())})
'''
_CONTROL = re.compile(r"\x1b\[(\?25[hl]|[0-9;]*[A-Za-z])|\r\n|\r|\n|[^\x1b\r\n]+")


class Screen:
    """What a terminal shows: lines, where the cursor is, and each state in which it stood still for a moment."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.lines = [""]
        self.row = self.column = 0
        self.wrapped = False
        self.seen: list[tuple[float, str]] = []

    def feed(self, text: str, now: float) -> None:
        for token in (found.group() for found in _CONTROL.finditer(text)):
            if token in ("\r", "\r\n", "\n"):
                self.column = 0 if token != "\n" else self.column
                if token != "\r":
                    self.row += 1
                    self.lines += [""] * (self.row + 1 - len(self.lines))
            elif token.endswith("A") and token.startswith("\x1b"):
                self.row -= int(token[2:-1] or 1)
            elif token.endswith("K") and token.startswith("\x1b"):
                self.lines[self.row] = ""
            elif not token.startswith("\x1b"):
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + token + line[self.column + len(token) :]
                self.column += len(token)
        self.seen.append((now, self.lines[self.row]))

    @property
    def text(self) -> list[str]:
        return [line.rstrip() for line in self.lines if line.strip()]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "slow_scorer.py").write_text(SCORER)
    info = folder / "slow_scorer-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-scorer\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[curation.scorers]\nslow = slow_scorer:Slow\n")
    return folder


def project(folder: Path, documents: int) -> list[str]:
    lines = [json.dumps({"text": f"document number {number}"}) for number in range(documents)]
    (folder / "in.jsonl").write_text("\n".join(lines) + "\n")
    stages = [{"scorer": "slow", "keep": "slow.rows = 1"}, {"dedup": "exact"}]
    (folder / "r.yaml").write_text(yaml.safe_dump({"name": "t", "input": {"path": "in.jsonl"}, "stages": stages}))
    return [sys.executable, "-P", "-m", "pipelines.cli", "run", str(folder / "r.yaml"), "-w", str(folder / "ws")]


def shown(
    command: list[str], width: int, plugin: Path, meanwhile: Callable[[int, Screen], None] = lambda pid, screen: None
) -> tuple[int, Screen]:
    """Exit code, and what a terminal of this width showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        path = os.pathsep.join([str(plugin), *sys.path])
        environment = {**os.environ, "PYTHONPATH": path, "TERM": "xterm-256color", "CURATION_DRAIN_SECONDS": "1"}
        environment.pop("COLUMNS", None)
        os.execve(command[0], command, environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    screen = Screen(width)
    while True:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                data = os.read(terminal, 1 << 16)
            except OSError:  # nobody has it open any more
                break
            screen.feed(data.decode(), time.monotonic())
        meanwhile(pid, screen)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), screen


@pytest.mark.parametrize("width", [60, 80])
def test_a_run_shows_its_rate_in_a_line_that_fits_and_leaves_nothing_of_it(
    width: int, plugin: Path, tmp_path: Path
) -> None:
    code, screen = shown(project(tmp_path, 70), width, plugin)
    assert code == 0, screen.text
    bars = [(when, line) for when, line in screen.seen if line.startswith("scoring slow")]
    assert all(len(line) < width for _, line in bars)
    late = [line for when, line in bars if when > bars[0][0] + 6]
    assert late
    assert all(re.search(r"\d+/70 docs  \d[\d.]*/s", line) for line in late if "70 documents" not in line), late
    started, *phases = screen.text[:5]
    assert re.fullmatch(r"run \w+: 70 documents in 1 shard", started)
    said = [re.sub(r"[\d.]+ s$", "N s", line) for line in phases]
    assert said[1:] == ["finding duplicates (exact): N s", "deciding: N s", "writing: N s"], screen.text
    assert re.fullmatch(r"scoring slow, exact: 70 documents, [\d.]+/s, 100% kept, N s", said[0])
    assert screen.text[-1].startswith(str(tmp_path))  # the last thing is what one wants to copy
    assert not [line for line in screen.text if "━" in line or "╌" in line]


def test_ctrl_c_takes_the_line_down_and_counts_down(plugin: Path, tmp_path: Path) -> None:
    pressed: list[int] = []

    def press(pid: int, screen: Screen) -> None:
        if not pressed and any(re.search(r"\b[1-9]\d*/2,000 docs", line) for _, line in screen.seen[-1:]):
            pressed.append(pid)
            os.kill(pid, signal.SIGINT)

    code, screen = shown(project(tmp_path, 2000), 80, plugin, press)
    assert code == 130, screen.text  # long before the unit would end, which takes minutes and has a second
    words = "\n".join(screen.text)
    assert "stopping: 1 unit finishes, at most 1 s; press again to stop now" in words
    assert "what is done is kept: the same command goes on from there" in words
    assert not [line for line in screen.text if "━" in line or "╌" in line]
