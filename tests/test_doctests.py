"""The examples in docstrings of the Python API, on one tiny workspace."""

from __future__ import annotations

import doctest
from importlib import import_module
from typing import Any

import pyarrow as pa
import pytest

from curation import parquet
from curation_engine import Workspace

MODULES = (
    "pipelines.workspace",
    "pipelines.running.result",
    "pipelines.dataset",
    "pipelines.notebook",
    "pipelines.planning.estimate",
    "pipelines.start.auto",
)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the examples may name: a folder for the workspace, and a recipe over four documents, two of them equal."""
    folder = tmp_path_factory.mktemp("examples")
    texts = [
        "The harbour was built by hand in a single summer, and nobody remembers who paid for it.",
        "Every recipe in this book begins with butter, and most of them end with it as well.",
        "The harbour was built by hand in a single summer, and nobody remembers who paid for it.",
        "A bridge that sways a little is a bridge that will still be standing after the storm.",
    ]
    parquet.write(pa.table({"text": texts, "n": range(4)}), folder / "input.parquet")
    recipe = {
        "name": "example",
        "input": {"path": str(folder / "input.parquet")},
        "stages": [{"dedup": "exact", "id": "same"}, {"scorer": "language"}],
        "output": {"columns": ["text", "n", "language.prob"]},
    }
    return {"Workspace": Workspace, "folder": folder / "ws", "recipe": recipe}


@pytest.mark.parametrize("module", MODULES)
def test_examples_are_so(module: str, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(names["folder"].parent)
    found = doctest.DocTestFinder(exclude_empty=True).find(import_module(module))
    examples = [test for test in found if test.examples]
    assert examples
    for test in examples:
        test.globs |= names
        result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
        assert result.failed == 0, test.name
