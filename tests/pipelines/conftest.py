"""A recipe without a model, its finished run, and the command line as users start it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

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
    return run, held(Path(shutil.copytree(reference.root, tmp_path / "ws")))
