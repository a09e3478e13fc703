"""Bars in a terminal, plain lines elsewhere, failures always, a row's text never."""

from __future__ import annotations

import io
import re
import socket
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from numba import njit

from curation.flow import Failure
from curation.manifest.parts import now
from curation.progress import listen_to_numba
from pipelines.cli import progress
from pipelines.cli.progress import Progress
from pipelines.cli.talk import told_of_kernels
from pipelines.running import phases
from pipelines.running.events import Advanced, Failed, FitStarted, Joined, PhaseEnded, PhaseStarted, RunStarted
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
    units = [line for line in lines if re.match(r"\[\d+/10\] scoring language", line)]
    assert len(units) == 10
    assert sorted(line.partition("]")[0] for line in units) == sorted(f"[{number}/10" for number in range(1, 11))
    assert all(str(corpus) in line for line in units)
    assert any(re.search(r"a\.parquet: 55 → \d+ left, 55 scored, [\d,]+ documents/s$", line) for line in units)
    assert any(re.search(r"\] deciding .*: 55 → \d+ kept$", line) for line in lines)


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
    assert re.match(r"scoring [a-z_, ]+: 289 documents, .*[\d]+% kept, [\d.]+ s$", plain[1]), plain
    doing = r"(scoring|finding duplicates|choosing|deciding|writing)\b.*: .*[\d.]+ s$"
    assert all(re.match(doing, line) for line in plain[1:]), plain
    words = " ".join(plain)
    assert not [word for word in ("entrants", "resolve", "decide", "candidate", "done in") if word in words]
    assert not [line for line in plain if "\x1b" in line or "\r" in line]


def advanced(**facts: Any) -> Advanced:
    """A second event of a phase of 650 documents."""
    given = {"name": "score input + quality", "units": 1, "total": 4, "under_way": 2, "documents": 312, "to_score": 650}
    given |= {"exact": True, "kept": 0.68, "tokens": 9000, "seconds": 8.0, "documents_per_second": 41.2}
    given |= {"tokens_per_second": 12_345.0, "seconds_left": 8.2, "working": ("quality",), "compiling": False}
    return Advanced(**{**given, "loading": False, "drains": None, **facts})


SCORING = PhaseStarted("score input + quality", 4, "score", documents=650)


def test_a_line_says_how_far_and_how_fast_in_whatever_room_there_is() -> None:
    long = PhaseStarted("score input + " + " + ".join(f"stage_{n}" for n in range(30)), 4, "score", documents=10**9)
    many = advanced(documents=123_456_789, to_score=10**9, exact=False, seconds_left=99_999.0)
    for width in (40, 60, 80, 120, 200):
        for phase, at in ((SCORING, advanced()), (long, many), (long, None), (long, advanced(compiling=True))):
            assert len(phases.line(phase, at, 9.0, width)) <= width
        assert "41/s" in phases.line(SCORING, advanced(), 9.0, width)
        assert "41/s" in phases.line(long, many, 9.0, width)
    wide = phases.line(SCORING, advanced(), 9.0, 120)
    assert wide.startswith("scoring quality  ━━")
    assert wide.endswith("  312/650 docs  41/s  8 s left  12.3k tok/s  68% kept")
    slow = advanced(documents=0, documents_per_second=0.0, seconds_left=None)
    assert "/s" not in phases.line(SCORING, replace(slow, tokens_per_second=None), 4.0, 80)
    assert "  0/s" in phases.line(SCORING, slow, 5.0, 80)  # from here on there is a rate, be it none
    assert phases.sentence(SCORING, advanced(), 9.0) == (
        "scoring quality: 312 of 650 documents, 41/s, 8 s left, 12.3k tokens/s, 68% kept"
    )
    opens = phases.line(SCORING, advanced(loading=True), 9.0, 80)
    assert re.fullmatch(r"opening what quality needs  ━+╌+  312/650 docs  41/s", opens)
    assert phases.line(SCORING, advanced(drains=23.4), 9.0, 80) == (
        "stopping: 2 units finish, at most 23 s; press again to stop now"
    )
    pairs = PhaseStarted("same: candidate pairs", 4, "pairs", "same", "dedup")  # nothing ends a unit before its time
    assert phases.line(pairs, advanced(drains=23.4), 9.0, 80) == "stopping: 2 units finish; press again to stop now"


def test_who_waits_for_kernels_is_told_so_in_a_terminal_and_once_in_a_log() -> None:
    said = "compiling text kernels, once on this machine (about a minute)"
    stream = io.StringIO()
    with closing(Progress(stream)) as teller:
        teller(SCORING)
        for compiling in (False, True, True, False, True):
            teller(advanced(compiling=compiling))
    assert stream.getvalue().splitlines() == [said]
    assert phases.line(SCORING, advanced(compiling=True), 9.0, 79).startswith(said[:40])
    assert phases.sentence(SCORING, advanced(compiling=True), 9.0).endswith(": still compiling text kernels")


def test_commands_that_look_at_data_say_once_that_kernels_are_compiled() -> None:
    said: list[str] = []
    listen_to_numba()
    with told_of_kernels(said.append) as report:
        report(SCORING)
        assert not said
        for number in (1, 2):
            njit(lambda value, number=number: value + number)(1)
        report(advanced(compiling=True))
    assert said == ["compiling text kernels, once on this machine (about a minute)"]
    with told_of_kernels(said.append) as report:
        report(advanced(compiling=True))
    assert len(said) == 2


def test_who_waits_for_another_process_is_told_for_whom_and_how_not_to() -> None:
    stream = io.StringIO()
    with closing(Progress(stream, quiet=True)) as teller:
        teller(Joined("r", "20261130T120000-ab", "host-b", 4711, now() - timedelta(minutes=4), 45.0))
        teller(SCORING)
        teller.stopping(30.0)
        teller(RunStarted("r", 1, 1))
        teller.stopping(30.0)
    who, how, unseen, *stopped = stream.getvalue().splitlines()
    assert re.fullmatch(
        r"this run is under way: process 4711 on host-b, since [\d:]{8} \(4 min \d\d s ago\), "
        r"as attempt 20261130T120000-ab",
        who,
    )
    assert "--force" in how
    assert "45 s" in unseen
    assert stopped == [
        "stopping: no longer waiting; the other process goes on",
        "stopping: press again to stop now",
        "what is done is kept: the same command goes on from there",
    ]


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
    assert re.search(r"\x1b\[2Kscore: 3 done, [\d.]+ s\n$", said)  # the line that lives is wiped first


def test_a_long_phase_shows_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "HEARTBEAT_SECONDS", 0.05)
    stream = io.StringIO()
    teller = Progress(stream)
    teller(RunStarted("r", 1, 1))
    teller(SCORING)
    end = time.monotonic() + 30
    while "scoring quality: 0 of 4, 0 s\n" not in stream.getvalue():
        assert time.monotonic() < end
        time.sleep(0.05)
    teller(advanced())
    while "scoring quality: 312 of 650 documents, 41/s, 8 s left" not in stream.getvalue():
        assert time.monotonic() < end
        time.sleep(0.05)
    assert teller._heart is not None
    teller.close()
    assert not teller._heart.is_alive()  # and stops when the run does


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
