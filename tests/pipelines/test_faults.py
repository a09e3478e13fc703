"""A failure belongs to the input that failed: that one is set aside, and where none is at fault, none is."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lengths import mostly_long

from curation import registry
from curation.dedup.exact import Exact
from curation.flow.stored import StoredColumns
from curation.flow.units import ShardWork
from curation.plan import Step
from curation.scorers.base import Scorer
from curation.selection.longest import Longest
from pipelines.running.events import Event, PhaseStarted
from pipelines.workspace import Workspace
from schemas.errors import CurationError, Finding

ROWS = 20
SECRET = "swordfish"
URL: dict[str, Any] = {"scorer": "url"}


class Breaks(Scorer):
    """Raises on every text, plain words too; documents of some files reach it alone."""

    kind = "breaks"

    @property
    def fields(self) -> list[pa.Field]:
        return [pa.field("x", pa.int64())]

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        raise RuntimeError("broken")


class BreaksEntering(Longest):
    kind = "breaks-entering"

    def values(self, facts: Any) -> Any:
        raise RuntimeError(SECRET)


class BreaksResolving(Longest):
    kind = "breaks-resolving"

    def span(self, rows: int, scored: int) -> Any:
        raise RuntimeError(SECRET)


class BreaksComparing(Exact):
    kind = "breaks-comparing"

    def buckets(self, evidence: Any) -> Any:
        raise RuntimeError(SECRET)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten files of twenty documents, and broken stages of every family."""
    for family, cls in (
        ("scorer", Breaks),
        ("select", BreaksEntering),
        ("select", BreaksResolving),
        ("dedup", BreaksComparing),
    ):
        monkeypatch.setitem(registry.BUILTIN[family], cls.kind, f"{__name__}:{cls.__name__}")
    (tmp_path / "in").mkdir()
    for number in range(10):
        write(tmp_path / "in" / f"{number}.parquet", number)
    return tmp_path


def write(path: Path, number: int) -> None:
    rows = np.arange(number * ROWS, (number + 1) * ROWS)
    text = [f"{SECRET} document {row} of many, with words in it" for row in rows]
    url = [f"https://example.org/{row}" for row in rows]
    pq.write_table(pa.table({"text": text, "url": url, "n": rows}), path)


def recipe(place: Path, *stages: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "name": "faults",
        "input": {"path": str(place / "in"), "columns": {"url": "url", "n": "n"}},
        "stages": list(stages),
        "on_bad_shard": "skip",
        **changes,
    }


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


def replace(path: Path) -> None:
    write(path, 77)


def remove(path: Path) -> None:
    path.unlink()


def run(place: Path, settings: dict[str, Any], when: str = "", then: Callable[[], None] = lambda: None) -> Any:
    """Run, and do something to the inputs the first time that a phase begins."""
    waiting = [then]

    def report(event: Event) -> None:
        if isinstance(event, PhaseStarted) and event.name == when and waiting:
            waiting.pop()()

    return Workspace(place / "ws").run(settings, executor="local", workers=2, report=report)


def attempts(place: Path) -> int:
    return int(Workspace(place / "ws").sql("SELECT count(*) AS n FROM attempts").to_pylist()[0]["n"])


def kept(result: Any) -> list[int]:
    return sorted(
        n for part in result.folder.glob("data/*.parquet") for n in pq.read_table(part).column("n").to_pylist()
    )


@pytest.mark.parametrize("spoil", mostly_long([truncate, replace, remove]))
@pytest.mark.parametrize("bad", mostly_long([[7], [0], [2, 5, 9]]), ids=str)
@pytest.mark.parametrize("when", ["score input + url", "write"])
def test_a_file_that_fails_sets_aside_itself_alone_wherever_it_fails(
    place: Path, spoil: Callable[[Path], None], bad: tuple[int, ...], when: str
) -> None:
    paths = [place / "in" / f"{number}.parquet" for number in bad]
    result = run(place, recipe(place, URL), when, lambda: [spoil(path) for path in paths] and None)
    assert result.outcome == "done", result.failures
    assert kept(result) == [n for n in range(200) if n // ROWS not in bad]
    assert attempts(place) == 2  # all that are at fault at once, not one a run
    card = (result.folder / "README.md").read_text()
    for number in range(10):
        assert (f"{number}.parquet" in card.split("## Left out")[1].split("\n## ")[0]) == (number in bad)


@pytest.mark.long
def test_with_stop_a_file_that_fails_at_write_is_named_and_no_other(place: Path) -> None:
    settings = recipe(place, URL, on_bad_shard="stop")
    result = run(place, settings, "write", lambda: truncate(place / "in" / "7.parquet"))
    assert result.outcome == "failed"
    assert {path for path, _ in result.failures} == {str(place / "in" / "7.parquet")}
    assert {failure.shard for _, failure in result.failures} == {7}
    [shown] = Workspace(place / "ws").sql("SELECT path FROM errors").to_pylist()
    assert shown["path"].endswith("7.parquet")


@pytest.mark.parametrize("policy", ["skip", "stop"])
@pytest.mark.parametrize(
    "stage",
    [{"select": "breaks-entering", "fraction": 0.5}, {"select": "breaks-resolving", "fraction": 0.5},
     {"dedup": "breaks-comparing"}, {"scorer": "breaks", "keep": "breaks.x > 0"}],
    ids=lambda stage: next(iter(stage.values())),
)  # fmt: skip
def test_a_stage_that_fails_is_no_inputs_fault_and_the_run_ends(
    place: Path, stage: dict[str, Any], policy: str
) -> None:
    result = run(place, recipe(place, URL, stage, on_bad_shard=policy))
    assert result.outcome == "failed"
    assert {failure.shard for _, failure in result.failures} == {None}
    assert attempts(place) == 1
    told = " ".join(f"{failure.message} {failure.hint}" for _, failure in result.failures)
    assert "RuntimeError" in told
    assert SECRET not in told


@pytest.mark.long
def test_a_disk_that_fails_under_stored_edits_is_no_inputs_fault(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = ShardWork.stored

    def failing(shard_work: ShardWork, step: Step, columns: list[str] | None = None) -> StoredColumns:
        if columns == ["edits"]:
            raise OSError(errno.EIO, "Input/output error")
        return stored(shard_work, step, columns)

    monkeypatch.setattr(ShardWork, "stored", failing)
    result = run(place, recipe(place, {"transform": "redact-pii"}))
    assert result.outcome == "failed"
    assert {(path, failure.shard) for path, failure in result.failures} == {("", None)}
    assert attempts(place) == 1


def test_a_stage_that_is_broken_skips_no_file_whose_documents_reach_it(place: Path) -> None:
    """All files but one have nothing left for the stage: leaving that one out would make a dataset of the rest."""
    only = {"scorer": "imported", "column": "n", "keep": "imported.score >= 180", "id": "imported"}
    result = run(place, recipe(place, only, {"scorer": "breaks"}))
    assert (result.outcome, attempts(place)) == ("failed", 1)
    assert result.folder is None


def test_an_input_that_a_fit_cannot_read_is_left_out_where_the_run_goes_on_without_it(place: Path) -> None:
    (place / "target.jsonl").write_text("".join(f'{{"text": "good words number {n}"}}\n' for n in range(20)))
    stage = {"scorer": "dsir", "target": str(place / "target.jsonl"), "sample": 150, "buckets": 1000}
    path = place / "in" / "4.parquet"
    content = bytearray(path.read_bytes())
    content[200:400] = bytes(200)  # pages, and not the footer: the plan finds nothing wrong
    path.write_bytes(content)
    result = run(place, recipe(place, stage))
    assert result.outcome == "done", result.failures
    assert kept(result) == [n for n in range(200) if n // ROWS != 4]


def test_one_fault_of_many_inputs_is_told_once_with_its_count(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pipelines.cli.ending import summary
    from pipelines.cli.progress import Progress

    settings = recipe(place, URL, {"select": "breaks-entering", "fraction": 0.5})
    result = Workspace(place / "ws").run(settings, executor="local", workers=2, report=Progress())
    lines = [line for line in summary(result, place / "ws") if line.startswith("failed[")]
    assert len(result.failures) == 10
    assert len(lines) == 1
    assert "(10 times)" in lines[0]
    assert capsys.readouterr().err.count("failed[R003]") == 1


def test_a_dataset_wide_stage_that_cannot_read_a_file_sets_aside_that_file(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads texts there says which file it was (`Finding.file`)."""

    class Reads(Longest):
        def span(self, rows: int, scored: int) -> Any:
            path = place / "in" / "3.parquet"
            if rows == 200:
                raise CurationError(Finding("R001", f"{path} cannot be read", file=str(path)))
            return super().span(rows, scored)

    monkeypatch.setattr(f"{__name__}.BreaksResolving", Reads)
    Reads.kind = "breaks-resolving"
    registry.find.cache_clear()
    result = run(place, recipe(place, {"select": "breaks-resolving", "fraction": 1.0}))
    registry.find.cache_clear()
    assert (result.outcome, attempts(place)) == ("done", 2), result.failures
    assert kept(result) == [n for n in range(200) if n // ROWS != 3]
