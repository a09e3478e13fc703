"""JSON lines: a bad line is one bad document; a damaged file is one bad file, never a shorter one."""

import gzip

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from curation.sources import jsonl
from schemas.documents import TEXT

LINES = b"".join(b'{"text": "document number %d", "n": %d}\n' % (n, n) for n in range(20_000))
PACKED = {"jsonl": LINES, "jsonl.gz": gzip.compress(LINES), "jsonl.zst": zstandard.compress(LINES)}
WANTED = pa.schema([pa.field("text", TEXT, metadata=jsonl.STRICT), pa.field("n", pa.int64())])


def write(tmp_path, data, name="jsonl"):
    path = tmp_path / f"a.{name}"
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("name", PACKED)
def test_plain_and_packed_lines_read_alike(tmp_path, name):
    path = write(tmp_path, PACKED[name], name)
    facts = jsonl.inspect(path, name)
    assert (facts.rows, facts.bytes, facts.error) == (20_000, len(LINES), None)
    assert facts.schema == pa.schema([("text", pa.large_string()), ("n", pa.int64())])
    assert b"".join(line for batch in jsonl.read(path, name, 1 << 16) for line in batch) == LINES


@pytest.mark.parametrize("name", ["jsonl.gz", "jsonl.zst"])
@pytest.mark.parametrize("left", [0.5, -3])
def test_a_truncated_packed_file_is_an_error_and_not_fewer_documents(tmp_path, name, left):
    data = PACKED[name]
    path = write(tmp_path, data[: int(len(data) * left) if left > 0 else left], name)
    facts = jsonl.inspect(path, name)
    assert facts.rows == 0
    assert facts.error.startswith("cannot be decompressed")
    with pytest.raises(jsonl.UNREADABLE):
        list(jsonl.read(path, name, 1 << 20))


@pytest.mark.parametrize("name", ["jsonl.gz", "jsonl.zst"])
def test_a_damaged_or_foreign_packed_file_is_an_error(tmp_path, name):
    data = PACKED[name]
    damaged = data[:1000] + b"x" * 50 + data[1050:]
    assert jsonl.inspect(write(tmp_path, damaged, name), name).error.startswith("cannot be decompressed")
    assert jsonl.inspect(write(tmp_path, b"{}\n", name), name).error.startswith("cannot be decompressed")


@pytest.mark.parametrize("name", ["jsonl.gz", "jsonl.zst"])
def test_packed_files_put_one_behind_the_other_are_one_file(tmp_path, name):
    assert jsonl.inspect(write(tmp_path, PACKED[name] * 2, name), name).rows == 40_000


def test_types_come_from_every_line_however_late_they_change(tmp_path):
    late = b'{"text": "t", "n": 1.5, "big": 1, "mixed": 1, "never": null, "flag": true}\n'
    last = b'{"text": "t", "n": 2, "big": 9223372036854775808, "mixed": "one", "never": null, "flag": null}\n'
    facts = jsonl.inspect(write(tmp_path, LINES + late + last), "jsonl")
    assert facts.schema == pa.schema(
        [
            ("text", pa.large_string()),
            ("n", pa.float64()),
            ("big", pa.large_string()),
            ("mixed", pa.large_string()),
            ("never", pa.null()),
            ("flag", pa.bool_()),
        ]
    )


def test_a_bad_line_is_one_bad_document_among_good_ones():
    lines = [
        b'{"text": "good", "n": 1}\n',
        b'{"text": "cut off\n',
        b'["a", "list"]\n',
        b'{"text": "\xff"}\n',
        b'{"text": {"nested": 1}}\n',
        b'{"text": 5}\n',
        b'{"n": 2}\n',
        b'{"text": "also good", "n": null}\n',
    ]
    batch, faults = jsonl.columns(lines, WANTED)
    assert batch.column("text").to_pylist() == ["good", None, None, None, None, None, None, "also good"]
    assert batch.column("n").to_pylist() == [1, None, None, None, None, None, 2, None]
    assert faults == {
        1: "line is not valid JSON",
        2: "line is not a JSON object",
        3: "line is not valid UTF-8",
        4: "column 'text' is not of type text",
        5: "column 'text' is not of type text",
    }


def test_other_columns_take_nested_and_mixed_values_as_json_text():
    wanted = pa.schema([("meta", pa.large_string()), ("raw", pa.large_binary())])
    batch, faults = jsonl.columns([b'{"meta": {"a": [1, 2]}, "raw": "x"}', b'{"meta": 5}', b'{"meta": "m"}'], wanted)
    assert not faults
    assert batch.to_pydict() == {"meta": ['{"a":[1,2]}', "5", "m"], "raw": [b"x", None, None]}


def test_a_byte_order_mark_and_blank_lines_are_no_documents(tmp_path):
    path = write(tmp_path, b'\xef\xbb\xbf{"text": "a"}\r\n\r\n  \n{"text": "b"}')
    assert jsonl.inspect(path, "jsonl").rows == 2
    (lines,) = jsonl.read(path, "jsonl", 1 << 20)
    assert jsonl.columns(lines, WANTED)[0].column("text").to_pylist() == ["a", "b"]


@given(st.lists(st.binary(max_size=200)))
def test_no_line_whatever_its_bytes_raises(lines):
    lines = [line.replace(b"\n", b"") for line in lines]
    batch, faults = jsonl.columns(lines, WANTED)
    assert batch.num_rows == len(lines)
    assert all(batch.column("text")[row].as_py() is None for row in faults)
