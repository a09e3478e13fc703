"""Packed and encoded files read as the plain one, damage is an error, and no line or frame takes more memory than it
may."""

import bz2
import gzip
import io
import json
import lzma

import pyarrow as pa
import pytest
import zstandard

from curation.sources import cut_shards, inspect, jsonl, read_batches
from curation.sources.files import FORMATS
from curation.sources.streams import lines, text_stream
from schemas.documents import TEXT

WANTED = pa.schema([pa.field("text", TEXT, metadata=jsonl.STRICT), pa.field("n", pa.int64())])
ROWS = [{"text": f"Zeile {n}\n„ä“ \U0001f600", "n": n} for n in range(3000)]
PACKINGS = {
    ".gz": gzip.compress, ".zst": zstandard.compress, ".zstd": zstandard.compress, ".bz2": bz2.compress,
    ".xz": lzma.compress, "": bytes,
}  # fmt: skip


def quoted(cell):
    return '"' + str(cell).replace('"', '""') + '"'


PLAIN = {
    "jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    "ndjson": "\r\n\r\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS),
    "json": json.dumps(ROWS, indent=1),
    "csv": "text,n\n" + "".join(f"{quoted(row['text'])},{row['n']}\n" for row in ROWS),
    "tsv": "text\tn\r\n" + "".join(f"{quoted(row['text'])}\t{row['n']}\r\n" for row in ROWS),
}


def read(path, limit=1 << 26):
    shards = cut_shards([inspect(str(path), limit)], 1 << 30, limit)
    batches = [batch for shard in shards for batch in read_batches(shard, WANTED)]
    faults = {batch.start + row: fault for batch in batches for row, fault in batch.faults.items()}
    return pa.Table.from_batches([batch.columns for batch in batches], schema=WANTED).to_pylist(), faults


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("ending", PLAIN)
def test_every_ending_reads_the_same_rows(tmp_path, ending, packing):
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        path = tmp_path / f"{encoding}.{ending}{packing}".upper()
        data = PLAIN[ending].encode(encoding)
        path.write_bytes(PACKINGS[packing](data[:999]) + PACKINGS[packing](data[999:]))  # frames put together are one
        file = inspect(str(path))
        assert (file.rows, file.error) == (len(ROWS), None)
        assert file.schema.types == [pa.large_string(), pa.int64()]
        assert read(path) == (ROWS, {})


def test_all_endings_are_tried_here():
    assert {f".{ending}{packing}" for ending in PLAIN for packing in PACKINGS} == FORMATS.keys() - {".parquet"}


@pytest.mark.parametrize("packing", [packing for packing in PACKINGS if packing])
@pytest.mark.parametrize("spoil", ["cut", "cut short", "flipped", "rubbish behind", "plain"])
def test_a_damaged_packed_file_is_an_error_and_never_fewer_rows(tmp_path, packing, spoil):
    data = PACKINGS[packing](PLAIN["jsonl"].encode())
    if packing.startswith(".zst"):
        data = zstandard.ZstdCompressor(write_checksum=True).compress(PLAIN["jsonl"].encode())
    data = {
        "cut": data[: len(data) // 2],
        "cut short": data[:-1],
        "flipped": data[:900] + bytes([data[900] ^ 4]) + data[901:],
        "rubbish behind": data + b"rubbish",
        "plain": PLAIN["jsonl"].encode(),
    }[spoil]
    path = tmp_path / f"a.jsonl{packing}"
    path.write_bytes(data)
    file = inspect(str(path))
    assert file.rows == 0
    assert file.error.startswith("cannot be decompressed")


@pytest.mark.parametrize("content", ["[", '[{"text": "a"}', '[{"text": "a"}]{}', '[{"text": "a"}], 1', '[{"text": "a]'])
def test_an_array_that_does_not_end_or_is_not_all_is_an_error(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    assert inspect(str(tmp_path / "a.json")).error.startswith("cannot be read")


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("[]", []),
        (" \n [ ] \n", []),
        ('[{"text": "a"},]', ["a"]),
        ('[{"text": "]},{\\"[\\\\"},\n{"text": "b"}]', [']},{"[\\', "b"]),
        ('{"text": "a"}', ["a"]),
        ('{"text": "a"}\n{"text": "b"}', ["a", "b"]),
        ('{\n"text": "a"\n}\n{\n"text": "b"}', ["a", "b"]),
        ('{"text": "a"}{"text": "b"}', ["a", "b"]),
        ('{"text": "broken\n{"text": "b"}', [None, "b"]),
        ('[{"text": "a"}, {oops}, 5, {"text": "b"}]', ["a", None, None, "b"]),
    ],
)
def test_a_json_file_is_an_array_or_objects_however_they_are_laid_out(tmp_path, content, texts):
    (tmp_path / "a.json").write_text(content)
    rows, faults = read(tmp_path / "a.json")
    assert [row["text"] for row in rows] == texts
    assert list(faults) == [place for place, text in enumerate(texts) if text is None]


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
def test_elements_are_found_wherever_blocks_end(monkeypatch, tmp_path, block):
    monkeypatch.setattr("curation.sources.json_array._BLOCK", block)
    rows = [{"text": 'a"b\\', "n": 1}, {"text": '\\\\"]}[{,', "n": 2}, {"text": "", "n": None}]
    for number, indent in enumerate((None, 1)):
        (tmp_path / f"{number}.json").write_text(json.dumps(rows, indent=indent))
        assert read(tmp_path / f"{number}.json") == (rows, {})


@pytest.mark.parametrize(
    "content",
    [
        'text,n\n"a\nb, ""c""",1\n',
        'text;n\n"a\nb, ""c""";1\n',
        'sep=|\ntext|n\n"a\nb, ""c"""|1',
        'n\ttext\n1\t"a\nb, ""c"""',
    ],
)
def test_the_dialects_of_csv(tmp_path, content):
    (tmp_path / "a.csv").write_text(content)
    assert read(tmp_path / "a.csv") == ([{"text": 'a\nb, "c"', "n": 1}], {})


def test_a_bad_record_is_one_bad_document(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'text,n\ngood,1\nfew\nmany,1,2\n\n\xff,3\ngood,4\n"open,5\n')
    rows, faults = read(tmp_path / "a.csv")
    assert [row["text"] for row in rows] == ["good", None, None, None, "good", None]
    assert faults == {
        1: "row has 1 cells, and the header 2",
        2: "row has 3 cells, and the header 2",
        3: "row is not valid UTF-8",
        5: "the file ends inside a quoted cell",
    }
    (tmp_path / "b.csv").write_text("text,text\na,b\n")
    assert inspect(str(tmp_path / "b.csv")).error == "has two columns named 'text'"


LONG = "x" * 5000


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        ("jsonl", f'{{"text": "{LONG}"}}\n{{"text": "b"}}\n{{"text": "{LONG}"}}'),
        ("json", f'[{{"text": "{LONG}"}},{{"text": "b"}},{{"text": "{LONG}"}}]'),
        ("csv", f'text\n{LONG}\nb\n"{"x" * 200}\n{LONG}"\n'),
        ("csv", 'text\n"' + "line\n" * 900 + '"\nb\n' + LONG + "\n"),
    ],
)
def test_a_document_that_is_too_large_is_told_and_the_rest_goes_on(tmp_path, ending, content):
    (tmp_path / f"a.{ending}").write_text(content)
    rows, faults = read(tmp_path / f"a.{ending}", limit=1000)
    assert [row["text"] for row in rows] == [None, "b", None]
    assert faults == {0: "too_large", 2: "too_large"}
    assert read(tmp_path / f"a.{ending}", limit=1 << 20)[1] == {}


def test_a_line_is_too_large_by_its_bytes_alone():
    found = list(lines(io.BufferedReader(io.BytesIO(b"12345\n123456\n12345")), 5))
    assert found == [(1, b"12345\n", 6), (2, None, 7), (3, b"12345", 5)]


@pytest.mark.long
@pytest.mark.parametrize("packing", [".gz", ".zst", ".bz2", ".xz"])
def test_what_unpacks_far_comes_in_pieces(packing):
    data = PACKINGS[packing](bytes(1 << 27))
    stream = text_stream(io.BufferedReader(io.BytesIO(data)), packing)
    largest = total = 0
    while count := len(stream.read1(1 << 28)):
        total += count
        largest = max(largest, count)
    assert total == 1 << 27
    assert largest <= 1 << 26, "of zstd, at worst 32,768 times a piece of 2 KB"
