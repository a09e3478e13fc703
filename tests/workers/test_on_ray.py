"""Actors that grow and shrink, asks that cannot be met, documents that kill their process, and runs that are stopped:
on a real cluster of one node, with a GPU that is only said to be there."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import holding
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from cluster import one_node

from curation import registry
from pipelines.planning.resolve import resolve
from pipelines.running.events import Event, Notice, PhaseStarted, UnitEnded
from pipelines.running.run import _Invocation
from pipelines.workspace import MARKER, Workspace
from schemas.errors import CurationError
from workers import cluster as asking
from workers import on_ray, shared_kv
from workers.on_ray import RayExecutor  # before Ray, which reads RAY_AUTH_MODE once

import ray  # isort: skip
from workers.pool import Pool  # isort: skip

PATIENCE = 240.0
"""Seconds for what happens at once on a machine that does nothing else."""
SCORERS = '''
import os
import signal
import time

import numpy as np
import pyarrow as pa
import ray

from curation.scorers.base import Artifact, Scorer, Settings


class Length(Scorer):
    """The length of a text; `kill:NAME` in it ends the process that scores it, or with `raises` only the batch. All
    batches but the first `free` wait while the file `hold` is there, for `seconds` at most."""

    kind = "length"

    class Settings(Settings):
        name: str = "light"
        raises: bool = False
        hold: str = ""
        seconds: float = 300.0
        free: int = 0

    @property
    def operational(self):
        return ("raises", "hold", "seconds", "free")

    @property
    def fields(self):
        return [pa.field("bytes", pa.int64())]

    def score(self, batch):
        texts = batch.column("text").to_pylist()
        if self.settings.name == "always" or any(f"kill:{self.settings.name}" in text for text in texts):
            if self.settings.raises:
                raise ValueError("killed")
            os.kill(os.getpid(), signal.SIGKILL)
        end = time.monotonic() + self.settings.seconds
        self.scored = getattr(self, "scored", 0) + 1
        while self.scored > self.settings.free and os.path.exists(self.settings.hold) and time.monotonic() < end:
            time.sleep(0.05)
        return pa.record_batch({"bytes": pa.array([len(text) for text in texts], pa.int64())})


class Model(Length):
    """The same in an actor."""

    kind = "model-length"
    heavy = True

    def load(self):
        if self.settings.name == "unloadable":
            os.kill(os.getpid(), signal.SIGKILL)


class Learner(Scorer):
    """Its model wants a GPU, to be fitted, too; `fit` notes where it was done."""

    kind = "learner"
    heavy = True
    device = "cuda"
    sample_rows = 3
    fields = (pa.field("bytes", pa.int64()),)

    def fit(self, pool):
        given = ray.get_runtime_context().get_accelerator_ids()["GPU"]
        return Artifact({"rows": np.array([len(pool)])}, {"gpus": len(given), "process": os.getpid()})

    def score(self, batch):
        return pa.record_batch({"bytes": pa.array([0] * len(batch), pa.int64())})
'''


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster with eight logical CPUs and one GPU, whose workers find the scorers above."""
    code = tmp_path_factory.mktemp("code")
    (code / "length_scorers.py").write_text(SCORERS)
    info = code / "length_scorers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: length-scorers\nVersion: 1.0\n")
    points = "[curation.scorers]\nlength = length_scorers:Length\nmodel-length = length_scorers:Model\n"
    points += "learner = length_scorers:Learner\n"
    (info / "entry_points.txt").write_text(points)
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # Ray reads a token once a process, so it stays
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(code))
        patch.setenv("PYTHONPATH", str(code))
        try:
            with one_node(num_cpus=8, num_gpus=1) as started:
                yield started.address
        finally:
            sys.modules.pop("length_scorers", None)
            registry.find.cache_clear()


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A recipe over shards of one or more texts each."""

    def make(shards: list[list[str]], *stages: dict[str, Any], into: str = "input", **changes: Any) -> dict[str, Any]:
        folder = tmp_path / into
        folder.mkdir(exist_ok=True)
        for number, texts in enumerate(shards):
            pq.write_table(pa.table({"text": texts}), folder / f"{number:03d}.parquet")
        return {"name": "lengths", "input": {"path": str(folder)}, "stages": list(stages), **changes}

    return make


def texts(count: int, *, bad: dict[int, str] | None = None) -> list[str]:
    return [f"document {n} " + "x" * n + (bad or {}).get(n, "") for n in range(count)]


@pytest.mark.long
def test_a_document_that_kills_its_process_is_set_aside_and_named(address: str, recipe: Any, tmp_path: Path) -> None:
    poison = {1: " kill:light", 3: " kill:heavy"}
    shards = [texts(3), texts(5, bad=poison), texts(4)]

    def settings(raises: bool) -> dict[str, Any]:
        light = {"scorer": "length", "id": "light", "name": "light", "raises": raises}
        heavy = {"scorer": "model-length", "id": "heavy", "name": "heavy", "raises": raises}
        return recipe(shards, light, heavy, errors={"documents": 2})

    result = Workspace(tmp_path / "ws").run(settings(False), address=address)
    assert (result.outcome, result.failures) == ("done", [])
    assert (result.rows, result.kept, result.errored) == (12, 10, 2)
    errors = Workspace(tmp_path / "ws").sql("SELECT path, row, stage, message FROM errors ORDER BY row").to_pylist()
    name = str(tmp_path / "input" / "001.parquet")
    died = "the process that scored it died 3 times"
    assert [tuple(row.values()) for row in errors] == [(name, 1, "light", died), (name, 3, "heavy", died)]
    # a scorer that only raises over them, in this process, gives everything else the same
    calm = Workspace(tmp_path / "calm").run(settings(True), executor="local")
    assert (calm.kept, calm.errored) == (10, 2)
    query = "SELECT path, row, kept, light, heavy FROM documents ORDER BY ALL"
    assert Workspace(tmp_path / "ws").sql(query).equals(Workspace(tmp_path / "calm").sql(query))
    assert Workspace(tmp_path / "ws").run(settings(False), address=address).outcome == "nothing-to-do"


@pytest.mark.long
def test_a_stage_whose_model_wants_a_gpu_is_fitted_where_there_is_one(
    address: str, recipe: Any, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "ws")
    result = workspace.run(recipe([texts(4)] * 2, {"scorer": "learner", "id": "learner"}), address=address, workers=2)
    assert (result.outcome, result.failures) == ("done", [])
    [card] = Workspace(tmp_path / "ws").manifest.read("fits")["card"].to_pylist()
    assert json.loads(card)["gpus"] == 1
    assert json.loads(card)["process"] != os.getpid()


@pytest.mark.slow
@pytest.mark.parametrize("scorer", ["length", "model-length"])
def test_a_scorer_that_kills_its_process_over_everything_is_said_and_given_up(
    scorer: str, address: str, recipe: Any, tmp_path: Path
) -> None:
    said: list[str] = []
    settings = recipe([texts(2)] * 4, {"scorer": scorer, "id": "deadly", "name": "always"}, on_bad_shard="skip")
    result = Workspace(tmp_path / "ws").run(
        settings, address=address, workers=1, report=lambda event: said.append(getattr(event, "text", ""))
    )
    assert result.outcome == "failed"
    assert {(failure.code, failure.message) for _, failure in result.failures} == {
        ("R019", "stage 'deadly' ends the process that scores, over plain words, too")
    }
    assert len(result.failures) == 4  # two under way, and two that wait
    assert "stage 'deadly': the process that scores died; looking for the document" in said
    if scorer == "length":  # in the unit's own process
        assert any(line.startswith("the process of stage 'deadly' on ") for line in said)


@pytest.mark.slow
def test_documents_in_a_row_that_kill_their_process_end_the_search(address: str, recipe: Any, tmp_path: Path) -> None:
    bad = texts(12, bad=dict.fromkeys(range(12), " kill:light"))
    stage = {"scorer": "length", "id": "light", "name": "light"}
    result = Workspace(tmp_path / "ws").run(
        recipe([texts(3), bad], stage, on_bad_shard="skip"), address=address, workers=2
    )
    assert (result.outcome, result.kept) == ("done", 3)
    errors = Workspace(tmp_path / "ws").sql("SELECT message FROM errors")
    assert "the process that scores died over 5 documents in a row" in str(errors.to_pylist())


@pytest.mark.long
def test_a_stage_that_only_the_driver_has_is_named(
    address: str, recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    info = tmp_path / "mine" / "driver_only-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: driver-only\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[curation.scorers]\ndriver-only = driver_only:Length\n")
    (tmp_path / "mine" / "driver_only.py").write_text(SCORERS.replace('"length"', '"driver-only"'))
    monkeypatch.syspath_prepend(str(tmp_path / "mine"))
    stages = [{"scorer": "length", "id": "known"}, {"scorer": "driver-only", "id": "mine"}]
    with pytest.raises(CurationError) as failure:
        Workspace(tmp_path / "ws").run(recipe([texts(2)], *stages), address=address)
    [finding] = failure.value.findings
    assert finding.code == "C044"
    assert "does not have the scorer 'driver-only' of stage 'mine', which the driver has" in finding.message
    with pytest.raises(CurationError) as failure:  # a notebook is on the cluster, and knows more than it
        Workspace(tmp_path / "ws").run(recipe([texts(2)], *stages), address=address)
    assert failure.value.findings[0].code == "C044"


@pytest.mark.long
def test_ray_that_this_process_is_on_is_used_and_left_alone(address: str, recipe: Any, tmp_path: Path) -> None:
    settings = recipe([texts(2)], {"scorer": "model-length", "id": "heavy"})
    ray.init(address=address, log_to_driver=False)
    try:
        shared_kv.write(on_ray._STOP, "")  # as a run that was interrupted leaves it
        for number, there in enumerate((address, "auto")):
            result = Workspace(tmp_path / f"ws{number}").run(settings, executor="ray", address=there)
            assert (result.outcome, result.kept) == ("done", 2)
            assert ray.is_initialized()
        for there, what in (
            (None, "without an address a run starts its own"),
            ("10.0.0.9:1", "is to be on 10.0.0.9:1"),
        ):
            with pytest.raises(CurationError) as failure:
                Workspace(tmp_path / "other").run(settings, executor="ray", address=there)
            [finding] = failure.value.findings
            assert finding.code == "C061"
            assert f"Ray is initialised in this process, on the cluster at {address}" in finding.message
            assert what in finding.message
            assert "ray.shutdown()" in (finding.hint or "")
            assert ray.is_initialized()
    finally:
        ray.shutdown()


@pytest.mark.parametrize(
    ("address", "said", "hint"),
    [
        ("127.0.0.1:1", "did not answer: Connection refused", "6379"),
        ("http://head:8265", "is not the address of a Ray cluster", "curate submit"),
        ("ray://head:10001", "is not the address of a Ray cluster", "head:6379"),
        ("head", "is not the address of a Ray cluster", "head:6379"),
        ("head:port", "is not the address of a Ray cluster", "6379"),
    ],
)
def test_an_address_that_is_none_is_said_at_once(
    address: str, said: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "init", lambda **given: pytest.fail("Ray was asked, which waits for minutes"))
    with pytest.raises(CurationError) as failure:
        RayExecutor(address)
    [finding] = failure.value.findings
    assert finding.code == "C035"
    assert said in finding.message
    assert hint in (finding.hint or "")


def test_the_code_that_machines_compare_is_that_of_packages_wherever_each_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A submitted job unpacks each package into a folder of its own."""
    same = asking.code()
    for package in ("curation", "schemas"):
        apart = tmp_path / package / package
        source = Path(import_module(package).__path__[0])
        shutil.copytree(source, apart, ignore=shutil.ignore_patterns("__pycache__"))
        monkeypatch.setattr(import_module(package), "__path__", [str(apart)])
    asking.code.cache_clear()
    assert asking.code() == same
    (tmp_path / "curation" / "curation" / "plan.py").write_text("changed = True")
    asking.code.cache_clear()
    assert asking.code() != same
    monkeypatch.undo()
    asking.code.cache_clear()


def test_an_address_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    with pytest.raises(CurationError, match=r"C035: http://127.0.0.1:8265 \(of RAY_ADDRESS\) is not the address"):
        RayExecutor("auto")


@pytest.mark.long
def test_a_model_whose_process_dies_while_loading_fails_the_stage(address: str, recipe: Any, tmp_path: Path) -> None:
    stage = {"scorer": "model-length", "id": "heavy", "name": "unloadable"}
    result = Workspace(tmp_path / "ws").run(recipe([texts(2)], stage), address=address)
    assert result.outcome == "failed"
    failure = result.failures[0][1]
    assert failure.code == "R006"
    assert failure.message == "stage 'heavy': the process that holds the model died 3 times while loading it"


@pytest.mark.long
def test_actors_grow_while_they_are_busy_and_shrink_when_they_are_not(
    address: str, recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    resources = {"num_cpus": 0.5, "workers": "1..3"}
    stage = {"scorer": "model-length", "id": "heavy", "hold": str(hold), "seconds": 4, "resources": resources}
    settings = recipe([[str(n)] for n in range(50)], stage)  # minutes, unless the pool grows
    workspace = Workspace(tmp_path / "ws")
    workspace.create()
    plan = resolve(workspace.check(settings), workspace.manifest).plan
    executor = RayExecutor(address, 6, marker=MARKER, idle_seconds=0.1)
    sizes: list[int] = []
    publish = Pool._publish

    def published(pool: Pool) -> None:
        """Note another size of the pool. Until that is the most, what is scored takes its time."""
        publish(pool)
        if len(pool.members) != (sizes or [0])[-1]:
            sizes.append(len(pool.members))
        if len(pool.members) == 3:
            hold.unlink(missing_ok=True)

    phases: list[str] = []

    def watch(event: Event) -> None:
        """After the first unit the driver looks on while nothing is scored, until an actor has gone."""
        if isinstance(event, PhaseStarted):
            phases.append(event.name)
        if isinstance(event, UnitEnded) and phases[-1].startswith("score"):
            while sizes[-1] == 3:
                time.sleep(0.1)
                for pool in executor._pools.values():
                    pool.autoscale(1)

    monkeypatch.setattr(Pool, "_publish", published)
    result = _Invocation(plan, workspace.store, lambda: executor, watch).run()
    assert (result.outcome, result.kept) == ("done", 50)
    assert sizes[:4] == [1, 2, 3, 2]


@pytest.mark.parametrize(
    ("resources", "needs"),
    [
        ({"num_gpus": 1, "workers": 2}, "stage 'heavy' needs 2 × 0 CPU and 1 GPU"),
        ({"num_cpus": 9}, "stage 'heavy' needs 1 × 9 CPU"),
        ({"num_cpus": 4, "workers": "2..4"}, "a unit of work needs 1 × 1 CPU"),
    ],
)
def test_what_can_never_fit_is_an_error_at_once(
    resources: dict[str, Any], needs: str, address: str, recipe: Any, tmp_path: Path
) -> None:
    stage = {"scorer": "model-length", "id": "heavy", "resources": resources}
    with pytest.raises(CurationError) as failure:
        Workspace(tmp_path / "ws").run(recipe([texts(2)], stage), address=address)
    finding = failure.value.findings[0]
    assert finding.code == "C043"
    assert needs in finding.message
    assert "Free: 8 of 8 CPU and 1 of 1 GPU" in finding.message


@pytest.mark.long
def test_what_others_hold_is_waited_for_and_said(
    address: str, recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "SAY_AFTER", 0.2)
    hold = tmp_path / "hold"
    hold.touch()
    stage = {"scorer": "model-length", "id": "heavy", "resources": {"num_gpus": 0.6}}
    held = {**stage, "hold": str(hold), "free": 1}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe([["text"]] * 4, held)))
    first = start(tmp_path, address)
    wait_for(lambda: (tmp_path / "ws" / "manifest" / "parts" / "scores").exists(), first)
    second = recipe([["text"]], {**stage, "id": "other"}, into="other")
    said: list[str] = []

    def report(event: Event) -> None:
        if isinstance(event, Notice):
            said.append(event.text)
            hold.unlink(missing_ok=True)

    result = Workspace(tmp_path / "ws2").run(second, address=address, report=report)
    assert (result.outcome, result.failures) == ("done", [])
    _, talk = first.communicate(timeout=PATIENCE)
    assert first.returncode == 0, talk
    assert "stage 'other' needs 1 × 0 CPU and 0.6 GPU, which others hold" in said[0]


@pytest.mark.long
def test_models_of_one_pass_share_a_gpu_and_the_next_pass_has_it_to_itself(
    address: str, recipe: Any, tmp_path: Path
) -> None:
    one, two, three = (
        {"scorer": "model-length", "id": name, "name": name, "resources": {"num_gpus": share}}
        for name, share in (("one", 0.5), ("two", 0.5), ("three", 1))
    )
    settings = recipe([texts(3), texts(3)], one, two, {"dedup": "exact"}, three)
    result = Workspace(tmp_path / "ws").run(settings, address=address)
    assert (result.outcome, result.rows, result.kept) == ("done", 6, 3)


@pytest.mark.long
def test_sigterm_lets_units_end_and_the_run_resumes(address: str, recipe: Any, tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    stage = {"scorer": "model-length", "id": "heavy", "hold": str(hold), "free": 4}
    settings = recipe([["text", str(n)] for n in range(24)], stage)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings))
    process = start(tmp_path, address)
    parts = tmp_path / "ws" / "manifest" / "parts" / "scores"
    wait_for(lambda: parts.exists() and len(list(parts.iterdir())) >= 4, process)
    process.send_signal(signal.SIGTERM)
    talk = holding.stopping(process)
    hold.unlink()
    talk += holding.rest(process)[1]
    assert process.returncode == 130, talk
    assert "; press again to stop now" in talk
    workspace = Workspace(tmp_path / "ws")
    attempt = workspace.sql("SELECT outcome, scored FROM attempts").to_pylist()[0]
    assert attempt["outcome"] == "interrupted"
    stored = workspace.sql("SELECT 1").num_rows and sum(
        row["rows"] for row in workspace.manifest.read("scores").to_pylist() if row["step"] == "heavy"
    )
    assert attempt["scored"] == stored < 48, "what was under way was lost, or not counted"
    again = workspace.run(settings, executor="local")
    assert (again.outcome, again.scored) == ("done", 48 - stored)


@pytest.mark.long
def test_a_node_that_does_not_see_the_workspace_is_named(address: str, tmp_path: Path) -> None:
    executor = RayExecutor(address)
    try:
        with pytest.raises(CurationError) as failure:
            asking.preflight(str(tmp_path / "elsewhere"), MARKER, lambda text: None)
    finally:
        executor.close()
    finding = failure.value.findings[0]
    assert finding.code == "C044"
    assert finding.message.endswith(f"does not see the workspace {tmp_path / 'elsewhere'}: it is not there")


def start(folder: Path, address: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipelines.cli", "run", str(folder / "recipe.yaml"), "-w", str(folder / "ws")]
    return subprocess.Popen(
        [*command, "--address", address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("given", ["soon", "-1", "nan", "inf"])
def test_a_time_to_drain_that_is_no_number_is_refused_before_anything_starts(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURATION_DRAIN_SECONDS", given)
    with pytest.raises(CurationError, match=f"C004: environment variable CURATION_DRAIN_SECONDS: .* '{given}'"):
        RayExecutor()
