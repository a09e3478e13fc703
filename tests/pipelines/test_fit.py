"""A fitted stage learns once: pinned until `--refit`, and of two that fit at once the first counts for both."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation import registry
from curation.flow import Failure, Outcome
from curation.flow.perform import perform, score_here
from curation.flow.sample import Sample
from curation.scorers.base import Transform
from curation.scorers.dsir import Dsir
from pipelines.planning.fits import Unfitted
from pipelines.planning.resolve import Resolved, resolve
from pipelines.recipe.load import parse
from pipelines.running.events import Advanced, Event, FitStarted, PhaseEnded, PhaseStarted, UnitEnded
from pipelines.running.fit import fit
from pipelines.workspace import Workspace
from schemas.documents import EDITS
from schemas.errors import CurationError
from workers.interrupt import stoppable
from workers.local import LocalExecutor

Settings = dict[str, Any]


class CutsBySource(Transform):
    """Takes the first word away where the id says so: it reads more than the text."""

    kind = "cuts-by-source"
    reads = ("text", "id")

    @property
    def fields(self) -> list[pa.Field]:
        return [pa.field("cut", pa.bool_())]

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        cut = [name.endswith("0") for name in batch.column("id").to_pylist()]
        ends = [text.find(" ") + 1 for text in batch.column("text").to_pylist()]
        edits = [
            [{"field": "text", "start": 0, "end": end, "replacement": ""}] if so and end else []
            for so, end in zip(cut, ends, strict=True)
        ]
        return pa.record_batch({"cut": pa.array(cut), "edits": pa.array(edits, EDITS)})


@pytest.fixture
def crawl(corpus: Path, tmp_path: Path) -> Path:
    """Two small files, which may be added to."""
    folder = tmp_path / "crawl"
    folder.mkdir()
    for name in ("a.parquet", "g.parquet"):
        pq.write_table(pq.read_table(corpus / name).slice(0, 25), folder / name)
    return folder


@pytest.fixture
def settings(recipe: Callable[..., Settings], crawl: Path) -> Settings:
    """Only the stage that is fitted, against a sample of the pool."""
    made = recipe(crawl)
    head = next(stage for stage in made["stages"] if stage.get("id") == "tutorial")
    del head["background"]
    return {**made, "stages": [{"transform": "remove-lines", "profile": "c4@datatrove"}, {**head, "sample": 20}]}


class Told(list[type[Event]]):
    """Kinds of the events of runs."""

    def __call__(self, event: Event) -> None:
        self.append(type(event))


def fit_here(resolved: Resolved, todo: Unfitted, workspace: Workspace, refit: bool = False) -> None:
    fit(resolved, todo, workspace.store, LocalExecutor, lambda event: None, refit)


def fits(workspace: Workspace) -> list[dict[str, Any]]:
    return Workspace(workspace.store.root).manifest.read("fits").to_pylist()  # type: ignore[no-any-return]


def test_what_was_fitted_stays_pinned_until_refit(
    settings: Settings, crawl: Path, corpus: Path, tmp_path: Path
) -> None:
    workspace, told = Workspace(tmp_path / "ws"), Told()
    first = workspace.run(settings, executor="local", workers=1, report=told)
    assert first.outcome == "done", first.failures
    assert told.count(FitStarted) == 1
    [pinned] = fits(workspace)
    folder = workspace.store.path(pinned["artifact"])
    assert pinned["sha256"].startswith(folder.name.rpartition("-")[2])
    assert json.loads((folder / "card.json").read_text())["sha256"] == pinned["sha256"]

    shutil.copy(corpus / "e.jsonl.zst", crawl / "0-new.jsonl.zst")
    told.clear()
    grown = workspace.run(settings, executor="local", workers=1, report=told)
    assert grown.outcome == "done", grown.failures
    assert FitStarted not in told
    assert fits(workspace) == [pinned]
    # so what was scored before need not be scored again
    assert 0 < grown.steps["tutorial"] < first.steps["tutorial"]

    stricter = {**settings, "stages": [settings["stages"][0], {**settings["stages"][1], "keep": "tutorial.prob > 0.9"}]}
    assert workspace.run(stricter, executor="local", workers=1).scored == 0

    told.clear()
    refitted = workspace.run(settings, executor="local", workers=1, refit=True, report=told)
    assert told.count(FitStarted) == 1
    assert [record["generation"] for record in fits(workspace)] == [0, 1]
    assert refitted.run != grown.run
    assert refitted.steps["tutorial"] == first.steps["tutorial"] + grown.steps["tutorial"]
    assert refitted.steps["tutorial/embedding"] == 0  # a new head costs no forward pass
    assert workspace.run(settings, executor="local", workers=1).outcome == "nothing-to-do"


@pytest.mark.long
@pytest.mark.parametrize("refit", [False, True])
def test_of_two_that_fit_at_once_the_first_counts_for_both(
    refit: bool, settings: Settings, crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path / "ws")
    workspace.create()
    loaded = workspace.check(settings)
    resolved = resolve(loaded, workspace.manifest)
    [todo] = resolved.unfitted
    if refit:
        fit_here(resolved, todo, workspace)
    before = len(fits(workspace))
    smaller = {**settings, "input": {**settings["input"], "path": str(crawl / "a.parquet")}}  # somebody else's input
    other = resolve(workspace.check(smaller), workspace.manifest)
    scorer = loaded.stages[todo.position]
    learn = type(scorer).fit

    def slowly(self: Any, pool: Any) -> Any:
        monkeypatch.setattr(type(scorer), "fit", learn)
        found = learn(self, pool)
        fit_here(other, todo, workspace, refit)  # somebody else begins later, and is done sooner
        return found

    monkeypatch.setattr(type(scorer), "fit", slowly)
    fit_here(resolved, todo, workspace, refit)
    after = fits(workspace)
    assert len(after) == before + 1
    pool = json.loads(after[-1]["card"])
    alone = Workspace(tmp_path / "alone")
    alone.create()
    fit_here(other, todo, alone)
    assert [record["sha256"] for record in fits(alone)] == [after[-1]["sha256"]], pool


@pytest.mark.long
def test_the_sample_is_the_same_documents_however_many_threads_or_shards(
    recipe: Callable[..., Settings], tmp_path: Path
) -> None:
    def drawn(shard_bytes: int, count: int) -> list[str]:
        settings = recipe()
        settings["input"]["shard_bytes"] = shard_bytes
        plan = resolve(Workspace(tmp_path).check(settings), Workspace(tmp_path).manifest).plan
        return Sample.of(plan, count, ["text"]).column("text").to_pylist()  # type: ignore[no-any-return]

    some = drawn(20_000, 40)
    assert some == drawn(20_000, 40)
    assert sorted(some) == sorted(drawn(10_000_000, 40))
    assert 30 < len(some) <= 40  # some of the forty have no text
    assert set(some) <= set(drawn(20_000, 120))
    assert drawn(20_000, 0) == []


class Elsewhere(LocalExecutor):
    """Performs units as they come out of a pickle, as another process would."""

    def run(self, units: Iterable[Any], steps: Any, tasks: Any = ()) -> Iterator[Outcome]:
        for unit in units:
            travelled = pickle.loads(pickle.dumps(unit))
            value = perform(travelled, score_here)
            failed = isinstance(value, Failure)
            yield Outcome(unit, None if failed else value, value if failed else None)


def unused() -> Any:
    raise AssertionError("no model wants a GPU")


def test_a_fit_is_a_unit_that_any_executor_performs(settings: Settings, tmp_path: Path) -> None:
    workspaces = [Workspace(tmp_path / name) for name in ("here", "elsewhere")]
    told: list[Event] = []
    for workspace, executor in zip(workspaces, (LocalExecutor, Elsewhere), strict=True):
        workspace.create()
        resolved = resolve(workspace.check(settings), workspace.manifest)
        [todo] = resolved.unfitted
        fit(resolved, todo, workspace.store, unused, told.append, in_process=executor)
    here, elsewhere = ([record["artifact"] for record in fits(workspace)] for workspace in workspaces)
    assert here == elsewhere
    kinds = [type(event) for event in told if not isinstance(event, Advanced)]
    assert kinds[:4] == [FitStarted, PhaseStarted, UnitEnded, PhaseEnded]


def test_an_interrupted_fit_ends_and_is_pinned(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path / "ws")
    workspace.create()
    resolved = resolve(loaded := workspace.check(settings), workspace.manifest)
    [todo] = resolved.unfitted
    learn = type(loaded.stages[todo.position]).fit

    def stopped(self: Any, pool: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
        return learn(self, pool)

    monkeypatch.setattr(type(loaded.stages[todo.position]), "fit", stopped)
    with stoppable(lambda number: None), pytest.raises(KeyboardInterrupt):
        fit_here(resolved, todo, workspace)
    assert len(fits(workspace)) == 1


def test_what_cannot_be_fitted_is_one_clear_error(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text('{"text": "  "}\n')
    settings["stages"][1]["seeds"] = str(tmp_path / "none.jsonl")
    with pytest.raises(CurationError) as failure:
        Workspace(tmp_path / "ws").run(settings, executor="local")
    assert failure.value.findings[0].code in ("C012", "C004")
    assert "tutorial" in failure.value.findings[0].message


@pytest.mark.long
def test_a_recipe_is_parsed_alike_from_a_mapping_and_from_yaml(settings: Settings, tmp_path: Path) -> None:
    import yaml

    workspace = Workspace(tmp_path / "ws")
    text = yaml.safe_dump(settings)
    assert workspace.plan(settings).plan.run == workspace.plan(parse(text, tmp_path)).plan.run


def test_a_sample_is_edited_by_transforms_that_read_more_than_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.BUILTIN["transform"], CutsBySource.kind, f"{__name__}:CutsBySource")
    seen: list[str] = []
    learn = Dsir.fit
    monkeypatch.setattr(Dsir, "fit", lambda self, pool: seen.extend(pool["text"].to_pylist()) or learn(self, pool))
    rows = [{"text": f"first{n} second{n} third", "name": f"n{n}"} for n in range(30)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {
        "name": "learned",
        "input": {"path": str(tmp_path / "in.jsonl"), "columns": {"id": "name"}},
        "stages": [{"transform": "cuts-by-source"}, {"scorer": "dsir", "target": str(tmp_path / "in.jsonl")}],
    }
    result = Workspace(tmp_path / "ws").run(settings, executor="local")
    assert result.outcome == "done", result.failures
    cut = [text for text in seen if not text.startswith("first")]
    assert sorted(cut) == [f"second{n} third" for n in (0, 10, 20)]
    assert len(seen) == 30
