"""`gc` removes what no commit names, and nothing that one does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import holding
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli.main import _main
from pipelines.running.gc import NAMED
from pipelines.workspace import Workspace
from schemas.errors import CurationError

Light = Callable[..., dict[str, Any]]
HOUR = 3600


def files(root: Path) -> dict[str, int]:
    paths = (path for path in root.rglob("*") if path.is_file() or path.is_symlink())
    return {path.relative_to(root).as_posix(): path.lstat().st_size for path in paths}


def age(root: Path, seconds: float = HOUR) -> None:
    """As if everything had been written that long ago."""
    then = time.time() - seconds
    for path in root.rglob("*"):
        os.utime(path, (then, then), follow_symlinks=False)


def litter(root: Path) -> list[str]:
    """What killed attempts leave behind, by name."""
    fingerprint = next((root / "scores").iterdir()).name
    names = [
        f"scores/{fingerprint}/0000-20200101T000000-deadbeef-00000000.parquet",
        "scores/.tmp-99-aabbccdd-0000.parquet",
        "decisions/feedfacefeedface/00000000-20200101T000000-deadbeef-00000000.parquet",
        "groups/0123456789abcdef/members-20200101T000000-deadbeef-00000000.parquet",
        "groups/.tmp-spill-20200101T000000-deadbeef/duckdb_temp_storage.tmp",
        "manifest/parts/scores/.tmp-99-aabbccdd-key.parquet",
        "datasets/.staging-feedfacefeedface/part-00000-20200101T000000-deadbeef-00000000.parquet",
        "datasets/manual/.tmp-feedfacefeedface-20200101T000000-deadbeef/data/train-00000-of-00001.parquet",
        ".tmp-99-aabbccdd-manifest.duckdb",
    ]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"row": [1]}), root / name)
    return names


def named(held: Any) -> set[str]:
    """Every data file that a commit names and that was there."""
    found = set()
    for kind, columns in NAMED.items():
        for record in held.workspace.manifest.read(kind).to_pylist():
            found |= {record[column] for column in columns if record[column]}
    return found


@pytest.mark.long
def test_leftovers_go_and_what_a_commit_names_stays(
    mine: Any, light: Light, capsys: pytest.CaptureFixture[str]
) -> None:
    run, held = mine
    before, whole = files(held.root), held.everything(run)
    names = litter(held.root)
    age(held.root)
    messy = files(held.root)
    dry = held.workspace.gc(dry_run=True)
    assert files(held.root) == messy
    usage = held.workspace.gc()
    assert (usage.swept_files, usage.swept_bytes) == (dry.swept_files, dry.swept_bytes)
    after = files(held.root)
    assert not set(names) & set(after)
    gone = set(before) - set(after)
    # beside the litter only lists that a finished run no longer needs
    assert gone
    assert all(name.startswith("groups/entrants/") or "/pairs-" in name for name in gone)
    assert not gone & named_by_living(held)
    assert usage.bytes == Counter({top: size for top, size in sizes(after).items() if size})
    assert not [path for path in held.root.rglob("*") if path.is_dir() and not any(path.iterdir())]
    assert held.workspace.gc().swept_files == 0
    # everything still works
    assert held.everything(run) == whole
    held.balance(run)
    for view in ("documents", "drops", "duplicate_clusters", "duplicate_pairs", "funnel", "scores_histogram"):
        assert Workspace(held.root).sql(f"SELECT * FROM {view}").num_rows > 0
    again = Workspace(held.root).run(light(), executor="local")
    assert (again.run, again.outcome, again.scored) == (run, "nothing-to-do", 0)
    looser = Workspace(held.root).run(light(language=0.4), executor="local", workers=2)
    assert (looser.outcome, looser.steps["input"], looser.steps["language"]) == ("done", 0, 0)
    assert _main(["gc", "-w", str(held.root), "--dry-run"]) == 0
    assert "would remove" in capsys.readouterr().err


def named_by_living(held: Any) -> set[str]:
    served = ("groups/entrants/", "datasets/.staging-")
    return {name for name in named(held) if not name.startswith(served) and "/pairs-" not in name}


def sizes(found: dict[str, int]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for name, size in found.items():
        counted[name.split("/", 1)[0]] += size
    return counted


def test_what_is_younger_than_a_minute_is_left_alone(mine: Any) -> None:
    _, held = mine
    age(held.root)
    names = litter(held.root)
    held.workspace.gc()
    assert set(names) <= set(files(held.root))


def test_superseded_compactions_go_but_the_last_two(mine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run, held = mine
    monkeypatch.setattr("curation.manifest.parts.COMPACT_FROM", 1)
    for number in range(4):
        held.workspace.manifest.commit("barriers", f"x-{number}", [{"run": "x", "stage": str(number), "group": "g"}])
        held.workspace.manifest.compact()
    folder = held.root / "manifest/compacted/barriers"
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 4
    age(held.root)
    held.workspace.gc()
    assert sorted(path.name for path in folder.iterdir()) == names[-2:]
    assert Workspace(held.root).sql("SELECT * FROM documents", run).num_rows == 289


@pytest.mark.long
@pytest.mark.parametrize("compacted", [False, True])
def test_a_dataset_removed_by_hand_is_said_forgotten_and_written_again_from_scores(
    compacted: bool, mine: Any, light: Light, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, held = mine
    if compacted:
        monkeypatch.setattr("curation.manifest.parts.COMPACT_FROM", 1)
        held.workspace.manifest.compact()
    before = held.dataset(run)
    shutil.rmtree(held.root / f"datasets/manual/{run}")
    age(held.root)
    with pytest.raises(CurationError, match="is gone") as failure:
        Workspace(held.root).run(light(), executor="local")
    assert failure.value.findings[0].code == "C032"
    assert "curate gc" in (failure.value.findings[0].hint or "")
    assert held.workspace.gc(dry_run=True).forgotten == [run]
    assert Workspace(held.root).sql("SELECT * FROM datasets").num_rows == 1
    assert held.workspace.gc().forgotten == [run]
    workspace = Workspace(held.root)
    assert workspace.verify(dry_run=True).damaged == []  # what the dataset-wide stages were resolved from may be gone
    assert workspace.sql("SELECT * FROM datasets").num_rows == 0
    [state] = workspace.status().to_pylist()
    assert state["dataset"] is None
    result = workspace.run(light(), executor="local", workers=2)
    assert (result.run, result.outcome, result.scored) == (run, "done", 0)
    assert held.dataset(run) == before
    [state] = Workspace(held.root).status().to_pylist()
    assert (state["status"], state["dataset"]) == ("done", f"datasets/manual/{run}")


@pytest.mark.long
def test_a_run_under_way_in_another_process_is_not_harmed(finished: Any, held: Any, tmp_path: Path) -> None:
    run, reference = finished
    hold, space = tmp_path / "hold", tmp_path / "ws"
    hold.touch()
    command = [sys.executable, holding.__file__, "after-data", "2", str(hold), "pipelines.cli", "run", "recipe.yaml"]
    process = subprocess.Popen(
        [*command, "-w", str(space), "--executor", "local", "--workers", "1"],
        cwd=reference.root.parent,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    while not holding.reached(hold).exists():
        assert process.poll() is None, process.stderr
        time.sleep(0.02)
    age(space)  # a slow unit: its files are older than any grace
    (space / "decisions" / run).mkdir(parents=True, exist_ok=True)
    before = files(space)
    swept = Workspace(space).gc()
    assert (swept.swept_files, set(before) - set(files(space))) == (0, set())
    assert (space / "decisions" / run).is_dir()
    hold.unlink()
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert held(space).everything(run) == reference.everything(run)


def test_a_killed_run_leaves_what_gc_takes_and_the_next_run_is_the_same(
    light: Light, finished: Any, held: Any, tmp_path: Path
) -> None:
    run, reference = finished
    marks, space = tmp_path / "marks", tmp_path / "ws"
    marks.mkdir()
    failpoints = json.dumps({"point": "after-data", "hit": 4, "dir": str(marks)})
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "run", "recipe.yaml", "-w", str(space), "--executor", "local", "-q"],
        cwd=reference.root.parent,
        env={**os.environ, "CURATION_FAILPOINTS": failpoints},
    )
    assert done.returncode == -signal.SIGKILL
    [state] = Workspace(space).status().to_pylist()
    assert state["status"] == "unfinished"  # and no longer running
    age(space)
    assert Workspace(space).gc().swept_files > 0
    assert Workspace(space).run(light(), executor="local", workers=2).outcome == "done"
    assert held(space).everything(run) == reference.everything(run)


def test_a_part_of_a_workspace_on_another_disk_stays_where_it_is(tmp_path: Path) -> None:
    """A folder or a link to one, and one to a disk that is not mounted now."""
    root = tmp_path / "ws"
    Workspace(root).create()
    for name in ("scores", "datasets", "decisions"):
        (tmp_path / "disk" / name).mkdir(parents=True)
        (root / name).symlink_to(tmp_path / "disk" / name)
    (root / "groups").symlink_to(tmp_path / "not mounted")
    (tmp_path / "disk/scores/mine.parquet").touch()
    age(root)
    before = files(tmp_path)
    assert Workspace(root).gc().swept_files == 0
    assert files(tmp_path) == before
