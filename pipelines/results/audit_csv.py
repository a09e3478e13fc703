"""The file of an audit: documents out for labelling, labels back in, by way of any spreadsheet or data frame."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from curation.escape import from_sheet, sheet
from curation.sources import csv_rows, rows
from curation.sources.json_array import MalformedError
from curation.sources.rows import UnusableError
from pipelines.results.spelling import spelled
from schemas.documents import TEXT
from schemas.errors import CurationError, Finding, advice

CHARACTERS = 16_000
"""Most of a text in the file: a spreadsheet's cell holds 32,767 UTF-16 units, and a character may take two."""
ANSWERS: dict[str, bool | None] = {
    **dict.fromkeys(("good", "yes", "1", "1.0", "keep"), True),
    **dict.fromkeys(("bad", "no", "0", "0.0", "drop"), False),
    "unsure": None,
}
"""In any case. 1.0 and 0.0 are what a column of 1, 0 and blanks becomes in pandas."""
LINES = 10
"""Lines that one finding lists."""


def write(into: Path, audit: str, documents: pa.Table) -> None:
    """CSV with columns audit, doc_id, path, row, label, note, left_out (characters beyond CHARACTERS), and texts."""
    from pipelines.tables import print_table

    texts = {name: documents.column(name).cast(TEXT) for name in documents.column_names[3:]}
    beyond = [pc.max_element_wise(pc.subtract(pc.utf8_length(text), CHARACTERS), 0) for text in texts.values()]
    blank = pa.repeat("", documents.num_rows)
    table = pa.table(
        {
            "audit": pa.repeat(audit, documents.num_rows),
            "doc_id": documents.column("doc_id"),
            "path": _cell(documents.column("path").cast(TEXT)),
            "row": documents.column("row"),
            "label": blank,
            "note": blank,
            "left_out": reduce(pc.add, beyond),
            **{name: _cell(text) for name, text in texts.items()},
        }
    )
    try:
        with open(into, "x", encoding="utf-8-sig", newline="") as stream:  # with the mark by which Excel knows UTF-8
            print_table(table, "csv", stream)
    except FileExistsError:
        raise exists(into) from None
    except OSError as failure:
        raise refused(into, f"{into} cannot be written: {failure.strerror}", "name another file with --into") from None


def _cell(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """The first CHARACTERS, none of them a formula. A loop over rows: some hundreds are labelled by hand."""
    cut = pc.utf8_slice_codeunits(text, 0, CHARACTERS).to_pylist()
    return pa.chunked_array([pa.array([None if cell is None else sheet(cell) for cell in cut], TEXT)])


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line on which each record begins, and its cells; blank records left out. Raises C041."""
    try:
        rows.check(path, hint="name the file that `curate audit sample` wrote")
        text = rows.text(path)
    except UnusableError as failure:
        if not isinstance(failure.__cause__, UnicodeDecodeError):
            raise refused(path, *advice(failure)) from failure
        text = path.read_bytes().decode("cp1252", errors="replace")  # Excel's plain "CSV"
    stream = io.BufferedReader(io.BytesIO(text.encode()))
    names: list[str] | None = None
    try:
        for line, cells, _ in csv_rows.records(stream, len(text) + 1):
            if isinstance(cells, str):
                raise refused(path, f"{path} is no CSV: {cells}", None, line)
            if names is None:
                names = [cell.strip() for cell in cells]
                missing = [name for name in ("audit", "doc_id", "label") if name not in names]
                if missing:
                    what = f"{path} has no column {', '.join(missing)}"
                    raise refused(path, what, "read the file that `curate audit sample` wrote, as CSV")
            elif any(cells):
                yield line, dict(zip(names, (from_sheet(cell.strip()) for cell in cells), strict=False))
    except MalformedError as failure:
        raise refused(path, f"{path} is no CSV: {failure}", None) from failure
    if names is None:
        what = f"{path} has no column audit, doc_id, label"
        raise refused(path, what, "read the file that `curate audit sample` wrote, as CSV")


def given_labels(
    path: Path, lines: list[tuple[int, dict[str, str]]], names: dict[str, int]
) -> tuple[dict[int, tuple[bool | None, str | None]], int]:
    """Label and note by document, and how many rows have no label. Raises C041 with every line that is wrong."""
    given: dict[int, tuple[bool | None, str | None]] = {}
    unread, unknown, twice = [], [], []
    blank = 0
    for line, row in lines:
        doc_id, label = row.get("doc_id", "").removesuffix(".0"), row.get("label", "").lower()
        name = doc_id
        if not doc_id.isdecimal():
            place = str(row.get("row") or "").removesuffix(".0")
            spellings = [f"{path}#{place}" for path in spelled(row.get("path") or "")]
            name = next((spelling for spelling in spellings if spelling in names), "")
        if name not in names:
            unknown.append((line, row.get("doc_id", "")))
        elif not label:
            blank += 1
        elif label not in ANSWERS:
            unread.append((line, row["label"]))
        elif given.get(names[name], (ANSWERS[label],))[0] != ANSWERS[label]:
            twice.append((line, row["doc_id"]))
        else:
            given[names[name]] = (ANSWERS[label], row.get("note") or None)
    findings = [
        _wrong(path, unread, "is no label", "write good, bad (or yes/no, 1/0, keep/drop) or unsure, or leave it empty"),
        _wrong(path, unknown, "was not sampled for this audit", "leave doc_id as it was written"),
        _wrong(path, twice, "has two labels", "leave one of the lines"),
    ]
    if any(findings):
        raise CurationError(*(finding for finding in findings if finding))
    return given, blank


def _wrong(path: Path, cells: list[tuple[int, str]], what: str, hint: str) -> Finding | None:
    if not cells:
        return None
    listed = ", ".join(f"{cell[:20]!r} in line {line}" for line, cell in cells[:LINES])
    rest = f", and {len(cells) - LINES} more" if len(cells) > LINES else ""
    return Finding("C041", f"{what}: {listed}{rest}", hint, str(path), cells[0][0])


def exists(into: Path) -> CurationError:
    return CurationError(
        Finding("C037", f"{into} is there already, and may hold labels", "name a new file with --into")
    )


def refused(path: Path, message: str, hint: str | None, line: int | None = None) -> CurationError:
    return CurationError(Finding("C041", message, hint, str(path), line))
