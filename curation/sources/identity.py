"""What names a file's content: its bytes, and for some formats how they are read."""

from __future__ import annotations

import xxhash

READ_AS = {"txt": "a text", "txt-line": "a line", "csv": "csv", "tsv": "tsv"}
"""Formats that make other documents of the same bytes than the one of a Parquet or JSON file, whose names are those of
the bytes alone: row 0 of lines is another document than the file, and a cell of CSV ends where one of TSV goes on. What
is stored of the one must not be taken for the other's."""
MARK = {b"named": b"by format"}
"""Metadata of the schema of a file whose fingerprint is one of this kind: before, those of CSV and whole texts were
those of their bytes."""


def identity(fingerprint: str, name: str) -> str:
    """The fingerprint of a file, from that of its bytes."""
    how = READ_AS.get(name.partition(".")[0])
    return fingerprint if how is None else xxhash.xxh3_128(f"{fingerprint} {how}".encode()).hexdigest()


def is_named(name: str, metadata: dict[bytes, bytes]) -> bool:
    """Whether a recorded fingerprint is what the file would be given now."""
    return name.partition(".")[0] not in ("txt", "csv", "tsv") or metadata.get(b"named") == MARK[b"named"]
