"""Servers over workspaces, asked over real connections so that any header can be sent; a recipe that costs little."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from pipelines.ui.security import Door
from pipelines.ui.serve import listen
from pipelines.ui.server import Server

HOSTILE = "</script><img src=x onerror=alert(1)> \u202egnp.exe \x1b[31m"
ROWS = 200
Answer = tuple[int, dict[str, str], Any]


def recipe(folder: Path, least: int, name: str = "numbers") -> dict[str, Any]:
    """Numbers that rows bring along, each with its gate, and a dedup: nothing is compiled and no model is read."""
    return {
        "name": name,
        "input": {"path": str(folder / "*.jsonl"), "columns": {"n": "n", "m": "m", "id": "key"}},
        "stages": [
            {"scorer": "imported", "id": "n", "column": "n", "keep": f"n.score >= {least}"},
            {"scorer": "imported", "id": "m", "column": "m", "keep": "m.score >= 30"},
            {"dedup": "exact"},
        ],
    }


@dataclass
class Client:
    """Asks one server."""

    host: str
    port: int

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str | None] | None = None) -> Answer:
        """Status, headers, and JSON where it is some; a header of None is not sent."""
        sent: dict[str, str | None] = {"Host": f"{self.host}:{self.port}"}
        if method == "POST":
            sent |= {"X-Curation": "1", "Content-Type": "application/json"}
        sent |= headers or {}
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        connection.putrequest(method, path, skip_host=True)
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        for name, value in sent.items():
            if value is not None:
                connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(content)))
        connection.endheaders(content)
        response = connection.getresponse()
        told, text = {name.lower(): value for name, value in response.getheaders()}, response.read()
        connection.close()
        is_json = told.get("content-type", "").startswith("application/json")
        return response.status, told, json.loads(text) if is_json else text

    def get(self, path: str) -> Any:
        status, _, value = self.ask("GET", path)
        assert status == 200, value
        return value

    def post(self, path: str, body: Any) -> Any:
        status, _, value = self.ask("POST", path, body)
        assert status == 200, value
        return value

    def refused(self, method: str, path: str, body: Any = None, **headers: str | None) -> tuple[int, str]:
        status, _, value = self.ask(
            method, path, body, {name.replace("_", "-"): item for name, item in headers.items()}
        )
        return status, value["error"]["code"]


@contextmanager
def serving(path: Path | str, token: str | None = None, host: str = "127.0.0.1") -> Iterator[Client]:
    """A server in a thread of its own."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(Server(str(path), Door(host, token)).app(), access_log=None, shutdown_timeout=0.5)
    socket = listen("127.0.0.1", 0)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.SockSite(runner, socket).start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield Client("127.0.0.1", socket.getsockname()[1])
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
