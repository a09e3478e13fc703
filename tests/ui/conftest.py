"""One small workspace with two runs, and a server over it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.workspace import Workspace
from ui_server import HOSTILE, ROWS, Client, recipe, serving


@pytest.fixture(scope="session")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with runs labelled loose and strict, strict the latest."""
    folder = tmp_path_factory.mktemp("ui")
    rows = [
        {"text": f"Text {n // 2 * 2} of some words. {HOSTILE}", "n": n, "m": n * 7 % 100, "key": f"row'{n}"}
        for n in range(ROWS)
    ]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    workspace = Workspace(folder / "ws")
    workspace.run(recipe(folder, 20), executor="local", label="loose")
    workspace.run(recipe(folder, 60), executor="local", label="strict")
    return folder / "ws"


@pytest.fixture(scope="session")
def client(numbers: Path) -> Iterator[Client]:
    with serving(numbers) as asked:
        yield asked
