"""The examples do what they say, as a reader would start them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def started(*command: str | Path, cwd: Path, path: str = "") -> str:
    """What a command says; no connection can be opened by way of a proxy, and model hubs are off."""
    offline = {"HF_HUB_OFFLINE": "1", "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    here = {"PYTHONPATH": os.pathsep.join(filter(None, [path, str(ROOT)]))}
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | offline | here,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_sql_over_a_workspace(tmp_path: Path) -> None:
    said = started(EXAMPLES / "sql_over_a_workspace.py", tmp_path, cwd=tmp_path)
    kept, dropped = map(int, re.search(r"done: (\d+) kept, (\d+) dropped", said).groups())  # type: ignore[union-attr]
    assert f"\n{kept} notes in " in said
    assert "stage exact, rule exact_duplicate, notes" in said
    counts = dict(re.findall(r"bound (\d+), notes (\d+)", said))
    assert int(counts["20"]) == kept, "the gate that the run had"
    assert int(counts["28"]) < int(counts["25"]) < kept < int(counts["5"])
    assert dropped > 0
    assert re.search(r"source None, documents \d+", said)
    assert re.search(r"step length, kind token-count, version \d+, tokenizer [0-9a-f]{12}", said)


def test_select_by_examples(tmp_path: Path) -> None:
    said = started(EXAMPLES / "select_by_examples.py", tmp_path, cwd=tmp_path)
    assert "done: 12 of 42 pairs" in said
    chosen = re.findall(r"^0\.\d\d  (.+?)\s+for: (.+)$", said, flags=re.MULTILINE)
    assert len(chosen) == 12
    assert {example for _, example in chosen} == set(re.findall(r"for: (.+)", said)), "each example was served"
    assert sum(question.startswith("Convert") for question, _ in chosen) >= 11


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as pip installs it, into a folder of its own; without its dependencies, which are here."""
    folder = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source")
    for file in (EXAMPLES / "own_scorer").rglob("*"):  # so that the build leaves nothing in the checkout
        if file.is_file() and "__pycache__" not in file.parts:
            copy = source / file.relative_to(EXAMPLES / "own_scorer")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "-qq"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", folder, source], check=True)
    return folder


def test_the_scorer_s_own_test_passes(installed: Path, tmp_path: Path) -> None:
    own = EXAMPLES / "own_scorer" / "tests"
    said = started(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", own, f"--rootdir={tmp_path}", cwd=tmp_path, path=str(installed)
    )
    assert re.search(r"^\d+ passed", said, flags=re.MULTILINE), said


def test_a_recipe_finds_the_scorer_by_its_entry_point(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "pages.jsonl").write_text('{"text": "See https://example.org now."}\n{"text": "See the river now."}\n')
    (tmp_path / "recipe.yaml").write_text(
        "name: links\ninput: {path: pages.jsonl}\n"
        "stages:\n  - scorer: link-density\n    id: links\n    keep: links.share < 0.2\n"
    )
    started("-m", "pipelines.cli", "run", "recipe.yaml", "-w", "ws", cwd=tmp_path, path=str(installed))
    query = "SELECT rule, round(score, 2) AS share FROM drops"
    said = started(
        "-m", "pipelines.cli", "sql", query, "-w", "ws", "--format", "jsonl", cwd=tmp_path, path=str(installed)
    )
    assert json.loads(said) == {"rule": "links.share < 0.2 is false", "share": 0.68}
