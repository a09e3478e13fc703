"""Numbers stay what is written, and no field that nobody reads loses a document: JSON lines, JSON arrays and CSV."""

import json

import pyarrow as pa
import pytest

from curation.sources import column_types, cut_shards, inspect, jsonl, read_batches
from schemas.documents import TEXT

READ = pa.field("text", TEXT, metadata=jsonl.STRICT)
CARRIED = pa.field("n", pa.large_string())


def read(path, *wanted):
    shards = cut_shards([inspect(str(path))], 1 << 30)
    batches = [batch for shard in shards for batch in read_batches(shard, pa.schema(wanted))]
    faults = {batch.start + row: fault for batch in batches for row, fault in batch.faults.items()}
    replaced = {batch.start + row: count for batch in batches for row, count in batch.replaced.items()}
    return pa.Table.from_batches([batch.columns for batch in batches]).to_pylist(), faults, replaced


@pytest.fixture(params=["jsonl", "json"])
def write(request, tmp_path):
    """A file of objects, given as JSON, a line each or as an array."""

    def made(*objects):
        path = tmp_path / f"a.{request.param}"
        data = [item if isinstance(item, bytes) else item.encode() for item in objects]
        path.write_bytes(b"\n".join(data) if request.param == "jsonl" else b"[\n" + b",\n".join(data) + b"\n]")
        return path

    return made


DEEP = "[" * 5000 + "]" * 5000


@pytest.mark.parametrize(
    "value",
    [
        b"NaN", b"-Infinity", b"Infinity", b"1e400", b"-1e999999", rb'"\ud800"', rb'{"a": "\udc00"}',
        rb'{"\ud800": 1}',
        DEEP.encode(), b'{"a":' * 3000 + b"1" + b"}" * 3000, b"9" * 5000,
        b'"\xff"', b'{"a": ["\xfe"]}', b"[NaN, 1e999]",
        b'{"a":' * 300 + b"1" + b"}" * 300,
    ],
    ids=lambda value: repr(value[:12]),
)  # fmt: skip
def test_a_field_that_nobody_reads_never_loses_the_document(write, value):
    rows, faults, replaced = read(write(b'{"text": "kept", "odd": ' + value + b"}", '{"text": "too"}'), READ)
    assert ([row["text"] for row in rows], faults, replaced) == (["kept", "too"], {}, {})
    carried, faults, _ = read(write(b'{"text": "kept", "n": ' + value + b"}", '{"text": "too"}'), READ, CARRIED)
    assert not faults
    assert carried[0]["n"] is not None
    carried[0]["n"].encode()


def test_half_a_surrogate_pair_in_the_text_is_one_replacement_character_and_counted(write):
    rows, faults, replaced = read(write(r'{"text": "a\ud800b\udc00\ud83d\ude00"}', '{"text": "b"}'), READ)
    assert [row["text"] for row in rows] == ["a\ufffdb\ufffd\U0001f600", "b"]
    assert (faults, replaced) == ({}, {0: 2})


def test_bytes_that_are_no_utf8_spoil_a_document_by_its_text_alone(write):
    _, faults, _ = read(write(b'{"text": "\xff"}', b'{"text": "b", "n": "\xff"}'), READ)
    assert faults == {0: "line is not valid UTF-8"}


@pytest.mark.parametrize(
    "line",
    [b'{"text": "a",}', b'{"text": "a"} x', b'{"text": NaN}', b'{"text": "a" "b": 1}', b'{"text": tru}', b'{text: 1}',
     b'{"text": "a", "odd": [1e400 2]}', b'{"text": "a", "odd": [1e400}}', b'{"text": 1e400}'],
)  # fmt: skip
def test_what_is_no_json_stays_an_error(tmp_path, line):
    (tmp_path / "a.jsonl").write_bytes(line + b'\n{"text": "b"}\n')
    rows, faults, _ = read(tmp_path / "a.jsonl", READ)
    assert [row["text"] for row in rows] == [None, "b"]
    assert list(faults) == [0]


BIG = [2**53 + 1, 2**63, 2**63 + 1, 2**64, 2**64 + 1, -(2**63) - 1, -(2**63) - 2, 10**30, 10**30 + 1, int("9" * 400)]


@pytest.mark.parametrize("beside", [[], ["1.5"], ["1e300", "2"]], ids=["alone", "a float", "floats"])
def test_integers_of_any_length_are_told_apart(write, beside):
    path = write(*(f'{{"text": "t", "n": {number}}}' for number in [*BIG, *beside]))
    [kind] = {inspect(str(path)).schema.field("n").type}
    assert kind == pa.large_string()
    assert column_types.is_number(inspect(str(path)).schema.field("n"))
    rows, faults, _ = read(path, READ, CARRIED)
    assert not faults
    assert [row["n"] for row in rows][: len(BIG)] == [str(number) for number in BIG]


def test_integers_inside_lists_and_objects_keep_their_digits(write):
    path = write(
        *(f'{{"text": "t", "n": {{"id": [{number}]}}}}' for number in BIG), '{"text": "t", "n": {"sha": "30e45"}}'
    )
    rows, _, _ = read(path, READ, CARRIED)
    assert [json.loads(row["n"])["id"][0] for row in rows[:-1]] == BIG
    assert json.loads(rows[-1]["n"]) == {"sha": "30e45"}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2"], pa.int64()),
        ([str(2**63 - 1), str(-(2**63))], pa.int64()),
        (["1", "1.5"], pa.float64()),
        (["1", "NaN"], pa.float64()),
        (["1e400", "1"], pa.float64()),
        (["0.5", "12345678901234567000"], pa.float64()),  # as JavaScript writes that float
        (["0.5", str(2**53)], pa.float64()),
        (["0.5", str(2**53 + 1)], pa.large_string()),
        (["true", "null"], pa.bool_()),
        (["1", '"1"'], pa.large_string()),
    ],
)
def test_the_type_of_a_column_holds_every_value(write, values, kind):
    path = write(*(f'{{"text": "t", "n": {value}}}' for value in values))
    assert inspect(str(path)).schema.field("n").type == kind


def test_numbers_beyond_a_floats_range_are_infinite_where_floats_are_wanted(write):
    path = write('{"text": "t", "n": 1e400}', '{"text": "t", "n": NaN}', f'{{"text": "t", "n": {10**400}}}')
    rows, faults, _ = read(path, READ, pa.field("n", pa.float64()))
    assert not faults
    assert [str(row["n"]) for row in rows] == ["inf", "nan", "inf"]


def test_csv_cells_that_print_otherwise_keep_their_digits(tmp_path):
    (tmp_path / "a.csv").write_text(
        "text,int,zip,price,float,big,flag\na,1,007,1.50,0.5,99999999999999999999,true\nb,,1,2,1,1,\n"
    )
    file = inspect(str(tmp_path / "a.csv"))
    kinds = [str(file.schema.field(name).type) for name in ("int", "zip", "price", "float", "big", "flag")]
    assert kinds == ["int64", "large_string", "large_string", "double", "large_string", "bool"]
    numbers = [column_types.is_number(file.schema.field(name)) for name in ("zip", "price", "big")]
    assert numbers == [False, True, True]
    rows, faults, _ = read(
        tmp_path / "a.csv", READ, *(pa.field(name, file.schema.field(name).type) for name in file.schema.names[1:])
    )
    assert not faults
    assert rows[0] == {
        "text": "a",
        "int": 1,
        "zip": "007",
        "price": "1.50",
        "float": 0.5,
        "big": "99999999999999999999",
        "flag": True,
    }
    assert (rows[1]["int"], rows[1]["flag"]) == (None, None)


def test_the_first_line_of_each_kind_is_known(write):
    path = write('{"n": 1}', '{"n": 2}', '{"n": "x"}', '{"n": "y"}')
    field = inspect(str(path)).schema.field("n")
    assert column_types.first_line(field, "int") == 1
    assert column_types.first_line(field, "str") == 3
