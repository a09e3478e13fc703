"""Files of data, made and damaged at random: no exception without a code, no row lost, and no changed byte without a
finding where the file can tell.

Seeded: the number of a trial makes the trial. `make test` tries a few, the slow form three thousand files and three
hundred runs.
"""

import bz2
import gzip
import json
import lzma
import math
import random
import string

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from trials import seeds

from curation.sources import cut_shards, inspect, jsonl, read_batches
from pipelines import Workspace
from schemas.documents import TEXT
from schemas.errors import CODES, CurationError

PACKINGS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress,
            ".zst": zstandard.ZstdCompressor(write_checksum=True).compress}  # fmt: skip
WANTED = pa.schema([pa.field("text", TEXT, metadata=jsonl.STRICT), pa.field("number", TEXT)])


def text(chance):
    letters = string.ascii_letters + ' \n\t"\\,;{}[]:äß漢\U0001f600\u2028\0'
    return "".join(chance.choice(letters) for _ in range(chance.choice((0, 1, 7, 40, 300))))


def number(chance):
    return chance.choice(
        [None, 0, -1, 2**53 + 1, 2**63, 2**64 + chance.randrange(9), 10**30, 0.5, -0.0, 1e300, math.inf, math.nan, "x"]
    )


def lines_of(chance, rows):
    """JSON lines, of which some are broken; and how many are documents."""
    made = []
    for row in rows:
        line = json.dumps(row, ensure_ascii=chance.random() < 0.5)
        if chance.random() < 0.2:
            odd = chance.choice(["{oops", "[]", "5", '{"text": "a",}', '{"text": 1e999}', '{"text": "\\ud800"}', '""'])
            line = chance.choice([odd, line[: chance.randrange(1, len(line))] or "x", '{"deep": ' + "[" * 3000])
        made.append(line)
    ends = chance.choice(["\n", "\r\n", "\n\n", "\n \t\n"])
    return ends.join(made) + chance.choice(["", "\n"])


def table_of(chance, rows):
    texts = pa.array([row["text"] for row in rows], chance.choice([pa.string(), pa.large_string(), pa.string_view()]))
    if chance.random() < 0.4:
        texts = texts.cast(pa.string()).dictionary_encode()
    if chance.random() < 0.2:
        texts = pa.ExtensionArray.from_storage(pa.json_(), texts.cast(pa.string()))
    nested = [{"a": [row["text"]], **({"b": 1} if chance.random() < 0.5 else {})} for row in rows]
    return pa.table({"text": texts, "meta": nested, "number": [len(row["text"] or "") for row in rows]})


def write(chance, folder):
    """A sound file; how many rows it has, and what of them is text (None where that cannot be told)."""
    texts = [text(chance) if chance.random() < 0.9 else None for _ in range(chance.randrange(1, 60))]
    rows = [{"text": value, "number": number(chance)} for value in texts]
    kind = chance.choice(["parquet", "jsonl", "json", "csv", "tsv"])
    packing = "" if kind == "parquet" else chance.choice(list(PACKINGS))
    path = folder / f"a.{kind}{packing}"
    if kind == "parquet":
        how = {"row_group_size": chance.choice((1, 7, 100)), "use_dictionary": chance.random() < 0.5}
        how["compression"] = chance.choice(("zstd", "none", "snappy", "gzip"))
        pq.write_table(table_of(chance, rows), path, write_page_checksum=True, **how)
        return path, len(rows), texts
    if kind == "jsonl":
        data, texts = lines_of(chance, rows), None
    elif kind == "json":
        data = json.dumps(rows, indent=chance.choice((None, 1)))
    else:
        mark = "," if kind == "csv" else "\t"
        cells = [[row["text"] or "", "" if row["number"] is None else str(row["number"])] for row in rows]
        quoted = [mark.join('"' + cell.replace('"', '""') + '"' for cell in record) for record in cells]
        data, texts = f"text{mark}number\n" + "\n".join(quoted), [record[0] for record in cells]
    encoding = chance.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16"])
    path.write_bytes(PACKINGS[packing](data.encode(encoding)))
    count = len(rows) if kind != "jsonl" else None
    return path, count, texts


def read(path):
    """Rows as they are read and faults by row, or the code of what is wrong with the file."""
    file = inspect(str(path))
    if file.error:
        assert file.rows == 0
        assert "\n" not in file.error
        return None, {}, file
    rows, faults = [], {}
    try:
        for shard in cut_shards([file], 1 << 20):
            start = len(rows)
            for batch in read_batches(shard, WANTED):
                assert batch.start + start == len(rows)
                faults |= {len(rows) + row: fault for row, fault in batch.faults.items()}
                rows += batch.columns.to_pylist()
    except CurationError as failure:
        if {finding.code for finding in failure.findings} != {"R001"}:
            raise
        return None, {}, file
    assert len(rows) == file.rows
    assert all(rows[row]["text"] is None for row in faults)
    return rows, faults, file


def spoil(chance, path):
    data = bytearray(path.read_bytes())
    how = chance.choice(["flip", "cut", "insert", "zeros", "empty", "twice"])
    place = chance.randrange(len(data))
    if how == "flip":
        data[place] ^= 1 << chance.randrange(8)
    elif how == "cut":
        del data[place:]
    elif how == "insert":
        data[place:place] = chance.randbytes(chance.choice((1, 9)))
    elif how == "zeros":
        data[place : place + 30] = bytes(min(30, len(data) - place))
    elif how == "empty":
        data.clear()
    else:
        data += bytes(data)
    path.write_bytes(data)
    return how


def try_file(seed, folder):
    chance = random.Random(seed)
    path, count, texts = write(chance, folder)
    rows, faults, file = read(path)
    assert file.error is None, (path.name, file.error)
    assert rows is not None, path.name
    if count is not None:
        assert (len(rows), faults) == (count, {}), path.name
    if texts is not None:
        assert [row["text"] for row in rows] == texts, path.name
    how = spoil(chance, path)
    after, _, _ = read(path)
    packed = path.suffix in PACKINGS and path.suffix
    if (packed or path.suffix == ".parquet") and how in ("flip", "cut"):
        # What has checksums tells what is changed: never other rows without a word.
        assert after is None or same(after, rows), (path.name, how)


def same(one, other):
    return json.dumps(one) == json.dumps(other)


def try_run(seed, folder, monkeypatch):
    """A whole run over some files, one of them damaged: it ends, and what it says adds up."""
    chance = random.Random(seed)
    for number in range(3):
        (folder / str(number)).mkdir()
        path, *_ = write(chance, folder / str(number))
        if number == 1:
            spoil(chance, path)
    monkeypatch.chdir(folder)
    paths = [f"{number}/*" for number in range(3)]
    recipe = {"name": "n", "input": {"path": paths}, "on_bad_shard": "skip", "errors": {"documents": 1000}}
    recipe["output"] = {"columns": ["text"]}
    try:
        result = Workspace(folder / "ws").run(recipe, executor="local", workers=1)
    except CurationError as failure:
        if not {finding.code for finding in failure.findings} <= CODES.keys() - {"R003"}:
            raise
        return
    assert {failure.code for _, failure in result.failures} <= {"R001", "R004"}
    if result.outcome == "done":
        assert result.rows == result.kept + result.dropped + result.errored


@seeds(range(120), range(1_000, 4_000))
def test_a_file_at_random(tmp_path, seed):
    try_file(seed, tmp_path)


@seeds(range(6), range(10_000, 10_300))
def test_a_run_over_files_at_random(tmp_path, monkeypatch, seed):
    try_run(seed, tmp_path, monkeypatch)
