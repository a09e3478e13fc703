"""A run that is under way is waited for, not done twice; and nobody waits for what was killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import holding
import pytest
import yaml
from holding import rest, stopping

from curation.flow import Failure
from curation.manifest.parts import Manifest, now
from pipelines.planning.resolve import resolve
from pipelines.running import attempts, join
from pipelines.running.events import Advanced, Event, Joined, Notice, PhaseStarted
from pipelines.running.records import record_end
from pipelines.running.run import _Invocation
from pipelines.workspace import Workspace
from workers.local import LocalExecutor


def recipe(folder: Path) -> Path:
    for name in ("a", "b"):
        lines = [json.dumps({"text": f"Sentence {number} of {name}.", "n": number}) for number in range(40)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    path = folder / "recipe.yaml"
    stages = [{"scorer": "imported", "id": "n", "column": "n", "keep": "n.score >= 0"}]  # compiles nothing
    path.write_text(
        yaml.safe_dump(
            {"name": "j", "input": {"path": str(folder / "*.jsonl"), "columns": {"n": "n"}}, "stages": stages}
        )
    )
    return path


def held_back(folder: Path, *more: str) -> tuple[subprocess.Popen[str], Path]:
    """A run in a process of its own that waits before it commits its first scores."""
    hold = folder / "hold"
    hold.touch()
    command = [sys.executable, holding.__file__, "after-data", "1", str(hold), "pipelines.cli"]
    command += ["run", str(folder / "recipe.yaml"), "-w", str(folder / "ws"), "--workers", "1", *more]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, **pipes)
    end = time.monotonic() + 120
    while not holding.reached(hold).exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    return process, hold


def test_a_second_command_waits_for_the_first_and_scores_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    path = recipe(tmp_path)
    monkeypatch.setattr(join, "POLL_SECONDS", 0.05)
    first, hold = held_back(tmp_path)
    told: list[Event] = []

    def report(event: Event) -> None:
        told.append(event)
        if isinstance(event, Joined):
            hold.unlink(missing_ok=True)

    result = Workspace(tmp_path / "ws").run(path, executor="local", report=report)
    _, err = rest(first)
    assert first.returncode == 0, err
    assert (result.outcome, result.rows, result.scored) == ("nothing-to-do", 80, 0)
    [joined] = [event for event in told if isinstance(event, Joined)]
    assert (joined.run, joined.pid, joined.stale_seconds) == (result.run, first.pid, None)
    assert told[-1] == Notice("that attempt has finished the run")
    assert Workspace(tmp_path / "ws").sql("SELECT outcome, scored FROM attempts").to_pylist() == [
        {"outcome": "done", "scored": 80}
    ]


def test_what_was_killed_is_not_waited_for_and_force_waits_for_nobody(tmp_path: Path) -> None:
    path = recipe(tmp_path)
    first, hold = held_back(tmp_path)
    said: list[Event] = []
    beside = Workspace(tmp_path / "ws").run(path, executor="local", force=True, report=said.append)
    assert (beside.outcome, beside.scored) == ("done", 80)
    [warned] = [event.text for event in said if isinstance(event, Notice)]
    assert f"process {first.pid} on " in warned
    assert "scored twice" in warned
    hold.unlink()
    assert rest(first)
    assert first.returncode == 0
    killed, hold = held_back(tmp_path, "--sample", "30")
    killed.send_signal(signal.SIGKILL)
    rest(killed)
    told: list[Event] = []
    began = time.monotonic()
    result = Workspace(tmp_path / "ws").run(path, executor="local", sample=30, report=told.append)
    assert (result.outcome, time.monotonic() - began < join.STALE_SECONDS) == ("done", True)
    assert not any(isinstance(event, Joined) for event in told)


def test_ctrl_c_counts_down_and_says_what_is_kept(tmp_path: Path) -> None:
    recipe(tmp_path)
    process, hold = held_back(tmp_path)
    process.send_signal(signal.SIGINT)
    said = stopping(process)
    hold.unlink()
    said += rest(process)[1]
    assert process.returncode == 130, said
    assert "at most 30 s; press again to stop now\n" in said
    assert "what is done is kept: the same command goes on from there\n" in said


# --- in one process -------------------------------------------------------------------------------------------------


def under_way(workspace: Workspace, run: str, attempt: str, number: int = 1) -> None:
    """An attempt of this process that has announced itself."""
    own = {"host": socket.gethostname(), "pid": os.getpid(), "process": attempts.process_mark(os.getpid())}
    row = {"attempt": attempt, "run": run, "executor": "local", "hardware": "any", "started_at": now()}
    workspace.manifest.commit("attempts", attempt, [{**row, **own, "number": number}])
    join._ours.add(attempt)


def end(workspace: Workspace, run: str, attempt: str) -> None:
    row = {"attempt": attempt, "run": run, "outcome": "interrupted", "scored": 0, "reused": 0, "seconds": 0.0}
    workspace.manifest.commit("ends", attempt, [{**row, "ended_at": now()}])


def test_of_two_that_do_not_see_who_was_first_only_one_goes_on(tmp_path: Path, monkeypatch: Any) -> None:
    """The one that announced itself last may have the lower number, or the same."""
    monkeypatch.setattr(join, "_ours", set())
    monkeypatch.setattr(join, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(join, "SETTLE_SECONDS", 0.05)
    workspace = Workspace(tmp_path)
    workspace.create()
    under_way(workspace, "r", "b", 2)
    assert join.alone(workspace.manifest, "r", (), "b")  # and is at its first unit from here on
    under_way(workspace, "r", "a", 1)
    assert not join.alone(workspace.manifest, "r", (), "a")
    assert join.alone(workspace.manifest, "r", {"b"}, "a")
    assert not join.alone(workspace.manifest, "r", (), "b")
    slept = []
    monkeypatch.setattr(join.time, "sleep", lambda seconds: slept.append(seconds) or end(workspace, "r", "b"))
    assert join.alone(workspace.manifest, "r", (), "a")  # where both see each other, the later one steps back
    assert len(slept) == 1


def test_what_goes_on_under_another_name_lets_nobody_in(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(join, "_ours", set())
    workspace = Workspace(tmp_path / "ws")
    workspace.create()
    plan = resolve(workspace.check(recipe(tmp_path)), workspace.manifest).plan
    plan = replace(plan, on_bad_shard="skip")
    told: list[Event] = []
    invocation = _Invocation(plan, workspace.store, lambda: LocalExecutor(1), told.append, gone=set(), force=False)
    seen: list[bool] = []

    def recorded(manifest: Manifest, attempt: str, *rest: Any) -> None:
        seen.append(bool(join.at_work(Manifest(workspace.store), plan.run, {attempt})))
        record_end(manifest, attempt, *rest)

    monkeypatch.setattr("pipelines.running.run.record_end", recorded)
    monkeypatch.setattr(join, "POLL_SECONDS", 0.01)
    with invocation.heartbeat.beating():
        invocation._announce()
        invocation.result.failures.append(("", Failure("R011", "a file is damaged", None)))
        assert invocation._mend()
        assert seen == [True]  # the second attempt was under way before the first had its end
        # another process leaves the same shard out, and was there first
        left = plan.without({1: "broken"})
        under_way(workspace, left.run, "other")

        def report(event: Event) -> None:
            told.append(event)
            if isinstance(event, Joined):
                end(workspace, left.run, "other")

        invocation.heartbeat.report = report
        invocation.failed = {1: "broken"}
        assert invocation._without_failed() == "done"
    assert [(event.run, event.attempt) for event in told if isinstance(event, Joined)] == [(left.run, "other")]


# --- elsewhere ------------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: Any) -> Callable[..., tuple[Workspace, Path]]:
    """A workspace with an attempt of another machine that has no end."""
    monkeypatch.setattr(join, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(join, "STALE_SECONDS", 0.4)

    def make(**facts: Any) -> tuple[Workspace, Path]:
        path = recipe(tmp_path)
        workspace = Workspace(tmp_path / "ws")
        run = workspace.plan(path).run
        workspace.create()
        row = {"attempt": "a", "run": run, "executor": "local", "host": "elsewhere", "pid": 1, "process": "1 x y"}
        workspace.manifest.commit("attempts", "a", [{**row, "hardware": "any", "started_at": now(), "number": 1}])
        if facts:
            workspace.store.write("heartbeats/a.json", lambda path: Path.write_text(path, json.dumps(facts)))
        return workspace, path

    return make


def test_one_on_another_machine_is_waited_for_while_its_heart_beats(elsewhere: Any, monkeypatch: Any) -> None:
    phase = {"name": "score input", "total": 2, "step": "score", "stage": "", "family": "", "documents": 80}
    workspace, path = elsewhere(beat=1, time=time.time(), phase=phase, advanced=None)
    looks: list[Manifest] = []
    monkeypatch.setattr(join, "Manifest", lambda store: looks.append(Manifest(store)) or looks[-1])
    told: list[Event] = []
    result = workspace.run(path, executor="local", report=told.append)
    assert (result.outcome, result.scored) == ("done", 80)  # it was waited for, stood still, and counted as gone
    [joined] = [event for event in told if isinstance(event, Joined)]
    assert (joined.host, joined.stale_seconds) == ("elsewhere", 0.4)
    assert len(looks) == 1  # records are read once, not at each look
    after = told[told.index(joined) + 1 :]
    assert after[0] == PhaseStarted(**phase)  # what it said of itself
    assert Notice("that attempt has ended without finishing the run, which goes on here") in after
    assert workspace.store.exists("heartbeats/a.json")
    assert workspace.status()["status"].to_pylist() == ["running"]  # as far as the other machine's clock goes
    old = json.dumps({"beat": 2, "time": time.time() - attempts.OUTDATED_SECONDS - 1})
    workspace.store.path("heartbeats/a.json").write_text(old)
    assert workspace.status()["status"].to_pylist() == ["done"]
    workspace.gc()
    assert workspace.store.exists("heartbeats/a.json")  # or the attempt would count as running again
    os.utime(workspace.store.path("heartbeats/a.json"), (0, 0))
    workspace.gc()
    assert not workspace.store.exists("heartbeats/a.json")


def test_one_that_gave_no_sign_for_long_is_not_waited_for(elsewhere: Any) -> None:
    workspace, path = elsewhere(beat=9, time=time.time() - attempts.OUTDATED_SECONDS - 1, phase=None, advanced=None)
    told: list[Event] = []
    assert workspace.run(path, executor="local", report=told.append).outcome == "done"
    assert not any(isinstance(event, Joined) for event in told)


def test_of_two_that_begin_at_once_the_later_one_steps_back(tmp_path: Path, monkeypatch: Any) -> None:
    """Both have looked, and seen nobody, before either has announced itself."""
    path = recipe(tmp_path)
    first, hold = held_back(tmp_path)
    looked = []
    before = join.join

    def blind(*given: Any) -> Any:
        looked.append(1)
        if len(looked) == 1:
            return None
        hold.unlink(missing_ok=True)
        return before(*given)

    monkeypatch.setattr("pipelines.running.run.join", blind)
    result = Workspace(tmp_path / "ws").run(path, executor="local")
    assert rest(first)
    assert first.returncode == 0
    assert (result.outcome, result.scored, len(looked)) == ("nothing-to-do", 0, 2)


def test_a_heartbeat_says_how_far_its_attempt_is_and_goes_with_it(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(join, "BEAT_SECONDS", 0.02)
    workspace = Workspace(tmp_path)
    workspace.create()
    told: list[Event] = []
    heart = join.Heartbeat(workspace.store, "a", told.append)
    name = workspace.store.path("heartbeats/a.json")
    phase = PhaseStarted("score input", 2, "score", documents=80)
    at = Advanced("score input", 1, 2, 1, 40, 80, True, None, 0, 1.0, 9.0, None, 4.0, (), False, False, None)
    end = time.monotonic() + 30
    with heart.beating():
        assert name.exists()  # before anybody can hear of the attempt
        heart(phase)
        heart(at)
        while json.loads(name.read_text())["beat"] < 3:
            assert time.monotonic() < end
            time.sleep(0.01)
        facts = json.loads(name.read_text())
        with heart.going_on_as("b"):
            assert name.exists()
            assert name.with_name("b.json").exists()
        assert not name.exists()
    assert not list(name.parent.iterdir())
    assert told == [phase, at]
    again: list[Event] = []
    join._repeat(facts, {}, again.append)
    assert [type(event) for event in again] == [PhaseStarted, Advanced]
    assert attempts.GRACE_SECONDS > join.STALE_SECONDS
