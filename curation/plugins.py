"""Code of others (plugins, `--code` modules): it may fail, but it neither ends the program nor writes to its stdout."""

from __future__ import annotations

import os
import signal
import sys
import threading
from functools import partial
from types import FrameType, TracebackType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_local = threading.local()


class EndedError(Exception):
    """Code of others raised what is no Exception, `sys.exit` or KeyboardInterrupt, say: a fault like any other."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind
        """Name of what was raised."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kind,)


class PluginError(ImportError):
    """Code of others that cannot be loaded. The message is one line; `hint` says what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.hint)


def kind_of(failure: BaseException) -> str:
    """The name of what was raised."""
    return failure.kind if isinstance(failure, EndedError) else type(failure).__name__


def inside() -> bool:
    """Whether this thread is in code of others."""
    return bool(getattr(_local, "depth", 0))


class _Streams:
    """stdout and stderr as they were when the first thread went into code of others, for when the last comes out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._given: tuple[Any, Any] = (None, None)

    def enter(self) -> None:
        with self._lock:
            if not self._inside:
                self._given = sys.stdout, sys.stderr
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                sys.stdout, sys.stderr = self._given


_streams = _Streams()


class contained:  # noqa: N801 - a context manager, used as a word of the language
    """Around code of others: what it raises that is no Exception becomes EndedError.

    What a signal's handler raises (Ctrl-C, SIGTERM; of Ray's workers, too) is none of that code's doing and goes on,
    also where the code would have kept it. Handlers and streams that the code installs are
    taken down again. `os._exit` is one way
    to raise; what ends a process from C (a crash, SIGKILL) cannot be held.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Any] = {}
        self._signalled: BaseException | None = None

    def __enter__(self) -> None:
        os._exit = _exit  # type: ignore[assignment]
        if threading.current_thread() is threading.main_thread():  # no other thread gets signals
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if handler is not None:  # else of C, which cannot be put back
                    self._handlers[number] = handler
                if callable(handler):
                    signal.signal(number, partial(self._note, handler))
        _local.depth = getattr(_local, "depth", 0) + 1
        _streams.enter()

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        _local.depth -= 1
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        _streams.leave()
        if self._signalled is not None and failure is not self._signalled:
            raise self._signalled
        if failure is not None and failure is not self._signalled and not isinstance(failure, Exception):
            raise EndedError(type(failure).__name__) from failure

    def _note(self, handler: Any, number: int, frame: FrameType | None) -> None:
        depth, _local.depth = _local.depth, 0  # the handler is ours, and may end the process
        try:
            handler(number, frame)
        except BaseException as raised:
            self._signalled = raised
            raise
        finally:
            _local.depth = depth


_end_process, _process = os._exit, os.getpid()


def _exit(status: int) -> None:
    """`os._exit`, but not for code of others in the program's own process: there it is `sys.exit`."""
    if inside() and os.getpid() == _process:
        raise SystemExit(status)
    _end_process(status)
