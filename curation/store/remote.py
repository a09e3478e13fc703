"""Files behind URLs, by fsspec: every request is tried again while its failure may pass, and never for ever.

Credentials, region and endpoint are what the scheme's own library finds in the environment (AWS_ACCESS_KEY_ID,
AWS_ENDPOINT_URL, a profile, a role ...). They are in no recipe, no record and no message.

Longer than most files: every kind of request is here, so that all of them go through the one loop of tries.
"""

from __future__ import annotations

import atexit
import errno
import io
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import xxhash

from curation import tally
from curation.credentials import has_credentials
from curation.retry import pause
from curation.store.failures import (
    ABSENT,
    FULL,
    AccessError,
    DamagedError,
    NoBucketError,
    RedirectError,
    StoreError,
    code_of,
    is_refusal,
    may_pass,
    reason_of,
    redirected,
    status_of,
    truly,
)
from schemas.errors import CurationError, Finding

TRIES = 8
SLOW_TRIES = 3
"""Tries that may end at a time limit: each of them has waited long already."""
WAIT = (0.1, 10.0)
"""Seconds before the second try, and at most (`curation.retry.pause`)."""
BLOCK = 8 * 1024 * 1024
"""Bytes up to which a file is fetched whole, in one request."""
AHEAD = 1024 * 1024
"""Bytes that are fetched at least of a larger one."""
LIMIT = (60.0, 100_000.0)
"""Seconds that one answer may take, and bytes a second at which a large one may take longer."""
T = TypeVar("T")


@dataclass(frozen=True)
class Stat:
    size: int
    version: int
    """Another number whenever the content is another: a hash of the ETag, or where there is none of the times."""


def is_url(place: str | Path) -> bool:
    return "://" in str(place)


@lru_cache(maxsize=16)
def _filesystem(scheme: str) -> Any:
    import fsspec  # costs a command that is about no URL a tenth of a second

    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    try:
        if scheme in ("s3", "s3a"):  # retries are ours: three layers of them would wait for an hour
            from curation.store.sessions import Unredirected

            retries = {"retries": {"total_max_attempts": 1}, "max_pool_connections": 32}
            options["config_kwargs"] = {**retries, "http_session_cls": Unredirected}
        elif scheme in ("http", "https"):
            from curation.store.sessions import same_host

            options["client_kwargs"] = {"trace_configs": [same_host()]}
        filesystem = fsspec.filesystem(scheme, **options)
    except (ImportError, ValueError) as failure:
        hint = "pip install 'curation-engine[s3]'" if scheme in ("s3", "s3a") else "install its fsspec package"
        said = f"{scheme}:// cannot be read: {str(failure).splitlines()[0]}"
        raise CurationError(Finding("C042", said, hint)) from failure
    if hasattr(filesystem, "retries"):
        filesystem.retries = 1
    return filesystem


def located(url: str, given: bool = False) -> tuple[Any, str]:
    """The file system of a URL, and its path there. Raises CurationError C042 for one that cannot be used.

    `given`: by a user, who may have written a key into its query; an object that was found may be called so.
    """
    scheme = url.partition("://")[0]
    if has_credentials(url, query=given):
        raise CurationError(
            Finding("C042", f"a {scheme}:// address holds credentials", "they belong into the environment")
        )
    found = _filesystem(scheme)
    return found, found._strip_protocol(url)


def patiently(what: str, ask: Callable[[], T], local: bool = False) -> T:
    """What `ask` returns, tried up to TRIES times while it fails in a way that may pass.

    Raises what says whether a file is there (ABSENT) as it is, and CurationError; for anything else StoreError, which
    says `what`, AccessError where the store refuses who asks. `local`: the store is this machine's own disk, and its
    errors stay what they are.
    """
    began = time.monotonic()
    slow = 0
    for attempt in range(TRIES):
        try:
            return ask()
        except Exception as caught:
            failure = truly(caught)
            if isinstance(failure, RedirectError):
                raise RedirectError(f"{what}: {failure}") from None
            if isinstance(failure, (*ABSENT, CurationError, StoreError)) or (local and isinstance(failure, OSError)):
                raise failure from failure.__cause__
            if getattr(failure, "errno", None) in FULL:
                raise
            if is_refusal(failure):
                raise AccessError(f"{what}: refused, {reason_of(failure)}; look at the credentials") from failure
            elsewhere = redirected(failure)
            if elsewhere is not None:
                raise RedirectError(f"{what}: the store sends {elsewhere}, where nobody follows") from failure
            if not may_pass(failure):
                raise StoreError(f"{what}: {reason_of(failure)}") from failure
            last = failure
        slow += isinstance(last, TimeoutError)
        if attempt + 1 == TRIES or slow == SLOW_TRIES:
            break
        tally.add(tally.RETRIES, "store")
        time.sleep(pause(attempt, *WAIT))
    spent = time.monotonic() - began
    raise StoreError(
        f"{what}: no answer in {attempt + 1} tries and {spent:.0f} s; the last time: {reason_of(last)}"
    ) from last


def _asked(files: Any, method: Callable[..., T], *arguments: Any, due: int = 0, **options: Any) -> T:
    """One request, with a limit to its time where the file system can be stopped."""
    from fsspec.asyn import AsyncFileSystem

    if isinstance(files, AsyncFileSystem):
        options["timeout"] = LIMIT[0] + due / LIMIT[1]
    return method(*arguments, **options)


def fetch(url: str, start: int | None = None, stop: int | None = None, exact: bool = False) -> bytes:
    """Bytes [start, stop) of a file, or all; fewer where it ends before, unless `exact`. Raises FileNotFoundError.

    An answer that has fewer bytes than the store itself says, or than were asked for if `exact`, is asked for again.
    """
    files, path = located(url)
    get = _get_s3 if hasattr(files, "call_s3") else _get

    def ask() -> bytes:
        try:
            content = get(files, path, start, stop)
        except OSError as failure:
            if status_of(failure) != 416:  # it ends before `start`, or is empty
                raise
            content = b""
        if exact and start is not None and stop is not None and len(content) != stop - start:
            raise DamagedError(f"{len(content):,} bytes came in the place of {stop - start:,}")
        return content

    return patiently(f"reading {url}", ask, _is_local(files))


def _get(files: Any, path: str, start: int | None, stop: int | None) -> bytes:
    asked = BLOCK if stop is None else stop - (start or 0)
    content: bytes = _asked(files, files.cat_file, path, start=start, end=stop, due=asked)
    if stop is None or len(content) < asked:
        size = _asked(files, files.info, path).get("size")
        if size is not None and len(content) != (
            due := max(0, min(size if stop is None else stop, size) - (start or 0))
        ):
            raise DamagedError(f"{len(content):,} bytes came in the place of {due:,}")
    return content


def _get_s3(files: Any, path: str, start: int | None, stop: int | None) -> bytes:
    """From S3 by its own call: what the answer says of its length and range is compared with what came."""
    from fsspec.asyn import sync

    bucket, key, version = files.split_path(path)
    options = {"VersionId": version} if version else {}
    if stop is not None and stop <= (start or 0):
        return b""
    options["Range"] = f"bytes={start or 0}-{'' if stop is None else stop - 1}"

    async def ask() -> tuple[dict[str, Any], bytes]:
        answer = await files._call_s3("get_object", Bucket=bucket, Key=key, **options)
        try:
            return answer, await answer["Body"].read()
        finally:
            answer["Body"].close()

    asked = BLOCK if stop is None else stop - (start or 0)
    answer: dict[str, Any]
    content: bytes
    answer, content = sync(files.loop, ask, timeout=LIMIT[0] + asked / LIMIT[1])
    due = answer.get("ContentLength")
    if due is not None and len(content) != due:
        raise DamagedError(f"{len(content):,} bytes came in the place of {due:,}")
    span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.get("ContentRange") or "")
    if span is None:  # all of it, by a server that knows no ranges, or something else
        size = _asked(files, files.info, path).get("size")
        if len(content) != size:
            raise DamagedError(f"{len(content):,} bytes came in the place of {size:,}")
        return content[start or 0 : stop]
    first, last = int(span[1]), int(span[2])
    whole = last + 1 if span[3] == "*" else int(span[3])
    end = whole if stop is None else min(stop, whole)
    if first != (start or 0) or last + 1 != end or len(content) != end - first:
        raise DamagedError(f"{len(content):,} bytes came, said to be {span[0]}, in the place of {first}-{end - 1}")
    return content


def digest(url: str) -> str:
    """XXH3-128 of a file's bytes, as 32 hexadecimal digits, read block by block. Raises FileNotFoundError."""
    state = xxhash.xxh3_128()
    size, start = stat(url).size, 0
    while start < size:
        block = fetch(url, start, min(size, start + BLOCK), exact=True)
        state.update(block)
        start += len(block)
    return state.hexdigest()


def stat(url: str) -> Stat:
    """Raises FileNotFoundError where there is no file."""
    files, path = located(url)
    info = patiently(f"asking for {url}", lambda: _asked(files, files.info, path), _is_local(files))
    if info.get("type") != "file" or info.get("size") is None:
        raise FileNotFoundError(errno.ENOENT, "no such file", url)
    tags = [info[name] for name in ("ETag", "etag", "md5", "md5Hash", "content_md5") if info.get(name)]
    times = ("LastModified", "last_modified", "mtime", "updated", "created")
    tags = tags or [str(info[name]) for name in times if info.get(name)]
    version = xxhash.xxh3_64_intdigest("\0".join(map(str, tags)).encode()) >> 1 if tags else time.time_ns()
    return Stat(int(info["size"]), version)


def listed(url: str) -> list[tuple[str, dict[str, Any]]]:
    """Files directly in a folder, by name, sorted; none where it is not there."""
    try:
        return sorted(inside(url)[0].items())
    except FileNotFoundError:
        return []


def inside(url: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Files directly in a folder, by name, and names of folders there. Raises NoBucketError."""
    return _listing(url, deep=False)


def below(url: str, strict: bool = False) -> dict[str, dict[str, Any]]:
    """All files in a folder and its folders, by name; none where it is not there, but for NoBucketError if `strict`."""
    try:
        return _listing(url, deep=True)[0]
    except FileNotFoundError:
        if strict:
            raise
        return {}


def _listing(url: str, deep: bool) -> tuple[dict[str, dict[str, Any]], list[str]]:
    files, path = located(url)
    what = f"listing {url}"
    if hasattr(files, "call_s3"):
        return _list_s3(files, path, what, deep)
    ask = files.find if deep else files.ls
    try:
        answer = patiently(what, lambda: _asked(files, ask, path, detail=True), _is_local(files))
    except (FileNotFoundError, NotADirectoryError):
        return {}, []
    infos = answer.values() if isinstance(answer, dict) else answer
    here = path.rstrip("/") + "/"
    named = [(info["name"].removeprefix(here), info) for info in infos if info["name"].startswith(here)]
    found = {name: info for name, info in named if name and info["type"] != "directory"}
    return found, sorted(name.rstrip("/") for name, info in named if name and info["type"] == "directory")


def _list_s3(files: Any, path: str, what: str, deep: bool) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """From S3 page by page, each with tries of its own."""
    bucket, key, _ = files.split_path(path)
    prefix = f"{key.rstrip('/')}/" if key else ""
    asked: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "" if deep else "/"}
    listed: dict[str, dict[str, Any]] = {}
    folders = []
    while True:
        try:
            page = patiently(what, lambda: files.call_s3("list_objects_v2", **asked, timeout=LIMIT[0]))
        except FileNotFoundError as failure:
            if code_of(failure) in ("NoSuchBucket", "404"):
                raise NoBucketError(bucket) from failure
            raise
        for item in page.get("Contents", ()):
            name = item["Key"].removeprefix(prefix)
            if name:
                info = {**item, "name": f"{bucket}/{item['Key']}", "size": item["Size"], "type": "file"}
                listed[name] = info
        folders += [item["Prefix"].removeprefix(prefix).rstrip("/") for item in page.get("CommonPrefixes", ())]
        if not page.get("IsTruncated"):
            return listed, folders
        asked["ContinuationToken"] = page["NextContinuationToken"]


def put(url: str, content: bytes | Path) -> None:
    """Write a file, bytes or a copy of a local one; it appears as a whole."""
    files, path = located(url)
    if isinstance(content, Path):
        patiently(f"writing {url}", lambda: files.put_file(str(content), path), _is_local(files))
    else:
        patiently(f"writing {url}", lambda: files.pipe_file(path, content), _is_local(files))


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
            if isinstance(failure, FileExistsError) or status_of(failure) == 412:
                return False
            raise
        return True

    return patiently(f"creating {url}", ask, _is_local(files)) or fetch(url) == content


def copy(source: str, target: str) -> None:
    """Within one store, without its bytes coming here. Raises FileNotFoundError."""
    files, path = located(source)
    patiently(f"copying {source}", lambda: files.cp_file(path, located(target)[1]), _is_local(files))


def remove(url: str) -> None:
    """Remove a file, if it is there."""
    files, path = located(url)
    try:
        patiently(f"removing {url}", lambda: files.rm_file(path), _is_local(files))
    except FileNotFoundError:
        return


class Reader(io.RawIOBase):
    """A file behind a URL, fetched range by range: at least `ahead` bytes at a time."""

    def __init__(self, url: str, size: int | None = None, ahead: int = AHEAD) -> None:
        self.url = url
        self.size = stat(url).size if size is None else size
        self.ahead = ahead
        self.position = 0
        self.start = 0
        self.held: bytes = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.position = offset + (0, self.position, self.size)[whence]
        return self.position

    def hold(self, start: int, content: bytes) -> None:
        """Take bytes that somebody has fetched already."""
        self.start, self.held = start, content

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = min(len(view), self.size - self.position)
        if count <= 0:
            return 0
        offset = self.position - self.start
        if not 0 <= offset < len(self.held):
            stop = min(self.size, self.position + max(count, self.ahead))
            self.hold(self.position, fetch(self.url, self.position, stop, exact=True))
            offset = 0
        count = min(count, len(self.held) - offset)
        view[:count] = memoryview(self.held)[offset : offset + count]
        self.position += count
        return count

    def read(self, size: int | None = -1) -> bytes:
        """As many bytes as are asked for, unless the file ends before."""
        left = self.size - self.position if size is None or size < 0 else min(size, self.size - self.position)
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


def _is_local(files: Any) -> bool:
    return "file" in (files.protocol if isinstance(files.protocol, tuple | list) else (files.protocol,))
