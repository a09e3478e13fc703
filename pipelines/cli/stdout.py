"""stdout is data: what code of others prints, from Python or from C, in threads or at exit, goes to stderr instead."""

from __future__ import annotations

import errno
import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, TextIO

from curation.plugins import inside
from schemas.errors import Finding


class Format(StrEnum):
    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    markdown = "markdown"
    parquet = "parquet"


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class OutputError(OSError):
    """What was to be printed, or written to a file that was named, could not be; `filename` says which."""


class Output(io.FileIO):
    """A file for data, whose faults tell themselves from those of what is read. A reader that has enough is none."""

    def __init__(self, handle: int, name: str) -> None:
        super().__init__(handle, "w")
        self._called = name

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as failure:
            raise OutputError(failure.errno, failure.strerror or str(failure), self._called) from None


def text_file(handle: int, name: str) -> io.TextIOWrapper:
    """A file of UTF-8 text, called so in messages."""
    return io.TextIOWrapper(io.BufferedWriter(Output(handle, name)), "utf-8", newline="")


def output_fault(failure: OutputError) -> Finding:
    if failure.errno in FULL:
        hint = "free some space there, or name another file with --output"
        return Finding("R005", f"no space left while writing {failure.filename}", hint)
    return Finding("C004", f"{failure.filename} cannot be written: {failure.strerror}", "name a file with --output")


class Data(io.TextIOWrapper):
    """stdout for the main thread while it is in no code of others, until the command is done."""

    closed_for_data = False

    @property
    def _stray(self) -> bool:
        return self.closed_for_data or inside() or threading.current_thread() is not threading.main_thread()

    def write(self, text: str) -> int:
        return sys.stderr.write(text) if self._stray else super().write(text)

    def close(self) -> None:
        """Not for code of others, which has no say in what is ours."""
        if not self._stray:
            super().close()

    def detach(self) -> Any:
        if self._stray:
            raise io.UnsupportedOperation("detach")
        return super().detach()

    @property
    def buffer(self) -> Any:
        return getattr(sys.stderr, "buffer", sys.stderr) if self._stray else super().buffer


def or_devnull(stream: TextIO | None) -> TextIO:
    """A stream to write to, also where the program began with it closed (`>&-`), which Python tells as None."""
    return open(os.devnull, "w", encoding="utf-8") if stream is None else stream


@contextmanager
def only_data() -> Iterator[None]:
    """For a whole command: file descriptor 1 becomes stderr's, and `sys.stdout` alone leads to what it was."""
    given = sys.stdout
    try:
        given.flush()
        where = os.dup(1)
        os.dup2(2, 1)
    except (AttributeError, OSError):  # closed, or no file
        yield
        return
    raw = io.BufferedWriter(Output(where, "the output on stdout"))
    stream = Data(raw, given.encoding, given.errors, None, bool(given.line_buffering))
    sys.stdout = stream
    try:
        yield
    finally:
        stream.closed_for_data = True  # what is registered for the exit prints after this
