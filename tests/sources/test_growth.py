"""Nothing grows faster than what it is done to: twice as many row groups, columns, lines or entries take about twice as
long. The least of several measurements counts, and what is allowed lies half way to the square."""

import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.rules import lists
from curation.sources import column_types, cut_shards, inspect, jsonl, read_batches
from curation.sources.files import SourceFile
from schemas.documents import TEXT

WANTED = pa.field("text", TEXT, metadata=jsonl.STRICT)
FOLD = 8


def groups(path, size):
    pq.write_table(pa.table({"text": ["a"] * size * 2}), path, row_group_size=2)
    return lambda: read(path, [WANTED])


def columns(path, size):
    table = pa.table({"text": ["a"], **{f"c{number}": [number] for number in range(size)}})
    pq.write_table(table, path)
    return lambda: (
        inspect(str(path)) and read(path, [WANTED, *(pa.field(n, pa.int64()) for n in table.column_names[1:])])
    )


def json_members(path, size):
    path = path.with_suffix(".jsonl")
    path.write_text('{"text": "a"' + "".join(f', "c{number}": {number}' for number in range(size)) + "}\n")
    return lambda: inspect(str(path))


def csv_columns(path, size):
    path = path.with_suffix(".csv")
    path.write_text(",".join(f"c{number}" for number in range(size)) + "\n" + ",".join("1" * size) + "\n")
    return lambda: inspect(str(path))


def open_brackets(path, size):
    path = path.with_suffix(".jsonl")
    path.write_text('{"text": "a", "x": ' + "[" * size * 50 + "]" * size * 50 + "}\n")
    return lambda: read(path, [WANTED])


def cut_array(path, size):
    path = path.with_suffix(".json")
    path.write_text("[" + ",".join(['{"text": "a"}'] * size * 20) + "]")
    return lambda: read(path, [WANTED])


def open_cell(path, size):
    path = path.with_suffix(".csv")
    path.write_text('text\n"' + "line\n" * size * 20 + '"\n')
    return lambda: read(path, [WANTED])


def shards(path, size):
    file = SourceFile("a.parquet", 1, 1, "0" * 32, "parquet", size * 20, ((1, 9),) * size * 20, None)
    return lambda: cut_shards([file], 1)


def entries(path, size):
    path = path.with_suffix(".txt")
    path.write_text("\n".join(f"domain{number}.example" for number in range(size * 20)))
    return lambda: lists.read(path)


def read(path, fields):
    for shard in cut_shards([inspect(str(path))], 1 << 30):
        for _ in read_batches(shard, pa.schema(fields)):
            pass


@pytest.mark.parametrize(
    "make",
    [groups, columns, json_members, csv_columns, open_brackets, cut_array, open_cell, shards, entries],
    ids=lambda make: make.__name__,
)
def test_time_grows_as_what_is_read(tmp_path, make):
    seconds = []
    for number, size in enumerate((150, 150 * FOLD)):
        work = make(tmp_path / f"{number}.parquet", size)
        least = np.inf
        for _ in range(4):
            began = time.process_time()
            work()
            least = min(least, time.process_time() - began)
        seconds.append(max(least, 0.001))
    exponent = np.log(seconds[1] / seconds[0]) / np.log(FOLD)
    assert exponent < 1.5, seconds


def test_row_groups_of_two_rows_come_together(tmp_path):
    groups(tmp_path / "a.parquet", 800)
    [shard] = cut_shards([inspect(str(tmp_path / "a.parquet"))], 1 << 30)
    batches = list(read_batches(shard, pa.schema([WANTED])))
    assert [(batch.start, batch.columns.num_rows) for batch in batches] == [(0, 1600)]
    some = list(read_batches(shard, pa.schema([WANTED]), lambda start, rows: start < 10 or start >= 1590))
    assert [(batch.start, batch.columns.num_rows) for batch in some] == [(0, 10), (1590, 10)]


def test_a_file_of_many_columns_is_typed_once(tmp_path):
    assert len(column_types.schema_of({f"c{n}": {"int": 1} for n in range(6000)}, 1, 1)) == 6000
