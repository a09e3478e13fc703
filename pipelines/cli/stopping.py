"""How a command that takes long is stopped: what it says then, and a terminal that is closed meanwhile."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import typer

from pipelines.cli.render import put
from workers.interrupt import CODE, drain_seconds, stoppable

if TYPE_CHECKING:
    from pipelines.cli.progress import Progress


@contextmanager
def until_stopped(progress: Progress) -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP let units that are under way end and commit; a second one ends this process at once.

    What is interrupted before a run has begun, or after its end, ends the command here, with 130.
    """
    seconds = drain_seconds()

    def told(number: int) -> None:
        with suppress(OSError):  # a terminal that was closed takes no more
            progress.stopping(seconds)

    try:
        with stoppable(told):
            yield
    except KeyboardInterrupt:
        progress.say("stopped")
        raise typer.Exit(CODE) from None


def print_result(text: object) -> None:
    """To stdout; where that was a terminal that has been closed, the run's records say it, too."""
    try:
        put(str(text))
        sys.stdout.flush()
    except OSError as failure:
        if failure.errno != errno.EIO:
            raise


class Talk:
    """stderr, but for its failures: a terminal that was closed, or a reader that has enough, is no reason to stop."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
