"""Folders on disk and prefixes of object stores, as one thing to search in."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Any

from curation.paths import absolute
from curation.sources.files import format_of
from curation.store import remote


@dataclass(frozen=True, slots=True)
class Entry:
    """What lies in a folder under one name."""

    name: str
    folder: bool
    link: bool = False
    inode: tuple[int, ...] | None = None
    """The same for all names of a file that has several."""
    size: int | None = None
    """Where a listing says it, as stores' do."""


class Tree:
    """Where an input path is searched for. Paths are absolute, or URLs."""

    def prepare(self, root: str) -> None:
        """Told before all folders below `root` are listed."""

    def entries(self, folder: str) -> list[Entry]:
        """What lies in a folder, by name. Raises OSError."""
        raise NotImplementedError

    def is_folder(self, path: str) -> bool | None:
        """Whether this is a folder or anything else; None where nothing has the name. Raises OSError."""
        raise NotImplementedError

    def entry(self, path: str) -> Entry:
        """What has a name, which is there."""
        raise NotImplementedError

    def head(self, path: str, count: int) -> bytes:
        """The first bytes of a file; none where it cannot be read."""
        raise NotImplementedError

    def real(self, folder: str) -> str:
        """A folder's path with all links followed."""
        raise NotImplementedError

    def identity(self, path: str, entry: Entry) -> object:
        """The same for all names of one file."""
        raise NotImplementedError

    def absolute(self, path: str) -> str:
        """As it is recorded."""
        raise NotImplementedError

    def same_folder(self, one: str, other: str) -> bool:
        """Whether two paths name one folder; neither need be there."""
        raise NotImplementedError

    @staticmethod
    def joined(folder: str, name: str) -> str:
        return f"{folder.rstrip('/')}/{name}" if name else folder


class Disk(Tree):
    """This machine's files."""

    def __init__(self) -> None:
        self._listed: dict[str, list[Entry]] = {}
        self._real: dict[str, str] = {}

    def entries(self, folder: str) -> list[Entry]:
        if folder not in self._listed:
            with os.scandir(folder) as found:
                self._listed[folder] = sorted(map(_entry, found), key=lambda entry: entry.name)
        return self._listed[folder]

    def is_folder(self, path: str) -> bool | None:
        try:
            return stat.S_ISDIR(os.stat(path).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False if os.path.islink(path) else None
        except OSError as failure:
            if isinstance(failure, PermissionError):
                raise
            return False if os.path.lexists(path) else None  # a loop of links; a name that is too long

    def entry(self, path: str) -> Entry:
        found = os.lstat(path)
        link = stat.S_ISLNK(found.st_mode)
        return Entry(os.path.basename(path), os.path.isdir(path), link, None if link else _inode(found))

    def head(self, path: str, count: int) -> bytes:
        try:
            if not os.path.isfile(path):
                return b""
            with open(path, "rb") as file:
                return file.read(count)
        except OSError:
            return b""

    def real(self, folder: str) -> str:
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder)
        return self._real[folder]

    def identity(self, path: str, entry: Entry) -> object:
        if entry.link:
            try:
                inode = _inode(os.stat(path))
            except OSError:  # a link to nothing
                inode = None
            return inode or os.path.realpath(path)
        folder, _, name = path.rpartition("/")
        return entry.inode or f"{self.real(folder or '/').rstrip('/')}/{name}"

    def absolute(self, path: str) -> str:
        return absolute(path)

    def same_folder(self, one: str, other: str) -> bool:
        return self.real(one) == self.real(other)


def _entry(item: os.DirEntry[str]) -> Entry:
    link = item.is_symlink()
    try:
        if item.is_dir():
            return Entry(item.name, True, link)
        inode = _inode(item.stat(follow_symlinks=False)) if not link and format_of(item.name) else None
    except OSError:  # gone meanwhile, or a loop of links: whoever opens it will say so
        inode = None
    return Entry(item.name, False, link, inode)


def _inode(status: os.stat_result) -> tuple[int, ...] | None:
    """Names a file that has several names: with size and time, since some file systems give one number twice."""
    if status.st_nlink < 2 or not stat.S_ISREG(status.st_mode):
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class Objects(Tree):
    """What lies below a URL. A store has names alone: folders are what stands between slashes."""

    def __init__(self, url: str) -> None:
        self._files, _ = remote.located(url, given=True)
        self._listed: dict[str, dict[str, Entry]] = {}
        self._deep: list[str] = []

    def prepare(self, root: str) -> None:
        root = root.rstrip("/")
        if not self._is_known(root):
            self._deep.append(root)
            folders: dict[str, dict[str, Entry]] = {root: {}}
            for name, info in remote.below(root, strict=True).items():
                *between, last = name.split("/")
                folder = root
                for part in between:
                    folders[folder].setdefault(part, Entry(part, True))
                    folder = f"{folder}/{part}"
                    folders.setdefault(folder, {})
                if last:  # else what some tools put in the place of a folder
                    folders[folder].setdefault(last, Entry(last, False, size=info.get("size")))
            self._listed |= folders

    def _is_known(self, folder: str) -> bool:
        return any(f"{folder}/".startswith(f"{root}/") for root in self._deep)

    def entries(self, folder: str) -> list[Entry]:
        folder = folder.rstrip("/")
        if folder not in self._listed:
            if self._is_known(folder):
                return []
            files, folders = remote.inside(folder)
            found = {name: Entry(name, True) for name in folders}
            found |= {name: Entry(name, False, size=info.get("size")) for name, info in files.items()}
            self._listed[folder] = found
        return sorted(self._listed[folder].values(), key=lambda entry: entry.name)

    def is_folder(self, path: str) -> bool | None:
        if not path.endswith("/"):
            try:
                remote.stat(path)
            except FileNotFoundError:
                pass
            else:
                return False
        files, folders = remote.inside(path.rstrip("/"))
        return True if files or folders else None

    def entry(self, path: str) -> Entry:
        return Entry(path.rpartition("/")[2], self.is_folder(path) is True)

    def head(self, path: str, count: int) -> bytes:
        try:
            return remote.fetch(path, 0, count)
        except FileNotFoundError:
            return b""

    def real(self, folder: str) -> str:
        return folder.rstrip("/")

    def identity(self, path: str, entry: Entry) -> object:
        return self._key(path)

    def absolute(self, path: str) -> str:
        return path.rstrip("/")

    def same_folder(self, one: str, other: str) -> bool:
        return remote.is_url(other) and self._key(one) == Objects(other)._key(other)

    def _key(self, url: str) -> tuple[Any, ...]:
        return (type(self._files), self._files._strip_protocol(url).rstrip("/"))
