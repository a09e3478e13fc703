"""Each way to name files finds the same ones, whatever lies between them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curation import parquet
from curation.sources import find, inspect
from pipelines import Workspace
from schemas.errors import CurationError

NOBODY = 65534


def write(path: Path, rows: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write(pa.table({"text": [f"{path.name} {row} " + "the and of " * 30 for row in range(rows)]}), path)
    return path


def relative(found: Any, root: Path) -> list[str]:
    return [os.path.relpath(path, root) for path in found.files]


WAYS = (
    "in",
    "in/",
    "./in",
    "in/.",
    "in//",
    "up/../in",
    "in/**",
    "in/**/*",
    "in/**/*.parquet",
    "in/**/**/*.parquet",
    "i?/**",
)


def links(root: Path) -> None:
    write(root / "other/far.parquet")
    write(root / "in/z/real.parquet")
    (root / "in/a").symlink_to("z")
    (root / "in/far").symlink_to(root / "other")
    (root / "in/z/b.parquet").symlink_to("../a.parquet")


def loops(root: Path) -> None:
    (root / "in/deep").mkdir()
    write(root / "in/deep/b.parquet")
    (root / "in/self").symlink_to(".")
    (root / "in/deep/up").symlink_to("..")
    (root / "in/deep/top").symlink_to(root)
    (root / "in/one").symlink_to("deep")
    (root / "in/deep/two").symlink_to("../one")


def broken(root: Path) -> None:
    (root / "in/gone.parquet").symlink_to("nothing.parquet")
    (root / "in/gone").symlink_to("nothing")
    (root / "in/round.parquet").symlink_to("round.parquet")


def parts(root: Path) -> None:
    write(root / "in/x.parquet/part-0.parquet")
    write(root / "in/x.parquet/year=2024/part-1.parquet")
    write(root / "in/x.parquet/_temporary/0/part-2.parquet")
    (root / "in/x.parquet/_SUCCESS").touch()
    (root / "in/x.parquet/.part-0.parquet.crc").touch()
    (root / "in/empty.parquet").mkdir()


def devices(root: Path) -> None:
    os.mkfifo(root / "in/pipe.parquet")
    os.mkfifo(root / "in/pipe")
    (root / "in/null.parquet").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind(os.path.relpath(root / "in/socket.parquet"))


def hard_links(root: Path) -> None:
    (root / "in/backup").mkdir()
    os.link(root / "in/a.parquet", root / "in/backup/a.parquet")
    os.link(root / "in/a.parquet", root / "in/also.parquet")


def names(root: Path) -> None:
    for name in (
        "[1].parquet",
        "a[b",
        "ü.parquet",
        "new\nline.parquet",
        "q?.parquet",
        "sp ace/*.parquet",
        "~x/$HOME.parquet",
    ):
        write(root / "in" / (name if name.endswith("t") else f"{name}/c.parquet"))
    write(root / "in/A.PARQUET")


KINDS = {
    links: ["a.parquet", "far/far.parquet", "z/real.parquet"],
    loops: ["a.parquet", "deep/b.parquet"],
    broken: ["a.parquet", "gone.parquet", "round.parquet"],
    parts: ["a.parquet", "x.parquet/part-0.parquet", "x.parquet/year=2024/part-1.parquet"],
    devices: ["a.parquet", "null.parquet", "pipe.parquet", "socket.parquet"],
    hard_links: ["a.parquet"],
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path / "in/a.parquet")
    (tmp_path / "up").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_way_to_name_a_folder_finds_the_same_files(root: Path, kind: Any, way: str) -> None:
    kind(root)
    found = find([way], root)
    assert found.findings == []
    assert relative(found, root / "in") == KINDS[kind]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_list_of_what_was_found_finds_it_again(root: Path, kind: Any) -> None:
    kind(root)
    files = list(find(["in"], root).files)
    again = find(files, root)
    assert again.findings == []
    assert list(again.files) == files


def test_a_pattern_for_files_finds_a_folder_of_parts_as_the_folder_does(root: Path) -> None:
    parts(root)
    assert find(["in/*.parquet"], root).files.keys() == find(["in"], root).files.keys()
    assert list(find(["in/x.parquet"], root).files) == list(find(["in/x.parquet/**"], root).files)


def test_odd_names_are_names(root: Path) -> None:
    names(root)
    found = find(["in"], root)
    assert len(found.files) == 9
    for way in (way for way in WAYS if not way.endswith("*.parquet")):
        assert find([way], root).files.keys() == found.files.keys()
    for path in found.files:
        assert list(find([path], root).files) == [path]
        assert list(find([os.path.relpath(path, root)], root).files) == [path]
    assert relative(find(["in/a[b/*.parquet"], root), root) == ["in/a[b/c.parquet"]
    assert relative(find(["in/sp ace/*"], root), root) == ["in/sp ace/*.parquet"]
    assert relative(find(["in/[[]1].*"], root), root) == ["in/[1].parquet"]


def test_a_part_of_a_pattern_that_is_a_folders_name_is_that_folder(root: Path) -> None:
    for folder in ("d[1]", "d1"):
        write(root / folder / "a.parquet")
    assert relative(find(["d[1]/*.parquet"], root), root) == ["d[1]/a.parquet"]
    assert relative(find(["d[1]"], root), root) == ["d[1]/a.parquet"]
    assert relative(find(["d[0-9]/*.parquet"], root), root) == ["d1/a.parquet"]


TWICE = ("in/a.parquet", "twin", "up/../in/a.parquet", "hard.parquet", "soft.parquet", "in/**", "./in/*", "in/")


@pytest.mark.parametrize("paths", [[first, second] for first in ("in", "in/*.parquet") for second in TWICE])
def test_a_file_that_two_sources_reach_is_refused(root: Path, paths: list[str]) -> None:
    (root / "twin").symlink_to("in")
    os.link(root / "in/a.parquet", root / "hard.parquet")
    (root / "soft.parquet").symlink_to("in/a.parquet")
    found = find(paths, root)
    assert [finding.code for finding in found.findings] == ["C024"]
    assert len(found.files) == 1


def test_what_is_read_once_though_links_lead_there_is_said(root: Path) -> None:
    hard_links(root)
    assert find(["in"], root).notices == [
        f"read once, though links lead there again: 2 files: {root}/in/also.parquet is {root}/in/a.parquet,"
        f" {root}/in/backup/a.parquet is {root}/in/a.parquet"
    ]


def test_dots_behind_a_link_lead_where_the_system_goes(root: Path) -> None:
    write(root / "far/away/x.parquet")
    write(root / "far/b.parquet")
    (root / "link").symlink_to("far/away")
    assert relative(find(["link/../b.parquet"], root), root) == ["far/b.parquet"]
    assert relative(find(["link/../*.parquet"], root), root) == ["far/b.parquet"]
    assert relative(find(["up/../in/*.parquet"], root), root) == ["in/a.parquet"]


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, whom no permission stops."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_root(root: Path) -> Path:
    """`root`, where anybody may look."""
    for folder in (root, *root.parents):
        if folder.owner() == root.owner() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    return root


@pytest.mark.parametrize("way", [*WAYS, "in/*/*.parquet", "in/shut/*", "in/shut/b.parquet", "in/s*/**/b.parquet"])
def test_a_folder_that_cannot_be_read_is_a_finding_however_it_is_named(open_root: Path, way: str) -> None:
    write(open_root / "in/shut/b.parquet")
    write(open_root / "in/open/b.parquet")
    (open_root / "in/shut").chmod(0)
    try:
        with as_nobody():
            found = find([way], open_root)
    finally:
        (open_root / "in/shut").chmod(0o755)
    assert [finding.code for finding in found.findings] == ["C020"]
    assert f"{open_root}/in/shut" in found.findings[0].message
    assert "Permission denied" in found.findings[0].message


@pytest.mark.parametrize("name", ["pipe.parquet", "socket.parquet", "null.parquet"])
def test_what_is_no_file_is_never_opened(root: Path, name: str) -> None:
    devices(root)
    file = inspect(str(root / "in" / name))
    assert file.rows == 0
    assert file.error is not None
    assert file.error.startswith("is no file but a ")


def test_a_link_to_nothing_says_so(root: Path) -> None:
    broken(root)
    assert inspect(str(root / "in/gone.parquet")).error == "is a link to nothing.parquet, which is not there"


@pytest.mark.parametrize("recipe_path", ["in", "in/**", "in/*.parquet", "in/pipe.parquet"])
def test_check_and_run_end_and_name_what_is_no_file(root: Path, recipe_path: str) -> None:
    devices(root)
    recipe = {"name": "x", "input": {"path": recipe_path}, "stages": [{"dedup": "exact"}]}
    told: list[str] = []
    space = Workspace(root / "ws")
    space.check(recipe, lambda event: told.append(str(event)))
    assert any("pipe.parquet is no file but a named pipe" in line for line in told)
    result = space.run(recipe, executor="local", workers=1)
    assert {failure.code for _, failure in result.failures} == {"R001"}


NO_TEXT = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize("name", [f"in/{NO_TEXT}.jsonl", f"in/{NO_TEXT}/a.jsonl"])
@pytest.mark.parametrize("way", ["in", "in/**", "in/**/*.jsonl"])
def test_a_name_that_is_no_text_is_a_finding(root: Path, name: str, way: str) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text('{"text": "a"}')
    with pytest.raises(CurationError) as caught:
        Workspace(root / "ws").check({"name": "x", "input": {"path": way}, "stages": []})
    assert [finding.code for finding in caught.value.findings] == ["C051"]
    assert "caf\\xe9" in caught.value.findings[0].message
    str(caught.value).encode()


@pytest.mark.long
def test_everywhere_a_name_that_is_no_text_ends_with_a_code(root: Path) -> None:
    """Recipe, workspace and current folder."""
    recipe = json.dumps({"name": "x", "input": {"path": f"{root}/in"}, "stages": [{"dedup": "exact"}]})
    (root / NO_TEXT).mkdir()
    (root / NO_TEXT / "r.yaml").write_text(recipe)
    (root / "r.yaml").write_text(recipe)
    for folder, given, space in ((".", f"{NO_TEXT}/r.yaml", "ws"), (".", "r.yaml", NO_TEXT), (NO_TEXT, "r.yaml", "ws")):
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", "run", given, "-w", space, "--executor", "local"],
            cwd=root / folder, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert (done.returncode, "C051" in done.stderr) == (2, True), done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("path", ["~no-such-user/in", "~no-such-user/*.parquet", "~no-such-user"])
def test_the_home_of_nobody_is_a_finding(root: Path, path: str) -> None:
    with pytest.raises(CurationError) as caught:
        Workspace(root / "ws").check({"name": "x", "input": {"path": path}, "stages": []})
    (finding,) = caught.value.findings
    assert finding.code == "C051"
    assert "there is no user 'no-such-user' here" in finding.message


def test_what_is_passed_over_is_looked_for_once_not_once_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    class Rank(int):
        def __lt__(self, other: int) -> bool:
            compared.append(other)
            return int(self) < other

    for number in range(30):
        (tmp_path / f"{number}.jsonl").touch()
    monkeypatch.setattr(sys.modules["curation.sources.find"], "_rank", lambda path: Rank(0))
    assert len(find([str(tmp_path)], tmp_path).files) == 30
    assert len(compared) < 60
