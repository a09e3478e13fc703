"""A store between client and server that answers wrongly, as faulty networks, proxies and expired keys do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

from object_store import Proxy, _Handler

Answer = tuple[int, dict[str, str], bytes]
Meddle = Callable[[str, str, Answer], Answer | None]
"""Method, path and the true answer → the answer that is given; None for one that trickles and never ends."""


class Hostile(Proxy):
    """Passes requests on, and what `meddle` makes of the answers back."""

    def __init__(self, target: int, meddle: Meddle) -> None:
        super().__init__(target, 0, 0.0)
        self.RequestHandlerClass = _Meddling
        self.meddle = meddle
        self.asked: list[tuple[str, str]] = []


class _Meddling(_Handler):
    server: Hostile

    def _answer(
        self, status: int, headers: dict[str, str], body: bytes, cut: bool = False, length: str | None = None
    ) -> None:
        self.server.asked.append((self.command, self.path))
        given = self.server.meddle(self.command, self.path, (status, dict(headers), body))
        if given is None:
            return self._trickle()
        if given != (status, headers, body):
            length = None if self.command != "HEAD" else str(len(given[2]))
        super()._answer(*given, length=length)

    def _trickle(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        try:
            while True:  # until nobody listens any more
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.1)
        except OSError:
            pass
        self.close_connection = True


@contextmanager
def meddling(target: int, meddle: Meddle) -> Iterator[Hostile]:
    with Hostile(target, meddle) as proxy:
        thread = Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


def refusal(status: int, code: str) -> Meddle:
    """Every request is refused."""
    body = f"<Error><Code>{code}</Code><Message>no, by {code}</Message></Error>".encode()
    return lambda method, path, answer: (status, {"Content-Type": "application/xml"}, b"" if method == "HEAD" else body)
