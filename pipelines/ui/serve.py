"""Listening, and the end of it."""

from __future__ import annotations

import asyncio
import errno
import secrets
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from pipelines.ui.security import Door
from pipelines.ui.server import Server
from schemas.errors import CurationError, Finding

PORT = 8765
"""Where nothing is asked for; the next ones are tried where it is taken."""
TRIED = 20
GRACE_SECONDS = 1.0
"""For answers that are under way when the server ends."""


@dataclass(frozen=True)
class Address:
    host: str
    port: int
    token: str | None

    @property
    def url(self) -> str:
        """What a browser opens; with the token, which it keeps as a cookie."""
        name = {"": "127.0.0.1", "0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(self.host, self.host)
        name = f"[{name}]" if ":" in name else name
        return f"http://{name}:{self.port}/" + (f"?token={self.token}" if self.token else "")


def serve(
    path: str,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    ready: Callable[[Address], None] = lambda address: None,
) -> None:
    """Serve a workspace until SIGINT or SIGTERM; `ready` is told the address once it is listened at.

    `port` 0 is any that is free; without one, PORT or the next that is free. `token` "" makes one.
    Raises CurationError C064 for a host without a token, or a port that is taken, C030 for what is no workspace.
    """
    from urllib.parse import quote

    door = Door(host, secrets.token_urlsafe(24) if token == "" else token)
    listening = listen(host, port)
    address = Address(host, listening.getsockname()[1], door.token and quote(door.token, safe=""))
    asyncio.run(_serve(path, door, listening, lambda: ready(address)))


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens. Raises C064 where that is refused."""
    ports = range(PORT, PORT + TRIED) if port is None else [port]
    for number in ports:
        try:
            family, _, _, _, where = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
            listening = socket.socket(family, socket.SOCK_STREAM)
            try:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listening.bind(where)
                listening.listen(128)
            except BaseException:
                listening.close()
                raise
            return listening
        except UnicodeError:
            hint = "--host takes an address or a name: 127.0.0.1, localhost"
            raise CurationError(Finding("C064", f"{host[:100]} is no name of a host", hint)) from None
        except OSError as failure:
            if failure.errno == errno.EADDRINUSE and number != ports[-1]:
                continue
            hint = "--port 0 takes any that is free" if failure.errno == errno.EADDRINUSE else "choose another"
            why = failure.strerror or str(failure)
            raise CurationError(Finding("C064", f"{host} port {number} cannot be listened at: {why}", hint)) from None
    raise AssertionError("there is a last port")


async def _serve(path: str, door: Door, listening: socket.socket, ready: Callable[[], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    runner = web.AppRunner(
        Server(path, door).app(), access_log=None, handle_signals=False, shutdown_timeout=GRACE_SECONDS
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        ready()
        await stop.wait()
    finally:
        await runner.cleanup()
