"""Batches have the wanted columns and types, whatever the file holds; what cannot be read is named."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.sources import cut_shards, inspect, read_batches
from curation.sources.texts import repaired, valid_text
from schemas.documents import TEXT
from schemas.errors import CurationError


def shard_of(path, limit=1 << 30):
    return cut_shards([inspect(str(path))], limit)[0]


def read(path, wanted, shard=None):
    batches = list(read_batches(shard or shard_of(path), wanted))
    return pa.Table.from_batches([batch.columns for batch in batches], schema=wanted)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", None, "ä"]),
        pa.array(["a", None, "ä"], pa.large_string()),
        pa.array(["a", None, "ä"], pa.string_view()),
        pa.array(["a", None, "ä"]).dictionary_encode(),
        pa.array([b"a", None, "ä".encode()], pa.binary()),
        pa.array([b"a", None, "ä".encode()], pa.large_binary()),
        pa.array([b"a", None, "ä".encode()], pa.binary_view()),
    ],
    ids=lambda column: str(column.type),
)
def test_text_is_read_from_every_kind_of_string_and_binary(tmp_path, column):
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    table = read(tmp_path / "a.parquet", pa.schema([("text", TEXT)]))
    assert table.column("text").to_pylist() == ["a", None, "ä"]


def test_a_column_that_the_file_lacks_is_null_and_numbers_widen(tmp_path):
    pq.write_table(pa.table({"n": pa.array([1, 2**53 + 1], pa.int64())}), tmp_path / "a.parquet")
    table = read(tmp_path / "a.parquet", pa.schema([("n", pa.float64()), ("gone", pa.list_(pa.string()))]))
    assert table.to_pydict() == {"n": [1.0, float(2**53)], "gone": [None, None]}
    only = read(tmp_path / "a.parquet", pa.schema([("gone", TEXT)]))
    assert only.num_rows == 2


@pytest.mark.parametrize("kind", [pa.binary(), pa.string(), pa.large_string()])
def test_invalid_utf8_spoils_its_own_document_alone(tmp_path, kind):
    raw = pa.array([b"good", b"\xff\xfe", None], pa.binary() if kind != pa.large_string() else pa.large_binary())
    pq.write_table(pa.table({"text": raw if kind == pa.binary() else raw.view(kind)}), tmp_path / "a.parquet")
    table = read(tmp_path / "a.parquet", pa.schema([("text", TEXT)]))
    text, bad = valid_text(table.column("text").chunk(0))
    assert (text.to_pylist(), bad.tolist()) == (["good", None, None], [False, True, False])
    assert repaired(table.column("text").chunk(0)).to_pylist() == ["good", "��", None]


def test_a_damaged_page_behind_a_good_footer_is_r001_naming_the_file(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"document {n} " * 50 for n in range(2000)]}), path, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    data[500:520] = b"\x55" * 20
    path.write_bytes(data)
    shard = shard_of(path)
    assert shard.error is None
    with pytest.raises(CurationError) as caught:
        read(path, pa.schema([("text", TEXT)]), shard)
    (finding,) = caught.value.findings
    assert finding.code == "R001"
    assert str(path) in finding.message
    assert "\n" not in finding.message


def test_a_flipped_byte_in_uncompressed_text_is_found_where_the_file_has_checksums(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table({"text": ["a letter in the middle of this text will change"]})
    plain = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    pq.write_table(table, path, write_page_checksum=True, **plain)
    path.write_bytes(path.read_bytes().replace(b"letter", b"lettre"))
    with pytest.raises(CurationError, match="R001"):
        read(path, pa.schema([("text", TEXT)]))


def test_a_file_that_changed_or_vanished_since_the_plan_is_r002(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["one"]}), path)
    shard = shard_of(path)
    os.utime(path, ns=(1, 1))
    assert read(path, pa.schema([("text", TEXT)]), shard).num_rows == 1, "the same bytes at another time are the same"
    pq.write_table(pa.table({"text": ["two"]}), path)
    with pytest.raises(CurationError, match="R002"):
        read(path, pa.schema([("text", TEXT)]), shard)
    path.unlink()
    with pytest.raises(CurationError, match="R002"):
        read(path, pa.schema([("text", TEXT)]), shard)


def test_row_groups_that_nobody_needs_are_not_read(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [str(n) for n in range(30)]}), path, row_group_size=10)
    batches = list(read_batches(shard_of(path), pa.schema([("text", TEXT)]), lambda start, rows: start == 10))
    assert [(batch.start, batch.columns.num_rows) for batch in batches] == [(10, 10)]


def test_rows_are_counted_from_the_shards_first_row_group(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [str(n) for n in range(30)]}), path, row_group_size=10)
    texts = []
    for shard in cut_shards([inspect(str(path))], 1):
        for batch in read_batches(shard, pa.schema([("text", TEXT)])):
            assert batch.start == 0
            texts += batch.columns.column("text").to_pylist()
    assert texts == [str(n) for n in range(30)]
