"""A file's bytes as lines of UTF-8: unpacked and decoded in pieces, so that memory grows neither with how far a few
bytes unpack nor with a line that never ends."""

from __future__ import annotations

import bz2
import codecs
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Protocol

import xxhash
import zstandard

from curation.store import remote

PACKED = {".gz": ".gz", ".zst": ".zst", ".zstd": ".zst", ".bz2": ".bz2", ".xz": ".xz"}
"""Endings of packed files, and the one that a format is named by."""
UNREADABLE = (OSError, EOFError, zlib.error, zstandard.ZstdError, lzma.LZMAError)
"""What reading a damaged file raises."""
MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""Default of `input.max_document_bytes`."""
_BLOCK = 1 << 16
_PIECE = 1 << 20
"""Most bytes that are unpacked in one step."""
_ZSTD_PIECE = 1 << 11
"""Packed bytes of one step of zstd, which sets no limit to what comes out: at worst 32,768 times as much."""
_WINDOW = 1 << 31
"""Bytes: the largest that `zstd --long=31` makes. Memory is taken only where a file asks for it."""
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
"""Byte order marks; those of UTF-32 begin as those of UTF-16 do."""
_UNMARKED: dict[tuple[bool, ...], str] = {
    (False, True, False, True): "utf-16-le",
    (True, False, True, False): "utf-16-be",
    (False, True, True, True): "utf-32-le",
    (True, True, True, False): "utf-32-be",
}
"""Which of the first four bytes are zero where there is no mark: JSON and a header begin with characters of ASCII."""


class Hashed(io.RawIOBase):
    """Hashes the file's own bytes while a decompressor reads them."""

    def __init__(self, path: str) -> None:
        self.source = remote.open_binary(path)
        self.state = xxhash.xxh3_128()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self.source.readinto(buffer) or 0
        self.state.update(memoryview(buffer)[:count])
        self.size += count
        return count

    def drain(self) -> str:
        """The XXH3-128 of all bytes, the rest of the file read."""
        while self.read(1 << 20):
            pass
        return self.state.hexdigest()

    def close(self) -> None:
        self.source.close()
        super().close()


def text_stream(source: io.BufferedReader[Any], name: str) -> io.BufferedReader[Any]:
    """The UTF-8 of a file, without its byte order mark. `name`: the format, of which the ending says how it is packed.

    UTF-16 and UTF-32 are known by their marks, or without one by their zeros; halves of surrogate pairs in them become
    U+FFFD. Reading raises one of UNREADABLE where the file is damaged or ends too early.
    """
    stream: io.BufferedReader[Any] = source
    packed = next((end for end in _FRAMES if name.endswith(end)), None)
    if packed is not None:
        stream = io.BufferedReader(_Unpacked(source, packed), 1 << 20)
    head = stream.peek(4)[:4]
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            stream.read(len(mark))
            return stream if encoding == "utf-8" else io.BufferedReader(_Decoded(stream, encoding), 1 << 20)
    unmarked = _UNMARKED.get(tuple(byte == 0 for byte in head))
    return stream if unmarked is None else io.BufferedReader(_Decoded(stream, unmarked), 1 << 20)


@contextmanager
def opened(path: str, name: str) -> Iterator[io.BufferedReader[Any]]:
    """The `text_stream` of a file at a path or URL."""
    with io.BufferedReader(remote.open_binary(path), 1 << 20) as source:
        yield text_stream(source, name)


def lines(stream: io.BufferedReader[Any], limit: int) -> Iterator[tuple[int, bytes | None, int]]:
    """Number from 1, content and bytes of each line that is not blank. The content of one beyond `limit` is None."""
    number = 0
    while line := stream.readline(limit + 1):
        number += 1
        size = len(line)
        if size <= limit or line.endswith(b"\n"):
            if not line.isspace():
                yield number, line, size
            continue
        del line
        while piece := stream.readline(_PIECE):
            size += len(piece)
            if piece.endswith(b"\n"):
                break
        yield number, None, size


class _Frame(Protocol):
    """A part of a packed file that is whole in itself; a file may be several of them."""

    @property
    def eof(self) -> bool:
        """Whether it is unpacked to its end."""

    def take(self, data: memoryview) -> tuple[bytes, memoryview]:
        """Some of what is packed, and what of `data` was not used."""


class _Gzip:
    def __init__(self) -> None:
        self.inner = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self.inner.eof

    def take(self, data: memoryview) -> tuple[bytes, memoryview]:
        made = self.inner.decompress(data, _PIECE)
        return made, memoryview(self.inner.unused_data if self.inner.eof else self.inner.unconsumed_tail)


class _Zstandard:
    """The library's own reader takes a truncated file for a whole one."""

    def __init__(self) -> None:
        self.inner = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()

    @property
    def eof(self) -> bool:
        return bool(self.inner.eof)

    def take(self, data: memoryview) -> tuple[bytes, memoryview]:
        made, rest = self.inner.decompress(data[:_ZSTD_PIECE]), data[_ZSTD_PIECE:]
        return made, memoryview(self.inner.unused_data + bytes(rest)) if self.inner.eof else rest


class _Bzip2:
    def __init__(self) -> None:
        self.inner: Any = bz2.BZ2Decompressor()

    @property
    def eof(self) -> bool:
        return bool(self.inner.eof)

    def take(self, data: memoryview) -> tuple[bytes, memoryview]:
        needs = self.inner.needs_input
        made = self.inner.decompress(data if needs else b"", _PIECE)
        return made, memoryview(self.inner.unused_data) if self.inner.eof else data[len(data) if needs else 0 :]


class _Xz(_Bzip2):
    def __init__(self) -> None:
        self.inner = lzma.LZMADecompressor()


_FRAMES: dict[str, Callable[[], _Frame]] = {
    ".gz": _Gzip,
    ".zst": _Zstandard,
    ".bz2": _Bzip2,
    ".xz": _Xz,
}


class _Unpacked(io.RawIOBase):
    """Unpacks frame after frame, at most about a piece ahead of what is read."""

    def __init__(self, source: BinaryIO, ending: str) -> None:
        self.source = source
        self.begin = _FRAMES[ending]
        self.padded = ending in (".gz", ".xz")
        self.frame: _Frame | None = None
        self.data = memoryview(b"")
        self.ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while len(self.ready) < 4 and self._more():  # a byte order mark is looked for in what comes first
            pass
        count = min(len(buffer), len(self.ready))
        buffer[:count] = self.ready[:count]
        self.ready = self.ready[count:]
        return count

    def _more(self) -> bool:
        """Unpack the next piece. False at the end of the file."""
        ended = False
        if not self.data:
            block = self.source.read(_BLOCK)
            ended = not block
            self.data = memoryview(block)
        if self.frame is None:
            if self.padded and self.data and self.data[0] == 0:
                self.data = memoryview(bytes(self.data).lstrip(b"\0"))
            if not self.data:
                return not ended
            self.frame = self.begin()
        piece, self.data = self.frame.take(self.data)
        if self.frame.eof:
            self.frame = None
        elif ended and not piece:
            raise EOFError("the file ends inside a compressed frame")
        if piece:
            self.ready = memoryview(bytes(self.ready) + piece) if self.ready else memoryview(piece)
        return True


class _Decoded(io.RawIOBase):
    """The UTF-8 of a text in another encoding."""

    def __init__(self, source: io.BufferedReader, encoding: str) -> None:
        self.source = source
        self.decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self.ready = memoryview(b"")
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.ready and not self.ended:
            block = self.source.read(_BLOCK)
            self.ended = not block
            self.ready = memoryview(self.decoder.decode(block, final=self.ended).encode())
        count = min(len(buffer), len(self.ready))
        buffer[:count] = self.ready[:count]
        self.ready = self.ready[count:]
        return count
