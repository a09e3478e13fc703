"""What a run, an export or a training wrote is not read as input, wherever it lies and however the input is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curation import parquet
from curation.models import pull
from curation.report.loading import front_matter
from curation.sources import find, outputs
from curation.sources.outputs import kind_of
from pipelines import Workspace
from pipelines.cli.main import _main
from schemas.errors import CurationError

ROWS = 20
COLUMNS = {"instruction": "question", "output": "answer"}


def recipe(path: Any, name: str = "x") -> dict[str, Any]:
    stages = [{"dedup": "exact", "id": "same"}]
    return {"name": name, "input": {"path": path, "columns": COLUMNS}, "stages": stages}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, a workspace in it, an export, and a copy of the dataset."""
    root = tmp_path_factory.mktemp("all")
    for number in range(2):
        (root / f"data/{number}").mkdir(parents=True)
        rows = range(number * ROWS // 2, (number + 1) * ROWS // 2)
        table = {"question": [f"What is {row}?" for row in rows], "answer": [f"It is {row}." for row in rows]}
        parquet.write(pa.table(table), root / f"data/{number}/part.parquet")
    space = Workspace(root / "data/ws")
    result = space.run(recipe(str(root / "data")), executor="local", workers=1)
    assert (result.outcome, result.rows) == ("done", ROWS)
    space.export("trl", root / "data/deep/export", test_share=0)
    shutil.copytree(result.folder, root / "data/1/copy")
    (root / "data/link").symlink_to(result.folder)
    return root


WAYS = ("data", "data/**", "data/**/*.parquet", "data/**/*.jsonl", "data/*/*/*.parquet", "data/**/train-*.parquet", ".")


@pytest.mark.parametrize("way", [*WAYS, "data/*/*/*/*/*.parquet", "data/*/", "*/**"])
def test_outputs_below_the_input_are_left_out_and_named(finished: Path, way: str) -> None:
    found = find([way], finished)
    assert {Path(path).name for path in found.files} <= {"part.parquet"}
    said = [*found.notices, *(finding.message for finding in found.findings if finding.code == "C050")]
    assert any("is a workspace" in line or "is an export" in line or "is a dataset" in line for line in said)
    if way in ("data", "data/**", "*/**", "."):
        assert len(found.files) == 2
        (line,) = found.notices
        for name, kind in (("ws", "a workspace"), ("deep/export", "an export"), ("1/copy", "a dataset")):
            assert f"{finished}/data/{name} is {kind}" in line


def test_run_after_run_has_the_same_documents(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = Workspace(finished / "data/ws")
    told: list[str] = []
    for number in range(2):
        given = recipe(str(finished / "data"), f"again{number}")
        result = space.run(given, executor="local", workers=1, report=lambda event: told.append(str(event)))
        assert (result.outcome, result.rows) == ("done", ROWS)
    assert sum("left out of the input" in line for line in told) == 2
    (finished / "r.yaml").write_text(json.dumps(recipe("data")))
    for command in ("check", "plan"):
        assert _main([command, str(finished / "r.yaml"), "-w", str(finished / "data/ws")]) == 0
        assert "left out of the input" in capsys.readouterr().err


def test_a_workspace_that_is_not_there_yet_is_left_out_as_it_will_be(finished: Path) -> None:
    """Else the first run would read what lies in its folder, and the second would not."""
    found = find(["data"], finished, workspace=finished / "data/0")
    assert [Path(path).parent.name for path in found.files] == ["1"]
    assert f"{finished}/data/0 is a workspace" in found.notices[0]


@pytest.mark.long
def test_a_folder_that_is_both_input_and_workspace_keeps_its_input(tmp_path: Path) -> None:
    table = pa.table({"question": ["a", "b"], "answer": ["c", "d"]})
    parquet.write(table, tmp_path / "a.parquet")
    (tmp_path / "more").mkdir()
    parquet.write(pa.table({"question": ["e"], "answer": ["f"]}), tmp_path / "more/b.parquet")
    for number, path in enumerate((".", "**", "*.parquet", "./")):
        for again in range(2):
            given = recipe(str(tmp_path / path), f"n{number}-{again}")
            result = Workspace(tmp_path).run(given, executor="local", workers=1)
            assert (result.outcome, result.rows) == ("done", 2 if path == "*.parquet" else 3)


def test_a_path_into_an_output_is_meant(finished: Path) -> None:
    (dataset,) = {path.resolve().parents[1] for path in finished.glob("data/ws/datasets/x/*/data/*.parquet")}
    for path in (dataset, f"{dataset}/data/*.parquet", f"{dataset}/**", finished / "data/link",
                 finished / "data/1/copy", finished / "data/deep/export/*"):  # fmt: skip
        found = find([str(path)], finished)
        assert (len(found.files), found.findings, found.notices) == (1, [], [])
    result = Workspace(finished / "other").run(recipe(str(dataset)), executor="local", workers=1)
    assert result.rows == ROWS


@pytest.mark.parametrize(
    "path", ["data/ws", "data/ws/**", "data/ws/datasets", "data/ws/*/*/*/*/*.parquet", "data/d*/**"]
)
def test_an_input_of_outputs_alone_is_refused_and_told_what_to_name(finished: Path, path: str) -> None:
    with pytest.raises(CurationError) as caught:
        Workspace(finished / "third").check(recipe(str(finished / path)))
    (finding,) = caught.value.findings
    assert finding.code == "C050"
    assert finding.hint is not None
    assert "names its folder itself" in finding.hint


CARD = "---\nlicense: x\n---\n"
YAML = "\n".join(front_matter())
SOURCE = next(iter(pull.SOURCES.items()))
MARKED = {
    "a workspace": {"workspace.json": '{"format_version": 3}'},
    "an export": {"export.json": json.dumps({"to": "trl", "run": "1", "rows": {}, "files": {"x" * 99: 1}})},
    "a trained scorer": {"scorer.json": '{"kind": "embedding-head", "task": "binary"}', "head.safetensors": ""},
    "a fitted head": {"card.json": '{"kind": "dsir", "sha256": "0"}'},
    "a pulled model": {"README.md": pull._card(*SOURCE), "config.json": "{}"},
    "a model": {"config.json": "{}", "model-00001-of-00002.safetensors": "", "README.md": CARD},
    "weak labels": {"README.md": f"{YAML}\nWeak labels of 3 rows. Run `0123456789abcdef`."},
    "a dataset": {"README.md": f"{YAML}\n3 of 4 documents. Run `0123456789abcdef`."},
}
EARLIER = {
    "weak labels": {"README.md": "---\nconfigs:\n- x: y\n  data_files: labels-*.parquet\n---\nRun `0123456789abcdef`."},
    "a dataset": {"README.md": "---\nconfigs:\n- x: y\n  data_files: part-*.parquet\n---\nRun `0123456789abcdef`."},
}


@pytest.mark.parametrize(("kind", "files"), [*MARKED.items(), *EARLIER.items()])
def test_each_kind_of_output_is_known_by_its_mark(kind: str, files: dict[str, Any]) -> None:
    files = {name: text.encode() for name, text in files.items()}
    assert kind_of([*files, "a.parquet"], files.__getitem__) == kind


@pytest.mark.parametrize("name", outputs.MARKERS)
@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"null", b"\xff\xfe", b"# a readme", b"[" * 100_000, b'"format_version"']
)
def test_a_file_that_is_merely_called_so_is_no_mark(name: str, content: bytes) -> None:
    assert kind_of([name, "a.parquet", "config.json"], lambda _: content[: outputs.HEAD_BYTES]) is None
