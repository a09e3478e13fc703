"""Input files on a store: found, known by content, read by ranges, and read again only when they change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.sources import cut_shards, find, inspect, read_batches, verify_unchanged
from curation.store import remote
from object_store import Proxy, failing, upload
from schemas.errors import CurationError, Finding


def find_files(patterns: list[str], base: Path) -> tuple[dict[str, str], list[Finding], int]:
    found = find(patterns, base)
    return found.files, found.findings, found.ignored


TEXT = pa.schema([pa.field("content", pa.large_string())])


@pytest.fixture
def counted(endpoint: Any, server: int) -> Iterator[Proxy]:
    """The server, through a proxy that only counts."""
    with failing(server, 0, 0.0) as proxy:
        endpoint(proxy.server_address[1])
        yield proxy


@pytest.mark.parametrize("pattern", ["crawl", "crawl/", "crawl/*", "**/*.*", "crawl/a.parquet", "crawl/[de].*"])
def test_files_are_found_as_on_disk(bucket: str, corpus: Path, pattern: str) -> None:
    upload(corpus, f"{bucket}/crawl")
    remote.put(f"{bucket}/crawl/_tmp/x.parquet", b"")
    remote.put(f"{bucket}/crawl/notes.txt", b"")
    found, findings, _ = find_files([f"{bucket}/{pattern}"], Path())
    here, _, _ = find_files([pattern], corpus.parent)
    assert not findings
    there = [path.removeprefix(f"{bucket}/") for path in found]
    assert there == [str(Path(path).relative_to(corpus.parent)) for path in here]


def test_what_is_not_there_is_a_finding(bucket: str) -> None:
    for pattern in (f"{bucket}/none/*.parquet", f"{bucket}/none.parquet", f"{bucket}-none/*.parquet", "nowhere://b/a"):
        found, [finding], _ = find_files([pattern], Path())
        assert not found
        assert finding.code in ("C020", "C042")


def test_every_format_is_known_and_read_as_from_disk(bucket: str, corpus: Path) -> None:
    upload(corpus, bucket)
    for path in sorted(corpus.iterdir()):
        there, here = inspect(f"{bucket}/{path.name}"), inspect(str(path))
        assert (there.fingerprint, there.rows, there.groups, there.schema) == (
            here.fingerprint, here.rows, here.groups, here.schema,
        )  # fmt: skip
        for one, other in zip(cut_shards([there], 22_000), cut_shards([here], 22_000), strict=True):
            assert one.key == other.key
            batches = zip(read_batches(one, TEXT), read_batches(other, TEXT), strict=True)
            assert all(a.columns.equals(b.columns) and a.faults == b.faults for a, b in batches)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 MB in ten row groups of two columns, of which `content` is a tenth."""
    noise = np.random.default_rng(0).integers(0, 256, (1000, 3000), dtype=np.uint8)
    path = tmp_path_factory.mktemp("large") / "large.parquet"
    texts = [bytes(row[:300]).hex()[:300] for row in noise]
    table = pa.table({"content": pa.array(texts, pa.large_string()), "blob": [bytes(row) * 9 for row in noise]})
    pq.write_table(table, path, row_group_size=100, compression="none", use_dictionary=False)
    return path


def test_a_file_is_fetched_once_to_be_known(bucket: str, large: Path, counted: Proxy) -> None:
    upload(large.parent, bucket)
    before = counted.sent
    assert inspect(f"{bucket}/large.parquet").fingerprint == inspect(str(large)).fingerprint
    assert counted.sent - before == large.stat().st_size


def test_of_a_large_file_only_what_is_asked_for_is_fetched(bucket: str, large: Path, counted: Proxy) -> None:
    upload(large.parent, bucket)
    [shard] = cut_shards([inspect(f"{bucket}/large.parquet")], 1 << 40)
    before = counted.sent
    assert sum(batch.columns.num_rows for batch in read_batches(shard, TEXT)) == 1000
    assert counted.sent - before < large.stat().st_size / 2
    before = counted.sent
    wanted: Callable[[int, int], bool] = lambda start, rows: start == 500  # noqa: E731
    assert [batch.start for batch in read_batches(shard, TEXT, wanted)] == [500]
    assert counted.sent - before < large.stat().st_size / 10


def test_a_file_that_changed_is_noticed_and_one_that_was_copied_again_is_not(bucket: str, corpus: Path) -> None:
    url = f"{bucket}/a.parquet"
    remote.put(url, corpus / "a.parquet")
    [shard] = cut_shards([inspect(url)], 1 << 40)
    remote.put(url, corpus / "a.parquet")
    verify_unchanged(shard)
    remote.put(url, corpus / "g.parquet")
    with pytest.raises(CurationError, match="R002"):
        verify_unchanged(shard)
    remote.remove(url)
    with pytest.raises(CurationError, match="R002"):
        list(read_batches(shard, TEXT))
