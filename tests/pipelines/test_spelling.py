"""One document, however its file's path is spelled."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curation import parquet
from curation.paths import absolute
from pipelines import Workspace
from pipelines.cli.main import _main
from schemas.errors import CurationError


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`home/proj/r.yaml` reads `in/`, into `home/ws`; `soft` and `hard` are links."""
    root = tmp_path_factory.mktemp("home")
    (root / "proj/in/b").mkdir(parents=True)
    (root / "proj/other").mkdir()
    for name in ("a", "b/c"):
        rows = [f"{name} {row} " + "the and of " * 20 for row in range(12)]
        parquet.write(pa.table({"text": rows}), root / f"proj/in/{name}.parquet")
    (root / "proj/r.yaml").write_text("name: x\ninput: {path: in}\nstages: [{dedup: exact, id: same}]\n")
    (root / "soft").symlink_to("proj")
    (root / "link.parquet").symlink_to("proj/in/a.parquet")
    os.link(root / "proj/in/a.parquet", root / "hard.parquet")
    assert Workspace(root / "ws").run(root / "proj/r.yaml", executor="local", workers=1).rows == 24
    return root


SPELLINGS = {
    ".": ["proj/in/a.parquet", "./proj/in/a.parquet", "proj//in/a.parquet", "proj/./in/../in/a.parquet", "in/a.parquet",
          "./in/a.parquet", "a.parquet", "./a.parquet", "../in/a.parquet", "link.parquet", "./hard.parquet",
          "soft/in/a.parquet", "HOME/proj/in/a.parquet", "ROOT/proj/in/a.parquet", "ROOT//proj/in/./a.parquet",
          "file://ROOT/proj/in/a.parquet", "ROOT/soft/in/../in/a.parquet", " proj/in/a.parquet"],
    "proj": ["in/a.parquet", "./in/a.parquet", "../proj/in/a.parquet", "../soft/in/a.parquet", "../link.parquet"],
    "proj/in": ["a.parquet", "./a.parquet", "../in/a.parquet", "b/../a.parquet"],
    "proj/other": ["in/a.parquet", "./in/a.parquet", "../in/a.parquet", "../../hard.parquet", "HOME/hard.parquet"],
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("folder", SPELLINGS)
def test_explain_finds_a_document_by_every_spelling_of_its_path(
    home: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home / folder)
    monkeypatch.setenv("HOME", str(home))
    for path in SPELLINGS[folder]:
        name = path.replace("ROOT", str(home)).replace("HOME", "~")
        (found,) = Workspace(home / "ws").explain(f"{name}#5")
        assert (found.path, found.row) == (str(home / "proj/in/a.parquet"), 5), path


@pytest.mark.parametrize(
    "document",
    [
        "a.parquet#12",
        "x.parquet#5",
        "#5",
        "./#5",
        "~nobody-here/a.parquet#5",
        "a.parquet#99999999999999999999",
        "a.parquet#-1",
        os.fsdecode(b"caf\xe9.parquet#1"),
        "b#5",
        "../..#5",
        "/#5",
        "a.parquet",
    ],
)
def test_what_is_no_document_is_not_found(home: Path, document: str) -> None:
    with pytest.raises(CurationError) as caught:
        Workspace(home / "ws").explain(document)
    assert [finding.code for finding in caught.value.findings] == ["C032"]
    str(caught.value).encode()


def test_labels_are_taken_for_every_spelling_of_a_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a spreadsheet has spoilt the doc_id."""
    monkeypatch.chdir(home / "proj")
    space = Workspace(home / "ws")
    sample = home / "audit.csv"
    space.audit_sample(rows=24, into=sample)
    with sample.open(newline="", encoding="utf-8-sig") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        path = os.path.relpath(row["path"])
        row |= {"doc_id": "4.29E+11", "label": "good", "row": f"{row['row']}.0"}
        row["path"] = (row["path"], path, f"./{path}", f"../soft/{path}", f"in/../{path}")[number % 5]
    with sample.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert space.audit_read(sample).new == len(rows)


def test_the_command_finds_it_too(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(home / "proj/other")
    assert _main(["explain", "./in/a.parquet#5", "-w", str(home / "ws")]) == 0
    assert "kept" in capsys.readouterr().out


def test_a_name_that_begins_with_two_dots_is_no_way_up(tmp_path: Path) -> None:
    for name in ("a/b", "a/..data", "real/deep"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a/link").symlink_to(tmp_path / "real/deep")
    (tmp_path / "a/..data/x.jsonl").write_text('{"text": "words"}\n')
    assert absolute(f"{tmp_path}/a/b/../..data/x.jsonl") == f"{tmp_path}/a/..data/x.jsonl"
    assert absolute(f"{tmp_path}/a/link/../..data/x") == f"{tmp_path}/real/..data/x"
    recipe = {"name": "x", "input": {"path": "../..data/x.jsonl"}, "stages": []}
    (tmp_path / "a/b/r.yaml").write_text(json.dumps(recipe))
    assert Workspace(tmp_path / "ws").run(tmp_path / "a/b/r.yaml", executor="local", workers=1).rows == 1
