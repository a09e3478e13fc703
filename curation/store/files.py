"""A workspace on an object store as a file system that DuckDB reads: of this one prefix, and nothing is written."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

import fsspec

from curation.store import remote
from curation.store.base import Store
from curation.store.scan import plain

HELD = 64
"""Small files that are kept in memory; DuckDB asks for each several times."""


class StoreFiles(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """Paths are the URLs of a store's files; all others raise PermissionError, and so does writing."""

    cachable = False

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.root = f"{store.uri('')}/"
        self.protocol = (self.root.partition("://")[0],)
        self._sizes: dict[str, int] = {}
        self._small: dict[str, bytes] = {}

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        return {"name": path, "type": "file", "size": self._size(path)}

    def modified(self, path: str) -> datetime:
        """Always the same: files of a workspace do not change."""
        self._inside(path)
        return datetime.fromtimestamp(0, UTC)

    def glob(self, path: str, maxdepth: int | None = None, **kwargs: Any) -> list[str]:
        """`*` matches slashes too. A path with its marks in brackets (`curation.store.scan`) is that one file."""
        one = plain(path)
        if one.startswith(self.root) and (one != path or not any(mark in path for mark in "*?[")):
            return [one] if self.exists(one) else []
        self._inside(path)
        fixed = path[: min(path.find(mark) % (len(path) + 1) for mark in "*?[")].rpartition("/")[0]
        names = (f"{fixed}/{name}" for name in remote.below(fixed))
        return sorted(name for name in names if fnmatchcase(name, path))

    def exists(self, path: str, **kwargs: Any) -> bool:
        try:
            self._size(path)
        except FileNotFoundError:
            return False
        return True

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        if mode != "rb":
            raise PermissionError(f"{path} can only be read here")
        size = self._size(path)
        return io.BytesIO(self._small[path]) if path in self._small else remote.Reader(path, size)

    def _size(self, path: str) -> int:
        self._inside(path)
        if path not in self._sizes:
            content = remote.fetch(path, 0, remote.BLOCK)
            if len(content) < remote.BLOCK:
                if len(self._small) >= HELD:
                    dropped = next(iter(self._small))
                    del self._small[dropped], self._sizes[dropped]
                self._small[path] = content
            self._sizes[path] = len(content) if path in self._small else remote.stat(path).size
        return self._sizes[path]

    def _inside(self, path: str) -> None:
        if not path.startswith(self.root) or ".." in path.split("/"):
            raise PermissionError(f"{path} is not in this workspace")
