"""Memory goes by what is decoded, whatever a file says of itself: the peak of a process that reads it."""

import subprocess
import sys
import textwrap

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from lengths import mostly_long

READ = textwrap.dedent("""
    import resource, sys
    import pyarrow as pa
    import pyarrow.parquet, pyarrow.compute, pyarrow.dataset
    from curation.sources import inspect, cut_shards, read_batches, jsonl
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    before, rows, faults = peak(), 0, 0
    wanted = pa.schema([pa.field("text", pa.large_string(), metadata=jsonl.STRICT)])
    for shard in cut_shards([inspect(sys.argv[1])], 1 << 28):
        for batch in read_batches(shard, wanted):
            rows, faults = rows + batch.columns.num_rows, faults + len(batch.faults)
            assert batch.columns.nbytes < 1 << 26
            del batch
    print(rows, faults, peak() - before)
""")
MB = "x" * 1_000_000
LIMIT = 450
"""MB beyond what the process takes to begin with, of which pages, allocator and batches of 8 MB need some."""


def peak(path):
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows, faults, mb = map(int, done.stdout.split())
    return rows, faults, mb


def repeated(count):
    return pa.chunked_array([pa.array([MB] * 100)] * (count // 100))


@pytest.mark.parametrize("kind", mostly_long(["dictionary", "delta", "late", "column of a dictionary"]))
def test_a_small_parquet_file_of_large_repeated_texts(tmp_path, kind):
    """1.2 GB once decoded, in a few kB."""
    how = {"compression": "zstd", "row_group_size": 10_000}
    if kind == "delta":
        how |= {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}}
    column = repeated(1200)
    if kind == "late":
        column = pa.chunked_array([pa.array(["short"] * 3000), *column.chunks])
    if kind == "column of a dictionary":
        column = pa.DictionaryArray.from_arrays(pa.array([0] * 1200, pa.int32()), pa.array([MB]))
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet", **how)
    assert (tmp_path / "a.parquet").stat().st_size < 50_000
    rows, faults, mb = peak(tmp_path / "a.parquet")
    assert (rows, faults) == (len(column), 0)
    assert mb < LIMIT


@pytest.mark.parametrize("kind", mostly_long(["one line", "lines", "one element", "one cell"]))
def test_a_small_packed_file_that_unpacks_far(tmp_path, kind):
    """400 MB once unpacked, in a few kB."""
    begin, middle, end, name = {
        "one line": (b'{"text": "', MB.encode(), b'"}\n{"text": "b"}\n', "a.jsonl.zst"),
        "lines": (b"", b'{"text": "some words"}\n' * 40_000, b"", "a.jsonl.zst"),
        "one element": (b'[{"text": "', MB.encode(), b'"}, {"text": "b"}]', "a.json.zst"),
        "one cell": (b'text\n"', MB.encode() + b"\n", b'"\nb\n', "a.csv.zst"),
    }[kind]
    packer = zstandard.ZstdCompressor(level=3).compressobj()
    times = 25 if kind == "lines" else 400
    pieces = [packer.compress(begin), *(packer.compress(middle) for _ in range(times)), packer.compress(end)]
    (tmp_path / name).write_bytes(b"".join([*pieces, packer.flush()]))
    rows, faults, mb = peak(tmp_path / name)
    assert (rows, faults) == ((1_000_000, 0) if kind == "lines" else (2, 1))
    assert mb < LIMIT


@pytest.mark.long
def test_one_value_that_is_too_large_is_left_out_alone(tmp_path):
    pq.write_table(pa.table({"text": [MB * 70, "b"]}), tmp_path / "a.parquet")
    assert peak(tmp_path / "a.parquet")[:2] == (2, 1)
