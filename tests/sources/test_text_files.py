"""Text files: a document a file or a line, every one of them accounted for."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from curation.sources import cut_shards, find, inspect, read_batches
from curation.sources.column_types import TOO_LARGE
from pipelines.planning.columns import schema_of
from pipelines.workspace import Workspace
from schemas.documents import TEXT

LIMIT = 1 << 20
STAGE = {"scorer": "rules", "profile": "gopher-quality@datatrove"}


def read(path: Path, unit: str, limit: int = LIMIT) -> tuple[list[str | None], dict[int, str]]:
    """Texts and faults by row, rows as they were counted."""
    from curation.formats.columns import Columns

    file = inspect(str(path), limit, unit)
    assert file.error is None
    wanted = schema_of({"text": TEXT}, {"text"}, {"text"}, {"text"}, Columns.of({}))
    texts: list[str | None] = []
    faults: dict[int, str] = {}
    for shard in cut_shards([file], 1 << 30, limit):
        for batch in read_batches(shard, wanted):
            faults |= {batch.start + row: fault for row, fault in batch.faults.items()}
            texts += batch.columns.column("text").to_pylist()
    assert len(texts) == file.rows
    return texts, faults


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_is_a_document_as_it_stands_or_each_line_that_is_not_blank(packed: bool, tmp_path: Path) -> None:
    content = "One line.\r\n\n  \nAnother, which\tends with no line end"
    path = tmp_path / ("a.txt.gz" if packed else "a.txt")
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    assert read(path, "file") == ([content], {})
    assert read(path, "line") == (["One line.", "Another, which\tends with no line end"], {})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_a_mark_are_read(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.TXT").write_bytes("Größe: 漢字\n".encode(encoding))
    assert read(tmp_path / "a.TXT", "line") == (["Größe: 漢字"], {})


def test_what_is_too_long_is_told_and_an_empty_file_is_an_empty_document(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("a" * 50 + "\nb\n")
    assert read(tmp_path / "long.txt", "file", 20) == ([None], {0: TOO_LARGE})
    assert read(tmp_path / "long.txt", "line", 20) == ([None, "b"], {0: TOO_LARGE})
    (tmp_path / "empty.txt").write_text("")
    assert read(tmp_path / "empty.txt", "file") == ([""], {})
    assert read(tmp_path / "empty.txt", "line") == ([], {})


def test_text_beside_data_describes_it_and_is_passed_over(tmp_path: Path) -> None:
    for name in ("licence.txt", "sub/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("words")
    both = [str(tmp_path / "licence.txt"), str(tmp_path / "sub" / "notes.txt")]
    assert sorted(find([str(tmp_path)], tmp_path).files) == both
    (tmp_path / "data.csv").write_text("text\nwords\n")
    found = find([str(tmp_path)], tmp_path)
    assert list(found.files) == [str(tmp_path / "data.csv")]
    assert found.ignored == 2
    assert list(find([str(tmp_path / "*.txt")], tmp_path).files) == both[:1]


def test_a_run_accounts_for_every_line_and_another_unit_is_another_run(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"A first line.\n\xff\xfe broken\nA third line.\n")
    recipe: dict[str, Any] = {
        "name": "texts",
        "input": {"path": str(tmp_path), "txt": "line"},
        "stages": [{"dedup": "exact"}],
        "errors": {"documents": 1},
    }
    workspace = Workspace(tmp_path / "ws")
    lines = workspace.run(recipe, executor="local", workers=1)
    assert (lines.rows, lines.kept, lines.errored) == (3, 2, 1)
    assert workspace.sql("SELECT row, reason FROM documents WHERE NOT kept").to_pylist() == [
        {"row": 1, "reason": "invalid_utf8"}
    ]
    (tmp_path / "a.txt").write_text("A first line.\nA second line.\n")
    assert workspace.run(recipe, executor="local").rows == 2
    recipe["input"]["txt"] = "file"
    whole = workspace.run(recipe, executor="local", workers=1)
    assert (whole.rows, whole.kept) == (1, 1)
    assert whole.run != lines.run


def test_what_is_stored_of_a_first_line_is_not_taken_for_its_file_s(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A first line.\nA second one, which is longer.\n")
    workspace = Workspace(tmp_path / "ws")
    words = []
    for unit in ("line", "file", "line"):
        recipe = {"name": "texts", "input": {"path": str(tmp_path), "txt": unit}, "stages": [STAGE]}
        assert workspace.run(recipe, executor="local", workers=1).outcome in ("done", "nothing-to-do")
        words.append(workspace.sql("SELECT rules.words AS n FROM documents ORDER BY row")["n"].to_pylist())
    assert words == [[3, 6], [9], [3, 6]]
