"""A recipe without a model, its finished run, and a project as users have one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from projects import FITTED, PROJECT, RECIPE, SCORERS, Curate, Project

from pipelines.workspace import Workspace

Settings = dict[str, Any]


@pytest.fixture(scope="session")
def light(recipe: Callable[..., Settings]) -> Callable[..., Settings]:
    """`light(corpus=..., language=..., **top-level keys)`: the shared recipe, its model replaced by a cut."""

    def make(*corpus: Path, **changes: Any) -> Settings:
        settings = recipe(*corpus, **changes)
        settings["stages"] = [*settings["stages"][:5], {"select": "top", "by": "language.prob", "fraction": 0.6}]
        settings["output"] = {"columns": ["text", "id", "words", "language.prob"], "file_bytes": 12_000}
        return settings

    return make


@pytest.fixture(scope="session")
def finished(light: Callable[..., Settings], held: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    """A finished run of `light()` and what its workspace holds. Not to be written to: see `mine`."""
    root = tmp_path_factory.mktemp("finished")
    (root / "recipe.yaml").write_text(yaml.safe_dump(light(), sort_keys=False))
    result = Workspace(root / "ws").run(root / "recipe.yaml", executor="local", workers=2)
    assert result.outcome == "done", result.failures
    return result.run, held(root / "ws")


@pytest.fixture
def mine(finished: tuple[str, Any], held: Any, tmp_path: Path) -> tuple[str, Any]:
    """A copy of the finished workspace: nothing in it says where it lies."""
    run, reference = finished
    return run, held(Path(shutil.copytree(reference.root, tmp_path / "ws", symlinks=True)))


STRICT = {"language": "language.lang = 'en' and language.prob > 0.9", "gopher": "gopher.words >= 40"}
LOOSE = {"language": "language.prob > 0.3", "gopher": "gopher.words >= 20 or language.lang != 'en'"}


@pytest.fixture(scope="session")
def strict_and_loose(light: Callable[..., Settings], tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Any]:
    """A workspace with two runs labelled so: language, rules, a transform, rules on what it leaves, no dedup. And what
    `what_if` said of the loose gates before there was a loose run. Not to be written to."""
    made = light()
    language, gopher, edit = made["stages"][:3]
    last = {"scorer": "rules", "id": "fine", "profile": "fineweb-paper", "keep": "fine.pass or gopher.words > 60"}

    def settings(gates: dict[str, str]) -> Settings:
        gated = [{**language, "keep": gates["language"]}, {**gopher, "keep": gates["gopher"]}]
        return {**made, "stages": [*gated, edit, last], "output": {}}

    workspace = Workspace(tmp_path_factory.mktemp("two runs") / "ws")
    strict = workspace.run(settings(STRICT), executor="local", label="strict")
    alone = workspace.what_if(*LOOSE.values())
    loose = workspace.run(settings(LOOSE), executor="local", label="loose")
    assert (strict.outcome, loose.outcome) == ("done", "done")
    assert loose.kept > strict.kept
    return workspace, alone


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, curate: Curate) -> Project:
    folder = tmp_path_factory.mktemp("a user's project")  # names that a shell would take apart
    for name in ("recipes", "lists", "data", "code/src/my_scorers/tests"):
        (folder / name).mkdir(parents=True)
    (folder / "lists" / "words.txt").write_text("harbour bridge\n")
    (folder / "code" / "pyproject.toml").write_text(PROJECT)
    (folder / "code" / "src" / "my_scorers" / "__init__.py").write_text("")
    (folder / "code" / "src" / "my_scorers" / "words.py").write_text(SCORERS)
    (folder / "code" / "src" / "my_scorers" / "tests" / "test_words.py").write_text("")
    hold = folder / "hold"
    hold.touch()
    (folder / "recipes" / "tiny.yaml").write_text(RECIPE.format(hold=json.dumps(str(hold))))
    (folder / "recipes" / "fitted.yaml").write_text(FITTED)
    for shard in range(4):
        texts = [f"shard {shard} document {row} on a {'hill' if row % 3 else 'harbour'}" for row in range(20)]
        pq.write_table(pa.table({"text": texts}), folder / "data" / f"{shard}.parquet")
    return Project(folder, hold, curate)
