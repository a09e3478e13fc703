"""What a run and a plan take grows as their input does: twice as many files, row groups, stages or records are about
twice the calls, and never four times."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.workspace import Workspace

MOST = 2.4
"""Times the calls of half as much."""


def calls(work: Callable[[], Any]) -> int:
    """Python functions that are called, in all threads."""
    count = 0

    def called(frame: object, event: str, value: object) -> None:
        nonlocal count
        count += event == "call"

    threading.setprofile(called)
    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return count


def recipe(folder: Path, stages: int = 1, keep: float = 0.5) -> dict[str, Any]:
    scorers: list[dict[str, Any]] = [
        {"scorer": "imported", "id": f"given{number}", "column": "score"} for number in range(stages)
    ]
    scorers[0]["keep"] = f"given0.score > {keep}"
    columns = {"text": "text", "score": "score"}
    path = str(folder / "in/*.parquet")
    return {"name": "growth", "input": {"path": path, "columns": columns}, "stages": scorers}


def write(folder: Path, files: int, groups: int = 1) -> Path:
    (folder / "in").mkdir(parents=True)
    for number in range(files):
        scores = [(number * 7 + row) % 10 / 10 for row in range(2 * groups)]
        table = pa.table({"text": [f"document {number} {row}" for row in range(2 * groups)], "score": scores})
        pq.write_table(table, folder / f"in/{number:05d}.parquet", row_group_size=2)
    return folder


def run(folder: Path, **options: Any) -> None:
    Workspace(folder / "ws").run(recipe(folder, **options), executor="local", workers=1)


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is imported and built once."""
    folder = write(tmp_path_factory.mktemp("warm"), 2)
    run(folder, stages=2)
    Workspace(folder / "ws").plan(recipe(folder))


def grown(tmp_path: Path, size: int, **made: str) -> float:
    """How many times the calls of `size` a run of twice that takes."""
    counts = []
    for number in (size, 2 * size):
        folder = write(tmp_path / str(number), **{"files": 2, **{name: number for name in made if name != "stages"}})
        stages = number if "stages" in made else 1
        counts.append(calls(lambda: run(folder, stages=stages)))  # noqa: B023
    return counts[1] / counts[0]


@pytest.mark.parametrize(("what", "size"), [("files", 150), ("groups", 150), ("stages", 6)])
def test_a_run_of_twice_as_much_is_no_more_than_twice_the_calls(what: str, size: int, tmp_path: Path) -> None:
    assert grown(tmp_path, size, **{what: what}) < MOST


def test_a_plan_over_twice_the_records_is_no_more_than_twice_the_calls(tmp_path: Path) -> None:
    counts = []
    for number in (150, 300):
        folder = write(tmp_path / str(number), number)
        for keep in (0.1, 0.5):
            run(folder, keep=keep)
        counts.append(calls(lambda: Workspace(folder / "ws").plan(recipe(folder, keep=0.7))))  # noqa: B023
        counts.append(calls(Workspace(folder / "ws").gc))
    assert counts[2] / counts[0] < MOST
    assert counts[3] / counts[1] < MOST
