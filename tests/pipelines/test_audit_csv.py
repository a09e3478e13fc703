"""The file of an audit, as spreadsheets write it: encodings, dialects, and cells that were kept from being formulas."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.results.audit_csv import read_rows, write
from schemas.errors import CurationError

ROWS = [
    {
        "audit": "a",
        "doc_id": "1",
        "path": "/in/=x.parquet",
        "row": "0",
        "label": "good",
        "note": "naïve, “quoted”; 東京",
    },
    {"audit": "a", "doc_id": "2", "path": "/in/x", "row": "1", "label": "bad", "note": 'two\nlines and a "quote"'},
    {"audit": "a", "doc_id": "3", "path": "/in/x", "row": "2", "label": "", "note": "sep=;"},
]
MARKED = ("utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("stated", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", *MARKED])
def test_every_dialect_reads_the_same(encoding: str, stated: bool, delimiter: str, end: str, tmp_path: Path) -> None:
    out = io.StringIO()
    if stated:
        out.write(f"sep={delimiter}{end}")
    writer = csv.DictWriter(out, list(ROWS[0]), delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(ROWS)
    (tmp_path / "labels.csv").write_bytes(out.getvalue().encode(encoding))
    read = list(read_rows(tmp_path / "labels.csv"))
    assert [row for _, row in read] == ROWS
    assert [line - stated for line, _ in read] == [2, 3, 5]


def test_cp1252_is_read_where_it_is_no_utf8(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes("audit;doc_id;label;note\na;1;good;naïve €\n".encode("cp1252"))
    [(_, row)] = read_rows(tmp_path / "labels.csv")
    assert row["note"] == "naïve €"


@pytest.mark.parametrize("data", [b"", b"\0\0\0", b"\xff\xfe\0", "a,b\n1,2\n".encode("utf-16"), b"sep=,\n"])
def test_what_is_no_audit_is_a_finding(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(data)
    with pytest.raises(CurationError, match="C041"):
        list(read_rows(tmp_path / "labels.csv"))


def test_a_file_that_is_not_there_is_looked_for_where_the_command_is_given(tmp_path: Path) -> None:
    with pytest.raises(CurationError, match="does not exist") as refused:
        list(read_rows(tmp_path / "labels.csv"))
    assert "recipe" not in str(refused.value)


def test_no_cell_is_a_formula_and_each_comes_back(tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@x", "'=1", "\t=1", "plain", "'plain", None, "＝1"]
    paths = [f"=cmd|{n}" for n in range(len(texts))]
    numbers = list(range(len(texts)))
    documents = pa.table({"doc_id": numbers, "path": paths, "row": [-n for n in numbers], "text": texts})
    write(tmp_path / "out.csv", "a", documents)
    with open(tmp_path / "out.csv", encoding="utf-8-sig", newline="") as stream:
        cells = list(csv.DictReader(stream))
    for cell in cells:
        for name in ("path", "text", "note", "label", "audit"):
            assert not cell[name].startswith(("=", "+", "-", "@", "\t", "\r", "＝")), cell
    assert [cell["row"] for cell in cells] == [str(-n) for n in numbers], "numbers stay numbers"
    read = [row for _, row in read_rows(tmp_path / "out.csv")]
    assert [row["path"] for row in read] == paths
    assert [row["text"] for row in read] == [(text or "").strip() if text != "\t=1" else text for text in texts]
