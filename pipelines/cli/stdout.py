"""stdout is data: what code of others prints, from Python or from C, in threads or at exit, goes to stderr instead."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from curation.plugins import inside


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
    stream = Data(
        io.BufferedWriter(io.FileIO(where, "w")), given.encoding, given.errors, None, bool(given.line_buffering)
    )
    sys.stdout = stream
    try:
        yield
    finally:
        stream.closed_for_data = True  # what is registered for the exit prints after this
