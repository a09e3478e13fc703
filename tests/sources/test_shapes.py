"""Types of Parquet that say the same in other ways are read alike; files that differ at any depth are merged."""

import datetime
import json
import uuid
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.sources import cut_shards, inspect, jsonl, read_batches
from curation.sources.shapes import common, fitted, light_slices, plain, weight
from pipelines.workspace import Workspace
from schemas.documents import TEXT

UUIDS = [uuid.UUID(int=7), None, uuid.UUID(int=9)]


def extension(kind, storage):
    return pa.ExtensionArray.from_storage(kind, storage)


TEXTS = {
    "json": extension(pa.json_(), pa.array(["a", None, "b"])),
    "large json": extension(pa.json_(pa.large_string()), pa.array(["a", None, "b"], pa.large_string())),
    "json of views": extension(pa.json_(pa.string_view()), pa.array(["a", None, "b"], pa.string_view())),
    "opaque": extension(pa.opaque(pa.string(), "t", "v"), pa.array(["a", None, "b"])),
    "dictionary": pa.array(["a", None, "b"]).dictionary_encode(),
    "dictionary of bytes": pa.array([b"a", None, b"b"]).dictionary_encode(),
    "dictionary of large": pa.array(["a", None, "b"], pa.large_string()).dictionary_encode(),
    "views": pa.array(["a", None, "b"], pa.string_view()),
    "byte views": pa.array([b"a", None, b"b"], pa.binary_view()),
}


def read(path, field):
    shards = cut_shards([inspect(str(path))], 1 << 30)
    return [
        value for shard in shards for batch in read_batches(shard, pa.schema([field])) for value in batch.columns[0]
    ]


@pytest.mark.parametrize("column", TEXTS.values(), ids=TEXTS)
def test_a_text_is_a_text_whatever_it_is_stored_as(tmp_path, column):
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet", pa.field("text", TEXT, metadata=jsonl.STRICT))
    assert [value.as_py() for value in found] == ["a", None, "b"]
    kind = plain(inspect(str(tmp_path / "a.parquet")).schema.field("text").type)
    assert kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())


@pytest.mark.parametrize("wanted", [TEXT, pa.string()])
def test_a_uuid_is_its_text(tmp_path, wanted):
    column = extension(pa.uuid(), pa.array([None if u is None else u.bytes for u in UUIDS], pa.binary(16)))
    pq.write_table(pa.table({"id": column}), tmp_path / "a.parquet")
    assert plain(column.type) == pa.string()
    found = read(tmp_path / "a.parquet", pa.field("id", wanted))
    assert [value.as_py() for value in found] == [None if u is None else str(u) for u in UUIDS]


NESTED = [
    pa.array([[{"a": "x"}], None, []], pa.list_(pa.struct([("a", pa.dictionary(pa.int32(), pa.string()))]))),
    pa.array([[{"a": "x"}], None, []], pa.large_list(pa.struct([("a", pa.string_view())]))),
    pa.array([[{"a": "x"}], None, []], pa.list_view(pa.struct([("a", pa.string())]))),
]


@pytest.mark.parametrize("column", NESTED, ids=lambda column: str(column.type)[:30])
def test_what_lies_inside_lists_and_objects_is_plain_too(column):
    kind = plain(column.type)
    assert plain(kind) == kind
    made = fitted(column, pa.list_(pa.struct([("a", pa.string())])))
    assert made.to_pylist() == [[{"a": "x"}], None, []]
    assert fitted(column.slice(1), kind).to_pylist() == [None, []]


def test_other_extensions_are_what_they_are_stored_as():
    flags = extension(pa.bool8(), pa.array([1, None, 0], pa.int8()))
    assert fitted(flags, plain(flags.type)).to_pylist() == [True, None, False]
    kind = pa.fixed_shape_tensor(pa.float32(), [2])
    tensor = extension(kind, pa.array([[1, 2], [3, 4]], pa.list_(pa.float32(), 2)))
    assert fitted(tensor, plain(kind)).to_pylist() == [[1, 2], [3, 4]]
    runs = pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"])
    assert fitted(runs, plain(runs.type)).to_pylist() == ["a", "a", "b"]


CALLS = pa.list_(pa.struct([("name", pa.string()), ("arguments", pa.struct([("city", pa.string())]))]))
MESSAGE = [("role", pa.string()), ("content", pa.string())]
DIFFERENT = {
    "another member": (pa.struct(MESSAGE), pa.struct([*MESSAGE, ("tool_calls", CALLS)])),
    "another order": (pa.struct(MESSAGE), pa.struct(MESSAGE[::-1])),
    "large texts": (pa.struct(MESSAGE), pa.struct([("role", pa.string()), ("content", pa.large_string())])),
    "nulls": (pa.struct(MESSAGE), pa.struct([("role", pa.string()), ("content", pa.null())])),
    "deeper": (
        pa.struct([*MESSAGE, ("tool_calls", CALLS)]),
        pa.struct([*MESSAGE, ("tool_calls", pa.list_(pa.struct([("id", pa.int8()), ("name", pa.string())])))]),
    ),
    "numbers": (pa.struct([("n", pa.int8())]), pa.struct([("n", pa.float32())])),
    "no message": (pa.struct(MESSAGE), pa.null()),
}


@pytest.mark.parametrize("listed", [pa.list_, pa.large_list, lambda kind: pa.list_(pa.list_(kind))])
@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_types_that_differ_at_any_depth_have_one_that_holds_both(one, other, listed):
    shared = common(listed(one), listed(other))
    assert shared is not None
    assert common(listed(other), listed(one)) is not None
    for kind in (one, other):
        value = (
            {}
            if pa.types.is_null(kind)
            else {f.name: None if pa.types.is_null(f.type) else sample(f.type) for f in kind}
        )
        wrapped = [value or None]
        column = pa.array([wrapped, None] if listed(kind).value_type == kind else [[wrapped], None], listed(kind))
        made = fitted(column, shared).to_pylist()
        assert without_nulls(made) == without_nulls(column.to_pylist())


def sample(kind):
    if pa.types.is_list(kind):
        return [sample(kind.value_type)]
    if pa.types.is_struct(kind):
        return {field.name: sample(field.type) for field in kind}
    return "x" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else 1


def without_nulls(value):
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def test_maps_timestamps_and_what_has_nothing_in_common():
    one, other = pa.map_(pa.string(), pa.int8()), pa.map_(pa.string(), pa.float32())
    column = pa.array([[("a", 1)], None, []], one)
    assert fitted(column, common(one, other)).to_pylist() == [[("a", 1.0)], None, []]
    assert common(pa.timestamp("s"), pa.timestamp("us")) == pa.timestamp("us")
    assert common(pa.timestamp("s"), pa.timestamp("ns")) == pa.timestamp("us"), "nanoseconds end in 2262"
    for pair in [(pa.struct([("a", pa.int8())]), pa.struct([("a", pa.string())])), (pa.list_(pa.int8()), pa.int8())]:
        assert common(*pair) is None


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (pa.decimal128(5, 2), pa.decimal128(10, 3), pa.decimal128(10, 3)),
        (pa.decimal128(38, 2), pa.decimal128(38, 10), pa.decimal256(46, 10)),
        (pa.duration("s"), pa.duration("us"), pa.duration("us")),
        (pa.time32("s"), pa.time64("ns"), pa.time64("ns")),
        (pa.date32(), pa.date64(), pa.date32()),
        (pa.date32(), pa.timestamp("ns"), pa.timestamp("us")),
        (pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("us")),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_files_of_two_kinds_of_numbers_and_times_are_written_as_one(tmp_path, one, other, shared, inside):
    """pandas writes nanoseconds, Spark microseconds: that is no reason to refuse, nor to fail when it is written."""
    for name, kind in (("a", one), ("b", other)):
        moment = pa.types.is_timestamp(kind) and kind.unit == "ns"
        value = pa.array([1_577_836_800_123_456_789 if moment else 1])
        value = pa.array([Decimal(1)], kind) if pa.types.is_decimal(kind) else value.cast(_whole(kind)).cast(kind)
        column = pa.StructArray.from_arrays([value], names=["of"]) if inside else value
        pq.write_table(pa.table({"text": ["some words"], "x": column}), tmp_path / f"{name}.parquet")
    recipe = {"name": "x", "input": {"path": str(tmp_path / "*.parquet")}, "stages": []}
    done = Workspace(tmp_path / "ws").run(recipe, executor="local", workers=1)
    assert (done.outcome, done.rows) == ("done", 2), done.failures
    [part] = Path(done.folder).glob("data/*.parquet")
    found = pq.read_schema(part).field("x").type
    assert (found.field("of").type if inside else found) == shared


def _whole(kind):
    return pa.int32() if kind.bit_width == 32 else pa.int64()


def test_decimals_that_no_type_holds_have_nothing_in_common():
    assert common(pa.decimal256(76, 0), pa.decimal256(76, 10)) is None
    assert common(pa.date32(), pa.timestamp("us", "UTC")) is None, "a day begins at another moment in each zone"


def test_dates_that_python_does_not_know_are_json_too(tmp_path):
    far = pa.array([{"at": 2**61, "for": 5, "day": 2**30}], pa.struct(
        [("at", pa.timestamp("ms")), ("for", pa.duration("ns")), ("day", pa.date32())]
    ))  # fmt: skip
    near = pa.array([{"at": 1}], pa.struct([("at", pa.timestamp("ns"))]))
    broken = pa.array([{"a": b"\xff"}], pa.struct([("a", pa.binary())])).cast(pa.struct([("a", pa.binary())]))
    for number, column in enumerate((far, near, broken)):
        pq.write_table(pa.table({"meta": column}), tmp_path / f"{number}.parquet", store_schema=True)
        [found] = read(tmp_path / f"{number}.parquet", pa.field("meta", TEXT, metadata=jsonl.NESTED))
        assert json.loads(found.as_py())
    when = pa.array([{"at": datetime.datetime(2024, 2, 29, 1, 2, 3)}], pa.struct([("at", pa.timestamp("us"))]))
    pq.write_table(pa.table({"meta": when}), tmp_path / "c.parquet")
    [found] = read(tmp_path / "c.parquet", pa.field("meta", TEXT, metadata=jsonl.NESTED))
    assert found.as_py() == '{"at":"2024-02-29T01:02:03"}', "as ever"


def test_what_stands_in_many_rows_weighs_as_often():
    text = pa.array(["x" * 1000])
    encoded = pa.DictionaryArray.from_arrays(pa.array([0] * 5000), text)
    assert weight(encoded) == 5000 * 1008
    assert weight(pa.array([{"a": 1}] * 3)) == 24
    slices = list(light_slices(pa.record_batch({"a": encoded}), 100_000))
    assert sum(part.num_rows for part in slices) == 5000
    assert max(part.num_rows for part in slices) <= 99
