"""A path is data: never a pattern, never a column, whatever the folders above a workspace are called."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from lengths import mostly_long

from curation import parquet
from curation.manifest.snapshot import NAME
from curation.manifest.views import VIEWS, connect
from pipelines.workspace import Workspace
from schemas.errors import CurationError

SOURCES = [path for layer in ("curation", "workers", "pipelines") for path in Path(layer).rglob("*.py")]
BARE = re.compile(
    r"\bpq\.(read_|write_|ParquetFile\(|ParquetDataset|ParquetWriter\()|\bread_parquet\(|parquet_scan\(|ds\.dataset\("
)


def test_parquet_is_read_and_written_by_the_helpers_alone() -> None:
    assert len(SOURCES) > 250
    # and lines of code that users are told
    seams = {Path("curation/parquet.py"), Path("curation/store/scan.py"), Path("curation/report/loading.py")}
    bare = [
        f"{path}:{number}: {line.strip()}"
        for path in SOURCES
        if path not in seams
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if BARE.search(line)
    ]
    assert bare == []


def test_pages_are_written_with_checksums_and_read_by_them(tmp_path: Path) -> None:
    table = pa.table({"n": pa.array(range(5000)), "text": [f"a plain sentence, number {n}" for n in range(5000)]})
    path = tmp_path / "t.parquet"
    parquet.write(table, path)
    assert parquet.read(path).equals(table)
    with parquet.opened(path) as file:
        group = file.metadata.row_group(0)
        chunk = group.column(1)
    broken = bytearray(path.read_bytes())
    broken[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 1
    path.write_bytes(broken)
    with pytest.raises(OSError, match="CRC"):
        parquet.read(path)
    with pytest.raises(OSError, match="CRC"), parquet.opened(path) as file:
        file.read()


def write_input(folder: Path) -> None:
    folder.mkdir()
    for number in range(3):
        words = [f"{number} {row} " + "one two three four " * (row + 1) for row in range(5)]
        parquet.write(
            pa.table({"text": words, "id": [f"{number}-{row}" for row in range(5)]}), folder / f"{number}.parquet"
        )


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("given") / "in"
    write_input(folder)
    return {
        "name": "names",
        "input": {"path": str(folder), "columns": {"text": "text", "id": "id"}},
        "stages": [
            {"scorer": "rules", "id": "gopher", "profile": "gopher-quality@datatrove"},
            {"dedup": "exact"},
            {"dedup": "minhash"},
            {"select": "top", "by": "gopher.words", "count": 9},
        ],
    }


def answers(workspace: Workspace) -> list[Any]:
    """What every view says, in rows that do not depend on where the workspace is."""
    counts = " UNION ALL ".join(f"SELECT '{view}' AS view, count(*) AS n FROM {view}" for view in VIEWS)
    columns = "id, kept, dropped_by, reason, score, similarity, gopher.words"
    rows = f"SELECT {columns} FROM documents ORDER BY id"
    with connect(workspace.manifest) as connection:
        return [connection.execute(query).fetchall() for query in (counts, rows, "SELECT * FROM funnel")]


@pytest.fixture(scope="module")
def expected(given: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    workspace = Workspace(tmp_path_factory.mktemp("plain"))
    result = workspace.run(given, executor="local")
    assert (result.outcome, result.kept) == ("done", 9), result.failures
    return answers(workspace)


def columns_of_views(workspace: Workspace) -> list[str]:
    with connect(workspace.manifest) as connection:
        names = {row[0] for view in VIEWS for row in connection.execute(f"DESCRIBE {view}").fetchall()}
    return sorted(names | {"shard", "file_row", "filename", "value", "a", "b", "data", "_part"})


@pytest.mark.long
def test_no_folder_above_is_a_column(given: dict[str, Any], expected: list[Any], tmp_path: Path) -> None:
    """One path of folders that are called after every column of every view, with a value of every kind."""
    first = Workspace(tmp_path / "first")
    assert first.run(given, executor="local").outcome == "done"
    names = columns_of_views(first)
    assert len(names) > 100
    values = ("1", "x", "2024-01-01", "true", "0.5")
    deep = tmp_path.joinpath(*(f"{name}={values[n % 5]}" for n, name in enumerate(names)))
    workspace = Workspace(deep)
    result = workspace.run(given, executor="local")
    assert result.outcome == "done", result.failures
    assert answers(workspace) == expected


@pytest.mark.parametrize(
    ("name", "sibling"),
    mostly_long(
        [
            ("ws*", "wsx"),
            ("w?s", "wxs"),
            ("ws[1]", "ws1"),
            ("ws[a-c]*", "wsbq"),
            ("[[]*]", "*]"),
            ("w\\x", "w"),
            ('w\'s "q"', "ws"),
            ("a#b%20c;d,{e}$f", "a"),
            ("new\nline\ttab", "new"),
            ("s3:", "s3"),
            ("ünï 数", "u"),
            (" -lead", "lead"),
            ("row=1", "row"),
        ]
    ),
)
def test_special_characters_stand_for_themselves(
    given: dict[str, Any], expected: list[Any], tmp_path: Path, name: str, sibling: str
) -> None:
    other = Workspace(tmp_path / sibling / "x")  # a workspace that a pattern or a cut path would read too
    assert other.run({**given, "name": "other"}, executor="local").outcome == "done"
    workspace = Workspace(tmp_path / name / "x")
    result = workspace.run(given, executor="local")
    assert result.outcome == "done", result.failures
    assert answers(workspace) == expected
    copy = tmp_path / "copy.duckdb"
    copy.write_bytes((tmp_path / name / "x" / NAME).read_bytes())
    with duckdb.connect(str(copy), read_only=True) as connection:
        assert connection.execute("SELECT name, kept FROM runs").fetchall() == [("names", 9)]
    assert Workspace(tmp_path / name / "x").verify(dry_run=True).damaged == []


@pytest.mark.parametrize("name", ["w\\x*", "[1]\\x", "w\udcff"])
def test_what_sql_cannot_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CurationError, match=r"C030|C051"):
        Workspace(tmp_path / name)


def test_a_snapshot_that_is_missing_is_published_again(given: dict[str, Any], tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    assert workspace.run(given, executor="local").outcome == "done"
    (tmp_path / "ws" / NAME).unlink()
    assert workspace.run(given, executor="local").outcome == "nothing-to-do"
    assert (tmp_path / "ws" / NAME).exists()
