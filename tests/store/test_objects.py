"""The store's verbs on a real S3 server: one of two creates, whole files, and what a failing server does to them."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.store import DamagedFileError, StoreError, digest, open_store, remote
from object_store import failing
from schemas.errors import CurationError

ROW = pa.table({"a": [1, 2, 3]})


def test_a_file_that_was_written_is_read_listed_and_removed(bucket: str, tmp_path: Path) -> None:
    store = open_store(f"{bucket}/ws")
    written = store.write("scores/f/0.parquet", lambda path: pq.write_table(ROW, path))
    pq.write_table(ROW, tmp_path / "same.parquet")
    assert written.bytes == (tmp_path / "same.parquet").stat().st_size
    assert written.content == digest(tmp_path / "same.parquet")
    assert pq.read_table(store.source("scores/f/0.parquet")).equals(ROW)
    assert store.read("scores/f/0.parquet") == (tmp_path / "same.parquet").read_bytes()
    assert store.names("scores/f") == ["0.parquet"]
    assert store.names("scores") == store.names("nothing") == []
    assert [(name, entry.size) for name, entry in store.walk()] == [("scores/f/0.parquet", written.bytes)]
    assert store.exists("scores/f/0.parquet")
    assert store.exists("scores/f")
    assert not store.exists("scores/f/0")
    store.remove("scores/f/0.parquet")
    store.remove("scores/f/0.parquet")
    assert list(store.walk()) == []
    with pytest.raises(CurationError, match=r"R011.*is gone"):
        store.source("scores/f/0.parquet")


def test_what_fails_while_it_is_made_leaves_nothing(bucket: str) -> None:
    store = open_store(f"{bucket}/ws")

    def fill(path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.write("scores/f/0.parquet", fill)
    assert list(store.walk()) == []
    assert [path for path in store.scratch("scores").rglob("*") if path.is_file()] == []


@pytest.mark.long
def test_of_many_that_create_one_file_exactly_one_wins(bucket: str) -> None:
    stores = [open_store(f"{bucket}/ws") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            name = f"manifest/parts/units/{number}.parquet"
            tables = [pa.table({"who": [place]}) for place in range(8)]
            won = list(pool.map(lambda store, table: store.create(name, table), stores, tables))  # noqa: B023
            assert Counter(won) == {True: 1, False: 7}
            assert pq.read_table(stores[0].source(name)).column("who").to_pylist() == [won.index(True)]


@pytest.mark.long
def test_whoever_lost_the_answer_to_its_own_create_has_won(bucket: str, endpoint: Any, server: int) -> None:
    """The first try is carried out and its answer lost; the second finds a file there, which is its own."""
    store = open_store(f"{bucket}/ws")
    with failing(server, 1, 0.5, ("reset after",)) as proxy:
        endpoint(proxy.server_address[1])
        won = [store.create(f"{number}.parquet", ROW) for number in range(12)]
        again = [store.create(f"{number}.parquet", ROW) for number in range(12)]
    assert all(won)
    assert not any(again)  # the same rows, and somebody else's all the same
    assert proxy.injected["reset after"] > 5


@pytest.mark.long
def test_a_store_that_fails_now_and_then_costs_time_and_nothing_else(
    bucket: str, endpoint: Any, server: int, tmp_path: Path
) -> None:
    store = open_store(f"{bucket}/ws")
    large = pa.table({"a": pa.array(range(300_000))})
    with failing(server, 2, 0.25) as proxy:
        endpoint(proxy.server_address[1])
        for number in range(10):
            store.write(f"small/{number}.parquet", lambda path: pq.write_table(ROW, path))
        store.write("large.parquet", lambda path: pq.write_table(large, path, compression="none"))
        assert store.names("small") == sorted(f"{number}.parquet" for number in range(10))
        assert all(pq.read_table(store.source(f"small/{number}.parquet")).equals(ROW) for number in range(10))
        assert pq.read_table(store.source("large.parquet")).equals(large)
        store.publish("set", {f"{number}.parquet": f"small/{number}.parquet" for number in range(10)}, lambda: "#", "x")
    assert len(store.names("set")) == 11
    assert all(proxy.injected[kind] for kind in proxy.kinds), proxy.injected


@pytest.mark.long
def test_a_store_that_does_not_answer_is_named_after_a_bounded_number_of_tries(
    bucket: str, endpoint: Any, server: int
) -> None:
    store = open_store(f"{bucket}/ws")
    with failing(server, 3, 1.0, ("503",)) as proxy:
        endpoint(proxy.server_address[1])
        with pytest.raises(StoreError, match=f"creating {bucket}/ws/a.parquet: no answer in {remote.TRIES} tries"):
            store.create("a.parquet", ROW)
        assert proxy.requests == remote.TRIES
    endpoint(server)
    assert list(store.walk()) == []


def test_a_refusal_is_final_and_tells_no_secret(bucket: str) -> None:
    store = open_store(f"{bucket}-that-is-not-there/ws")
    with pytest.raises(FileNotFoundError) as refused:
        store.write("a.parquet", lambda path: pq.write_table(ROW, path))
    assert "OF-THE-TEST" not in str(refused.value)


def test_a_url_with_credentials_is_refused() -> None:
    with pytest.raises(CurationError) as refused:
        open_store("s3://KEY:SECRET@bucket/ws")
    assert refused.value.findings[0].code == "C042"
    assert "SECRET" not in str(refused.value)


def test_a_scheme_that_nothing_reads_is_refused() -> None:
    with pytest.raises(CurationError, match="C042: nowhere:// cannot be read"):
        open_store("nowhere://bucket/ws")


def test_a_store_without_conditional_writes_holds_no_workspace(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some S3-compatible servers take `If-None-Match` and do not look at it: the header is left out to be one."""
    open_store(f"{bucket}/ws").prepare()
    files = remote._filesystem("s3")
    monkeypatch.setattr(files, "pipe_file", lambda path, content, mode: type(files).pipe_file(files, path, content))
    with pytest.raises(CurationError, match="lets two writers create one file"):
        open_store(f"{bucket}/ws").prepare()


def test_another_scheme_with_exclusive_creation_will_do() -> None:
    store = open_store("memory://ws")
    store.prepare()
    assert store.create("a.parquet", ROW)
    assert not store.create("a.parquet", ROW)
    assert pq.read_table(store.source("a.parquet")).equals(ROW)


def test_a_dataset_is_believed_only_where_it_is_what_was_written() -> None:
    """Its staged files go once it is published: then the hash in their names tells what it has to be."""
    store = open_store("memory://published")
    written = store.add("datasets/.staging-r/part.parquet", lambda path: pq.write_table(ROW, path))
    files = {"data/train-0.parquet": written.name}
    store.publish("datasets/d/r", files, lambda: "# card", "mark")
    store.remove(written.name)
    store.publish("datasets/d/r", files, lambda: "# card", "mark")
    store.point("datasets/d/latest", "r")
    assert store.pointed("datasets/d/latest") == "r"
    remote.put(store.uri("datasets/d/r/data/train-0.parquet"), b"other bytes")
    with pytest.raises(DamagedFileError):
        store.publish("datasets/d/r", files, lambda: "# card", "mark")


@pytest.mark.parametrize(("start", "count"), [(0, 10), (5_000_000, 4_000_000), (19_999_990, 100), (0, 20_000_000)])
def test_a_large_file_is_read_by_ranges(bucket: str, start: int, count: int) -> None:
    content = bytes(range(250)) * 80_000
    remote.put(f"{bucket}/large", content)
    reader = remote.Reader(f"{bucket}/large")
    reader.seek(start)
    assert reader.read(count) == content[start : start + count]
    assert reader.tell() == min(len(content), start + count)
