"""Code of others ends no program, writes no stdout, and what it raises is a finding or a failure of its stage."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from lengths import mostly_long

from curation import registry
from curation.plugins import EndedError, contained, inside
from pipelines.workspace import Workspace

ENDS = [
    "sys.exit(0)",
    "raise SystemExit",
    "raise KeyboardInterrupt",
    "raise GeneratorExit",
    "raise Ended",
    "quit()",
    "os._exit(0)",
]
CODE = """
import atexit, ctypes, os, sys, threading
import pyarrow as pa
from curation.scorers.base import Scorer, Settings

class Ended(BaseException):
    pass

{at_import}

class MineSettings(Settings):
    at: str = ""

class Mine(Scorer):
    kind = "mine"
    Settings = MineSettings

    def __init__(self, settings, context):
        super().__init__(settings, context)
        self.meet("init")

    @property
    def fields(self):
        self.meet("fields")
        return [pa.field("n", pa.int64())]

    def identity(self):
        self.meet("identity")
        return {{}}

    def columns(self):
        "A name that means something to the engine in selections alone."

    def meet(self, where, *texts):
        if self.settings.at == where:
            {action}

    def load(self):
        self.meet("load")

    def score(self, batch):
        self.meet("score")
        for text in batch.column("text").to_pylist():
            if "cursed" in text:
                self.meet("document")
        return pa.record_batch({{"n": pa.array([1] * batch.num_rows, pa.int64())}})
"""
LOUD = """print("LOUD python")
            os.system("echo LOUD child")
            os.write(1, b"LOUD fd\\n")
            libc = ctypes.CDLL(None); libc.puts(b"LOUD c"); libc.fflush(None)
            sys.stdout.buffer.write(b"LOUD buffer\\n"); sys.stdout.buffer.flush()
            atexit.register(print, "LOUD exit")
            thread = threading.Thread(target=print, args=("LOUD thread",)); thread.start(); thread.join()
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes somebody's package, found by its entry point, here and in processes started from here."""
    code = tmp_path / "code"
    info = code / "mine-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[curation.scorers]\nmine = mine_scorers:Mine\n")
    monkeypatch.syspath_prepend(str(code))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(code), os.environ.get("PYTHONPATH", "")]))

    def write(action: str = "pass", at_import: str = "", at: str = "") -> Path:
        (code / "mine_scorers.py").write_text(CODE.format(action=action, at_import=at_import))
        texts = [f"document {n}{' cursed' if n == 7 else ''}" for n in range(40)]
        pq.write_table(pa.table({"text": texts}), tmp_path / "in.parquet")
        stage = {"scorer": "mine", **({"at": at} if at else {})}
        recipe = {"name": "mine", "input": {"path": "in.parquet"}, "stages": [stage], "errors": {"documents": 1}}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        return tmp_path / "recipe.yaml"

    yield write
    sys.modules.pop("mine_scorers", None)
    registry.find.cache_clear()


def curate(recipe: Path, command: str, *options: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "pipelines.cli", command, str(recipe), "-w", str(recipe.parent / "ws"), *options]
    return subprocess.run(words, capture_output=True, text=True, cwd=recipe.parent, timeout=240)


def load(path: Path) -> Any:
    from schemas.errors import CurationError

    with pytest.raises(CurationError) as refused:
        Workspace(path.parent / "ws").check(path)
    [finding] = refused.value.findings
    return finding


@pytest.mark.parametrize("action", [*ENDS, "1 / 0", "import no_such_module", "raise KeyError('mine')", "del Mine"])
def test_what_a_plugin_does_at_import_is_a_finding(mine: Any, action: str) -> None:
    finding = load(mine(at_import=action))
    assert finding.code == "C054"
    assert finding.line is not None
    assert "scorer 'mine' (mine_scorers:Mine) cannot be loaded" in finding.message


@pytest.mark.parametrize("at", ["init", "fields", "identity"])
@pytest.mark.parametrize("action", [*ENDS, "1 / 0", "raise RuntimeError('no')"])
def test_what_a_plugin_does_while_it_is_checked_is_a_finding(mine: Any, action: str, at: str) -> None:
    finding = load(mine(action, at=at))
    assert (finding.code, "stage 'mine'" in finding.message) == ("C054", True)


def test_a_class_that_is_no_scorer_is_a_finding(mine: Any) -> None:
    path = mine()
    (path.parent / "code" / "mine_scorers.py").write_text("Mine = print")
    assert (load(path).code, "is no Scorer" in load(path).message) == ("C054", True)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("return None", "not a list of pyarrow fields"),
        ("return 5", "not a list of pyarrow fields"),
        ("return ['n']", "not a list of pyarrow fields"),
        ("return [pa.field('n', pa.int64()), pa.field('N', pa.int64())]", "two of its `fields` are called 'n'"),
        ("return [pa.field('status', pa.string())]", "kept for the engine"),
        ("return [pa.field('', pa.string())]", "kept for the engine"),
    ],
)
def test_fields_that_are_none_are_the_plugins_fault(mine: Any, answer: str, said: str) -> None:
    path = mine()
    code = path.parent / "code" / "mine_scorers.py"
    code.write_text(code.read_text().replace('return [pa.field("n", pa.int64())]', answer))
    finding = load(path)
    assert finding.code == "C054"
    assert said in finding.message


@pytest.mark.parametrize("answer", ["return None", "return [1]", "return pa.table({'n': [1] * batch.num_rows})"])
def test_what_a_plugin_returns_is_named(mine: Any, answer: str) -> None:
    path = mine()
    code = path.parent / "code" / "mine_scorers.py"
    code.write_text(code.read_text().replace('self.meet("score")', answer))
    [(_, failure)] = Workspace(path.parent / "ws").run(path, executor="local", workers=2).failures
    assert failure.code == "R003"
    assert "not a record batch" in failure.message


@pytest.mark.parametrize("at", mostly_long(["import", "init", "score"]))
@pytest.mark.parametrize("action", ["sys.stdout.close()", "sys.stdout = None", "sys.stdout = open(os.devnull, 'w')"])
def test_what_a_plugin_does_to_stdout_is_not_ours(mine: Any, action: str, at: str) -> None:
    path = mine(at_import=action) if at == "import" else mine(action, at=at)
    done = curate(path, "run", "--executor", "local", "-q")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    [run] = {dataset.name for dataset in (path.parent / "ws" / "datasets" / "mine").iterdir()} - {"latest"}
    assert done.stdout.strip().endswith(run)


@pytest.mark.parametrize("at", ["load", "score"])
@pytest.mark.parametrize("action", ENDS)
def test_a_stage_that_ends_the_program_has_failed(mine: Any, action: str, at: str) -> None:
    path = mine(action, at=at)
    result = Workspace(path.parent / "ws").run(path, executor="local", workers=2)
    assert result.outcome == "failed"
    [(_, failure)] = result.failures
    assert failure.code == "R003"
    assert failure.message.startswith("stage 'mine' fails on every document: ")
    assert "EndedError" not in failure.message


@pytest.mark.parametrize("action", ENDS)
def test_a_document_that_ends_the_program_is_errored_and_no_other(mine: Any, action: str) -> None:
    path = mine(action, at="document")
    result = Workspace(path.parent / "ws").run(path, executor="local", workers=2)
    assert (result.outcome, result.kept, result.errored) == ("done", 39, 1)


@pytest.mark.parametrize("action", mostly_long(["sys.exit(0)", "os._exit(0)"]))
@pytest.mark.parametrize(("at", "code", "exit_code"), [("init", "C054", 2), ("score", "R003", 1)])
def test_the_command_ends_with_its_own_exit_code(mine: Any, action: str, at: str, code: str, exit_code: int) -> None:
    path = mine(action, at=at)
    done = curate(path, "run", "--executor", "local")
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert f"[{code}]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.long
@pytest.mark.parametrize("at", ["init", "score", "import"])
def test_what_a_plugin_prints_is_not_on_stdout(mine: Any, at: str) -> None:
    path = mine(LOUD, at=at) if at != "import" else mine(at_import="if True:\n            " + LOUD)
    done = curate(path, "run", "--executor", "local", "--workers", "2")
    assert done.returncode == 0, done.stderr
    [dataset] = done.stdout.splitlines()
    assert Path(dataset).is_dir()
    assert {line.split()[1] for line in done.stderr.splitlines() if line.startswith("LOUD")} == {
        "python", "child", "fd", "c", "buffer", "exit", "thread",
    }  # fmt: skip


# --- the wall itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, BaseException])
def test_what_is_no_exception_becomes_one(kind: type[BaseException]) -> None:
    with pytest.raises(EndedError, match=kind.__name__) as ended, contained():
        raise kind
    assert pickle.loads(pickle.dumps(ended.value)).kind == kind.__name__
    assert not inside()


@pytest.mark.parametrize("kept", [False, True], ids=["let through", "kept by the code"])
def test_a_real_signal_goes_through(kept: bool) -> None:
    before = signal.getsignal(signal.SIGINT)

    def code() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            if not kept:
                raise

    with pytest.raises(KeyboardInterrupt), contained():
        code()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_child_that_was_forked_ends_as_it_will() -> None:
    with contained():
        child = os.fork()
        if child == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_handlers_that_the_code_installs_are_taken_down() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with contained():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_threads_are_told_apart() -> None:
    seen = []
    with contained():
        thread = threading.Thread(target=lambda: seen.append(inside()))
        thread.start()
        thread.join()
        assert inside()
    assert seen == [False]


@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_handler_that_code_of_others_installs_is_gone_after_it_though_there_was_none(before: Any) -> None:
    held = signal.signal(signal.SIGHUP, before)
    try:
        with contained():
            signal.signal(signal.SIGHUP, lambda number, frame: None)
        assert signal.getsignal(signal.SIGHUP) is before
    finally:
        signal.signal(signal.SIGHUP, held)


@pytest.mark.long
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_command_runs_with_its_streams_closed(mine: Any, closed: str) -> None:
    path = mine()
    words = f"exec {sys.executable} -m pipelines.cli run {path} -w {path.parent}/ws --executor local -q {closed}"
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, timeout=240)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert Workspace(path.parent / "ws").status().to_pylist()[0]["status"] == "done"
