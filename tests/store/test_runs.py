"""Whole runs on a store give the bytes of those on disk: raced, on a failing store, killed and resumed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from curation.manifest.parts import Manifest
from curation.store import Store, digest, open_store
from object_store import failing, mirror, upload
from pipelines.running.gc import NAMED
from pipelines.workspace import Workspace

DRIVE = Path(__file__).parents[1] / "chaos" / "drive.py"
STAGES = [
    {"scorer": "rules", "id": "gopher", "profile": "gopher-quality@datatrove", "keep": "gopher.words >= 20"},
    {"transform": "remove-lines", "profile": "c4@datatrove"},
    {"dedup": "exact"},
    {"dedup": "minhash", "verify": 0.7, "survivor": "longest"},
    {"select": "top", "by": "gopher.words", "fraction": 0.6},
]
OUTPUT = {"columns": ["text", "id", "gopher.words"], "file_bytes": 12_000}


@pytest.fixture(scope="module")
def few(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of the corpus."""
    folder = tmp_path_factory.mktemp("few") / "crawl"
    folder.mkdir()
    for name in ("a.parquet", "b.jsonl", "e.jsonl.zst"):
        shutil.copy(corpus / name, folder)
    return folder


@pytest.fixture(scope="module")
def light(recipe: Callable[..., dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """`light(corpus)`: a recipe with a scorer, a transform, dedups and a selection, and no model."""
    return lambda corpus: recipe(corpus=corpus, stages=STAGES, output=OUTPUT)


@pytest.fixture(scope="module")
def on_disk(light: Any, few: Path, held: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What the light run makes on disk."""
    root = tmp_path_factory.mktemp("on-disk")
    result = Workspace(root).run(light(few), executor="local", workers=1)
    assert result.outcome == "done", result.failures
    return contents(root, result.run, held)


def contents(root: Path, run: str, held: Any) -> dict[str, list[str]]:
    """Digests of scores, decisions and the dataset, by names that tell neither run nor where the input is."""
    found = held(root)
    found.balance(run)
    assert not found.doubled()
    decisions = {name.replace(run, "RUN"): digests for name, digests in found.decisions(run).items()}
    dataset = {name: [value] for name, value in found.dataset(run).items() if name != "README.md"}
    return {**found.scores(), **decisions, **dataset}


def whole(store: Store) -> None:
    """Every file that a record names is there, with the content that it tells."""
    manifest = Manifest(store)
    published = set(manifest.read("datasets").column("run").to_pylist())
    for kind, columns in NAMED.items():
        for record in manifest.read(kind).to_pylist():
            if kind == "written" and record["run"] in published:
                continue
            for column in columns:
                if record[column]:
                    copy = store.scratch("copy")
                    copy.parent.mkdir(exist_ok=True)
                    copy.write_bytes(store.read(record[column]))
                    assert column != "data" or "content" not in record or digest(copy) == record["content"]


@pytest.mark.long
def test_a_run_on_a_store_gives_the_bytes_of_one_on_disk(
    bucket: str, corpus: Path, recipe: Any, undisturbed: Any, held: Any, tmp_path: Path
) -> None:
    """Every kind of stage, a fitted head among them; input and workspace on the store."""
    url = upload(corpus, f"{bucket}/crawl")
    result = Workspace(f"{bucket}/ws").run(recipe(corpus=url), executor="local", workers=2)
    assert result.outcome == "done", result.failures
    run, there = undisturbed
    assert contents(mirror(f"{bucket}/ws", tmp_path), result.run, held) == contents(there.root, run, held)
    assert result.folder == f"{bucket}/ws/datasets/manual/{result.run}"
    again = Workspace(f"{bucket}/ws").run(recipe(corpus=url), executor="local")
    assert (again.outcome, again.kept, again.folder) == ("nothing-to-do", result.kept, result.folder)


def test_two_attempts_at_one_run_make_it_once(
    bucket: str, few: Path, light: Any, on_disk: Any, held: Any, tmp_path: Path
) -> None:
    spaces = [Workspace(f"{bucket}/ws") for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda space: space.run(light(few), executor="local", workers=2), spaces))
    assert all(result.outcome in ("done", "nothing-to-do") for result in results), results
    whole(spaces[0].store)
    assert contents(mirror(f"{bucket}/ws", tmp_path), results[0].run, held) == on_disk


@pytest.mark.long
def test_a_slow_and_failing_store_gives_the_same_bytes(
    bucket: str,
    few: Path,
    light: Any,
    on_disk: Any,
    held: Any,
    endpoint: Any,
    server: int,
    tmp_path: Path,
) -> None:
    url = upload(few, f"{bucket}/crawl")
    with failing(server, 1, 0.12) as proxy:
        endpoint(proxy.server_address[1])
        result = Workspace(f"{bucket}/ws").run(light(url), executor="local", workers=2)
    assert result.outcome == "done", result.failures
    assert all(proxy.injected[kind] for kind in proxy.kinds), proxy.injected
    endpoint(server)
    whole(open_store(f"{bucket}/ws"))
    assert contents(mirror(f"{bucket}/ws", tmp_path), result.run, held) == on_disk


@pytest.mark.long
def test_a_store_that_goes_down_ends_the_run_with_one_clear_error_and_it_resumes(
    bucket: str,
    few: Path,
    light: Any,
    on_disk: Any,
    held: Any,
    endpoint: Any,
    server: int,
    tmp_path: Path,
) -> None:
    with failing(server, 2, 0.0, ("503", "reset before")) as proxy:
        endpoint(proxy.server_address[1])
        space = Workspace(f"{bucket}/ws")
        space.create()
        proxy.down_from = proxy.requests + 180
        result = space.run(light(few), executor="local", workers=2)
    assert result.outcome == "failed"
    assert {failure.code for _, failure in result.failures} == {"R010"}
    assert "OF-THE-TEST" not in str(result.failures)
    endpoint(server)
    whole(open_store(f"{bucket}/ws"))
    again = Workspace(f"{bucket}/ws").run(light(few), executor="local", workers=2)
    assert again.outcome == "done", again.failures
    assert contents(mirror(f"{bucket}/ws", tmp_path), again.run, held) == on_disk


@pytest.mark.long
@pytest.mark.parametrize(("point", "hit"), [("after-data", 5), ("before-publish", 1)])
def test_a_killed_driver_resumes_to_the_same_bytes(
    point: str, hit: int, bucket: str, few: Path, light: Any, on_disk: Any, held: Any, tmp_path: Path
) -> None:
    (tmp_path / "points").mkdir()
    (tmp_path / "recipe.json").write_text(json.dumps(light(few)))
    spec = {"point": point, "hit": hit, "target": "self", "dir": str(tmp_path / "points")}
    killed = subprocess.run(
        [sys.executable, str(DRIVE), f"{bucket}/ws", str(tmp_path / "recipe.json"), "local", "2"],
        env={
            **os.environ,
            "CURATION_FAILPOINTS": json.dumps(spec),
            "PYTHONPATH": str(DRIVE.parents[2]),
            "TMPDIR": str(tmp_path),  # it cannot tidy up after itself
        },
        capture_output=True,
        timeout=240,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    whole(open_store(f"{bucket}/ws"))
    result = Workspace(f"{bucket}/ws").run(light(few), executor="local", workers=2)
    assert result.outcome == "done", result.failures
    assert contents(mirror(f"{bucket}/ws", tmp_path / "ws"), result.run, held) == on_disk
