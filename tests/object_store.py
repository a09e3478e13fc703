"""Object stores in tests: copying to and from them, and a proxy that fails by a seed.

Between client and server it delays, answers 500 and 503, and breaks connections.
"""

from __future__ import annotations

import http.client
import random
import socket
import struct
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from curation.store import remote

FAULTS = ("delay", "500", "503", "reset before", "reset after", "cut")
"""`reset after`: the server has done what was asked, and its answer is lost. `cut`: half of the answer arrives."""
DROPPED = ("content-length", "transfer-encoding", "connection", "date", "server")
"""Headers of an answer that are this proxy's own."""


def new_bucket() -> str:
    """The URL of a new, empty bucket."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    remote._filesystem("s3").mkdir(name)
    return f"s3://{name}"


def upload(folder: Path, url: str) -> str:
    """Copy a local folder's files to a URL; returns it."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            remote.put(f"{url}/{path.relative_to(folder).as_posix()}", path)
    return url


def mirror(url: str, folder: Path) -> Path:
    """Copy what lies below a URL to a local folder; returns it."""
    for name in remote.below(url):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(remote.fetch(f"{url}/{name}"))
    return folder


class Proxy(ThreadingHTTPServer):
    """Passes requests on to `target` (a port), of which the share `rate` meets a fault of `kinds`."""

    daemon_threads = True

    def __init__(
        self, target: int, seed: int, rate: float, kinds: tuple[str, ...] = FAULTS, host: str = "127.0.0.1"
    ) -> None:
        super().__init__((host, 0), _Handler)
        self.target = target
        self.rate = rate
        self.kinds = kinds
        self.injected: Counter[str] = Counter()
        self.requests = 0
        self.sent = 0
        """Bytes of answers."""
        self.down_from: int | None = None
        """From this request on, all of them meet a fault."""
        self._random = random.Random(seed)
        self._lock = Lock()

    def fault(self) -> str:
        with self._lock:
            self.requests += 1
            down = self.down_from is not None and self.requests > self.down_from
            chosen = self._random.choice(self.kinds) if self._random.random() < self.rate or down else ""
            self.injected[chosen] += 1
        return chosen

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news here."""


@contextmanager
def failing(
    target: int, seed: int, rate: float, kinds: tuple[str, ...] = FAULTS, host: str = "127.0.0.1"
) -> Iterator[Proxy]:
    """A proxy that listens at `host`."""
    with Proxy(target, seed, rate, kinds, host) as proxy:
        thread = Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def log_message(self, *arguments: Any) -> None:
        """Quiet."""

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fault()
        if fault in ("500", "503"):
            code = {"500": "InternalError", "503": "SlowDown"}[fault]
            self._answer(int(fault), {}, f"<Error><Code>{code}</Code><Message>try again</Message></Error>".encode())
            return
        if fault == "delay":
            time.sleep(0.05)
        if fault == "reset before":
            self._reset()
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=240)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("connection", "expect")}
        connection.request(self.command, self.path, body or None, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if fault == "reset after":
            self._reset()
            return
        self.server.sent += len(content)
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in DROPPED}
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self._answer(answer.status, kept, content, cut=fault == "cut", length=length)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on  # noqa: N815

    def _answer(
        self, status: int, headers: dict[str, str], body: bytes, cut: bool = False, length: str | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.wfile.flush()
            self._reset()

    def _reset(self) -> None:
        """Close with a reset in place of a goodbye."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
