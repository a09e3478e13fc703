"""Where a dataset lies, how it is opened with whatever reads Parquet, and that those of earlier versions stay good."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from curation.manifest.parts import Manifest
from curation.report.loading import loading_lines
from curation.store import open_store
from pipelines import Workspace
from pipelines.cli.main import _main
from pipelines.results.datasets import find_dataset
from schemas.errors import CurationError
from schemas.manifest import PARTS

Light = Callable[..., dict[str, Any]]
LIBRARIES = ("datasets", "pandas", "polars", "duckdb")


def latest(root: Path, name: str = "manual") -> str | None:
    link = root / f"datasets/{name}/latest"
    return os.readlink(link) if link.is_symlink() else None


def as_earlier_versions_published(root: Path, run: str) -> Path:
    folder = root / "datasets/manual" / run
    for number, path in enumerate(sorted(folder.glob("data/*.parquet"))):
        path.rename(folder / f"part-{number:05d}.parquet")
    (folder / "data").rmdir()
    (root / "datasets/manual/latest").unlink()
    card = (folder / "README.md").read_text()
    head = "---\nconfigs:\n- config_name: default\n  data_files: part-*.parquet\n---\n"
    (folder / "README.md").write_text(head + card.split("---\n", 2)[2])
    return folder


def test_latest_leads_to_the_run_that_was_last_asked_for(mine: Any, light: Light) -> None:
    run, held = mine
    assert latest(held.root) == run
    workspace = Workspace(held.root)
    other = workspace.run(light(language=0.7), executor="local", workers=2).run
    assert latest(held.root) == other != run
    assert workspace.run(light(), executor="local").outcome == "nothing-to-do"
    assert latest(held.root) == run
    assert workspace.dataset("manual") == workspace.dataset(run)
    assert workspace.dataset(run).path == held.root / "datasets/manual" / run
    count = f"SELECT count(*) AS n FROM '{held.root}/datasets/manual/latest/data/*.parquet'"
    assert workspace.sql(count).to_pylist() == [{"n": len(workspace.dataset(run))}]
    shutil.rmtree(held.root / "datasets/manual" / run)
    assert Workspace(held.root).gc().forgotten == [run]
    assert latest(held.root) == other
    assert Workspace(held.root).dataset("manual").path.name == other
    path = sorted(held.root.glob(f"datasets/manual/{other}/data/*"))[-1]
    path.write_bytes(path.read_bytes()[:-9])
    assert Workspace(held.root).verify(dry_run=True).set_aside == 0
    assert latest(held.root) == other
    assert [item.location for item in Workspace(held.root).verify().damaged] == [str(path)]
    assert not (held.root / "datasets").exists() or list((held.root / "datasets").rglob("*")) == []
    with pytest.raises(CurationError, match=r"C032.*has no dataset"):
        Workspace(held.root).dataset(other)


def test_a_copy_that_followed_the_link_leads_on_again(mine: Any, light: Light) -> None:
    run, held = mine
    link = held.root / "datasets/manual/latest"
    link.unlink()
    shutil.copytree(held.root / "datasets/manual" / run, link)
    assert Workspace(held.root).run(light(), executor="local").outcome == "nothing-to-do"
    assert latest(held.root) == run


def test_path_prints_the_folder_and_how_it_is_loaded(mine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run, held = mine
    folder = str(held.root / "datasets/manual" / run)
    for given in ([], ["manual"], [run], [run[:5]]):
        assert _main(["path", *given, "-w", str(held.root)]) == 0
        assert capsys.readouterr().out == f"{folder}\n"
    assert _main(["path", "--how", "-w", str(held.root)]) == 0
    assert capsys.readouterr().out.splitlines() == list(loading_lines(folder).values())
    assert _main(["path", "nothing", "-w", str(held.root)]) == 2
    assert "error[C032]" in capsys.readouterr().err
    card = (held.root / "datasets/manual" / run / "README.md").read_text()
    assert "\n".join(loading_lines(run).values()) in card


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("where", ["a path", "the card", "an earlier version"])
def test_the_loading_line_of_each_library_gives_the_rows(
    mine: Any, library: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(library, reason="not installed: `pip install datasets pandas polars` to try it")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    run, held = mine
    # datasets itself takes brackets in a folder's name for a pattern
    root = held.root.rename(tmp_path / ("it's a space" if library == "datasets" else "it's [1] space"))
    expected = Workspace(root).dataset(run).to_arrow().to_pydict()
    folder = root / "datasets/manual" / run
    if where == "an earlier version":
        as_earlier_versions_published(root, run)
    line = Workspace(root).dataset(run).loading_lines()[library]
    if where == "the card":
        monkeypatch.chdir(folder.parent)
        found = re.search(rf"^import {library};.*$", (folder / "README.md").read_text(), re.MULTILINE)
        assert found is not None
        line = found[0]
    load, last = line.rsplit("; ", 1)
    names: dict[str, Any] = {}
    exec(load, names)
    loaded = eval(last, names)
    assert list(loaded.columns if library != "datasets" else loaded.column_names) == list(expected)
    assert len(loaded) == len(expected["id"])
    texts = loaded["text"] if library != "duckdb" else [text for (text,) in loaded.project("text").fetchall()]
    assert list(texts) == expected["text"]
    if library != "duckdb":
        assert list(getattr(Workspace(root).dataset(run), f"to_{library}")()["text"]) == expected["text"]


def test_a_dataset_of_an_earlier_version_is_finished_verified_and_written_anew_when_damaged(
    mine: Any, light: Light
) -> None:
    run, held = mine
    before = held.dataset(run)
    folder = as_earlier_versions_published(held.root, run)
    again = Workspace(held.root).run(light(), executor="local")
    assert (again.outcome, again.folder) == ("nothing-to-do", folder)
    assert latest(held.root) == run
    assert again.dataset is not None
    assert [Path(path).name for path in again.dataset.files][:1] == ["part-00000.parquet"]
    assert len(again.dataset) == again.kept == len(again.dataset.to_arrow())
    assert Workspace(held.root).verify().damaged == []
    path = folder / "part-00000.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CurationError, match=r"C049.*part-00000\.parquet has"):
        Workspace(held.root).run(light(), executor="local")
    assert [item.location for item in Workspace(held.root).verify().damaged] == [str(path)]
    done = Workspace(held.root).run(light(), executor="local", workers=2)
    assert (done.run, done.outcome, done.scored) == (run, "done", 0)
    assert held.dataset(run) == before


def test_columns_that_are_named_otherwise_are_another_run_that_scores_nothing(mine: Any, light: Light) -> None:
    run, held = mine
    output = {"columns": ["text", {"quality": "language.prob", "key": "id"}]}
    result = Workspace(held.root).run({**light(), "output": output}, executor="local", workers=2)
    assert (result.outcome, result.scored) == ("done", 0)
    assert result.run != run
    assert result.dataset is not None
    assert result.dataset.columns == ["text", "quality", "key"]
    plain = Workspace(held.root).dataset(run)
    assert plain.columns == ["text", "id", "words", "language_prob"]
    assert result.dataset.to_arrow()["quality"].to_pylist() == plain.to_arrow()["language_prob"].to_pylist()


def test_a_library_that_is_not_installed_is_named(mine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Workspace(mine[1].root).dataset()
    for library in ("datasets", "pandas", "polars"):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(CurationError, match=rf"C040.*needs {library}"):
            getattr(dataset, f"to_{library}")()


def test_a_beginning_of_several_weak_to_strong_runs_is_refused(tmp_path: Path) -> None:
    manifest = Manifest(open_store(tmp_path))
    for run in ("ab12", "ab34"):
        row = {"run": run, "name": run, "path": f"datasets/{run}/{run}", "created_at": datetime.now(UTC)}
        fields = PARTS["weak_results"]
        manifest.commit("weak_results", run, [{name: row.get(name) for name in fields.names}])
        (tmp_path / row["path"]).mkdir(parents=True)
    with pytest.raises(CurationError, match=r"C032.*may be any of ab12, ab34"):
        find_dataset(manifest, "ab")
    assert find_dataset(manifest, "ab1").path == tmp_path / "datasets/ab12/ab12"
