"""On a store the same rules as on disk: on one that is memory, so that no server is needed."""

from __future__ import annotations

import uuid
from pathlib import Path

import pyarrow as pa
import pytest

from curation import parquet
from curation.sources import find
from curation.store import remote
from pipelines import Workspace
from schemas.errors import CurationError

FILES = (
    "a.parquet",
    "b.jsonl",
    "x.parquet/part-0.parquet",
    "x.parquet/day=1/part-1.parquet",
    "d[1]/c.parquet",
    "d1/c.parquet",
)
PASSED_OVER = (
    "_tmp/d.parquet",
    ".e.parquet",
    "x.parquet/_SUCCESS",
    "x.parquet/.part-0.parquet.crc",
    "notes.txt",
    "empty/",
)
WAYS = ("in", "in/", "in//", "in/**", "in/**/*", "in/**/**", "i*/**", "in/*/../**")


@pytest.fixture
def both(tmp_path: Path) -> tuple[str, Path]:
    """The same files below a URL and in a folder."""
    url = f"memory://{uuid.uuid4().hex}"
    for name in (*FILES, *PASSED_OVER):
        if not name.endswith("/"):
            remote.put(f"{url}/in/{name}", b"")
            (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "in" / name).touch()
    return url, tmp_path


def names(paths: dict[str, str], root: str | Path) -> list[str]:
    return [path.removeprefix(f"{root}/in/") for path in paths]


@pytest.mark.parametrize(
    "way",
    [
        *WAYS[:-1],
        "in/*",
        "in/*.parquet",
        "in/**/*.parquet",
        "in/**/c.parquet",
        "in/d[1]",
        "in/d[1]/*",
        "in/d[0-9]/*",
        "in/x.parquet",
        "in/*/c.*",
        "in/a.parquet",
        "in/?.jsonl",
        "in/_tmp/*",
        "none",
        "none/*",
        "in/none.parquet",
    ],
)
def test_a_path_finds_on_a_store_what_it_finds_on_disk(both: tuple[str, Path], way: str) -> None:
    url, folder = both
    there, here = find([f"{url}/{way}"], Path()), find([way], folder)
    assert names(there.files, url) == names(here.files, folder)
    assert [finding.code for finding in there.findings] == [finding.code for finding in here.findings]
    if way in WAYS:
        assert names(there.files, url) == sorted(FILES)


@pytest.mark.long
def test_outputs_on_a_store_are_left_out_and_named(tmp_path: Path) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    table = pa.table({"text": [f"document {row} " + "of the and " * 9 for row in range(20)]})
    parquet.write(table, tmp_path / "a.parquet")
    remote.put(f"{url}/in/day/a.parquet", tmp_path / "a.parquet")
    space = Workspace(f"{url}/in/ws")
    told: list[str] = []
    for number, way in enumerate(("in", "in/**", "in/*/*.parquet", "in/**/*.parquet")):
        recipe = {"name": f"n{number}", "input": {"path": f"{url}/{way}"}, "stages": [{"dedup": "exact"}]}
        result = space.run(recipe, executor="local", workers=1, report=lambda event: told.append(str(event)))
        assert (result.outcome, result.rows) == ("done", 20)
    assert sum(f"{url}/in/ws is a workspace" in line for line in told) == 3  # at first there was none
    remote.put(f"{url}/in/copy/README.md", remote.fetch(f"{result.folder}/README.md"))
    remote.put(f"{url}/in/copy/data/train-00000-of-00001.parquet", tmp_path / "a.parquet")
    found = find([f"{url}/in"], Path())
    assert len(found.files) == 1
    assert f"{url}/in/copy is a dataset" in found.notices[0]
    assert len(find([f"{url}/in/copy"], Path()).files) == 1
    assert [finding.code for finding in find([f"{url}/in/ws"], Path()).findings] == ["C050"]
    with pytest.raises(CurationError, match="C050"):
        space.check({"name": "x", "input": {"path": f"{url}/in/ws/**"}, "stages": []})


@pytest.mark.parametrize("second", ["in/a.parquet", "in//a.parquet", "in/*.parquet", "in"])
def test_a_key_that_two_sources_reach_is_refused(both: tuple[str, Path], second: str) -> None:
    url, _ = both
    for scheme in ("memory://", "memory:///"):
        again = url.replace("memory://", scheme)
        codes = {finding.code for finding in find([f"{url}/in/a.parquet", f"{again}/{second}"], Path()).findings}
        assert codes <= {"C024", "C020"}
        assert codes


def test_a_pattern_has_a_bucket() -> None:
    [finding] = find(["memory://*/a.parquet"], Path()).findings
    assert finding.code == "C020"
    assert "name the bucket" in str(finding.hint)


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    assert list(find([f"file://{tmp_path}/*.jsonl"], Path()).files) == [f"{tmp_path}/a.jsonl"]
