"""Blocking work beside the server's loop: a bounded number of threads, each with a view of the workspace of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from curation.flow.faults import place_of, trace_of
from curation.manifest.limits import Limits
from pipelines.workspace import Workspace
from schemas.errors import CurationError, Finding

T = TypeVar("T")
WORKER = "curate-ui"
"""Name of the threads that answer."""
THREADS = 4
WAITING = 32
"""Requests that wait for a thread, at most."""
SECONDS = 60.0
"""That an answer may take; a query ends then, other work goes on to its end and is not waited for."""


class Work:
    """Calls of functions that are given a Workspace first: no two at once the same, since a manifest is no thread's but
    one. Threads are daemons, so that a server that is stopped waits for none."""

    def __init__(self, path: str) -> None:
        """Raises CurationError C030, C031 or R010 for what is no workspace that can be read."""
        self.path = path
        self.workspace = Workspace(path)
        self.workspace.require()
        self._idle: list[Workspace] = []
        self._slots = asyncio.Semaphore(THREADS)
        self._waiting = 0

    async def ask(self, function: Callable[..., T], *values: Any, seconds: float = SECONDS) -> T:
        """What the function returns or raises. Raises C057 when it takes longer, or too many wait already."""
        if self._waiting >= WAITING:
            raise _late("too many requests wait already")
        self._waiting += 1
        try:
            await asyncio.wait_for(self._slots.acquire(), seconds)
        except TimeoutError:
            raise _late("other requests take all the time that there is") from None
        finally:
            self._waiting -= 1
        future = self._begin(function, values)
        try:
            return await asyncio.wait_for(asyncio.shield(future), seconds)
        except TimeoutError:
            raise _late(f"the answer takes more than {seconds:g} s") from None
        except (CurationError, asyncio.CancelledError):
            raise
        except OSError as failure:
            from curation.flow import system_failure

            cause = system_failure(failure)
            raise CurationError(Finding(cause.code, cause.message, cause.hint)) from failure
        except Exception as failure:
            logging.getLogger("curate.ui").error("%s\n%s", type(failure).__name__, trace_of(failure))
            what = f"{type(failure).__name__} {place_of(failure)}".strip()
            raise CurationError(Finding("R016", f"the engine failed where it should not: {what}")) from failure

    def _begin(self, function: Callable[..., T], values: tuple[Any, ...]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(value: T | None, failure: Exception | None) -> None:
            self._slots.release()
            if failure is None:
                future.set_result(value)  # type: ignore[arg-type]
            else:
                future.set_exception(failure)
                future.exception()  # seen, though nobody may wait for it any more

        def run() -> None:
            value, failure = None, None
            try:
                try:
                    workspace = self._idle.pop()
                except IndexError:
                    workspace = Workspace(self.path)
                try:
                    value = function(workspace, *values)
                finally:
                    self._idle.append(workspace)
            except Exception as raised:
                failure = raised
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(settle, value, failure)

        threading.Thread(target=run, daemon=True, name=WORKER).start()
        return future


def limits() -> Limits:
    """Of one query here: what the environment sets, and no longer than an answer may take."""
    usual = Limits.of()
    return Limits(usual.memory, min(usual.seconds, SECONDS))


def _late(what: str) -> CurationError:
    return CurationError(Finding("C057", what, "ask for less, or once more in a while"))
