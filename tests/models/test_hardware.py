"""Scores of two versions of a library are of two classes, and are not mixed in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation import registry
from curation.models.hardware import LIBRARIES, difference, hardware, of_step, says_libraries
from curation.scorers.base import Scorer
from pipelines.workspace import Workspace
from schemas.errors import CurationError

OLD = "x86_64-avx2"
NOW = f"{OLD}; torch 2.9.1, transformers 4.57.3, tokenizers 0.22.1, numba 0.62.1"


def test_the_class_names_processor_and_libraries() -> None:
    line = hardware()
    assert all(f"{name} " in line for name in LIBRARIES)
    assert says_libraries(line)
    assert of_step(line, False) == line.split(";")[0]
    assert difference(line, line) is None


@pytest.mark.parametrize("name", LIBRARIES)
def test_each_librarys_version_is_a_difference_said_in_words(name: str) -> None:
    was = next(part for part in NOW.split("; ")[1].split(", ") if part.startswith(f"{name} "))
    assert difference(NOW.replace(was, f"{name} 0.1"), NOW) == (f"{name} 0.1", was)


@pytest.mark.parametrize(
    ("theirs", "found"),
    [
        (NOW.replace("avx2", "avx512f"), ("x86_64-avx512f", OLD)),
        (f"{NOW}, cuda 12.8", ("cuda 12.8", "cuda none")),
        (OLD, None),  # made before versions were recorded
        ("x86_64", ("x86_64", OLD)),
    ],
)
def test_processor_and_cuda_too(theirs: str, found: Any) -> None:
    assert difference(theirs, NOW) == found


class Heavy(Scorer):
    kind = "heavy"
    heavy = True

    @property
    def fields(self) -> list[pa.Field]:
        return [pa.field("n", pa.int64())]

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.record_batch({"n": pa.array([1] * batch.num_rows, pa.int64())})


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setitem(registry.BUILTIN["scorer"], "heavy", f"{__name__}:Heavy")
    pq.write_table(pa.table({"text": ["one", "two"], "url": ["http://a", "http://b"]}), tmp_path / "in.parquet")
    columns = {"url": "url"}
    stages = [{"scorer": "url"}, {"scorer": "heavy"}]
    return {"name": "h", "input": {"path": str(tmp_path / "in.parquet"), "columns": columns}, "stages": stages}


def run(tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, line: str) -> tuple[Any, list[str]]:
    from workers import local

    monkeypatch.setattr(local, "hardware", lambda: line)
    told: list[str] = []
    result = Workspace(tmp_path / "ws").run(
        settings, executor="local", report=lambda event: told.append(getattr(event, "text", ""))
    )
    return result, [text for text in told if "before versions" in text]


def test_an_upgrade_is_refused_for_models_alone(
    tmp_path: Path, recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path, recipe, monkeypatch, NOW)[0].outcome == "done"
    rows = Workspace(tmp_path / "ws").manifest.read("scores").to_pylist()
    assert {row["step"]: row["hardware"] for row in rows} == {"input": OLD, "url": OLD, "heavy": NOW}
    changed = {**recipe, "stages": [recipe["stages"][0], {**recipe["stages"][1], "keep": "heavy.n > 0"}]}
    newer = NOW.replace("torch 2.9.1", "torch 2.10.0")
    with pytest.raises(CurationError, match=r"C036.*torch 2\.9\.1, and this run has torch 2\.10\.0"):
        run(tmp_path, changed, monkeypatch, newer)
    light = {**recipe, "stages": recipe["stages"][:1]}
    assert run(tmp_path, light, monkeypatch, newer)[0].scored == 0
    monkeypatch.setenv("CURATION_MIXED_HARDWARE", "1")
    assert run(tmp_path, changed, monkeypatch, newer)[0].outcome == "done"


def test_scores_that_do_not_say_their_versions_are_taken_and_it_is_said(
    tmp_path: Path, recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, first = run(tmp_path, recipe, monkeypatch, OLD)
    changed = {**recipe, "stages": [recipe["stages"][0], {**recipe["stages"][1], "keep": "heavy.n > 0"}]}
    again, told = run(tmp_path, changed, monkeypatch, NOW)
    assert (again.outcome, again.scored, first, len(told)) == ("done", 0, [], 1)
