"""A workspace in a folder: temporary files and renames, and hard links, of which one wins."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from curation import failpoints
from curation.paths import expanded, require_text
from curation.store.base import DAMAGED, TEMPORARY, Entry, Store, Written
from curation.store.seal import GONE, DamagedFileError, broken_seal, content_of, sealed, unreadable, with_content
from schemas.errors import CurationError, Finding

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)
"""What link(2) says where there are no hard links, or no more of them."""
BLOCK = 1 << 18
"""Bytes that are hashed at once: read into one buffer, which stays in the processor's cache."""
_POINTED = re.compile(rf"datasets/[^/]+/(latest|{re.escape(TEMPORARY)}[^/]*)")
"""Links that `point` makes. Every other one is a user's, who keeps a part of a workspace on another disk."""
NEITHER = "it has neither hard links nor renames that replace nothing, so two writers could create one file"


class LocalStore(Store):
    """A workspace's folder. Commits need hard links, or renames that replace nothing (`create_only`)."""

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
        """Does what a commit does, under names that nobody else has."""
        self.root.mkdir(parents=True, exist_ok=True)
        first, second, taken = (self.root / f"{TEMPORARY}probe-{os.urandom(12).hex()}" for _ in range(3))
        try:
            first.touch()
            second.touch()
            create_only(first, taken)
            try:
                create_only(second, taken)
            except FileExistsError:
                return
            raise OSError(errno.ENOTSUP, "two writers can create one file there")
        finally:
            for left in (first, second, taken):
                with suppress(OSError):
                    left.unlink()

    def uri(self, name: str) -> str:
        return str(self.root / name)

    def location(self, name: str) -> Path:
        return self.root / name

    path = location

    def source(self, name: str) -> str:
        return self.checked(name)

    def mapped(self, name: str) -> Any:
        return pa.memory_map(self.checked(name))

    def read(self, name: str) -> bytes:
        return self.path(name).read_bytes()

    def exists(self, name: str) -> bool:
        return self.path(name).exists()

    def content(self, name: str) -> str | None:
        try:
            return _content(*_moment(self.path(name)))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as failure:
            why = unreadable(failure)
            if why is None:
                raise
            raise DamagedFileError(self.root, name, why) from failure

    def broken(self, name: str) -> str | None:
        try:
            return _broken(name, *_moment(self.path(name)))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as failure:
            why = unreadable(failure)
            if why is None:
                raise
            return why

    def set_aside(self, name: str, unless: Callable[[bytes], bool] = lambda content: False) -> bool:
        path, aside = self.path(name), self.path(f"{DAMAGED}/{name}.{os.urandom(4).hex()}")
        aside.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(path, aside)
        except FileNotFoundError:
            return False
        try:
            content = aside.read_bytes()
        except OSError as failure:
            if unreadable(failure) is None:
                raise
            return True
        if unless(content):
            with suppress(FileExistsError):
                create_only(aside, path)
            aside.unlink(missing_ok=True)
            return False
        return True

    def write(self, name: str, produce: Callable[[Path], Any]) -> Written:
        return self._write(name, produce, named=False)

    def add(self, name: str, produce: Callable[[Path], Any]) -> Written:
        return self._write(name, produce, named=True)

    def _write(self, name: str, produce: Callable[[Path], Any], named: bool) -> Written:
        final = self.path(name)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(final)
        try:
            produce(temporary)
            sync(temporary)
            content = digest(temporary)
            if named:
                name = with_content(name, content)
                final = self.path(name)
            written = Written(temporary.stat().st_size, content, name)
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
            temporary.write_bytes(sealed(name, table))
            sync(temporary)
            try:
                create_only(temporary, final)
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
            if all(_stands(final / new, self.path(old)) for new, old in files.items()):
                return  # of somebody who was first, or was killed before the record
            self.set_aside(name)  # what is left of one that was damaged
        staging = final.with_name(f"{TEMPORARY}{final.name}-{mark}")
        staging.mkdir(parents=True)
        try:
            for new, old in files.items():
                (staging / new).parent.mkdir(parents=True, exist_ok=True)
                try:
                    _share(self.path(old), staging / new)
                except FileNotFoundError:
                    raise DamagedFileError(self.root, old, GONE) from None
            (staging / "README.md").write_text(card(), encoding="utf-8")
            sync(staging / "README.md")
            for folder in {(staging / new).parent for new in files} | {staging}:
                sync(folder)
            os.rename(staging, final)
        except (OSError, DamagedFileError):  # somebody else was first, with the same bytes, and removed what we link
            shutil.rmtree(staging, ignore_errors=True)
            if not final.exists():
                raise
        sync(final.parent)

    def point(self, name: str, to: str) -> None:
        final = self.path(name)
        temporary = _temporary(final)
        try:
            os.symlink(to, temporary)
        except OSError as failure:
            if failure.errno not in NO_LINKS:
                raise
            temporary.write_text(f"{to}\n")
        try:
            if final.is_dir() and not final.is_symlink():
                self.set_aside(name)  # whoever copied the workspace has followed the link
            os.replace(temporary, final)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise

    def pointed(self, name: str) -> str | None:
        path = self.path(name)
        try:
            return os.readlink(path) if path.is_symlink() else path.read_text(encoding="utf-8").strip()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, UnicodeDecodeError):
            return None

    def names(self, folder: str) -> list[str]:
        try:
            with os.scandir(self.path(folder)) as entries:
                return sorted(entry.name for entry in entries if not entry.name.startswith(TEMPORARY))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def sizes(self, folder: str) -> dict[str, int]:
        try:
            with os.scandir(self.path(folder)) as entries:
                return {entry.name: entry.stat().st_size for entry in entries if not entry.name.startswith(TEMPORARY)}
        except (FileNotFoundError, NotADirectoryError):
            return {}

    def walk(self) -> Iterator[tuple[str, Entry]]:
        for folder, folders, files in os.walk(self.root):
            for file, is_folder in (*((file, False) for file in files), *((name, True) for name in folders)):
                path = Path(folder, file)
                name = path.relative_to(self.root).as_posix()
                with suppress(FileNotFoundError):
                    if _POINTED.fullmatch(name) and path.is_symlink():
                        stat = path.lstat()
                    elif is_folder:
                        continue
                    else:
                        stat = path.stat()  # of a link to nothing there is none: its disk may come back
                    yield name, Entry(stat.st_size, stat.st_mtime)

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
    temporary = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{final.name}-", dir=final.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        if final.exists():
            final.rmdir()
        os.rename(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
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
    return final.with_name(f"{TEMPORARY}{os.urandom(12).hex()}-{final.name}")


def create_only(temporary: Path, final: Path) -> None:
    """Give a finished file a name, unless that is taken: of several who try, one wins. `made` may be gone afterwards.

    A hard link does it on every local file system of Unix and on NFS. vfat, exFAT and some of FUSE have none; there a
    rename does it that replaces nothing. Raises FileExistsError, and OSError where there is neither.
    """
    try:
        os.link(temporary, final)
    except FileExistsError:
        if not os.path.samefile(temporary, final):  # else the answer to our own link was lost on its way, as NFS may do
            raise
    except OSError as failure:
        if failure.errno not in NO_LINKS:
            raise
        _rename_only(temporary, final)


def _rename_only(temporary: Path, final: Path) -> None:
    """rename(2) that fails where `final` is there (Linux since 3.15). Raises as `create_only`."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        raise OSError(errno.ENOTSUP, NEITHER)
    here = -100  # AT_FDCWD
    if rename(here, os.fsencode(temporary), here, os.fsencode(final), 1):  # RENAME_NOREPLACE
        number = ctypes.get_errno()
        if number in NO_LINKS or number in (errno.EINVAL, errno.ENOSYS):
            raise OSError(errno.ENOTSUP, NEITHER)
        raise OSError(number, os.strerror(number), str(final))  # FileExistsError for EEXIST


def _stands(published: Path, written: Path) -> bool:
    """Whether a dataset's file is what was written: by the hash in that one's name, or by itself while it is there."""
    if not published.is_file():
        return False
    due = content_of(written.name) or (digest(written) if written.exists() else None)
    return due is None or digest(published) == due


def _share(old: Path, new: Path) -> None:
    """Give a file a second name, or where there are no hard links a copy."""
    try:
        os.link(old, new)
    except OSError as failure:
        if failure.errno not in NO_LINKS:
            raise
        shutil.copyfile(old, new)
        sync(new)


Moment = tuple[str, int, int, int, int]
"""A file as it is now: path, inode, size, time of its content, time of its inode."""


def _moment(path: Path) -> Moment:
    there = path.stat()
    return str(path), there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns


@lru_cache(maxsize=1 << 16)
def _content(path: str, *moment: int) -> str:
    return digest(Path(path))


@lru_cache(maxsize=1 << 16)
def _broken(name: str, path: str, *moment: int) -> str | None:
    return broken_seal(name, Path(path).read_bytes())


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
        feed(source, None, state)
    return state.hexdigest()


def feed(source: Any, count: int | None, *states: Any) -> None:
    """Hash the next `count` bytes of a file, or all that are left."""
    block = memoryview(bytearray(BLOCK if count is None else min(count, BLOCK)))
    while count is None or count > 0:
        read = source.readinto(block if count is None else block[:count])
        if not read:
            return
        for state in states:
            state.update(block[:read])
        count = None if count is None else count - read
