"""The one seam to storage: whole files appear at once, and a commit has exactly one winner.

Local folders now. An object store needs the same five verbs: `write`, `create`, `names`, `path`, `remove`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from curation import failpoints

TEMPORARY = ".tmp-"


class Store:
    """A workspace's folder."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser().absolute()

    def path(self, name: str) -> Path:
        """Where a file of the workspace lies; `name` is relative, with forward slashes."""
        return self.root / name

    def write(self, name: str, produce: Callable[[Path], None]) -> None:
        """Make a whole file at once: `produce` fills a temporary one, which is synced and renamed.

        Several may write one name at once (a fitted head, say, whose name is its content's): the last one stands.
        Raises OSError (a full disk, say) and leaves nothing behind.
        """
        final = self.path(name)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(final)
        try:
            produce(temporary)
            sync(temporary)
            failpoints.hit("before-rename")
            os.replace(temporary, final)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        sync(final.parent)

    def create(self, name: str, table: pa.Table) -> bool:
        """Create a small Parquet file unless the name is taken. True for the winner; atomic, by hard link."""
        final = self.path(name)
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():
            return False
        temporary = _temporary(final)
        try:
            pq.write_table(table, temporary, compression="zstd")
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

    def names(self, folder: str) -> list[str]:
        """Complete files in a folder of the workspace, sorted; empty when there is none."""
        try:
            with os.scandir(self.path(folder)) as entries:
                return sorted(entry.name for entry in entries if not entry.name.startswith(TEMPORARY))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def walk(self) -> Iterator[tuple[str, os.stat_result]]:
        """Every file of the workspace with its stat, temporary ones too."""
        for folder, _, files in os.walk(self.root):
            for file in files:
                path = Path(folder, file)
                with suppress(FileNotFoundError):
                    yield path.relative_to(self.root).as_posix(), path.stat()

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self.path(name).unlink()


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
