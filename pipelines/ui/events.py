"""How runs go on, as server-sent events: the workspace is looked at while somebody listens, once for all of them."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from aiohttp import web

from pipelines.streams import plain
from pipelines.ui.runs import Heartbeats, all_runs
from pipelines.ui.security import HEADERS
from pipelines.ui.work import Work
from pipelines.workspace import Workspace
from schemas.errors import CurationError

POLL_SECONDS = 1.0
POLL_SECONDS_FAR = 5.0
"""Where each look is some requests to a store."""
QUIET_SECONDS = 15.0
"""After which a line that says nothing is sent: it shows who has gone, and that we have not."""


class Events:
    """Listeners, and the one task that looks for them."""

    def __init__(self, work: Work, heartbeats: Heartbeats) -> None:
        self.work = work
        self.heartbeats = heartbeats
        self._listeners: set[asyncio.Queue[str]] = set()
        self._task: asyncio.Task[None] | None = None
        self._last = ""

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """{"runs": [...]} at once, and whenever something has changed; {"error": ...} where the workspace is away."""
        response = web.StreamResponse(headers={**HEADERS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        response.content_type = "text/event-stream"
        response.charset = "utf-8"
        await response.prepare(request)
        queue: asyncio.Queue[str] = asyncio.Queue(maxsize=4)
        self._listeners.add(queue)
        try:
            if self._last:
                await response.write(_event(self._last))
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._look())
            while True:
                try:
                    text = await asyncio.wait_for(queue.get(), QUIET_SECONDS)
                except TimeoutError:
                    await response.write(b": nothing new\n\n")
                    continue
                await response.write(_event(text))
        except (ConnectionError, asyncio.CancelledError):
            return response
        finally:
            self._listeners.discard(queue)

    async def _look(self) -> None:
        far = self.work.workspace.store.far
        while self._listeners:
            try:
                value: dict[str, Any] = {"runs": await self.work.ask(self._runs)}
            except CurationError as failure:
                first = failure.findings[0]
                value = {"error": {"code": first.code, "message": first.message, "hint": first.hint}}
            text = json.dumps(plain(value), allow_nan=False, separators=(",", ":"))
            if text != self._last:
                self._last = text
                for queue in self._listeners:
                    while queue.full():  # whoever is slow gets the newest
                        queue.get_nowait()
                    queue.put_nowait(text)
            await asyncio.sleep(POLL_SECONDS_FAR if far else POLL_SECONDS)
        self._last = ""

    def _runs(self, workspace: Workspace) -> list[dict[str, Any]]:
        return all_runs(workspace.manifest, self.heartbeats)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task


def _event(text: str) -> bytes:
    return f"data: {text}\n\n".encode()
