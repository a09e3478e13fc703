"""A commit has one winner, and a record is read exactly once, whatever is compacted meanwhile."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.manifest import parts
from curation.manifest.parts import Manifest, to_table
from curation.store import LocalStore, open_store
from schemas.manifest import FORMAT_VERSION, PARTS

SPAWN = multiprocessing.get_context("spawn")


def record(stage: str) -> dict[str, str]:
    return {"run": "r", "stage": stage, "group": "g"}


def write_parts(root: Path, count: int, start: int = 0) -> None:
    """Parts as `commit` leaves them, without waiting for the disk."""
    folder = root / "manifest/parts/barriers"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        pq.write_table(
            to_table("barriers", [record(str(number)), record(f"{number}b")]), folder / f"{number:06d}.parquet"
        )


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return Manifest(open_store(tmp_path))


def _race(root: str, name: str, keys: int, ready: Any, won: Any) -> None:
    manifest = Manifest(open_store(root))
    ready.wait()
    for key in range(keys):
        if manifest.commit("barriers", f"{key:04d}", [record(name)]):
            won.put((key, name))
    won.put(None)


def test_of_many_processes_that_commit_one_part_one_wins(tmp_path: Path) -> None:
    ready, won = SPAWN.Barrier(3), SPAWN.Queue()
    racers = [SPAWN.Process(target=_race, args=(str(tmp_path), f"p{number}", 40, ready, won)) for number in range(3)]
    for racer in racers:
        racer.start()
    winners: dict[int, str] = {}
    ended = 0
    while ended < 3:
        item = won.get(timeout=240)
        if item is None:
            ended += 1
        else:
            assert item[0] not in winners
            winners[item[0]] = item[1]
    for racer in racers:
        racer.join()
    stored = Manifest(open_store(tmp_path)).read("barriers").column("stage").to_pylist()
    assert stored == [winners[key] for key in range(40)]
    assert not list(tmp_path.rglob(".tmp-*"))


def test_of_many_threads_that_commit_one_part_one_wins(manifest: Manifest) -> None:
    barrier, won = threading.Barrier(16), []

    def commit(number: int) -> None:
        barrier.wait()
        if manifest.commit("barriers", "one", [record(str(number))]):
            won.append(str(number))

    threads = [threading.Thread(target=commit, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert Manifest(manifest.store).read("barriers").column("stage").to_pylist() == won


def test_a_late_commit_changes_nothing(manifest: Manifest) -> None:
    assert manifest.commit("barriers", "a", [record("first")])
    before = manifest.store.path("manifest/parts/barriers/a.parquet").read_bytes()
    assert not manifest.commit("barriers", "a", [record("second")])
    assert manifest.store.path("manifest/parts/barriers/a.parquet").read_bytes() == before
    assert manifest.where("barriers", stage="second").num_rows == 0


@pytest.mark.parametrize("kind", PARTS)
def test_every_kind_of_part_reads_the_same_when_it_is_compacted(
    kind: str, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = dict.fromkeys(PARTS[kind].names)
    if kind == "decisions":  # of a run that is not recorded they are damage
        manifest.commit("runs", "run", [dict.fromkeys(PARTS["runs"].names)])
    for key in ("a", "b", "c"):
        manifest.commit(kind, key, [empty, empty])
    before = Manifest(manifest.store).read(kind)
    assert before.num_rows == 6
    monkeypatch.setattr(parts, "COMPACT_FROM", 2)
    manifest.compact()
    manifest.commit(kind, "d", [empty])
    fresh = Manifest(manifest.store)
    assert len(fresh.files(kind)) == (4 if kind in parts.BULKY else 2)
    assert fresh.read(kind).slice(0, 6).equals(before)
    assert fresh.read(kind).num_rows == 7
    assert _sql_rows(fresh, kind) == 7


def _sql_rows(manifest: Manifest, kind: str) -> int:
    from curation.manifest.views import connect

    with connect(manifest) as connection:
        return int(connection.execute(f"SELECT count(*) FROM _{kind}").fetchall()[0][0])


def test_a_part_that_was_forgotten_is_in_no_view_although_a_compaction_holds_it(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parts(manifest.store.root, 5)
    monkeypatch.setattr(parts, "COMPACT_FROM", 2)
    manifest.compact()
    manifest.store.remove("manifest/parts/barriers/000002.parquet")
    fresh = Manifest(manifest.store)
    assert fresh.read("barriers").num_rows == _sql_rows(fresh, "barriers") == 8
    fresh.compact()
    assert len(fresh.files("barriers")) == 1
    assert _sql_rows(Manifest(manifest.store), "barriers") == 8


@pytest.mark.long
def test_a_reader_counts_every_part_once_while_another_process_writes_and_compacts(tmp_path: Path) -> None:
    code = f"""
import sys, time; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from curation.manifest import parts
from curation.store import open_store
parts.COMPACT_FROM = 8
manifest = parts.Manifest(open_store({str(tmp_path)!r}))
for number in range(150):
    manifest.commit("barriers", f"{{number:06d}}", [{{"run": "r", "stage": str(number), "group": "g"}}])
    manifest.compact()
    while number in (50, 100) and not Path({str(tmp_path)!r}, f"seen-{{number + 1}}").exists():
        time.sleep(0.01)
"""
    (tmp_path / "workspace.json").write_text(f'{{"format_version": {FORMAT_VERSION}}}')
    writer = subprocess.Popen([sys.executable, "-c", code])
    seen: list[int] = []
    while writer.poll() is None:
        for stages in (
            _stages_by_sql(tmp_path),
            Manifest(open_store(tmp_path)).read("barriers").column("stage").to_pylist(),
        ):
            assert len(stages) == len(set(stages))
            assert set(stages) == {str(number) for number in range(len(stages))}  # and none is missing in between
            seen.append(len(stages))
            (tmp_path / f"seen-{len(stages)}").touch()
    assert writer.returncode == 0
    assert seen == sorted(seen)
    assert len(set(seen)) > 2
    assert len(list((tmp_path / "manifest/compacted/barriers").iterdir())) > 5
    assert len(_stages_by_sql(tmp_path)) == 150


def _stages_by_sql(root: Path) -> list[str]:
    from curation.manifest.views import connect

    with connect(Manifest(open_store(root))) as connection:
        return [row[0] for row in connection.execute("SELECT stage FROM _barriers").fetchall()]


def test_a_compacted_file_without_a_seal_that_is_damaged_is_passed_over(manifest: Manifest, tmp_path: Path) -> None:
    """Of a version that sealed nothing: it is a Parquet file from its beginning to its end, and cannot be read."""
    write_parts(tmp_path, 3)
    folder = tmp_path / "manifest/compacted/barriers"
    folder.mkdir(parents=True)
    table = manifest.read("barriers")
    pq.write_table(table, folder / "20250101T000000000000-3.parquet")
    content = bytearray((folder / "20250101T000000000000-3.parquet").read_bytes())
    content[4:-8] = bytes(len(content) - 12)
    (folder / "20250102T000000000000-3.parquet").write_bytes(content)
    again = Manifest(open_store(tmp_path))
    assert again.read("barriers").equals(table)
    assert len(again.files("barriers")) == 1
    assert any("20250102" in finding.message for finding in parts.told_damage())


def test_to_see_that_there_is_nothing_to_compact_reads_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would be a request on an object store, at the end of every run."""
    write_parts(tmp_path, 20)
    for asked in ("read", "broken"):
        monkeypatch.setattr(LocalStore, asked, lambda *given: pytest.fail("a part was read"))
    Manifest(open_store(tmp_path)).compact()
    assert not (tmp_path / "manifest/compacted").exists()


def test_of_a_thousand_parts_that_are_compacted_few_files_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parts(tmp_path, 1000)
    Manifest(open_store(tmp_path)).compact()
    write_parts(tmp_path, 20, 1000)
    fresh = Manifest(open_store(tmp_path))
    assert len(fresh.files("barriers")) == 21
    opened: list[str] = []
    read = LocalStore.read
    monkeypatch.setattr(LocalStore, "read", lambda store, name: opened.append(name) or read(store, name))
    assert fresh.read("barriers").num_rows == 2040
    assert _sql_rows(fresh, "barriers") == 2040
    assert len(opened) <= 2 * 21, "each of them would be opened, or more than twice"


def test_a_record_with_a_column_that_nobody_declared_is_refused(manifest: Manifest) -> None:
    with pytest.raises(KeyError, match="surprise"):
        manifest.commit("barriers", "a", [{**record("x"), "surprise": 1}])
    assert manifest.keys("barriers") == []


def test_half_written_parts_are_not_parts(manifest: Manifest) -> None:
    manifest.commit("barriers", "a", [record("x")])
    manifest.store.path("manifest/parts/barriers/.tmp-1-ab-b.parquet").write_bytes(b"PAR1")
    assert manifest.keys("barriers") == ["a"]
    assert Manifest(manifest.store).read("barriers").num_rows == _sql_rows(manifest, "barriers") == 1
    assert isinstance(manifest.get("barriers", "a"), pa.Table)
    assert manifest.get("barriers", "b") is None
