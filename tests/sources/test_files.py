"""Which files a recipe's input means, and what is known of each after one reading."""

import gzip
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.sources import find, inspect
from schemas.errors import Finding


def find_files(patterns: list[str], base: Path) -> tuple[dict[str, str], list[Finding], int]:
    found = find(patterns, base)
    return found.files, found.findings, found.ignored


@pytest.fixture
def corpus(tmp_path):
    for name in ("b.parquet", "a.parquet", "deep/c.parquet", "_part.parquet", ".hidden.parquet", "_tmp/d.parquet"):
        path = tmp_path / "crawl" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"text": [name]}), path)
    (tmp_path / "crawl" / "lines.JSONL").write_text('{"text": "x"}\n')
    (tmp_path / "crawl" / "notes.log").write_text("nothing reads this")
    (tmp_path / "crawl" / "_SUCCESS").write_text("")
    return tmp_path


def names(paths, base):
    return [os.path.relpath(path, base) for path in paths]


def test_a_folder_is_read_deep_and_sorted_without_hidden_and_underscore_files(corpus):
    paths, findings, ignored = find_files(["crawl"], corpus)
    assert names(paths, corpus / "crawl") == ["a.parquet", "b.parquet", "deep/c.parquet", "lines.JSONL"]
    assert (findings, ignored) == ([], 1)


def test_patterns_keep_their_order_and_each_is_sorted(corpus):
    paths, findings, _ = find_files(["crawl/lines.JSONL", "crawl/*.parquet", "crawl/**/c.parquet"], corpus)
    assert not findings
    assert list(paths.values()) == ["crawl/lines.JSONL"] + 3 * ["crawl/*.parquet"] + ["crawl/**/c.parquet"]
    assert names(paths, corpus / "crawl") == [
        "lines.JSONL",
        "_part.parquet",
        "a.parquet",
        "b.parquet",
        "deep/c.parquet",
    ]


def test_brackets_in_the_recipes_own_folder_are_no_pattern(tmp_path):
    base = tmp_path / "crawl [2024]"
    base.mkdir()
    pq.write_table(pa.table({"text": ["x"]}), base / "a.parquet")
    assert names(find_files(["*.parquet"], base)[0], base) == ["a.parquet"]
    assert names(find_files([str(base / "a.parquet")], tmp_path)[0], base) == ["a.parquet"]


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("nothing/*.parquet", "matches no file"),
        ("absent.parquet", "matches no file"),
        ("crawl/notes.log", "matches no Parquet, JSON, CSV or text file"),
        ("", "matches no file"),
    ],
)
def test_what_matches_nothing_is_refused_by_name(corpus, pattern, says):
    paths, (finding,), _ = find_files([pattern], corpus)
    assert paths == {}
    assert finding.code == "C020"
    assert f"'{pattern}' {says}" in finding.message
    assert finding.hint


def test_a_file_listed_twice_is_refused(corpus):
    paths, (finding,), _ = find_files(["crawl/a.parquet", "crawl/*.parquet"], corpus)
    assert finding.code == "C024"
    assert "a.parquet" in finding.message
    assert list(paths.values()).count("crawl/a.parquet") == 1  # and belongs to the first that found it
    assert find_files(["crawl", "crawl"], corpus)[1]


def test_one_reading_of_a_parquet_file_tells_all_about_it(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a", "b", "c"], "n": [1, 2, 3]}), path, row_group_size=2)
    file = inspect(str(path))
    assert (file.format, file.rows, [rows for rows, _ in file.groups], file.error) == ("parquet", 3, [2, 1], None)
    assert file.schema.names == ["text", "n"]
    again = tmp_path / "copy.parquet"
    again.write_bytes(path.read_bytes())
    assert inspect(str(again)).fingerprint == file.fingerprint


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_a_file_of_zero_bytes_is_named_and_has_no_rows(tmp_path, name):
    (tmp_path / name).touch()
    file = inspect(str(tmp_path / name))
    assert (file.rows, file.error) == (0, "is empty (0 bytes)")


def test_a_file_that_holds_no_documents_is_no_error(tmp_path):
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_text("\n \n")
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(b""))
    for name in ("a.parquet", "b.jsonl", "c.jsonl.gz"):
        file = inspect(str(tmp_path / name))
        assert (file.rows, file.error) == (0, None)


def test_a_truncated_or_foreign_parquet_file_says_so_in_one_line(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a" * 1000]}), path)
    path.write_bytes(path.read_bytes()[:-20])
    (tmp_path / "b.parquet").write_bytes(b"PK\x03\x04 a zip archive, really")
    for name in ("a.parquet", "b.parquet"):
        file = inspect(str(tmp_path / name))
        assert file.error.startswith("is not a readable Parquet file")
        assert "\n" not in file.error
        assert file.rows == 0


def test_two_columns_of_one_name_are_an_error_of_the_file(tmp_path):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(table, tmp_path / "a.parquet")
    assert inspect(str(tmp_path / "a.parquet")).error == "has two columns named 'text'"


def test_a_file_that_vanished_is_an_error_and_no_exception(tmp_path):
    assert "cannot be read" in inspect(str(tmp_path / "gone.parquet")).error
