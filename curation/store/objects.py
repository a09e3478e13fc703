"""A workspace below a prefix of an object store: no renames, no links. Commits are put-if-absent.

Data files carry the attempt in their name and are put there once, whole. S3 does both at once, atomically: PutObject,
and PutObject with `If-None-Match: *`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from curation import failpoints
from curation.store import remote
from curation.store.base import DAMAGED, TEMPORARY, Entry, Store, Written
from curation.store.failures import StoreError
from curation.store.local import digest
from curation.store.seal import CHANGED, GONE, DamagedFileError, broken_seal, content_of, sealed, with_content
from schemas.errors import CurationError, Finding

LOCK = ".put-if-absent"
"""Where `prepare` finds out whether the store refuses to create what is there."""


class ObjectStore(Store):
    """What lies below a URL: s3://bucket/prefix, or another scheme of fsspec that knows exclusive creation."""

    root: str
    far = True

    def __init__(self, root: str | Path) -> None:
        self.root = str(root).rstrip("/")
        remote.located(self.root, given=True)

    def prepare(self) -> None:
        try:
            _, second = (remote.put_if_absent(self.uri(LOCK), os.urandom(8)) for _ in range(2))
        except StoreError as failure:
            if not isinstance(failure.__cause__, NotImplementedError | TypeError | ValueError):
                raise
            second = True
        if second:
            scheme = self.root.partition("://")[0]
            raise CurationError(
                Finding(
                    "C030",
                    f"{self.root}: this store lets two writers create one file",
                    f"a workspace on {scheme}:// needs conditional writes (If-None-Match: *), which S3 has",
                )
            )

    def uri(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root

    def location(self, name: str) -> str:
        return self.uri(name)

    def path(self, name: str) -> Path:
        raise CurationError(
            Finding("C030", f"{self.root} is no local folder", "this needs a workspace on a local disk, for now")
        )

    def source(self, name: str) -> Any:
        """In memory up to BLOCK bytes, by ranges beyond: those are compared page by page, by Parquet's checksums."""
        first = self._first(name)
        if len(first) < remote.BLOCK:
            return pa.BufferReader(first)
        reader = remote.Reader(self.uri(name))
        reader.hold(0, first)
        return pa.PythonFile(reader, mode="r")

    mapped = source

    def checked(self, name: str) -> str:
        _once(self.root, name)
        return self.uri(name)

    def _first(self, name: str) -> bytes:
        """The beginning of a data file, and all of a small one, which is compared."""
        try:
            first = remote.fetch(self.uri(name), 0, remote.BLOCK)
        except FileNotFoundError:
            raise DamagedFileError(self.root, name, GONE) from None
        due = content_of(name)
        if due and len(first) < remote.BLOCK and xxhash.xxh3_128_hexdigest(first) != due:
            raise DamagedFileError(self.root, name, CHANGED)
        return first

    def content(self, name: str) -> str | None:
        try:
            return remote.digest(self.uri(name))
        except FileNotFoundError:
            return None

    def broken(self, name: str) -> str | None:
        try:
            return broken_seal(name, self.read(name))
        except FileNotFoundError:
            return None

    def set_aside(self, name: str, unless: Callable[[bytes], bool] = lambda content: False) -> bool:
        try:
            content = self.read(name)
        except FileNotFoundError:
            return False
        if unless(content):
            return False
        remote.put(self.uri(f"{DAMAGED}/{name}.{os.urandom(4).hex()}"), content)
        remote.remove(self.uri(name))
        return True

    def read(self, name: str) -> bytes:
        return remote.fetch(self.uri(name))

    def exists(self, name: str) -> bool:
        files, path = remote.located(self.uri(name))
        try:
            remote.patiently(f"asking for {self.uri(name)}", lambda: files.info(path))
        except FileNotFoundError:
            return False
        return True

    def write(self, name: str, produce: Callable[[Path], Any]) -> Written:
        return self._write(name, produce, named=False)

    def add(self, name: str, produce: Callable[[Path], Any]) -> Written:
        return self._write(name, produce, named=True)

    def _write(self, name: str, produce: Callable[[Path], Any], named: bool) -> Written:
        temporary = self.scratch(f"{name}{TEMPORARY}{os.urandom(4).hex()}")
        try:
            temporary.parent.mkdir(parents=True, exist_ok=True)
            produce(temporary)
            content = digest(temporary)
            name = with_content(name, content) if named else name
            written = Written(temporary.stat().st_size, content, name)
            failpoints.hit("before-rename")
            remote.put(self.uri(name), temporary)
        finally:
            temporary.unlink(missing_ok=True)
        return written

    def replace(self, name: str, made: Path) -> None:
        remote.put(self.uri(name), made)
        made.unlink()

    def create(self, name: str, table: pa.Table) -> bool:
        return remote.put_if_absent(self.uri(name), sealed(name, table, unlike_any=True))

    def publish(self, name: str, files: Mapping[str, str], card: Callable[[], str], mark: str) -> None:
        """Whoever else publishes puts the same bytes at the same names."""
        for new, old in files.items():
            try:
                remote.copy(self.uri(old), self.uri(f"{name}/{new}"))
            except FileNotFoundError:  # somebody else was first, and has removed what we copy
                published = self.content(f"{name}/{new}")
                if published is None or published != (content_of(old) or published):
                    raise DamagedFileError(self.root, old, GONE) from None
        remote.put(self.uri(f"{name}/README.md"), card().encode())

    def point(self, name: str, to: str) -> None:
        remote.put(self.uri(name), f"{to}\n".encode())

    def pointed(self, name: str) -> str | None:
        try:
            return self.read(name).decode("utf-8", "replace").strip()
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> list[str]:
        return [name for name, _ in remote.listed(self.uri(folder)) if not name.startswith(TEMPORARY)]

    def sizes(self, folder: str) -> dict[str, int]:
        found = remote.listed(self.uri(folder))
        return {name: int(info["size"]) for name, info in found if not name.startswith(TEMPORARY)}

    def walk(self) -> Iterator[tuple[str, Entry]]:
        for name, info in remote.below(self.root).items():
            if name != LOCK:
                yield name, Entry(int(info["size"]), _seconds(info))

    def remove(self, name: str) -> None:
        remote.remove(self.uri(name))

    def tidy(self) -> None:
        """There are no folders, only names."""

    def scratch(self, name: str) -> Path:
        return remote.scratch(self.root) / name


@lru_cache(maxsize=1 << 16)
def _once(root: str, name: str) -> None:
    ObjectStore(root)._first(name)


def _seconds(info: Mapping[str, Any]) -> float:
    """When a file was written, since 1970; now, where the store does not say, so that nothing fresh is swept."""
    for name in ("LastModified", "last_modified", "mtime", "updated", "created"):
        value = info.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
        with suppress(TypeError, ValueError):
            return datetime.fromisoformat(value).timestamp()  # type: ignore[arg-type]
    return time.time()
