"""Files behind URLs, by fsspec: every request is tried again while its failure may pass, and never for ever.

Credentials, region and endpoint are what the scheme's own library finds in the environment (AWS_ACCESS_KEY_ID,
AWS_ENDPOINT_URL, a profile, a role ...). They are in no recipe, no record and no message.
"""

from __future__ import annotations

import atexit
import errno
import io
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import fsspec
import pyarrow as pa
import xxhash

from curation import tally
from schemas.errors import CurationError, Finding

TRIES = 8
WAIT = (0.1, 10.0)
"""Seconds before the second try, doubled with each further one, and at most; each time between half of it and all."""
BLOCK = 8 * 1024 * 1024
"""Bytes up to which a file is fetched whole, in one request."""
AHEAD = 1024 * 1024
"""Bytes that are fetched at least of a larger one."""
AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)
"""HTTP statuses after which the same request may succeed. S3 answers 409 where two create one key at once."""
BROKEN = (errno.EBUSY, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT)
FLEETING = {
    "ClientConnectionError",
    "ClientPayloadError",
    "ConnectionError",
    "FSTimeoutError",
    "HTTPClientError",
    "IncompleteRead",
    "IncompleteReadError",
    "ResponseParserError",
}
"""Classes of aiohttp, botocore and http.client that say that a connection was lost."""
_random = random.SystemRandom()
T = TypeVar("T")


class StoreError(OSError):
    """A store did not answer, in as many tries as are made."""


@dataclass(frozen=True)
class Stat:
    size: int
    version: int
    """Another number whenever the content is another: a hash of the ETag, or where there is none of the times."""


def is_url(place: str | Path) -> bool:
    return "://" in str(place)


@lru_cache(maxsize=16)
def _filesystem(scheme: str) -> Any:
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if scheme in ("s3", "s3a"):  # retries are ours: three layers of them would wait for an hour
        options["config_kwargs"] = {"retries": {"total_max_attempts": 1}, "max_pool_connections": 32}
    try:
        found = fsspec.filesystem(scheme, **options)
    except (ImportError, ValueError) as failure:
        hint = "pip install 'curation-engine[s3]'" if scheme in ("s3", "s3a") else "install its fsspec package"
        said = f"{scheme}:// cannot be read: {str(failure).splitlines()[0]}"
        raise CurationError(Finding("C042", said, hint)) from failure
    if hasattr(found, "retries"):
        found.retries = 1
    return found


def located(url: str) -> tuple[Any, str]:
    """The file system of a URL, and its path there. Raises CurationError C042 for one that cannot be used."""
    scheme, _, rest = url.partition("://")
    if "@" in rest.partition("/")[0]:
        raise CurationError(
            Finding("C042", f"a {scheme}:// address holds credentials", "they belong into the environment")
        )
    found = _filesystem(scheme)
    return found, found._strip_protocol(url)


def patiently(what: str, ask: Callable[[], T]) -> T:
    """What `ask` returns, tried up to TRIES times while it fails in a way that may pass.

    Raises StoreError, which says `what`, after the last try, and for failures that are no OSError; other failures as
    they are.
    """
    began = time.monotonic()
    for attempt in range(TRIES):
        try:
            return ask()
        except Exception as failure:
            if not _may_pass(failure):
                if isinstance(failure, OSError | CurationError):
                    raise
                raise StoreError(f"{what}: {_said(failure)}") from failure
            last = failure
        if attempt + 1 < TRIES:
            tally.add(tally.RETRIES, "store")
            time.sleep(_random.uniform(0.5, 1.0) * min(WAIT[0] * 2**attempt, WAIT[1]))
    spent = time.monotonic() - began
    raise StoreError(f"{what}: no answer in {TRIES} tries and {spent:.0f} s; the last time: {_said(last)}") from last


def fetch(url: str, start: int | None = None, stop: int | None = None) -> bytes:
    """Bytes [start, stop) of a file, or all; fewer where it ends before. Raises FileNotFoundError."""
    files, path = located(url)

    def ask() -> bytes:
        try:
            return files.cat_file(path, start=start, end=stop)  # type: ignore[no-any-return]
        except OSError as failure:
            if _status(failure) == 416:  # it ends before `start`, or is empty
                return b""
            raise

    return patiently(f"reading {url}", ask)


def stat(url: str) -> Stat:
    """Raises FileNotFoundError where there is no file."""
    files, path = located(url)
    info = patiently(f"asking for {url}", lambda: files.info(path))
    if info.get("type") != "file" or info.get("size") is None:
        raise FileNotFoundError(errno.ENOENT, "no such file", url)
    tags = [info[name] for name in ("ETag", "etag", "md5", "md5Hash", "content_md5") if info.get(name)]
    times = ("LastModified", "last_modified", "mtime", "updated", "created")
    tags = tags or [str(info[name]) for name in times if info.get(name)]
    version = xxhash.xxh3_64_intdigest("\0".join(map(str, tags)).encode()) >> 1 if tags else time.time_ns()
    return Stat(int(info["size"]), version)


def listed(url: str) -> list[tuple[str, dict[str, Any]]]:
    """Files directly in a folder, by name, sorted; none where it is not there."""
    files, path = located(url)
    try:
        found = patiently(f"listing {url}", lambda: files.ls(path, detail=True))
    except (FileNotFoundError, NotADirectoryError):
        return []
    here = path.rstrip("/") + "/"
    inside = [(info["name"].removeprefix(here), info) for info in found if info["name"].startswith(here)]
    return sorted((name, info) for name, info in inside if name and info["type"] == "file")


def below(url: str) -> dict[str, dict[str, Any]]:
    """All files in a folder and its folders, by name."""
    files, path = located(url)
    try:
        found = patiently(f"listing {url}", lambda: files.find(path, detail=True))
    except FileNotFoundError:
        return {}
    here = path.rstrip("/") + "/"
    return {name.removeprefix(here): info for name, info in found.items() if name.startswith(here)}


def matching(url: str) -> list[str]:
    """URLs of the files that a pattern matches (`*`, `?`, `**`), or that lie in a folder, sorted."""
    files, path = located(url)
    scheme = url.partition("://")[0]
    if any(mark in path for mark in "*?["):
        found = patiently(f"listing {url}", lambda: files.glob(path, detail=True))
        return sorted(f"{scheme}://{name}" for name, info in found.items() if info["type"] == "file")
    try:
        stat(url)
    except FileNotFoundError:
        return sorted(f"{url.rstrip('/')}/{name}" for name in below(url) if name)
    return [url]


def put(url: str, content: bytes | Path) -> None:
    """Write a file, bytes or a copy of a local one; it appears as a whole."""
    files, path = located(url)
    if isinstance(content, Path):
        patiently(f"writing {url}", lambda: files.put_file(str(content), path))
    else:
        patiently(f"writing {url}", lambda: files.pipe_file(path, content))


def put_if_absent(url: str, content: bytes) -> bool:
    """Write a file unless there is one: false then. Content is to be unlike anybody else's.

    Where an answer was lost, the try may have succeeded, and the next one finds its own file. So what is there is read;
    after a single try too, since aiohttp sends a PUT again by itself when a kept connection turns out to be closed.
    """
    files, path = located(url)

    def ask() -> bool:
        try:
            files.pipe_file(path, content, mode="create")
        except OSError as failure:
            if isinstance(failure, FileExistsError) or _status(failure) == 412:
                return False
            raise
        return True

    return patiently(f"creating {url}", ask) or fetch(url) == content


def copy(source: str, target: str) -> None:
    """Within one store, without its bytes coming here. Raises FileNotFoundError."""
    files, path = located(source)
    patiently(f"copying {source}", lambda: files.cp_file(path, located(target)[1]))


def remove(url: str) -> None:
    """Remove a file, if it is there."""
    files, path = located(url)
    try:
        patiently(f"removing {url}", lambda: files.rm_file(path))
    except FileNotFoundError:
        return


class Reader(io.RawIOBase):
    """A file behind a URL, fetched range by range: at least `ahead` bytes at a time."""

    def __init__(self, url: str, size: int | None = None, ahead: int = AHEAD) -> None:
        self.url = url
        self.size = stat(url).size if size is None else size
        self.ahead = ahead
        self.place = 0
        self.start = 0
        self.held: bytes = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.place = offset + (0, self.place, self.size)[whence]
        return self.place

    def hold(self, start: int, content: bytes) -> None:
        """Take bytes that somebody has fetched already."""
        self.start, self.held = start, content

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = min(len(view), self.size - self.place)
        if count <= 0:
            return 0
        offset = self.place - self.start
        if not 0 <= offset < len(self.held):
            self.hold(self.place, fetch(self.url, self.place, min(self.size, self.place + max(count, self.ahead))))
            offset = 0
            if not self.held:
                raise StoreError(f"{self.url} ends at byte {self.place}, not at {self.size}")
        count = min(count, len(self.held) - offset)
        view[:count] = memoryview(self.held)[offset : offset + count]
        self.place += count
        return count

    def read(self, size: int | None = -1) -> bytes:
        """As many bytes as are asked for, unless the file ends before."""
        left = self.size - self.place if size is None or size < 0 else min(size, self.size - self.place)
        pieces = []
        while left > 0:
            piece = bytearray(left)
            count = self.readinto(piece)
            pieces.append(bytes(piece[:count]))
            left -= count
        return b"".join(pieces)


def open_binary(place: str) -> Any:
    """A file at a path or URL, unbuffered, to be read from its beginning to its end."""
    return Reader(place, ahead=BLOCK) if is_url(place) else open(place, "rb", buffering=0)


def source(url: str) -> Any:
    """What pyarrow reads a file of the workspace from: in memory up to BLOCK bytes, by ranges beyond."""
    content = fetch(url, 0, BLOCK)
    if len(content) < BLOCK:
        return pa.BufferReader(content)
    reader = Reader(url)
    reader.hold(0, content)
    return pa.PythonFile(reader, mode="r")


@lru_cache(maxsize=64)
def scratch(url: str) -> Path:
    """A folder of this process on the local disk ($TMPDIR), for what belongs to one store."""
    folder = _temporary() / xxhash.xxh3_64_hexdigest(url.encode())
    folder.mkdir(exist_ok=True)
    return folder


@lru_cache(maxsize=1)
def _temporary() -> Path:
    made = tempfile.mkdtemp(prefix="curation-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def _status(failure: BaseException) -> int | None:
    """The HTTP status behind an exception of botocore, aiohttp or gcsfs, or of what s3fs has made of it."""
    for item in (failure, failure.__cause__):
        answer = getattr(item, "response", None)
        if isinstance(answer, dict):
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:
            status = getattr(item, "status", None) or getattr(item, "code", None)
        if isinstance(status, int):
            return status
    return None


def _may_pass(failure: BaseException) -> bool:
    if any(kind.__name__ in FLEETING for kind in type(failure).__mro__):
        return True
    status = _status(failure)
    if status is not None:
        return status in AGAIN
    return isinstance(failure, TimeoutError) or getattr(failure, "errno", None) in BROKEN


def _said(failure: BaseException) -> str:
    status = _status(failure)
    lines = str(failure).strip().splitlines() or [""]
    return f"{f'HTTP {status}, ' if status else ''}{type(failure).__name__}: {lines[0][:200]}"
