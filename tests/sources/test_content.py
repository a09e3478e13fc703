"""A file is known by its content: whatever is put in its place, with whatever size and times, is another file."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from curation.sources import Shard, cut_shards, files, inspect, read_batches, stamp, verify_unchanged
from curation.sources.column_types import still_typed
from pipelines.workspace import Workspace
from schemas.errors import CurationError

WANTED = pa.schema([pa.field("text", pa.large_string())])


def write(path: Path, word: str, rows: int = 60) -> None:
    """`rows` documents of one word each; words of one length make files of one size."""
    texts = [f"{word} number {row:04d} in a plain sentence of some words" for row in range(rows)]
    if path.suffix == ".parquet":
        table = pa.table({"text": texts, "other": list(range(rows))})
        pq.write_table(table, path, row_group_size=20, compression="none", use_dictionary=False)
    else:
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


def in_place(path: Path, new: bytes) -> None:
    with open(path, "r+b") as file:
        file.write(new)


def renamed(path: Path, new: bytes) -> None:
    path.with_name("new").write_bytes(new)
    os.replace(path.with_name("new"), path)


def copied(path: Path, new: bytes) -> None:
    path.with_name("new").write_bytes(new)
    os.utime(path.with_name("new"), ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    shutil.copy2(path.with_name("new"), path)
    path.with_name("new").unlink()


def swap(path: Path, word: str, how: Callable[[Path, bytes], None]) -> None:
    """Put another file of the same size in its place, and the old time back."""
    before = path.stat()
    other = path.with_name(f"other{path.suffix}")
    write(other, word)
    content = other.read_bytes()
    other.unlink()
    assert len(content) == before.st_size
    how(path, content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def old(path: Path) -> None:
    """As if it had been written an hour ago, so that what was seen of it is believed."""
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns - 3600 * 10**9))


def shard_of(path: Path) -> Shard:
    return cut_shards([inspect(str(path))], 1 << 30)[0]


def read(shard: Shard) -> list[str]:
    return [text for batch in read_batches(shard, WANTED) for text in batch.columns.column("text").to_pylist()]


@pytest.mark.parametrize("how", [in_place, renamed, copied])
@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_a_file_with_size_and_time_kept_is_another_file(tmp_path: Path, ending: str, how: Any) -> None:
    path = tmp_path / f"a.{ending}"
    write(path, "first")
    old(path)
    shard = shard_of(path)
    assert len(read(shard)) == 60
    swap(path, "other", how)
    with pytest.raises(CurationError, match=r"R002.*changed after it was planned"):
        verify_unchanged(shard)
    with pytest.raises(CurationError, match="R002"):
        read(shard)


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_where_no_time_tells_what_is_read_is_compared(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems move neither times nor inode with a content: size and names are all there is."""
    path = tmp_path / f"a.{ending}"
    write(path, "first")
    shard = shard_of(path)
    still = shard.stamp
    monkeypatch.setattr("curation.sources.reading.stamp", lambda where: still)
    files.chunk_print.cache_clear()
    files.fingerprint_at.cache_clear()
    assert len(read(shard)) == 60
    swap(path, "other", in_place)
    files.chunk_print.cache_clear()  # as in the next process
    files.fingerprint_at.cache_clear()
    with pytest.raises(CurationError, match="R002"):
        read(shard)


@pytest.mark.parametrize("harmless", ["chmod", "link", "touch", "copy"])
def test_what_leaves_the_content_alone_is_hashed_again_and_believed(tmp_path: Path, harmless: str) -> None:
    path = tmp_path / "a.parquet"
    write(path, "first")
    shard = shard_of(path)
    if harmless == "chmod":
        path.chmod(0o600)
    elif harmless == "link":
        os.link(path, tmp_path / "second")
    elif harmless == "touch":
        os.utime(path)
    else:
        renamed(path, path.read_bytes())
    assert stamp(str(path)) != shard.stamp
    verify_unchanged(shard)
    assert len(read(shard)) == 60


def test_prints_are_of_each_column_chunk_and_cut_with_the_shards(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, "first")
    seen = inspect(str(path))
    assert len(seen.prints) == 3 * 2 * 8
    shards = cut_shards([seen], 1)
    assert [len(shard.prints) for shard in shards] == [16, 16, 16]
    assert b"".join(shard.prints for shard in shards) == seen.prints
    assert [len(read(shard)) for shard in shards] == [20, 20, 20]
    with pytest.raises(CurationError, match="R002"):
        read(replace(shards[1], prints=shards[0].prints))


RECIPE = """
name: kept
input: {{path: {path}}}
stages: [{{scorer: rules, id: rules, profile: gopher-quality@datatrove}}]
output: {{columns: [text, rules.words]}}
"""


def words(space: Workspace) -> list[tuple[str, int]]:
    [record] = space.manifest.where("datasets", run=space.status().column("run").to_pylist()[-1]).to_pylist()
    table = pq.read_table(next((Path(space.store.root) / record["path"]).glob("data/*")))
    texts, counts = table["text"].to_pylist(), table["rules_words"].to_pylist()
    return [(text.split()[0], count) for text, count in zip(texts, counts, strict=True)]


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_old_scores_never_join_new_text(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    write(path, "first")
    old(path)
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(path=path))
    first = Workspace(tmp_path / "ws").run(tmp_path / "recipe.yaml", executor="local")
    swap(path, "a b c", in_place)
    second = Workspace(tmp_path / "ws").run(tmp_path / "recipe.yaml", executor="local")
    assert (first.outcome, second.outcome, second.scored) == ("done", "done", 60)
    assert first.run != second.run
    assert set(words(Workspace(tmp_path / "ws"))) == {("a", 12)}


SCORER = '''
import os, pathlib
import pyarrow as pa, pyarrow.compute as pc
from curation.scorers.base import Scorer

class Swapping(Scorer):
    """Puts another content into the file that is being scored, and its old times back."""
    kind = "swapping"
    @property
    def fields(self):
        return [pa.field("bytes", pa.int64())]
    def score(self, batch):
        path = pathlib.Path(os.environ["SWAPPED"])
        before = path.stat()
        with open(path, "r+b") as file:
            file.write(path.with_name("new").read_bytes())
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return pa.record_batch({"bytes": pc.binary_length(batch.column("text")).cast(pa.int64())})
'''


@pytest.mark.long
def test_a_file_that_is_swapped_while_it_is_scored_is_told(
    tmp_path: Path, curate: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "plugin"
    (place / "swapping-1.dist-info").mkdir(parents=True)
    (place / "swapping.py").write_text(SCORER)
    (place / "swapping-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: swapping\nVersion: 1\n")
    (place / "swapping-1.dist-info/entry_points.txt").write_text("[curation.scorers]\nswapping = swapping:Swapping\n")
    (tmp_path / "in").mkdir()
    path = tmp_path / "in/a.parquet"
    write(path, "first")
    old(path)
    write(tmp_path / "new.parquet", "other")
    (tmp_path / "new.parquet").rename(tmp_path / "in/new")
    (tmp_path / "recipe.yaml").write_text(f"name: s\ninput: {{path: {path}}}\nstages: [{{scorer: swapping}}]\n")
    where = os.pathsep.join([str(place), *sys.path])
    done = curate("run", tmp_path / "recipe.yaml", "-w", tmp_path / "ws", PYTHONPATH=where, SWAPPED=str(path))
    assert done.returncode == 1, done.stderr
    assert "R002" in done.stderr
    assert not list((tmp_path / "ws").glob("datasets/s/*"))


def test_of_a_file_that_did_not_move_nothing_is_hashed_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    write(path, "first")
    shard = shard_of(path)
    hashed = []
    monkeypatch.setattr(files, "digest", lambda place: hashed.append(place))
    assert len(read(shard)) == 60
    before = files.chunk_print.cache_info().misses
    assert len(read(shard)) == 60
    assert (hashed, files.chunk_print.cache_info().misses) == ([], before)


def test_the_same_bytes_read_as_another_format_are_other_documents(tmp_path: Path) -> None:
    content = 'text\n"hello" world of, text one two\nsecond, line of a text\n'
    named = {}
    for ending in ("csv", "tsv", "txt", "jsonl", "json"):
        (tmp_path / f"a.{ending}").write_text(content)
        named[ending] = files.inspect(str(tmp_path / f"a.{ending}")).fingerprint
    named["a line"] = files.inspect(str(tmp_path / "a.txt"), unit="line").fingerprint
    of_bytes = xxhash.xxh3_128(content.encode()).hexdigest()
    assert named["jsonl"] == named["json"] == of_bytes, "as ever"
    assert len(set(named.values())) == len(named) - 1
    workspace = Workspace(tmp_path / "ws")
    kept = {}
    for ending in ("csv", "tsv"):
        recipe = {"name": ending, "input": {"path": str(tmp_path / f"a.{ending}")}, "stages": [{"dedup": "exact"}]}
        kept[ending] = workspace.run({**recipe, "errors": {"documents": 9}}, executor="local", workers=1).kept
    assert kept == {"csv": 0, "tsv": 2}


def test_what_an_earlier_version_knew_by_its_bytes_is_looked_at_anew_and_its_runs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\none\ntwo\n")
    now = files.inspect(str(path))
    before = xxhash.xxh3_128(path.read_bytes()).hexdigest()
    assert now.schema is not None
    old = now.schema.with_metadata({name: value for name, value in now.schema.metadata.items() if name != b"named"})
    assert still_typed("csv", now.schema, 1 << 20)
    assert not still_typed("csv", old, 1 << 20)
    for fingerprint in (before, now.fingerprint):
        [shard] = cut_shards([replace(now, fingerprint=fingerprint)], 1 << 20)
        assert sum(batch.columns.num_rows for batch in read_batches(shard, WANTED)) == 2
    path.write_text("text\none\ntwx\n")
    with pytest.raises(CurationError, match="R002"):
        list(read_batches(*cut_shards([replace(now, fingerprint=before)], 1 << 20), WANTED))
