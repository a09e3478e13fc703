"""A workspace in a folder: who creates a record wins, with hard links and without, and nothing damaged is believed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curation import parquet
from curation.manifest.parts import Manifest, part_name
from curation.store import LocalStore, Store, local, open_store
from curation.store.seal import DamagedFileError, broken_seal, sealed, unsealed
from pipelines.workspace import Workspace
from schemas.errors import CurationError
from schemas.manifest import PARTS

NAME = part_name("barriers", "a")
ROW = pa.table({"run": ["r"], "stage": ["s"], "group": ["g"]}, schema=PARTS["barriers"])


def no_links(number: int) -> Any:
    def link(*paths: Any, **options: Any) -> None:
        raise OSError(number, os.strerror(number), str(paths[0]))

    return link


@pytest.fixture(params=["links", errno.EPERM, errno.ENOTSUP, errno.ENOSYS], ids=str)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """With hard links, and as vfat and some of FUSE refuse them."""
    if request.param != "links":
        monkeypatch.setattr(os, "link", no_links(request.param))
    return open_store(tmp_path / "ws")


def test_a_workspace_is_prepared_and_of_many_that_create_a_record_one_wins(store: Store) -> None:
    store.prepare()
    assert list(store.walk()) == []
    barrier = threading.Barrier(8)

    def create(number: int) -> bool:
        barrier.wait()
        return store.create(NAME, ROW)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(8))) == 1
    assert [name for name, _ in store.walk()] == [NAME]
    assert unsealed(store.root, NAME, store.read(NAME)).equals(ROW)
    assert not store.create(NAME, ROW)


def test_a_dataset_is_published_without_links_too(store: Store) -> None:
    store.prepare()
    written = store.add("datasets/.staging-r/part.parquet", lambda path: parquet.write(ROW, path))
    files = {"data/train-0.parquet": written.name}
    store.publish("datasets/d/r", files, lambda: "# card", "mark")
    store.remove(written.name)
    assert store.names("datasets/d/r") == ["README.md", "data"]
    store.check("datasets/d/r/data/train-0.parquet", written.content)
    store.publish("datasets/d/r", files, lambda: "# of somebody who comes late", "mark")
    assert store.read("datasets/d/r/README.md") == b"# card"
    store.path("datasets/d/r/data/train-0.parquet").write_bytes(b"other bytes")
    with pytest.raises(DamagedFileError):  # what it would be made of anew is gone as well
        store.publish("datasets/d/r", files, lambda: "# card", "mark")


@pytest.mark.parametrize("links", [True, False])
def test_a_name_leads_to_another_and_no_reader_finds_it_gone(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "ws")
    if not links:
        monkeypatch.setattr(os, "symlink", no_links(errno.EPERM))
    (tmp_path / "ws/datasets/d/two").mkdir(parents=True)
    assert store.pointed("datasets/d/latest") is None
    for run in ("one", "two"):
        store.point("datasets/d/latest", run)
        assert store.pointed("datasets/d/latest") == run
    assert (tmp_path / "ws/datasets/d/latest").is_dir() == links
    assert [name for name, _ in store.walk()] == ["datasets/d/latest"]
    store.remove("datasets/d/latest")
    assert store.pointed("datasets/d/latest") is None


def test_where_nothing_creates_alone_the_workspace_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", no_links(errno.EPERM))
    monkeypatch.setattr(local, "_rename_only", no_links(errno.ENOTSUP))
    with pytest.raises(CurationError, match="C030") as refused:
        Workspace(tmp_path / "ws").create()
    assert "cannot be written" in refused.value.findings[0].message
    assert list((tmp_path / "ws").iterdir()) == []


def test_a_link_whose_answer_was_lost_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS sends a request again when its answer does not come, and then hears that the name is taken."""
    link = os.link

    def twice(old: Any, new: Any) -> None:
        link(old, new)
        link(old, new)

    monkeypatch.setattr(os, "link", twice)
    assert open_store(tmp_path).create(NAME, ROW)


def test_many_processes_with_one_id_prepare_one_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of containers: each is process 1."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    barrier = threading.Barrier(12)

    def prepare(number: int) -> None:
        barrier.wait()
        for _ in range(40):
            LocalStore(tmp_path / "ws").prepare()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(prepare, range(12)))
    assert list((tmp_path / "ws").iterdir()) == []


@pytest.mark.long
def test_processes_prepare_and_run_in_one_new_folder_at_once(tmp_path: Path) -> None:
    code = "import sys; from pipelines.workspace import Workspace\nfor _ in range(50): Workspace(sys.argv[1]).create()"
    command = [sys.executable, "-c", code, str(tmp_path / "ws")]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=240)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said


def test_every_bit_of_a_record_is_under_its_seal() -> None:
    content = sealed(NAME, ROW)
    assert broken_seal(NAME, content) is None
    unseen = []
    for place in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            if not broken_seal(NAME, bytes(flipped)):
                unseen.append(place)
    at = content.rfind(b"curation.seal")
    assert set(unseen) <= set(range(at, at + 13))  # the seal's own name: without it a record is of an earlier version
    for end in range(0, len(content), 7):
        assert broken_seal(NAME, content[:end])
    assert broken_seal(part_name("barriers", "b"), content), "a record in the place of another is damaged"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PAR1",
        b"no Parquet at all, but some bytes",
        sealed(NAME, ROW)[:-9],
        sealed(part_name("barriers", "b"), ROW),
    ],
    ids=["empty", "short", "text", "cut", "of another"],
)
def test_a_damaged_record_is_not_there_and_its_work_takes_its_name(tmp_path: Path, content: bytes) -> None:
    manifest = Manifest(open_store(tmp_path))
    manifest.commit("barriers", "a", ROW.to_pylist())
    manifest.commit("barriers", "b", ROW.to_pylist())
    manifest.store.path(NAME).write_bytes(content)
    fresh = Manifest(open_store(tmp_path))
    assert fresh.get("barriers", "a") is None
    assert fresh.read("barriers").column("_part").to_pylist() == ["b"]
    assert list(fresh.damaged) == [("barriers", "a")]
    assert fresh.files("barriers") == [str(tmp_path / part_name("barriers", "b"))]
    assert fresh.commit("barriers", "a", ROW.to_pylist())
    assert not fresh.commit("barriers", "a", ROW.to_pylist())
    assert Manifest(open_store(tmp_path)).read("barriers").num_rows == 2
    assert [path.read_bytes() for path in (tmp_path / "damaged").rglob("a.parquet.*")] == [content]


def test_a_whole_record_is_never_set_aside(tmp_path: Path) -> None:
    manifest = Manifest(open_store(tmp_path))
    manifest.commit("barriers", "a", ROW.to_pylist())
    assert not manifest.set_aside("barriers", "a")
    assert Manifest(open_store(tmp_path)).get("barriers", "a") is not None
    assert [path.name for path in tmp_path.rglob("*.parquet*")] == ["a.parquet"]


def test_a_damaged_compacted_file_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.manifest.parts.COMPACT_FROM", 3)
    manifest = Manifest(open_store(tmp_path))
    for key in "abc":
        manifest.commit("barriers", key, ROW.to_pylist())
    manifest.compact()
    [compacted] = (tmp_path / "manifest/compacted/barriers").iterdir()
    content = bytearray(compacted.read_bytes())
    content[len(content) // 2] ^= 16
    compacted.write_bytes(content)
    fresh = Manifest(open_store(tmp_path))
    assert fresh.read("barriers").num_rows == 3
    assert len(fresh.files("barriers")) == 3


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "gone"])
def test_a_data_file_is_compared_whenever_it_is_another_file(tmp_path: Path, damage: str) -> None:
    store = open_store(tmp_path)
    written = store.add("scores/f/a.parquet", lambda path: parquet.write(ROW, path))
    assert written.content in written.name
    assert parquet.read(store.source(written.name)).equals(ROW)
    path = store.path(written.name)
    content, before = bytearray(path.read_bytes()), path.stat()
    if damage == "flipped":
        content[40] ^= 1
    path.unlink()
    if damage != "gone":
        path.write_bytes({"cut": content[:-5], "empty": b""}.get(damage, content))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for read in (store.source, store.mapped, store.checked, store.check):
        with pytest.raises(CurationError, match="R011") as found:
            read(written.name)
        assert str(path) in found.value.findings[0].message
        assert "verify" in str(found.value.findings[0].hint)


def test_a_record_that_was_damaged_and_is_made_again_is_read_by_who_met_it(tmp_path: Path) -> None:
    manifest = Manifest(open_store(tmp_path))
    manifest.commit("barriers", "a", ROW.to_pylist())
    manifest.store.path(NAME).write_bytes(b"")
    met = Manifest(open_store(tmp_path))
    assert met.read("barriers").num_rows == 0
    assert Manifest(open_store(tmp_path)).commit("barriers", "a", ROW.to_pylist())
    assert met.read("barriers").num_rows == 1
    assert met.damaged == {}


def test_a_file_without_a_hash_in_its_name_is_damaged_where_its_pages_are(tmp_path: Path) -> None:
    """Of versions before there were hashes; on object stores large files are known by their pages alone."""
    store = open_store(tmp_path)
    table = pa.table({"text": [f"a plain sentence, number {number}" for number in range(5000)]})
    store.write("scores/f/0.parquet", lambda path: parquet.write(table, path))
    path = tmp_path / "scores/f/0.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with (
        pytest.raises(DamagedFileError, match=r"R011.*0\.parquet is damaged: .*CRC"),
        store.reading("scores/f/0.parquet") as source,
    ):
        parquet.read(source)
