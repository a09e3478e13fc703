"""Who may ask the server what: other sites in the same browser, names that lead here, and whoever has no token.

Documents come from anywhere and a browser runs what it is given, so nothing is ever served but our own files and JSON,
under a policy that lets no other script run.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from pipelines.ui.answers import refusal
from schemas.errors import CurationError, Finding

MOST_BYTES = 256 * 1024
"""Of a request's body."""
CLIENT = "X-Curation"
"""Header of those who change something: a form of another site cannot send it."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
    "Server": "curate",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Door:
    """What is asked of requests to a server that listens at `host`."""

    host: str
    token: str | None = None

    def __post_init__(self) -> None:
        """Raises C064 for a host that others can reach, without a token."""
        if self.token is None and not is_loopback(self.host):
            raise CurationError(
                Finding(
                    "C064",
                    f"--host {self.host} lets other machines in, and no token is set",
                    "add --token WORD, or leave --host out and forward the port: ssh -L 8765:127.0.0.1:8765 MACHINE",
                )
            )
        if self.token is not None and (len(self.token) < 8 or not self.token.isascii() or not self.token.isprintable()):
            raise CurationError(Finding("C064", "the token is too weak", "8 or more printable ASCII characters"))

    @property
    def cookie(self) -> str:
        """Cookies of all ports of a host are one browser's: the name tells ours from another server's."""
        return "curate-" + hashlib.sha256((self.token or "").encode()).hexdigest()[:12]

    def is_ours(self, host: str) -> bool:
        """Whether a Host header names this server. One that a name of somebody else's was made to lead to does not."""
        name = name_of(host)
        if name is None:
            return False
        if is_loopback(name) or name == self.host.strip("[]").casefold():
            return True
        if is_loopback(self.host):
            return False
        return is_address(name) or name in (socket.gethostname().casefold(), socket.getfqdn().casefold())

    def has_token(self, request: web.Request) -> bool:
        if self.token is None:
            return True
        given = [request.cookies.get(self.cookie), request.headers.get("Authorization", "").removeprefix("Bearer ")]
        return any(self.is_token(word) for word in given if word)

    def is_token(self, word: str) -> bool:
        return self.token is not None and hmac.compare_digest(word.encode(errors="replace"), self.token.encode())

    def let_in(self, request: web.Request) -> None:
        """Raises C063 for a request that is not to be answered."""
        if not self.is_ours(request.headers.get("Host", "")):
            raise _refused("it names another host: open the address that `curate ui` printed")
        if not request.path.startswith("/api/"):
            return  # our own files, which hold no data
        if not self.has_token(request):
            raise _refused("it has no token, or another: open the address that `curate ui` printed")
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if site not in ("same-origin", "none"):
            raise _refused("another site asks")
        origin = request.headers.get("Origin")
        if origin is not None and not _is_origin(origin, request.headers.get("Host", "")):
            raise _refused("another site asks")
        if request.method in ("GET", "HEAD"):
            return
        if request.headers.get(CLIENT) != "1":
            raise _refused(f"it changes something, and has no header {CLIENT}: 1")
        if request.content_type != "application/json":
            raise _refused("its body is not application/json")


def guard(door: Door) -> Middleware:
    """Middleware: refuses what is not to be answered, and gives every answer our headers."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        answer: web.StreamResponse
        try:
            door.let_in(request)
            answer = await handler(request)
        except CurationError as failure:
            answer = refusal(failure)
        except web.HTTPException as failure:
            answer = refusal(_refused(failure.reason))
            answer.set_status(failure.status)
        except web.RequestPayloadError:  # a body that is not packed as its headers say
            answer = refusal(CurationError(Finding("C004", "the request's body cannot be read")))
        if not answer.prepared:
            answer.headers.update(HEADERS)
        return answer

    return guarded


def name_of(host: str) -> str | None:
    """The name in a Host header, without its port; None for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    plain = parts.hostname is not None and not (parts.path or parts.query or parts.fragment or "@" in host)
    return parts.hostname.casefold() if plain and parts.hostname else None


def is_loopback(host: str) -> bool:
    name = host.strip("[]").casefold()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_origin(origin: str, host: str) -> bool:
    """Whether a page of this very server asks. A proxy may speak https for it."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.casefold() == host.casefold()


def _refused(why: str) -> CurationError:
    return CurationError(Finding("C063", f"the request is refused: {why}"))
