"""Bars in a terminal, plain lines elsewhere, failures always, a row's text never."""

from __future__ import annotations

import io
import re
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from curation.flow import Failure
from curation.manifest.parts import now
from pipelines.cli import progress
from pipelines.cli.progress import Progress
from pipelines.running.events import Failed, FitStarted, PhaseEnded, PhaseStarted, RunStarted
from pipelines.workspace import Workspace


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(light: Callable[..., dict[str, Any]], root: Path, stream: io.StringIO, **options: bool) -> list[str]:
    teller = Progress(stream, **options)
    Workspace(root).run(light(), executor="local", workers=2, report=teller)
    teller.close()
    return stream.getvalue().splitlines()


@pytest.fixture(scope="module")
def lines(light: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return told(light, tmp_path_factory.mktemp("verbose"), io.StringIO(), verbose=True)


def test_verbose_says_every_unit_with_rows_in_and_out(lines: list[str], corpus: Path) -> None:
    units = [line for line in lines if re.match(r"\[\d+/10\] score input ", line)]
    assert len(units) == 10
    assert sorted(line.partition("]")[0] for line in units) == sorted(f"[{number}/10" for number in range(1, 11))
    assert all(str(corpus) in line for line in units)
    assert any(re.search(r"a\.parquet: 55 → \d+ left, 55 scored, [\d,]+ documents/s$", line) for line in units)
    assert any(re.search(r"\] decide .*: 55 → \d+ kept$", line) for line in lines)


def test_no_text_of_a_document_is_said(lines: list[str]) -> None:
    said = "\n".join(lines)
    for words in ("Bürgermeister", "click here", "half a line"):
        assert words not in said


@pytest.mark.long
def test_a_pipe_gets_one_line_a_phase_and_no_control_codes(
    light: Callable[..., dict[str, Any]], finished: Any, tmp_path: Path
) -> None:
    plain = told(light, tmp_path / "a", io.StringIO())
    assert plain[0] == f"run {finished[0]}: 289 documents in 10 shards"
    assert all(re.match(r"[a-z_ +:]+: [\d,]+ done in [\d.]+ s$", line) for line in plain[1:]), plain
    assert not [line for line in plain if "\x1b" in line or "\r" in line]


def test_who_has_no_compiled_kernels_is_told_why_the_first_run_takes_minutes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def told_of(folder: Path) -> list[str]:
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder))
        stream = io.StringIO()
        with closing(Progress(stream)) as teller:
            teller(RunStarted("r", 1, 1))
        return stream.getvalue().splitlines()

    run = "run r: 1 document in 1 shard"
    assert told_of(tmp_path) == [run, "compiling kernels on their first use: a minute or two, once on this machine"]
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "words.nbi").touch()
    assert told_of(tmp_path) == [run]


def test_quiet_is_silent_unless_something_fails() -> None:
    stream = io.StringIO()
    teller = Progress(stream, quiet=True)
    teller(RunStarted("r", 1, 1))
    teller(FitStarted("s", 1))
    teller(PhaseStarted("score", 2))
    teller(PhaseEnded("score"))
    assert stream.getvalue() == ""
    teller(Failed(Failure("R001", "a.parquet is empty", None), "a.parquet"))
    assert stream.getvalue() == "failed[R001]: a.parquet is empty\n"
    teller.close()


def test_a_terminal_gets_a_bar_that_is_gone_at_the_end_and_lines_that_do_not_mix_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")  # a dumb terminal has no line to wipe
    stream = Terminal()
    teller = Progress(stream)
    teller(PhaseStarted("score", 3))
    teller.say("something odd [bold]")
    teller(PhaseEnded("score"))
    teller.close()
    said = stream.getvalue()
    assert "\x1b[" in said
    assert "something odd [bold]" in said
    assert re.search(r"\x1b\[2Kscore: 3 done in [\d.]+ s\n$", said)  # the bar's line is wiped first
    assert teller._bar is None


def test_a_long_phase_shows_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "HEARTBEAT_SECONDS", 0.05)
    stream = io.StringIO()
    teller = Progress(stream)
    teller(RunStarted("r", 1, 1))
    teller(PhaseStarted("score", 2_000))
    while not re.search(r"score: 0 of 2,000 after \d+ s\n", stream.getvalue()):
        time.sleep(0.05)
    teller.close()
    count = stream.getvalue().count("score: 0 of 2,000")
    time.sleep(0.2)
    assert stream.getvalue().count("score: 0 of 2,000") <= count + 1  # and stops when the run does


@pytest.mark.long
def test_a_run_that_died_twice_here_is_told_who_finds_the_document(
    light: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)
    run = workspace.plan(light()).run
    workspace.create()
    row = {"run": run, "executor": "local", "host": socket.gethostname(), "process": "gone", "hardware": "any"}
    for number in range(2):
        assert not any("--executor ray" in line for line in told(light, tmp_path / str(number), io.StringIO()))
        facts = {**row, "attempt": f"a-{number}", "pid": 2**22 + number, "started_at": now()}
        workspace.manifest.commit("attempts", f"a-{number}", [facts])
    assert sum("2 attempts at this run died" in line for line in told(light, tmp_path, io.StringIO())) == 1
