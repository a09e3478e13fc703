"""A workspace in a folder: temporary files and renames, and hard links, of which one wins."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from curation import failpoints, parquet
from curation.paths import expanded, require_text
from curation.store.base import TEMPORARY, Entry, Store, Written
from schemas.errors import CurationError, Finding


class LocalStore(Store):
    """A workspace's folder. Commits need hard links, which NFS and every local file system of Unix have."""

    root: Path

    def __init__(self, root: str | Path) -> None:
        self.root = expanded(root).absolute()
        require_text(self.root, "the workspace")
        unreadable = _unreadable(str(self.root))
        if unreadable:
            raise CurationError(
                Finding("C030", f"no workspace can be at {str(self.root)!r}: {unreadable}", "choose another folder")
            )

    def prepare(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        probe = self.root / f"{TEMPORARY}probe-{os.getpid()}"
        probe.touch()
        probe.unlink()

    def uri(self, name: str) -> str:
        return str(self.root / name)

    def place(self, name: str) -> Path:
        return self.root / name

    path = place

    def source(self, name: str) -> str:
        return str(self.root / name)

    def mapped(self, name: str) -> Any:
        return pa.memory_map(self.source(name))

    def read(self, name: str) -> bytes:
        return self.path(name).read_bytes()

    def exists(self, name: str) -> bool:
        return self.path(name).exists()

    def write(self, name: str, produce: Callable[[Path], Any]) -> Written:
        final = self.path(name)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(final)
        try:
            produce(temporary)
            sync(temporary)
            written = Written(temporary.stat().st_size, digest(temporary))
            failpoints.hit("before-rename")
            os.replace(temporary, final)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        sync(final.parent)
        return written

    def replace(self, name: str, made: Path) -> None:
        os.replace(made, self.path(name))

    def create(self, name: str, table: pa.Table) -> bool:
        final = self.path(name)
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():
            return False
        temporary = _temporary(final)
        try:
            parquet.write(table, temporary)
            sync(temporary)
            try:
                os.link(temporary, final)
            except FileExistsError:
                return False
        finally:
            with suppress(OSError):
                temporary.unlink()
        sync(final.parent)
        return True

    def publish(self, name: str, files: Mapping[str, str], card: Callable[[], str], mark: str) -> None:
        final = self.path(name)
        if final.exists():
            return
        staging = final.with_name(f"{TEMPORARY}{final.name}-{mark}")
        staging.mkdir(parents=True)
        try:
            for new, old in files.items():
                os.link(self.path(old), staging / new)
            (staging / "README.md").write_text(card(), encoding="utf-8")
            sync(staging / "README.md")
            sync(staging)
            os.rename(staging, final)
        except OSError:  # somebody else's attempt was first, with the same bytes, and has removed what we link
            shutil.rmtree(staging, ignore_errors=True)
            if not final.exists():
                raise
        sync(final.parent)

    def names(self, folder: str) -> list[str]:
        try:
            with os.scandir(self.path(folder)) as entries:
                return sorted(entry.name for entry in entries if not entry.name.startswith(TEMPORARY))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def walk(self) -> Iterator[tuple[str, Entry]]:
        for folder, _, files in os.walk(self.root):
            for file in files:
                path = Path(folder, file)
                with suppress(FileNotFoundError):
                    stat = path.stat()
                    yield path.relative_to(self.root).as_posix(), Entry(stat.st_size, stat.st_mtime)

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self.path(name).unlink()

    def tidy(self) -> None:
        folders = (path for path in self.root.rglob("*") if path.is_dir())
        for folder in sorted(folders, key=lambda path: -len(path.parts)):
            with suppress(OSError):  # not empty, as a rule
                folder.rmdir()

    def scratch(self, name: str) -> Path:
        return self.path(name)


@contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `final` once it is full; after an exception nothing is left of it.

    `final` is not there yet, or empty. The temporary one lies beside it, since a rename must stay on one disk.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{final.name}-", dir=final.parent))
    try:
        yield made
        made.chmod(0o755)
        if final.exists():
            final.rmdir()
        os.rename(made, final)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _unreadable(path: str) -> str | None:
    """Why DuckDB cannot be told to read exactly this path; None where it can."""
    if "\\" in path and any(mark in path for mark in "*?["):
        return "SQL cannot name a path that has a backslash and one of *, ? and ["
    try:
        path.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    return None


def _temporary(final: Path) -> Path:
    return final.with_name(f"{TEMPORARY}{os.getpid()}-{os.urandom(4).hex()}-{final.name}")


def sync(path: Path) -> None:
    """Force a file or a folder's entries to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(path: Path) -> str:
    """XXH3-128 of a file's bytes, as 32 hexadecimal digits."""
    state = xxhash.xxh3_128()
    with open(path, "rb", buffering=0) as source:
        while block := source.read(1 << 22):
            state.update(block)
    return state.hexdigest()
