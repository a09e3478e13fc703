"""What the engine asks of storage, whether it is a folder or a prefix of an object store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.store.failures import StoreError
from curation.store.seal import CHANGED, GONE, DamagedFileError, content_of

TEMPORARY = ".tmp-"
DAMAGED = "damaged"
"""Folder of what was set aside."""


@dataclass(frozen=True)
class Written:
    """A file as it was put into the store."""

    bytes: int
    content: str
    """XXH3-128, as 32 hexadecimal digits."""
    name: str


@dataclass(frozen=True)
class Entry:
    """A file that is there."""

    size: int
    mtime: float
    """Seconds since 1970, by the store's clock."""


class Store(ABC):
    """A workspace's storage, as `curation.store.open_store` opens it.

    Names are relative, with forward slashes. A file, once written, does not change; only `replace` and fitted heads,
    whose name is their content's, are written twice. All methods raise OSError for what the storage refuses. Those that
    read a data file raise DamagedFileError where it is gone, or not what its name says (`curation.store.seal`).
    """

    root: Any
    """Path of a folder, or a URL."""
    far = False
    """Whether each request takes long, so that many are better sent side by side."""

    @abstractmethod
    def prepare(self) -> None:
        """See that the storage can hold a workspace: it is there, can be written to, and lets one of two create."""

    @abstractmethod
    def uri(self, name: str) -> str:
        """Where a file is, as users and DuckDB name it."""

    def checked(self, name: str) -> str:
        """The same of a data file that is what was written: its bytes are compared when a process first asks."""
        self.check(name)
        return self.uri(name)

    def check(self, name: str, content: str | None = None) -> None:
        """Raise DamagedFileError unless a data file is there, and has the content that is recorded or in its name."""
        due = content or content_of(name)
        actual = self.content(name) if due else "" if self.exists(name) else None
        if actual is None:
            raise DamagedFileError(self.root, name, GONE)
        if due and actual != due:
            raise DamagedFileError(self.root, name, CHANGED)

    @abstractmethod
    def content(self, name: str) -> str | None:
        """XXH3-128 of a file's bytes, None where there is none; read again only where it is not the file it was."""

    @abstractmethod
    def location(self, name: str) -> Path | str:
        """The same, for those who go on from there: a path where it is one."""

    @abstractmethod
    def path(self, name: str) -> Path:
        """Where a file lies on the local disk. Raises CurationError C030 where the workspace is on an object store."""

    @abstractmethod
    def source(self, name: str) -> Any:
        """What pyarrow reads a data file from."""

    @abstractmethod
    def mapped(self, name: str) -> Any:
        """The same, to be read in a few places: mapped into memory, or fetched by ranges. A context manager."""

    @contextmanager
    def reading(self, name: str, mapped: bool = False) -> Iterator[Any]:
        """`source` or `mapped`, of a file that is read inside: where it cannot be, it is damaged.

        A large file on an object store, and one of a version that put no hash into names, is known by its pages alone.
        """
        source = self.mapped(name) if mapped else self.source(name)
        try:
            yield source
        except StoreError:
            raise
        except (pa.ArrowException, OSError) as failure:
            if isinstance(failure, MemoryError) or getattr(failure, "errno", None) is not None:
                raise  # what the system refused
            why = (str(failure).splitlines() or ["it cannot be read"])[0]
            raise DamagedFileError(self.root, name, f"is damaged: {why}") from failure

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A whole small file. Raises FileNotFoundError."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether there is such a file or folder."""

    @abstractmethod
    def write(self, name: str, produce: Callable[[Path], Any]) -> Written:
        """Make a whole file at once: `produce` fills a temporary one on the local disk, which then gets its name.

        Several may write one name at once: the last one stands. After an exception nothing is left behind.
        """

    @abstractmethod
    def add(self, name: str, produce: Callable[[Path], Any]) -> Written:
        """The same, of a data file: the hash of its content is put into its name, before the ending."""

    @abstractmethod
    def replace(self, name: str, made: Path) -> None:
        """Put a finished file, made in `scratch`, in the place of the one that has the name."""

    @abstractmethod
    def create(self, name: str, table: pa.Table) -> bool:
        """Create a small Parquet file, with its seal, unless the name is taken. True for the winner; atomic."""

    @abstractmethod
    def broken(self, name: str) -> str | None:
        """What is wrong with a record (`create`), as `curation.store.seal.broken_seal`; None where it is not there."""

    @abstractmethod
    def set_aside(self, name: str, unless: Callable[[bytes], bool] = lambda content: False) -> bool:
        """Move a file below `damaged/`, so that its name is free. False where it is not there any more.

        `unless` is asked of its bytes, since somebody else may have been faster, and this is the new one.
        """

    @abstractmethod
    def publish(self, name: str, files: Mapping[str, str], card: Callable[[], str], mark: str) -> None:
        """Make the folder `name` of files that were written before (by new name), and of `card` as README.md.

        It is there as a whole or not at all, or on an object store with its README.md last. Where somebody else was
        first, with the same bytes, that stands. `mark` names the attempt.
        """

    @abstractmethod
    def point(self, name: str, to: str) -> None:
        """Make `name` lead to what is called `to` beside it, wherever it led before: a symbolic link on a disk, on an
        object store a small file that holds the name."""

    @abstractmethod
    def pointed(self, name: str) -> str | None:
        """Where `name` leads, as `point` was told; None where it is not there."""

    @abstractmethod
    def names(self, folder: str) -> list[str]:
        """Complete files in a folder of the workspace, sorted; empty when there is none."""

    @abstractmethod
    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of each file in a folder of the workspace, by name."""

    @abstractmethod
    def walk(self) -> Iterator[tuple[str, Entry]]:
        """Every file of the workspace, temporary ones too. On a disk folders that are links to others are left out."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    @abstractmethod
    def tidy(self) -> None:
        """Remove empty folders."""

    @abstractmethod
    def scratch(self, name: str) -> Path:
        """A place on the local disk for a temporary file: to be mapped into memory, spilled to, or grown.

        Its folder may have to be made.
        """
