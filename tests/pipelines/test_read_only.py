"""A workspace that may only be read, and inputs of which no line can be."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines import Workspace

READING = ("plan r.yaml", "check r.yaml", "status", "sql 'SELECT count(*) FROM documents'", "show", "explain a.jsonl#0",
           "funnel", "stats")  # fmt: skip


@pytest.fixture
def shut(tmp_path: Path) -> Path:
    """A finished workspace that is not to be written to, and a recipe whose input has changed since."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jsonl").write_text('{"text": "the first document of all"}\n')
    (tmp_path / "r.yaml").write_text("name: x\ninput: {path: in}\nstages: [{dedup: exact, id: same}]\n")
    assert Workspace(tmp_path / "ws").run(tmp_path / "r.yaml", executor="local", workers=1).rows == 1
    for folder, _, _ in os.walk(tmp_path / "ws"):
        os.chmod(folder, 0o555)
    return tmp_path


def _bound_by_modes() -> None:
    """Root too is then stopped by a folder's mode: without CAP_DAC_OVERRIDE from the next exec on."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


@pytest.mark.long
def test_what_only_reads_works_and_what_writes_has_a_code(shut: Path) -> None:
    [decisions] = (shut / "ws/decisions").glob("*/*.parquet")
    before = sorted((shut / "ws").rglob("*"))
    script = f"""
import pathlib, shlex
from pipelines.cli.main import _main
for command in {READING!r}:
    print("::", command, _main([*shlex.split(command), "-w", "ws"]), flush=True)
print(":: run", _main(["run", "r.yaml", "-w", "ws", "--sample", "1"]), flush=True)
pathlib.Path({str(decisions)!r}).write_bytes(b"PAR1")
print(":: verify", _main(["verify", "-w", "ws", "-q"]), flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=shut,
        capture_output=True,
        text=True,
        timeout=240,
        preexec_fn=_bound_by_modes,
    )
    codes = [line for line in done.stdout.splitlines() if line.startswith("::")]
    assert "Traceback" not in done.stderr, done.stderr
    assert codes == [*(f":: {command} 0" for command in READING), ":: run 2", ":: verify 1"], (codes, done.stderr)
    assert "C030" in done.stderr
    assert "R011  is damaged" in done.stdout
    assert "nothing was set aside" in done.stderr
    assert "R003" not in done.stderr
    assert sorted((shut / "ws").rglob("*")) == before


BAD = {
    "all malformed": "no json\n[1]\n",
    "only blank": "\n \n",
    "empty": "",
    "not text": "\x00\x01\n",
    "no objects": "1\n2\n",
}


@pytest.mark.parametrize("content", BAD, ids=str)
@pytest.mark.parametrize("extra", [{}, {"output": {"columns": ["text", "url"]}}])
def test_inputs_without_a_readable_line_end_as_they_should(tmp_path: Path, content: str, extra: dict[str, Any]) -> None:
    """Documents are counted as errored, within the recipe's budget; a file of none is none."""
    (tmp_path / "a.jsonl").write_text(BAD[content])
    recipe = {"name": "x", "input": {"path": str(tmp_path / "a.jsonl")}, "stages": [{"dedup": "exact", "id": "same"}]}
    space = Workspace(tmp_path / "ws")
    allowed = recipe | extra | {"errors": {"documents": 5}}
    space.check(allowed)
    space.plan(allowed)
    result = space.run(allowed, executor="local", workers=1)
    if not BAD[content]:  # a file of no bytes is no file of JSON lines
        assert {failure.code for _, failure in result.failures} == {"R001"}
    else:
        rows = sum(bool(line.strip()) for line in BAD[content].splitlines())
        assert (result.outcome, result.rows, result.kept, result.errored) == ("done", rows, 0, rows)
        strict = space.run(recipe | extra, executor="local", workers=1)
        assert [failure.code for _, failure in strict.failures] == (["R004"] if result.errored else [])
