"""Scores that a language model behind an OpenAI-compatible service writes down."""

from __future__ import annotations

import os
import re
import string
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from curation.models.endpoint import Endpoint, Reply
from curation.scorers import base
from curation.scorers.model import is_blank
from schemas.documents import EMPTY, ERROR, OK, TOO_LONG
from schemas.errors import CurationError, Finding

NO_SCORE = "no score in the reply"
_KEY_LIKE = re.compile(
    r"(?:^|/)(?:sk|pk|rk|hf|gsk|ghp|glpat|xai|key|token|bearer)[-_=]"
    r"(?:[a-z0-9]+[-_])*(?=[a-z]*[0-9]|[a-z]{16})[a-z0-9]{12,}",
    re.IGNORECASE,
)
"""A key as a part of a path; words, as in token-classification, are none."""
_SCORE = re.compile(r"(?:score|rating|grade)\D{0,20}?(-?\d+(?:\.\d+)?)", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")


class LlmJudgeSettings(base.Settings):
    """Which service is asked what, and how its answer becomes a number."""

    url: str = Field(pattern=r"^https?://")
    """Address of the service up to /v1, such as http://127.0.0.1:8000/v1. Every document's text is sent there."""
    model: str
    """Name of the model, as the service knows it."""
    prompt: str
    """What the user says, with columns in braces: "Rate from 0 to 5 how much one learns from this:\\n\\n{text}"."""
    system: str | None = None
    """What the system says."""
    scale: list[float] = Field(default=[0, 5], min_length=2, max_length=2)
    """Lowest and highest score; a number outside is none. Taken is that behind score, rating, grade; else the last."""
    choices: dict[str, float] | None = None
    """Instead of numbers, words and what they count for: {yes: 1, no: 0}. The first word of the reply that is one."""
    orientation: Literal["higher", "lower"] = "higher"
    """Which scores are the better ones."""
    characters: int = Field(default=8000, ge=1)
    """Characters of each column that are sent; the rest of a longer text is left unread."""
    reply_tokens: int = Field(default=64, ge=1)
    """Most tokens of a reply."""
    temperature: float = Field(default=0.0, ge=0)
    """Of the service's sampling; 0 for its likeliest answer."""
    seed: int | None = None
    """For services that take one."""
    key_env: str = "OPENAI_API_KEY"
    """Environment variable with the key; a service without keys needs none."""
    concurrency: int = Field(default=4, ge=1, le=256)
    """Requests under way at a time."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    """Of the whole run, whatever the number of workers; null for no limit."""
    timeout: float = Field(default=60.0, gt=0)
    """Seconds until a request counts as failed."""
    tries: int = Field(default=6, ge=1)
    """Of one request, with growing pauses (or as long as the service says), before the run stops."""

    @model_validator(mode="after")
    def _check(self) -> LlmJudgeSettings:
        if self.scale[0] >= self.scale[1]:
            raise ValueError("scale goes from a lower to a higher number")
        if not columns_of(self.prompt):
            raise ValueError("the prompt has no column in braces, such as {text}")
        return self


class LlmJudge(base.Scorer):
    """A rating by a language model that somebody else runs.

    Fields: `score` float64; `reply` string, the model's own words; `prompt_tokens` and `completion_tokens` int32, as
    the service counts them (null where it does not); `truncated` bool, some column was longer than `characters`.

    The answers of a service are not ours to repeat: at temperature 0 most give the same again, none promises it. Each
    answer is kept in the workspace as it comes, so a killed run asks only what has no answer, and a committed score
    stands. Address, key, rate and tries are no part of a score's identity; the model's name is, so two models must not
    share one. A model of 135 M parameters rates at random: below about a billion, prefer `classifier` or `perplexity`.

    Status `empty`: a column is blank. `too_long`: the service says so. `error`: a reply without a score, a refusal.
    When the service is not there, the run stops (R008) and resumes.
    """

    kind = "llm-judge"
    Settings = LlmJudgeSettings
    heavy = True  # one process asks for all shards, so that a rate limit is one
    operational = ("url", "key_env", "concurrency", "requests_per_minute", "timeout", "tries")

    def __init__(self, settings: LlmJudgeSettings, context: base.Context) -> None:
        _refuse_credentials(settings.url)
        super().__init__(settings, context)
        self.reads = tuple(columns_of(settings.prompt))
        self._endpoint: Endpoint | None = None

    @property
    def fields(self) -> list[pa.Field]:
        return [
            pa.field("score", pa.float64()),
            pa.field("reply", pa.string()),
            pa.field("prompt_tokens", pa.int32()),
            pa.field("completion_tokens", pa.int32()),
            pa.field("truncated", pa.bool_()),
        ]

    @property
    def contract(self) -> base.Contract:
        orientation: Literal[1, -1] = 1 if self.settings.orientation == "higher" else -1
        return base.Contract("score", orientation, "ordinal", tokens="prompt_tokens", truncated="truncated")

    def models(self) -> list[dict[str, Any]]:
        """The service and the model's name: of what it runs, nothing can be checked."""
        unknown = {"revision": None, "sha256": "", "bytes": 0, "licence": "unknown"}
        return [{"address": f"{self.settings.url}#{self.settings.model}", "file": "", **unknown}]

    def load(self) -> None:
        if self._endpoint is None:
            chosen = self.settings
            self._endpoint = Endpoint(
                chosen.url,
                key=os.environ.get(chosen.key_env) or None,
                cache=None if self.context.cache is None else self.context.cache / self.kind,
                concurrency=chosen.concurrency,
                per_minute=chosen.requests_per_minute,
                timeout=chosen.timeout,
                tries=chosen.tries,
            )

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.load()
        assert self._endpoint is not None
        limit = self.settings.characters
        texts = {name: batch.column(name).to_pylist() for name in self.reads}
        blank = np.logical_or.reduce([is_blank(batch.column(name)) for name in self.reads])
        rows = np.flatnonzero(~blank).tolist()
        asked = [self._request({name: column[row][:limit] for name, column in texts.items()}) for row in rows]
        status = np.where(blank, EMPTY, OK).astype(object)
        message = np.full(batch.num_rows, None, dtype=object)
        values = np.full(batch.num_rows, np.nan)
        replies: list[Reply | None] = [None] * batch.num_rows
        for row, reply in zip(rows, self._endpoint.complete(asked), strict=True):
            replies[row] = reply
            found = None if reply.text is None else self._read(reply.text)
            if found is not None:
                values[row] = found
            elif reply.fault == TOO_LONG:
                status[row] = TOO_LONG
            else:
                status[row], message[row] = ERROR, reply.fault or NO_SCORE
        missing = status != OK
        cut = [any(len(column[row]) > limit for column in texts.values()) for row in range(batch.num_rows)]
        answers = [reply or Reply(None) for reply in replies]
        return pa.record_batch(
            {
                "score": pa.array(values, mask=missing),
                "reply": pa.array(_masked([reply.text for reply in answers], missing), pa.string()),
                "prompt_tokens": pa.array(_masked([reply.prompt_tokens for reply in answers], missing), pa.int32()),
                "completion_tokens": pa.array(
                    _masked([reply.completion_tokens for reply in answers], missing), pa.int32()
                ),
                "truncated": pa.array(cut, pa.bool_(), mask=missing),
                "status": pa.array(status, pa.string()),
                "message": pa.array(message, pa.string()),
            }
        )

    def _request(self, columns: dict[str, str]) -> dict[str, Any]:
        system = [] if self.settings.system is None else [{"role": "system", "content": self.settings.system}]
        user = {"role": "user", "content": _filled(self.settings.prompt, columns)}
        request: dict[str, Any] = {
            "model": self.settings.model,
            "messages": [*system, user],
            "max_tokens": self.settings.reply_tokens,
            "temperature": self.settings.temperature,
        }
        return request if self.settings.seed is None else {**request, "seed": self.settings.seed}

    def _read(self, reply: str) -> float | None:
        """The score in a reply, or None."""
        if self.settings.choices is not None:
            known = {word.casefold(): value for word, value in self.settings.choices.items()}
            words = re.findall(r"\w+", reply.casefold())
            return next((known[word] for word in words if word in known), None)
        named, numbers = _SCORE.findall(reply), _NUMBER.findall(reply)
        if not named and not numbers:
            return None
        value = float(named[0] if named else numbers[-1])
        low, high = self.settings.scale
        return value if low <= value <= high else None


def _refuse_credentials(url: str) -> None:
    """Raise C042 for an address that holds more than one: it is recorded, shown in views, and said in messages."""
    authority, _, rest = url.partition("://")[2].partition("/")
    if "@" in authority or _KEY_LIKE.search(rest):
        raise CurationError(
            Finding(
                "C042", "url holds credentials", "leave them out, and name the variable that holds the key: key_env"
            )
        )
    if "?" in url or "#" in url:
        raise CurationError(
            Finding("C042", "url has a query, where keys are often written", "write the address up to /v1, and key_env")
        )
    try:
        host_and_port = urlsplit(url).hostname, urlsplit(url).port
    except ValueError:
        host_and_port = None, None
    if not host_and_port[0] or re.search(r"[\s\\\x00-\x20\x7f-\x9f]", url):
        raise CurationError(Finding("C042", "url is no address", "write http://HOST:PORT/v1"))


def columns_of(prompt: str) -> list[str]:
    """Names in braces, each once, in order. Raises ValueError for a brace without a partner."""
    return list(dict.fromkeys(name for _, name, _, _ in string.Formatter().parse(prompt) if name))


def _filled(prompt: str, columns: dict[str, str]) -> str:
    """The prompt with columns in place of their names; format specifications and attributes are not followed."""
    parts = []
    for words, name, _, _ in string.Formatter().parse(prompt):
        parts += [words, columns[name] if name else ""]
    return "".join(parts)


def _masked(values: list[Any], missing: np.ndarray) -> list[Any]:
    return [None if gone else value for value, gone in zip(values, missing, strict=True)]
