"""kill -9 anywhere, then run again: the same bytes, no row lost or doubled, nothing that was committed scored again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from lengths import mostly_slow

from curation import failpoints
from pipelines.workspace import Workspace

DRIVE = Path(__file__).with_name("drive.py")
pytestmark = pytest.mark.long
SEED = 20_250
RAY_ROLES = ("driver", "worker", "scorer")
ORDINARY = ("in-score", "before-part", "before-publish")
"""What the ordinary suite tries on this machine; `make chaos` tries every point."""
SHORT = [("before-rename", "driver")]
"""What the ordinary suite tries on Ray, beside test_cluster.py; `make chaos` tries every point with every role."""


class Moment(NamedTuple):
    """One time that a failpoint was passed in an undisturbed run."""

    hit: int
    """Which time, counted from 1 for each point."""
    in_unit: bool
    """In a shard task, not in the driver's own code."""
    models_up: bool
    """The scorer actor has answered by then."""


@pytest.fixture(scope="module")
def moments(recipe: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Moment]]:
    """Every moment of a run, by point. Phases follow one another, so the numbers hold on any executor."""
    log: list[tuple[str, bool]] = []
    root = tmp_path_factory.mktemp("counted")
    with pytest.MonkeyPatch.context() as patch:
        main = threading.main_thread()
        patch.setattr(failpoints, "hit", lambda point: log.append((point, threading.current_thread() is not main)))
        Workspace(root).run(recipe(), executor="local", workers=1)
    assert {point for point, _ in log} == set(failpoints.POINTS)
    # the first pass scores every shard; two more that wait for the model, and it is up
    up = Workspace(root).manifest.read("shards").num_rows + 4
    found: defaultdict[str, list[Moment]] = defaultdict(list)
    for point, in_unit in log:
        found[point].append(Moment(len(found[point]) + 1, in_unit, len(found["in-score"]) > up))
    return dict(found)


@pytest.mark.parametrize("point", mostly_slow((*ORDINARY, *sorted({*failpoints.POINTS} - {*ORDINARY})), len(ORDINARY)))
def test_a_killed_driver_resumes_to_the_same_bytes(
    point: str, moments: dict[str, list[Moment]], recipe: Any, undisturbed: Any, held: Any, tmp_path: Path
) -> None:
    hit = _rng(point, "local").choice(moments[point]).hit
    code, _ = drive(tmp_path, recipe(), "local", {"point": point, "hit": hit, "target": "self"})
    assert code == -signal.SIGKILL, f"{point} {hit} was not reached"
    resume(tmp_path, recipe(), undisturbed, held)


@pytest.mark.parametrize(("point", "role"), SHORT)
def test_ray_survives_a_kill(
    point: str, role: str, moments: dict[str, list[Moment]], recipe: Any, undisturbed: Any, held: Any, tmp_path: Path
) -> None:
    survive(point, role, moments, recipe, undisturbed, held, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("role", RAY_ROLES)
@pytest.mark.parametrize("point", failpoints.POINTS)
def test_ray_survives_a_kill_at_every_point(
    point: str, role: str, moments: dict[str, list[Moment]], recipe: Any, undisturbed: Any, held: Any, tmp_path: Path
) -> None:
    survive(point, role, moments, recipe, undisturbed, held, tmp_path)


def survive(
    point: str, role: str, moments: dict[str, list[Moment]], recipe: Any, undisturbed: Any, held: Any, tmp_path: Path
) -> None:
    """Kill one process of a Ray run. A worker's or a scorer's death costs the run nothing; a driver's ends it."""
    chosen = moments[point]
    target = role
    if role == "scorer":
        chosen = [moment for moment in chosen if moment.models_up]
    elif role == "worker":
        inside = [moment for moment in chosen if moment.in_unit]
        chosen, target = (inside, "self") if inside else (chosen, role)
    hit = _rng(point, role).choice(chosen).hit
    code, talk = drive(tmp_path, recipe(), "ray", {"point": point, "hit": hit, "target": target})
    run, reference = undisturbed
    if role == "driver":
        assert code == -signal.SIGKILL, f"{point} {hit}: {talk}"
        assert not surviving(tmp_path, 240), "Ray's processes outlived the driver"
    else:
        assert (code, json.loads(talk)["outcome"]) == (0, "done"), f"{point} {hit}: {talk}"
        marks = [path.name for path in (tmp_path / "points").iterdir()]
        assert f"hit-{hit}" in marks, f"{point} {hit} was not reached"
        assert target == "self" or any(mark.startswith(f"killed-{role}") for mark in marks), marks
        assert held(tmp_path / "ws").everything(run) == reference.everything(run)
        assert json.loads(talk)["steps"] == reference.rows(), "a unit's scores were lost or counted twice"
        assert held(tmp_path / "ws").doubled() == 0
    resume(tmp_path, recipe(), undisturbed, held)


def drive(folder: Path, recipe: dict[str, Any], executor: str, point: dict[str, Any]) -> tuple[int, str]:
    """A run in a process of its own with one failpoint set. Its exit code and what it said last."""
    (folder / "points").mkdir()
    (folder / "recipe.json").write_text(json.dumps(recipe))
    environment = {**os.environ, failpoints.VARIABLE: json.dumps({**point, "dir": str(folder / "points")})}
    command = [sys.executable, str(DRIVE), str(folder / "ws"), str(folder / "recipe.json"), executor, "2"]
    with (folder / "talk").open("w") as talk:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=talk, text=True)
        try:
            # waits for the process, not for the end of its pipe: Ray's processes may hold that for a while
            code = process.wait(timeout=240)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
                surviving(folder, 0)
    assert process.stdout is not None
    said = process.stdout.readline().strip() if code >= 0 else ""
    process.stdout.close()
    return code, said or (folder / "talk").read_text()[-2000:]


def resume(folder: Path, recipe: dict[str, Any], undisturbed: Any, held: Any) -> None:
    """Run again, here and without failpoints: the undisturbed bytes, and only what was not committed is scored."""
    run, reference = undisturbed
    root = folder / "ws"
    before, parts = held(root).rows(), _parts(root)
    result = Workspace(root).run(recipe, executor="local", workers=2)
    assert (result.run, result.failures) == (run, [])
    assert result.outcome in ("done", "nothing-to-do")
    assert held(root).everything(run) == reference.everything(run)
    assert result.steps == reference.rows() - before
    assert held(root).rows() == reference.rows()
    assert held(root).doubled() == 0
    assert parts.items() <= _parts(root).items()
    held(root).balance(run)


def surviving(folder: Path, patience: float) -> list[str]:
    """Processes that inherited this test's failpoint folder and still work after `patience` seconds; all are killed.

    Ray's two agents of a node do no work of ours, and may wait a minute for a control store that is dead: not counted.
    """
    end = time.monotonic() + patience
    while (left := [name for _, name in _inheritors(folder) if "agent" not in name.lower()]) and time.monotonic() < end:
        time.sleep(0.2)
    for pid, _ in _inheritors(folder):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return left


def _inheritors(folder: Path) -> Iterator[tuple[int, str]]:
    """Process ids with the beginning of their command lines."""
    mark = str(folder / "points").encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark in (entry / "environ").read_bytes() and b"\nState:\tZ" not in (entry / "status").read_bytes():
                    yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ")[:200].decode()
            except OSError:
                continue


def _rng(*of: str) -> random.Random:
    return random.Random(f"{SEED}-{'-'.join(of)}")


def _parts(root: Path) -> dict[str, str]:
    """Files of committed scores, with the hash that was recorded."""
    return {row["data"]: row["content"] for row in Workspace(root).manifest.read("scores").to_pylist()}
