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

from curation import progress
from curation.escape import terminal
from curation.retry import AGAIN, pause
from schemas.errors import CurationError, Finding

WAIT = (0.5, 60.0)
"""Seconds before the second try, and at most (`curation.retry.pause`)."""
OURS = (*range(300, 400), 401, 402, 403, 404, 405, 407)
"""HTTP statuses that say nothing about a document: wrong key, address or model, or an answer that is elsewhere."""
MOST_BYTES = 1 << 20
"""Of an answer: a longer one is not read to its end."""
TOO_LONG_CODES = ("context_length_exceeded", "string_above_max_length")


@dataclass(frozen=True)
class Reply:
    """What the service answered to one request: its text, or why it has none."""

    text: str | None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    fault: str | None = None
    """`too_long`, or what kind of refusal it was; never a document's text, nor the service's words."""


@dataclass(frozen=True)
class _Answer:
    """What came back: status, headers, and the body's first bytes, `whole` or not."""

    status: int
    reason: str
    headers: Any
    body: bytes
    whole: bool

    def json(self) -> Any:
        """None for what is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


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
        answers = {} if self._kept is None else self._kept.read(set(keys))
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in answers}
        if not missing:
            return [answers[key] for key in keys]
        headers = {"Accept-Encoding": "identity"}  # so that a byte read is a byte sent
        headers |= {"Authorization": f"Bearer {self._key}"} if self._key else {}
        client = httpx2.Client(timeout=self.timeout, headers=headers, follow_redirects=False)
        with client, ThreadPoolExecutor(self.concurrency) as pool:
            flying = {key: pool.submit(self._ask, client, key, request) for key, request in missing.items()}
            try:
                for number, (key, future) in enumerate(flying.items(), 1):
                    answers[key] = future.result()
                    progress.documents(number, len(flying))
            except BaseException:
                for future in flying.values():
                    future.cancel()
                raise
        return [answers[key] for key in keys]

    def _ask(self, client: Any, key: str, request: dict[str, Any]) -> Reply:
        reply = self._send(client, request)
        if self._kept is not None and reply.fault is None:
            self._kept.add(key, reply)
        return reply

    def _send(self, client: Any, request: dict[str, Any]) -> Reply:
        import httpx2

        problem = ""
        for attempt in range(self.tries):
            self._wait_for_turn()
            wait = pause(attempt, *WAIT)
            try:
                answer = self._receive(client, request)
            except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, TimeoutError) as failure:
                problem = type(failure).__name__
            else:
                problem = f"HTTP {answer.status}"
                body = answer.json()
                if answer.status == 200 and not answer.whole:
                    return Reply(None, fault="refused: the answer is too long")
                if answer.status == 200 and body is not None:
                    self.asked += 1
                    return _reply(body)
                if answer.status == 200:  # a page of something that stands before the service
                    problem = "HTTP 200, but no JSON"
                elif answer.status in OURS:
                    what = f"{problem}: {self._message(answer)}"
                    raise _problem(self.url, what, "see the stage's url, model and key_env")
                elif answer.status not in AGAIN and answer.status < 500:
                    return Reply(None, fault="too_long" if _is_too_long(answer) else f"refused: {problem}")
                wait = max(wait, _retry_after(answer))
            if attempt + 1 < self.tries:
                time.sleep(wait)
        raise _problem(self.url, f"no answer in {self.tries} tries: {problem}", "is it up? what it answered is kept")

    def _receive(self, client: Any, request: dict[str, Any]) -> _Answer:
        """Ask once. Raises TimeoutError for an answer that goes on for longer than `timeout`."""
        end = time.monotonic() + self.timeout
        parts, size = [], 0
        with client.stream("POST", f"{self.url}/chat/completions", json=request) as response:
            for part in response.iter_raw():
                parts.append(part)
                size += len(part)
                if size > MOST_BYTES:
                    break
                if time.monotonic() > end:
                    raise TimeoutError
            status, reason = int(response.status_code), str(response.reason_phrase)
            return _Answer(status, reason, response.headers, b"".join(parts), size <= MOST_BYTES)

    def _message(self, answer: _Answer) -> str:
        """What the service says of its refusal: one line that steers nothing, without the key."""
        words = " ".join(str(_error(answer).get("message") or answer.reason).split())
        if self._key:
            words = words.replace(self._key, "…")
        return terminal(words[:200])

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
        self._file = folder / f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}.jsonl"
        self._lock = threading.Lock()
        self._replies: dict[str, Reply] = {}
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
                        known = _kept(line)
                        if known is not None:
                            self._replies.setdefault(*known)
            return {key: self._replies[key] for key in keys if key in self._replies}

    def add(self, key: str, reply: Reply) -> None:
        line = json.dumps({"request": key, **reply.__dict__}) + "\n"
        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(line)


def _name(request: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def _kept(line: bytes) -> tuple[str, Reply] | None:
    """Request and reply of a line; None for one that is damaged, so that it is asked again."""
    try:
        row = json.loads(line)
        key, text = row["request"], row["text"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(key, str) or not isinstance(text, str):
        return None
    return key, Reply(_whole(text), _count(row.get("prompt_tokens")), _count(row.get("completion_tokens")))


def _reply(body: Any) -> Reply:
    """The first choice's text and the counts, from anything that JSON can be."""
    try:
        text = body["choices"][0]["message"]["content"]
    except (LookupError, TypeError):
        text = 0
    if isinstance(text, list):  # in parts, of which some may be no text
        text = "".join(str(part.get("text") or "") for part in text if isinstance(part, dict))
    if not isinstance(text, str | None):
        return Reply(None, fault="refused: the answer is no chat completion")
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Reply(_whole(text or ""), _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))


def _whole(text: str) -> str:
    """Text that UTF-8 can hold: halves of characters become U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _count(value: Any) -> int | None:
    """A count of tokens, None for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31 else None


def _error(answer: _Answer) -> dict[str, Any]:
    body = answer.json()
    found = body.get("error") if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {"message": found if isinstance(found, str) else None}


def _is_too_long(answer: _Answer) -> bool:
    found = _error(answer)
    words = f"{found.get('code')} {found.get('message')}".lower()
    stated = any(code in words for code in (*TOO_LONG_CODES, "context length", "maximum context"))
    return answer.status == 413 or stated


def _retry_after(answer: _Answer) -> float:
    try:
        return min(float(answer.headers.get("retry-after", 0)), WAIT[1])
    except ValueError:
        return 0.0


def _problem(url: str, what: str, hint: str) -> CurationError:
    return CurationError(Finding("R008", f"{url}: {what}", hint))
