"""Files of a workspace that say themselves whether they are whole.

A commit record holds the hash of all its own bytes (its seal) beside its Parquet schema; a data file has the hash of
its bytes in its name. Both are XXH3-128, at the speed of memory: against disks and half-made copies, not people.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Any

import pyarrow as pa
import xxhash

from curation import parquet
from schemas.errors import CurationError, Finding, command

SEAL = b"curation.seal"
"""Metadata of a record: the hash of the file's name and bytes, with zeros where the hash stands."""
WRITER = b"curation.writer"
"""Metadata of a record, unlike any other record's: whoever lost an answer knows its own again."""
_BLANK = b"0" * 32
_HEADER = 2
"""Bytes between a key of the footer and its value: the field's type, and the length."""
_CONTENT = re.compile(r"(?:^|-)([0-9a-f]{32})(?=[-.])")


class DamagedFileError(CurationError):
    """A file of the workspace is gone, or not what was written."""

    def __init__(self, workspace: object, name: str, why: str, code: str = "R011") -> None:
        self.location = f"{str(workspace).rstrip('/')}/{name}"
        super().__init__(Finding(code, f"{self.location} {why}", mend(workspace)))
        self.workspace = workspace
        self.name = name
        self.why = why

    def __reduce__(self) -> Any:
        return type(self), (self.workspace, self.name, self.why, self.findings[0].code)


def mend(workspace: object) -> str:
    """What to do about damage to a workspace."""
    verify, retry = (command(words, workspace) for words in ("verify", "retry"))
    return f"`{verify}` sets damaged files aside; then run the recipe again, or `{retry}`: it does their work anew"


GONE = "is gone, and other records of the workspace need it"
CHANGED = "is damaged: its bytes are not those that were written"
NO_FILE = (errno.EISDIR, errno.EIO, errno.ELOOP)
"""What the system says of a folder in a file's place, of a sector that cannot be read, of a link to itself."""


def unreadable(failure: OSError) -> str | None:
    """What is wrong with a file of the workspace that is there and gives no bytes; None for any other refusal."""
    return f"is damaged: {failure.strerror}" if failure.errno in NO_FILE else None


def sealed(name: str, table: pa.Table, unlike_any: bool = False) -> bytes:
    """A record's file: a table as Parquet, with the seal of its name-to-be. `unlike_any` makes it unlike any other."""
    sink = pa.BufferOutputStream()
    with parquet.writer(sink, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({SEAL: _BLANK} | ({WRITER: os.urandom(16).hex()} if unlike_any else {}))
    content = bytearray(sink.getvalue())
    place = _seal_offset(content)
    assert content[place : place + 32] == _BLANK
    content[place : place + 32] = _seal(name, content, place)
    return bytes(content)


def unsealed(workspace: object, name: str, content: bytes) -> pa.Table:
    """The table of a record's file. Raises DamagedFileError (C048) unless it is what was written."""
    fault = broken_seal(name, content)
    if not fault:
        try:
            with parquet.opened(pa.BufferReader(content)) as file:
                return file.read(use_threads=False)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as failure:
            fault = f"is damaged: {(str(failure).splitlines() or ['it cannot be read'])[0]}"
    raise DamagedFileError(workspace, name, fault, "C048")


def broken_seal(name: str, content: bytes) -> str | None:
    """What is wrong with a record's bytes: None where nothing is, "" where they have no seal (earlier versions)."""
    if not content:
        return "is damaged: it is empty"
    if content[:4] != b"PAR1" or content[-4:] != b"PAR1":
        return "is damaged: it is no whole Parquet file"
    seal_offset = _seal_offset(content)
    if seal_offset < 0:
        return ""
    return None if content[seal_offset : seal_offset + 32] == _seal(name, content, seal_offset) else CHANGED


def content_of(name: str) -> str | None:
    """The hash that a data file has in its name; None where there is none, as in earlier versions."""
    found = _CONTENT.findall(name.rpartition("/")[2])
    return found[-1] if found else None


def with_content(name: str, content: str) -> str:
    """The name that a data file gets for its bytes."""
    stem, dot, ending = name.rpartition(".")
    return f"{stem}-{content}{dot}{ending}"


def _seal_offset(content: bytes | bytearray) -> int:
    found = content.rfind(SEAL)
    return found if found < 0 else found + len(SEAL) + _HEADER


def _seal(name: str, content: bytes | bytearray, offset: int) -> bytes:
    view = memoryview(content)
    state = xxhash.xxh3_128(f"{name}\0".encode())
    state.update(view[:offset])
    state.update(_BLANK)
    state.update(view[offset + 32 :])
    return state.hexdigest().encode()
