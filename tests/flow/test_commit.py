"""A unit commits once: what is done is not made again, and whoever is late takes away what it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curation import parquet
from curation.flow.commit import once
from curation.flow.units import Work
from curation.formats.columns import Columns
from pipelines.workspace import Workspace

NOTHING = pa.schema([])


@pytest.fixture
def works(tmp_path: Path) -> list[Work]:
    """Two attempts at one run."""
    workspace = Workspace(tmp_path / "ws")
    workspace.create()
    root = str(workspace.store.root)
    return [Work(root, "run", name, Columns.of({}), (), NOTHING, NOTHING, (), 1, "here") for name in ("a", "b")]


def made(work: Work, rows: int) -> tuple[dict[str, Any], list[str]]:
    table = pa.table({"a": list(range(rows)), "b": list(range(rows))})
    written = work.store.add(f"groups/g/pairs-{work.mark()}.parquet", lambda path: parquet.write(table, path))
    return {"group": "g", "prefix": 0, "data": written.name, "rows": rows, "bytes": written.bytes}, [written.name]


def test_what_is_recorded_is_not_made_again(works: list[Work]) -> None:
    first = once(works[0], "pairs", "g-0000", lambda: made(works[0], 3))
    assert (first["attempt"], first["rows"]) == ("a", 3)

    def never() -> tuple[dict[str, Any], list[str]]:
        raise AssertionError("made again")

    assert once(works[1], "pairs", "g-0000", never)["data"] == first["data"]


def test_of_two_at_once_the_first_counts_and_the_other_s_file_goes(works: list[Work]) -> None:
    def slow() -> tuple[dict[str, Any], list[str]]:
        record, files = made(works[0], 5)
        assert once(works[1], "pairs", "g-0000", lambda: made(works[1], 4))["rows"] == 4
        return record, files

    late = once(works[0], "pairs", "g-0000", slow)
    assert (late["attempt"], late["rows"]) == ("b", 4)
    [name] = works[0].store.names("groups/g")
    assert late["data"] == f"groups/g/{name}"


def test_a_record_that_may_not_stand_is_made_again_and_stays(works: list[Work]) -> None:
    first = once(works[0], "pairs", "g-0000", lambda: made(works[0], 3))
    calls = []

    def again() -> tuple[dict[str, Any], list[str]]:
        calls.append(1)
        return made(works[1], 3)

    assert once(works[1], "pairs", "g-0000", again, stands=lambda: False)["data"] == first["data"]
    assert calls == [1]
    assert len(works[0].store.names("groups/g")) == 1
