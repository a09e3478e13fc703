"""Chat completions of an OpenAI-compatible service: rate-limited, retried, and each answer kept on disk as it comes.

What a service was asked before it is not asked again, whoever was killed in between: every answer is appended to a file
of this process, and every process reads all files of the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import CurationError, Finding

WAIT = (0.5, 60.0)
"""Seconds before the second try, doubled with each further one, and at most."""
AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)
"""HTTP statuses after which the same request may succeed."""
OURS = (401, 402, 403, 404, 405)
"""HTTP statuses that say nothing about a document: wrong key, address or model."""
TOO_LONG_CODES = ("context_length_exceeded", "string_above_max_length")


@dataclass(frozen=True)
class Reply:
    """What the service answered to one request: its text, or why it has none."""

    text: str | None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    fault: str | None = None
    """`too_long`, or what kind of refusal it was; never a document's text."""


class Endpoint:
    """A service at `url` (up to and with /v1), and the folder in which its answers are kept.

    `key` is the secret, None for none. `per_minute` limits requests of this process, `concurrency` those under way.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        cache: Path | None = None,
        concurrency: int = 4,
        per_minute: float | None = None,
        timeout: float = 60.0,
        tries: int = 6,
    ) -> None:
        self.url = url.rstrip("/")
        self.concurrency = concurrency
        self.timeout = timeout
        self.tries = tries
        self.asked = 0
        """Requests that the service answered, cached ones not among them."""
        self._key = key
        self._interval = 60 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._turn = threading.Lock()
        self._kept = _Kept(cache) if cache is not None else None

    def complete(self, requests: Sequence[dict[str, Any]]) -> list[Reply]:
        """Answers to chat completion requests, in order. Equal requests are sent once.

        Raises CurationError R008 when the service refuses every request, or does not answer one in `tries` tries; what
        was answered until then is kept.
        """
        import httpx2

        keys = [_name(request) for request in requests]
        known = {} if self._kept is None else self._kept.read(set(keys))
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in known}
        if not missing:
            return [known[key] for key in keys]
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        client = httpx2.Client(timeout=self.timeout, headers=headers, follow_redirects=False)
        with client, ThreadPoolExecutor(self.concurrency) as pool:
            flying = {key: pool.submit(self._ask, client, key, request) for key, request in missing.items()}
            try:
                known |= {key: future.result() for key, future in flying.items()}
            except BaseException:
                for future in flying.values():
                    future.cancel()
                raise
        return [known[key] for key in keys]

    def _ask(self, client: Any, key: str, request: dict[str, Any]) -> Reply:
        reply = self._send(client, request)
        if self._kept is not None and reply.fault is None:
            self._kept.add(key, reply)
        return reply

    def _send(self, client: Any, request: dict[str, Any]) -> Reply:
        import httpx2

        said = ""
        for attempt in range(self.tries):
            self._wait_for_turn()
            pause = min(WAIT[0] * 2**attempt, WAIT[1])
            try:
                response = client.post(f"{self.url}/chat/completions", json=request)
            except httpx2.TransportError as failure:
                said = type(failure).__name__
            else:
                if response.status_code == 200:
                    self.asked += 1
                    return _reply(response)
                said = f"HTTP {response.status_code}"
                if response.status_code in OURS:
                    raise _problem(self.url, f"{said}: {_message(response)}", "see the stage's url, model and key_env")
                if response.status_code not in AGAIN:
                    return Reply(None, fault="too_long" if _is_too_long(response) else f"refused: {said}")
                pause = max(pause, _retry_after(response))
            if attempt + 1 < self.tries:
                time.sleep(pause)
        raise _problem(self.url, f"no answer in {self.tries} tries: {said}", "is it up? what it answered is kept")

    def _wait_for_turn(self) -> None:
        if not self._interval:
            return
        with self._turn:
            now = time.monotonic()
            turn = max(self._next, now)
            self._next = turn + self._interval
        time.sleep(turn - now)


class _Kept:
    """Answers in a folder of JSON lines files, one of each process that ever wrote there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._own = folder / f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}.jsonl"
        self._lock = threading.Lock()
        self._known: dict[str, Reply] = {}
        self._read: dict[Path, int] = {}

    def read(self, keys: set[str]) -> dict[str, Reply]:
        """What is known of `keys`, after a look at what others have added."""
        with self._lock:
            for path in sorted(self.folder.glob("*.jsonl")):
                with path.open("rb") as file:
                    file.seek(self._read.get(path, 0))
                    for line in file:
                        if not line.endswith(b"\n"):  # torn: somebody is writing it, or was killed
                            break
                        self._read[path] = self._read.get(path, 0) + len(line)
                        row = json.loads(line)
                        self._known.setdefault(row.pop("request"), Reply(**row))
            return {key: self._known[key] for key in keys if key in self._known}

    def add(self, key: str, reply: Reply) -> None:
        line = json.dumps({"request": key, **reply.__dict__}) + "\n"
        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._own.open("a", encoding="utf-8") as file:
                file.write(line)


def _name(request: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def _reply(response: Any) -> Reply:
    try:
        body = response.json()
        usage = body.get("usage") or {}
        text = body["choices"][0]["message"]["content"]
        return Reply(str(text or ""), usage.get("prompt_tokens"), usage.get("completion_tokens"))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return Reply(None, fault="refused: the answer is no chat completion")


def _error(response: Any) -> dict[str, Any]:
    try:
        found = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {"message": str(found)}


def _is_too_long(response: Any) -> bool:
    found = _error(response)
    words = f"{found.get('code')} {found.get('message')}".lower()
    return found.get("code") in TOO_LONG_CODES or "context length" in words or "maximum context" in words


def _message(response: Any) -> str:
    return " ".join(str(_error(response).get("message") or response.reason_phrase).split())[:200]


def _retry_after(response: Any) -> float:
    try:
        return min(float(response.headers.get("retry-after", 0)), WAIT[1])
    except ValueError:
        return 0.0


def _problem(url: str, what: str, hint: str) -> CurationError:
    return CurationError(Finding("R008", f"{url}: {what}", hint))
