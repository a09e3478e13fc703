"""Runs on a cluster of their own that are told to stop: by a signal to the driver, to its group, to all processes of
the job, by a terminal that is closed; and drivers that are killed. What is under way commits, nothing stays behind."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import holding
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from lengths import mostly_long

from pipelines.workspace import Workspace

ROOT = Path(__file__).parents[2]
SCORERS = '''
import os
import signal
import time
from pathlib import Path

import pyarrow as pa

from curation.scorers.base import Scorer, Settings
from workers import shared_kv


def told():
    """Whether the driver has heard a signal: this process, or the one that has this cluster."""
    if "CURATION_PRIVATE_RAY" in os.environ:
        return shared_kv.read("stop") is not None
    return getattr(signal.getsignal(signal.SIGTERM), "_seen", False)


class Waiting(Scorer):
    """The length of a text; waits while the file `hold` is there, once it has begun, and says when the driver has
    heard a signal."""

    kind = "waiting"

    class Settings(Settings):
        folder: str

    @property
    def operational(self):
        return ("folder",)

    @property
    def fields(self):
        return [pa.field("bytes", pa.int64())]

    def score(self, batch):
        if "CURATION_PRIVATE_RAY" in os.environ:
            print("scored")
            os.write(1, b"scored")
        folder = Path(self.settings.folder)
        (folder / f"begun-{os.getpid()}-{time.time()}").touch()
        while (folder / "hold").exists():
            if told():
                (folder / "heard").touch()
            time.sleep(0.05)
        lengths = [len(text) for text in batch.column("text").to_pylist()]
        return pa.record_batch({"bytes": pa.array(lengths, pa.int64())})
'''
SHARDS = 8
PATIENCE = 240.0
"""Seconds for what happens at once on a machine that does nothing else."""
SLOW = pytest.mark.slow


class Project:
    """A recipe with a scorer of somebody else's, and a driver of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.control = folder / "control"
        self.temporary = Path(os.environ.get("TMPDIR", "/tmp")) / f"t{os.getpid()}-{time.monotonic_ns() % 1_000_000}"
        for path in (self.control, folder / "input", self.temporary):
            path.mkdir()
        for number in range(SHARDS):
            texts = [f"document {number} {row}" for row in range(5)]
            pq.write_table(pa.table({"text": texts}), folder / "input" / f"{number}.parquet")
        code = folder / "code"
        info = code / "waiting_scorers-1.0.dist-info"
        info.mkdir(parents=True)
        (code / "waiting_scorers.py").write_text(SCORERS)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: waiting-scorers\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[curation.scorers]\nwaiting = waiting_scorers:Waiting\n")
        stage = {"scorer": "waiting", "folder": str(self.control)}
        recipe = {"name": "waits", "input": {"path": str(folder / "input")}, "stages": [stage]}
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "CURATION_"))},
            "PYTHONPATH": os.pathsep.join([str(code), str(ROOT)]),
            "RAY_TMPDIR": str(self.temporary),
        }

    def hold(self) -> None:
        (self.control / "hold").touch()

    def release(self, driver: subprocess.Popen[str]) -> None:
        """Once the driver has heard a signal."""
        until("word of the signal", (self.control / "heard").exists, driver)
        (self.control / "hold").unlink()

    def start(
        self, *more: str, executor: str = "ray", through: Sequence[str] = ("-m",), **options: Any
    ) -> subprocess.Popen[str]:
        command = [sys.executable, *through, "pipelines.cli", "run", "recipe.yaml", "-w", "ws", "--executor", executor]
        # tests that run in the background have been told to ignore Ctrl-C, and their children would be, too
        heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": heard, **options}
        return subprocess.Popen(
            [*command, *more],
            cwd=self.folder,
            env=self.environment,
            text=True,
            start_new_session=True,
            **settings,
        )

    def begun(self) -> int:
        return len(list(self.control.glob("begun-*")))

    def processes(self) -> list[int]:
        """Of its private cluster, and who watches that."""
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                variables = (entry / "environ").read_bytes().split(b"\0")
                if f"RAY_TMPDIR={self.temporary}".encode() in variables:
                    found.append(int(entry.name))
        return found

    def left(self, patience: float = PATIENCE) -> tuple[list[int], list[Path]]:
        """Processes and files that have not gone by then."""
        end = time.monotonic() + patience
        while (found := (self.processes(), list(self.temporary.iterdir()))) != ([], []) and time.monotonic() < end:
            time.sleep(0.1)
        return found

    def resumed(self) -> None:
        """Run again, here: what was committed is not scored again, and no row is lost."""
        scored = Workspace(self.folder / "ws").manifest.read("scores").num_rows
        driver = self.start(executor="local")
        _, err = driver.communicate(timeout=PATIENCE)
        assert driver.returncode == 0, err
        assert f": kept {SHARDS * 5} of {SHARDS * 5} documents, 0 dropped; " in err
        assert scored > 0


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path)
    try:
        yield made
    finally:
        for pid in made.processes():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        made.left(10)
        with suppress(OSError):
            made.temporary.rmdir()


def until(what: str, true: Callable[[], Any], driver: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < end, f"no {what}"
        time.sleep(0.05)


@pytest.mark.long
def test_a_signal_to_every_process_of_the_job_drains(project: Project) -> None:
    """As systemd and Slurm send it, and more than `timeout`, `docker stop` and Ctrl-C do."""
    project.hold()
    driver = project.start()
    until("unit", lambda: project.begun() >= 2, driver)
    own = os.getpgid(driver.pid)
    cluster = [pid for pid in project.processes() if pid != driver.pid]
    assert len(cluster) > 4
    assert not [pid for pid in cluster if os.getpgid(pid) == own], "a signal to the driver's group would reach Ray"
    os.killpg(own, signal.SIGTERM)
    for pid in cluster:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            os.kill(pid, number)
    project.release(driver)
    out, err = driver.communicate(timeout=PATIENCE)
    assert (driver.returncode, out) == (130, ""), err
    assert "; press again to stop now" in err
    assert re.search(r"^Interrupted after [\d.]+ s: scored 10 documents by 1 stage; what is stored stays$", err, re.M)
    assert re.search(r"^resume: +curate retry \w+ -w ws$", err, re.M)
    assert "Traceback" not in err
    assert project.left() == ([], [])
    project.resumed()


@pytest.mark.long
def test_a_driver_that_is_killed_leaves_nothing(project: Project) -> None:
    project.hold()
    driver = project.start()
    until("unit", lambda: project.begun() >= 2, driver)
    assert [path.name[:13] for path in project.temporary.iterdir()] == ["curation-ray-"]
    driver.kill()
    driver.communicate()
    assert project.left() == ([], [])


@pytest.mark.long
@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, pytest.param(signal.SIGINT, marks=SLOW), pytest.param(signal.SIGHUP, marks=SLOW)],
)
def test_a_signal_while_ray_starts_stops_the_run(number: signal.Signals, project: Project) -> None:
    driver = project.start()
    until("folder", lambda: list(project.temporary.glob("*/session_*/logs")), driver)
    os.killpg(driver.pid, number)
    out, err = driver.communicate(timeout=PATIENCE)
    assert (driver.returncode, out) == (130, ""), err
    assert "stopping: press again to stop now\n" in err
    assert "Traceback" not in err
    assert not project.begun()
    assert project.left() == ([], [])


@SLOW
def test_a_second_signal_ends_the_run_at_once(project: Project) -> None:
    project.hold()
    project.environment["CURATION_DRAIN_SECONDS"] = "3600"
    driver = project.start()
    until("unit", lambda: project.begun() >= 2, driver)
    driver.send_signal(signal.SIGINT)
    holding.stopping(driver)
    driver.send_signal(signal.SIGINT)
    holding.rest(driver)  # while the units wait
    assert driver.returncode == 130
    assert project.left() == ([], [])


@pytest.mark.long
@pytest.mark.parametrize("executor", ["local", pytest.param("ray", marks=SLOW)])
def test_a_terminal_that_is_closed_drains_the_run(executor: str, project: Project) -> None:
    project.hold()
    ours, theirs = pty.openpty()
    ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    driver = project.start("--workers", "1", executor=executor, **ends)
    os.close(theirs)
    until("unit", lambda: project.begun() >= 1, driver)
    os.close(ours)
    os.killpg(driver.pid, signal.SIGHUP)  # as the shell does
    project.release(driver)
    assert driver.wait(PATIENCE) == 130
    [ended] = Workspace(project.folder / "ws").manifest.read("ends").to_pylist()
    assert (ended["outcome"], ended["scored"]) == ("interrupted", 5)
    assert project.left() == ([], [])
    project.resumed()


@pytest.mark.long
def test_a_terminal_that_is_closed_does_not_end_a_run_under_nohup(project: Project) -> None:
    project.hold()
    ours, theirs = pty.openpty()
    ignored = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    driver = project.start(executor="local", stderr=theirs, stdout=theirs, preexec_fn=ignored)
    os.close(theirs)
    until("unit", lambda: project.begun() >= 1, driver)
    os.close(ours)
    os.killpg(driver.pid, signal.SIGHUP)
    (project.control / "hold").unlink()
    assert driver.wait(PATIENCE) == 0
    [ended] = Workspace(project.folder / "ws").manifest.read("ends").to_pylist()
    assert ended["outcome"] == "done"


@pytest.mark.parametrize("number", mostly_long([signal.SIGTERM, signal.SIGHUP]))
def test_here_signals_are_heard_too(number: signal.Signals, project: Project) -> None:
    project.hold()
    driver = project.start("--workers", "1", executor="local")
    until("unit", lambda: project.begun() >= 1, driver)
    os.killpg(driver.pid, number)
    project.release(driver)
    out, err = driver.communicate(timeout=PATIENCE)
    assert (driver.returncode, out) == (130, ""), err
    assert re.search(r"^resume: +curate retry \w+ -w ws$", err, re.M)


@pytest.mark.long
@pytest.mark.parametrize("moment", ["before-publish", pytest.param("before-rename", marks=SLOW)])
def test_a_signal_while_the_driver_itself_works_stops_the_run(moment: str, project: Project) -> None:
    """While it plans, or publishes: what was begun is begun again, or was whole."""
    hold = project.folder / "hold"
    hold.touch()
    through = (holding.__file__, moment, "1", str(hold))
    driver = project.start("--workers", "1", executor="local", through=through)
    until("moment", holding.reached(hold).exists, driver)
    driver.terminate()
    err = holding.stopping(driver)
    hold.unlink()
    out, more = holding.rest(driver)
    err += more
    assert (driver.returncode, out) == (130, ""), err
    assert "Traceback" not in err
    again = project.start(executor="local")
    out, err = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, err
    assert "/ws/datasets/waits/" in out


def test_an_orphan_of_a_machine_that_went_down_is_swept(tmp_path: Path) -> None:
    from workers.private import _folder, _sweep

    there, lock = _folder(tmp_path)
    _sweep(tmp_path)
    assert there.exists(), "another driver's"
    os.close(lock)
    _sweep(tmp_path)
    assert not there.exists()
