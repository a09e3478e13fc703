"""Many small files: neighbours share units and commits, and nothing else of a run is other than if they did not."""

from __future__ import annotations

import json
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chaos.test_kills import drive
from lengths import mostly_long

from curation import failpoints
from curation.sources import bundles
from pipelines.charts.report import report_data
from pipelines.nearest import MARKER
from pipelines.running.result import Result
from pipelines.workspace import Workspace
from schemas.manifest import BUNDLES_FORMAT, FIRST_FORMAT

FILES = 48
RECIPE: dict[str, Any] = {
    "name": "small",
    "input": {"path": {"a": "in/a-*.parquet", "b": "in/b-*.parquet"}, "columns": {"text": "text", "id": "id"}},
    "on_bad_shard": "skip",
    "stages": [
        {"scorer": "rules", "id": "quality", "profile": "gopher-quality@datatrove", "keep": "quality.words > 12"},
        {"transform": "redact-pii", "types": ["email"], "replacement": "example"},
        {"dedup": "exact"},
        {"dedup": "minhash"},
        {"scorer": "rules", "id": "again", "profile": "gopher-quality@datatrove", "keep": "again.words < 70"},
        {"select": "top", "by": "quality.mean_word_length", "fraction": 0.7},
    ],
    "output": {"columns": ["text", "id", "quality.words"]},
}
VIEWS = {
    "documents": "SELECT * EXCLUDE (run) FROM documents ORDER BY doc_id",
    "shards": "SELECT * EXCLUDE (run, decisions) FROM shards",
    "funnel": "SELECT * FROM funnel",
    "statistics": "SELECT stage, field, source, documents, min, max, p50 FROM statistics",
    "duplicate_pairs": "SELECT * FROM duplicate_pairs ORDER BY ALL",
    "duplicate_clusters": "SELECT * FROM duplicate_clusters ORDER BY ALL",
}


def project(folder: Path) -> Path:
    """Small files of two sources, two of them with equal content, and one that is longer than a bundle may be."""
    (folder / "in").mkdir(parents=True)
    draw = random.Random(3)
    words = ["the", "of", "and", "to", "that", "with", "have", "be", *(f"word{number}" for number in range(300))]
    texts: list[str] = []
    for number in range(FILES):
        own = []
        for _ in range(draw.randint(1, 9)):
            kind = draw.random()
            if texts and kind < 0.15:
                own.append(draw.choice(texts))
            elif texts and kind < 0.3:
                own.append(f"{draw.choice(texts)} so")
            else:
                own.append(" ".join(draw.choices(words, k=draw.randint(5, 90))) + " write to me@site.org")
        texts += own
        ids = [f"{number}-{row}" if row else f"first-{number % 40}" for row in range(len(own))]
        source = "a" if number < 20 else "b"
        pq.write_table(pa.table({"text": own, "id": ids}), folder / f"in/{source}-{number:03d}.parquet")
    shutil.copy(folder / "in/b-030.parquet", folder / "in/b-033.parquet")
    return folder


def located(folder: Path, **changed: Any) -> dict[str, Any]:
    """The recipe, over the files of a folder."""
    paths = {name: str(folder / path) for name, path in RECIPE["input"]["path"].items()}
    return RECIPE | changed | {"input": RECIPE["input"] | {"path": paths}}


def bring(folder: Path, workspace: str, **changed: Any) -> tuple[Workspace, Result]:
    made = Workspace(folder / workspace)
    return made, made.run(located(folder, **changed), executor="local", workers=2)


def dataset(workspace: Workspace) -> dict[str, bytes]:
    """Of the latest run."""
    folder = workspace.store.root / "datasets/small/latest/data"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def units(workspace: Workspace, kind: str) -> int:
    return len(workspace.manifest.keys(kind))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def together(folder: Path) -> Workspace:
    return bring(folder, "together")[0]


@pytest.fixture(scope="module")
def apart(folder: Path) -> Workspace:
    """The same as before there were bundles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundles, "UNITS", FILES)
        return bring(folder, "apart")[0]


def test_small_files_share_commits_and_the_dataset_is_the_same(together: Workspace, apart: Workspace) -> None:
    assert units(apart, "decisions") == units(apart, "sketches") == FILES
    assert units(together, "decisions") == units(together, "sketches") <= FILES / 2
    assert units(together, "scores") <= FILES
    assert dataset(together) == dataset(apart)
    formats = [json.loads((one.store.root / MARKER).read_text())["format_version"] for one in (together, apart)]
    assert formats == [BUNDLES_FORMAT, FIRST_FORMAT]  # earlier versions would misread bundles, and nothing else
    runs = [workspace.sql("SELECT run, kept, dropped FROM runs").to_pylist() for workspace in (together, apart)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("made", ["together", "apart"])
@pytest.mark.parametrize("lost", ["shards", "shards datasets decisions sketches"])
def test_a_run_whose_shards_are_recorded_no_more_goes_on_as_it_began(
    folder: Path, made: str, lost: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    before = request.getfixturevalue(made)
    shutil.copytree(before.store.root, tmp_path / "ws")
    for kind in lost.split():
        shutil.rmtree(tmp_path / "ws/manifest/parts" / kind)
    again = Workspace(tmp_path / "ws")
    assert again.run(located(folder), executor="local", workers=1).outcome == "done"
    assert units(again, "decisions") == units(before, "decisions")
    assert units(again, "entrants") == units(before, "entrants")
    query = VIEWS["documents"]
    assert Workspace(tmp_path / "ws").sql(query).equals(before.sql(query))


@pytest.mark.parametrize("view", VIEWS)
def test_views_show_each_file_by_itself(view: str, together: Workspace, apart: Workspace) -> None:
    assert together.sql(VIEWS[view]).to_pylist() == apart.sql(VIEWS[view]).to_pylist()


def test_what_looks_at_a_run_finds_each_document(together: Workspace, apart: Workspace) -> None:
    for gates in (["quality.words > 30"], ["quality.words > 4"], ["again.words < 200"]):
        assert together.what_if(*gates).stages == apart.what_if(*gates).stages
    assert list(together.show(count=40)) == list(apart.show(count=40))
    for row in together.sql("SELECT path, row FROM documents WHERE row > 0 USING SAMPLE 5").to_pylist():
        name = f"{row['path']}#{row['row']}"
        assert together.explain(name) == apart.explain(name)
    assert together.selections() == apart.selections()
    texts = []
    for number, workspace in enumerate((together, apart)):
        path = Path(f"{workspace.store.root}-{number}.csv")
        workspace.audit_sample(rows=30, into=path)
        texts.append(path.read_text())
    assert texts[0] == texts[1]
    pages = [report_data(workspace.manifest, attributions=False) for workspace in (together, apart)]
    for piece in ("documents", "shift", "clusters", "histograms"):
        assert pages[0][piece] == pages[1][piece]  # type: ignore[literal-required]
    assert together.verify().damaged == []


@pytest.mark.long
def test_on_ray_it_is_the_same(together: Workspace, folder: Path) -> None:
    made = Workspace(folder / "on-ray")
    result = made.run(located(folder), executor="ray", workers=2)
    assert result.outcome == "done"
    assert dataset(made) == dataset(together)
    assert units(made, "decisions") == units(together, "decisions")


def test_files_that_come_and_go_leave_the_scores_of_the_others(together: Workspace, folder: Path) -> None:
    changed = Path(shutil.copytree(folder / "in", folder / "later/in")).parent
    for number in (3, 4, 21):
        next(changed.glob(f"in/*-{number:03d}.parquet")).unlink()
    more = [f"{'so it is with the new ones and the old ones of them ' * 2} {number}" for number in range(4)]
    pq.write_table(pa.table({"text": more, "id": list("wxyz")}), changed / "in/a-0035.parquet")
    later = shutil.copytree(together.store.root, folder / "grown")
    grown, result = bring(changed, str(later))
    fresh, _ = bring(changed, "fresh")
    assert dataset(grown) == dataset(fresh)
    assert result.steps["quality"] == len(more)


def test_a_workspace_without_bundles_goes_on(together: Workspace, apart: Workspace, folder: Path) -> None:
    """One of an earlier version is like this: its scores serve, and its runs are compared with new ones."""
    differences = []
    for workspace in (together, apart):
        copied = Path(shutil.copytree(workspace.store.root, f"{workspace.store.root}-copied"))
        [earlier] = workspace.sql("SELECT run FROM runs").column("run").to_pylist()
        second, result = bring(folder, str(copied), errors={"documents": 1})
        assert dataset(second) == dataset(together)
        assert not result.scored
        differences.append(second.diff(earlier).as_dict())
        assert units(second, "decisions") == units(workspace, "decisions") + units(together, "decisions")
    assert differences[0] == differences[1]


def test_a_run_that_began_without_bundles_ends_without(together: Workspace, folder: Path, tmp_path: Path) -> None:
    full = {"point": "in-decide", "hit": 9, "error": "ENOSPC", "dir": str(tmp_path)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundles, "UNITS", FILES)
        patch.setenv(failpoints.VARIABLE, json.dumps(full))
        assert bring(folder, str(tmp_path / "ws"))[1].failed
    resumed, result = bring(folder, str(tmp_path / "ws"))
    assert (result.outcome, units(resumed, "decisions")) == ("done", FILES)
    assert dataset(resumed) == dataset(together)


def test_a_file_that_cannot_be_read_is_left_out_and_its_neighbours_are_not(folder: Path) -> None:
    broken = Path(shutil.copytree(folder / "in", folder / "broken/in")).parent
    path = broken / "in/a-005.parquet"
    text = pq.read_table(path)
    plain = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    pq.write_table(text, path, write_page_checksum=True, **plain)
    content = bytearray(path.read_bytes())
    content[content.index(b"word")] ^= 1
    path.write_bytes(content)
    skipping, _ = bring(broken, "skipping")
    path.unlink()
    assert dataset(skipping) == dataset(bring(broken, "without")[0])
    [row] = skipping.sql("SELECT path, error FROM shards WHERE error IS NOT NULL").to_pylist()
    assert row["path"] == str(path)


@pytest.mark.parametrize("point", mostly_long(("after-part", *sorted({*failpoints.POINTS} - {"after-part"})), 1))
def test_a_kill_between_files_loses_nothing(point: str, together: Workspace, folder: Path, tmp_path: Path) -> None:
    hit = 1 if point in ("in-write", "before-publish") else 2  # what is written is one file, published once
    code, talk = drive(tmp_path, located(folder), "local", {"point": point, "hit": hit, "target": "self"})
    assert code == -signal.SIGKILL, talk
    resumed, result = bring(folder, str(tmp_path / "ws"))
    assert result.outcome == "done"
    assert dataset(resumed) == dataset(together)
    assert resumed.verify().damaged == []
