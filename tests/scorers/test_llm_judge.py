"""Ratings from a real OpenAI-compatible server, and what happens when one misbehaves."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from curation.scorers.base import Context
from curation.scorers.llm_judge import NO_SCORE, LlmJudge, LlmJudgeSettings
from pipelines.workspace import Workspace
from schemas.documents import TEXT
from schemas.errors import CurationError

PROMPT = "Rate this text from 0 to 5. Answer with one digit.\n\n{text}"
TEXTS = [
    "The ferry leaves at seven.",
    "",
    "click here | login",
    "Whisk the eggs {with} sugar.",
    "The ferry leaves at seven.",
]
Answer = Callable[[dict[str, Any]], tuple[int, dict[str, str], Any]]


def judged(context: Context | None = None, **settings: Any) -> LlmJudge:
    chosen = LlmJudgeSettings(**{"prompt": PROMPT, "model": "m", "tries": 3, **settings})
    return LlmJudge(chosen, context or Context(Path()))


def batch(texts: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, TEXT)})


def said(text: str) -> tuple[int, dict[str, str], Any]:
    return 200, {}, {"choices": [{"message": {"content": text}}], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}


class Service:
    """A server that answers as it is told, and remembers what it was asked."""

    def __init__(self, answer: Answer) -> None:
        service = self
        self.answer = answer
        self.requests: list[dict[str, Any]] = []
        self.headers: list[str | None] = []
        self.times: list[float] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                service.times.append(time.monotonic())
                service.requests.append(request)
                service.headers.append(self.headers.get("authorization"))
                status, headers, body = service.answer(request)
                data = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def texts(self) -> list[str]:
        return [request["messages"][-1]["content"] for request in self.requests]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], Service]]:
    services: list[Service] = []

    def start(answer: Answer) -> Service:
        services.append(Service(answer))
        return services[-1]

    yield start
    for service in services:
        service.server.shutdown()
        service.server.server_close()


@pytest.mark.long
def test_a_real_server_is_asked_once_for_each_text_and_its_words_are_kept(
    judge: tuple[str, str], tmp_path: Path
) -> None:
    url, model = judge
    scorer = judged(Context(Path(), cache=tmp_path), url=url, model=model, reply_tokens=8)
    rows = scorer.score(batch(TEXTS)).to_pylist()
    assert [row["status"] for row in rows][1] == "empty"
    for row in (rows[0], rows[2], rows[3]):
        assert row["status"] in ("ok", "error")
        assert (row["score"] is None) == (row["status"] == "error")
        assert row["message"] == (NO_SCORE if row["status"] == "error" else None)
    assert rows[0] == rows[4]
    assert scorer._endpoint is not None
    assert scorer._endpoint.asked == 3
    again = judged(Context(Path(), cache=tmp_path), url="http://127.0.0.1:9/v1", model=model, reply_tokens=8)
    assert again.score(batch(TEXTS[::-1])).to_pylist() == rows[::-1]


@pytest.mark.parametrize(
    ("reply", "settings", "score"),
    [
        ("4", {}, 4.0),
        ("Score: 3.5 out of 5", {}, 3.5),
        ("I would give a rating of 2, since 5 is too much.", {}, 2.0),
        ("There are 12 words.", {}, None),
        ("It is fine.", {}, None),
        ("No. Yes would be wrong.", {"choices": {"yes": 1, "no": 0}}, 0.0),
        ("Maybe", {"choices": {"yes": 1, "no": 0}}, None),
        ("-1", {"scale": [-1, 1]}, -1.0),
    ],
)
def test_a_reply_becomes_a_number_or_none(
    reply: str, settings: dict[str, Any], score: float | None, serve: Any
) -> None:
    service = serve(lambda request: said(reply))
    [row] = judged(url=service.url, **settings).score(batch(TEXTS[:1])).to_pylist()
    assert row["score"] == score
    assert row["status"] == ("ok" if score is not None else "error")
    assert row["message"] == (None if score is not None else NO_SCORE)


def test_what_is_sent_and_what_is_not(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    service = serve(lambda request: said("1"))
    scorer = judged(url=f"{service.url}/", key_env="MY_KEY", system="Be brief.", characters=9, seed=3, reply_tokens=5)
    [row] = scorer.score(batch(["Whisk {the} eggs"])).to_pylist()
    assert (row["truncated"], row["prompt_tokens"], row["completion_tokens"]) == (True, 7, 2)
    [request] = service.requests
    assert request["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": PROMPT.replace("{text}", "Whisk {th")},
    ]
    assert (request["model"], request["max_tokens"], request["temperature"], request["seed"]) == ("m", 5, 0.0, 3)
    assert service.headers == ["Bearer secret"]
    assert "secret" not in json.dumps([scorer.identity(), scorer.models(), scorer.settings.model_dump()])


@pytest.mark.long
def test_a_busy_server_is_asked_again_as_it_says(serve: Any) -> None:
    waits = iter([(429, {"retry-after": "1"}, {}), (503, {}, {}), said("2")])
    service = serve(lambda request: next(waits))
    [row] = judged(url=service.url).score(batch(TEXTS[:1])).to_pylist()
    assert row["score"] == 2
    assert service.times[1] - service.times[0] >= 1


@pytest.mark.parametrize(
    ("status", "says"),
    [(401, "HTTP 401: bad key"), (404, "HTTP 404: bad key"), (500, "no answer in 2 tries: HTTP 500")],
)
def test_a_service_that_refuses_everything_stops_the_run(status: int, says: str, serve: Any) -> None:
    service = serve(lambda request: (status, {}, {"error": {"message": "bad key"}}))
    with pytest.raises(CurationError, match=says) as caught:
        judged(url=service.url, tries=2).score(batch(TEXTS))
    assert caught.value.findings[0].code == "R008"


def test_a_document_that_it_refuses_has_a_status(serve: Any) -> None:
    def answer(request: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        text = request["messages"][-1]["content"]
        if "ferry" in text:
            return 400, {}, {"error": {"code": "context_length_exceeded", "message": text}}
        return (422, {}, {"error": {"message": text}}) if "click" in text else said("1")

    rows = judged(url=serve(answer).url).score(batch(TEXTS)).to_pylist()
    assert [row["status"] for row in rows] == ["too_long", "empty", "error", "ok", "too_long"]
    assert [row["message"] for row in rows] == [None, None, "refused: HTTP 422", None, None]


def test_requests_keep_to_the_rate(serve: Any) -> None:
    service = serve(lambda request: said("1"))
    judged(url=service.url, requests_per_minute=600, concurrency=8).score(batch([f"text {n}" for n in range(6)]))
    assert service.times[-1] - service.times[0] >= 0.45


@pytest.mark.long
def test_an_interrupted_run_asks_only_what_has_no_answer(serve: Any, tmp_path: Path) -> None:
    texts = [f"document {row}" for row in range(30)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "in.parquet")
    broken = threading.Event()

    def answer(request: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        number = int(request["messages"][-1]["content"].rpartition(" ")[2])
        return (401, {}, {}) if number >= 20 and not broken.is_set() else said(str(number % 5))

    service = serve(answer)
    stage = {"scorer": "llm-judge", "url": service.url, "model": "m", "prompt": PROMPT, "concurrency": 1}
    recipe = {"name": "judged", "input": {"path": str(tmp_path / "in.parquet")}, "stages": [stage]}
    workspace = Workspace(tmp_path / "ws")
    first = workspace.run(recipe, executor="local")
    assert first.outcome == "failed"
    assert [failure.code for _, failure in first.failures] == ["R008"]
    asked = len(service.requests)
    assert asked in (21, 22)  # one more may have been on its way
    broken.set()
    moved = {**recipe, "stages": [{**stage, "concurrency": 8, "requests_per_minute": 6000}]}
    second = workspace.run(moved, executor="local")
    assert second.outcome == "done", second.failures
    assert second.run == first.run, "how fast the service is asked is no part of a score"
    assert len(service.requests) == asked + 10
    rows = workspace.sql("SELECT row, llm_judge.score AS score FROM documents ORDER BY row").to_pylist()
    assert [row["score"] for row in rows] == [float(row % 5) for row in range(30)]


def test_settings_that_cannot_work_are_refused() -> None:
    for settings in ({"prompt": "no column"}, {"scale": [5, 0]}, {"url": "ftp://x"}):
        with pytest.raises(ValidationError):
            LlmJudgeSettings(**{"url": "http://x", "model": "m", "prompt": PROMPT, **settings})


# --- credentials, and what a service may answer ------------------------------------------------------------------

SECRET = "hunter2secret"
ADDRESSES = [
    f"http://user:{SECRET}@host/v1", f"https://{SECRET}@host:8000/v1", f"http://host/v1?api_key={SECRET}",
    f"http://host/v1?key={SECRET}", f"http://host/v1#token={SECRET}", f"http://host/sk-{SECRET}{SECRET}/v1",
    f"https://host/v1/?x=1&access_token={SECRET}", f"HTTP://u:{SECRET}@[::1]:80/v1".replace("HTTP", "http"),
]  # fmt: skip


@pytest.mark.parametrize("path", ["token-classification-api", "hf-text-embeddings-inference", "key-management-service"])
def test_words_in_an_address_are_no_key(path: str) -> None:
    settings = LlmJudgeSettings(url=f"http://host/{path}/v1", model="m", prompt=PROMPT)
    assert LlmJudge(settings, Context(Path())).settings.url.endswith(f"/{path}/v1")


@pytest.mark.parametrize("url", ADDRESSES)
def test_an_address_with_credentials_is_refused_and_nowhere_said(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipelines.cli.main import _main

    (tmp_path / "in.jsonl").write_text('{"text": "words"}\n')
    recipe = tmp_path / "recipe.yaml"
    stage = {"scorer": "llm-judge", "url": url, "model": "m", "prompt": "{text}"}
    recipe.write_text(json.dumps({"name": "x", "input": {"path": str(tmp_path / "in.jsonl")}, "stages": [stage]}))
    for command in ("check", "plan", "run"):
        assert _main([command, str(recipe), "-w", str(tmp_path / "ws")]) == 2
        shown = capsys.readouterr()
        assert "error[C042]" in shown.err
        assert SECRET not in shown.out + shown.err
    assert not any(SECRET.encode() in path.read_bytes() for path in (tmp_path / "ws").rglob("*") if path.is_file())


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/v1", "https://host/sketch/v1", "http://[::1]:80/v1/"])
def test_a_plain_address_is_one(url: str) -> None:
    assert judged(url=url).settings.url == url


@pytest.mark.parametrize("url", ["http://", "http:///v1", "http://host:port/v1", "http://a b/v1", "http://[::1/v1"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(CurationError, match="C042"):
        judged(url=url)


def chat(content: Any, usage: Any = None) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content}}], "usage": usage}


NO_ANSWERS: list[Any] = [
    None, [], {}, 7, "text", True, {"choices": None}, {"choices": []}, {"choices": [None]}, {"choices": {"0": 1}},
    {"choices": [{"message": None}]}, {"choices": [{"message": "x"}]}, chat({}), chat(7), chat(True),
    chat(float("inf")),
]  # fmt: skip


@pytest.mark.parametrize("body", NO_ANSWERS, ids=str)
def test_an_answer_of_any_shape_is_an_error_of_the_document(body: Any, serve: Any) -> None:
    service = serve(lambda request: (200, {}, body))
    if body is None:
        with pytest.raises(CurationError, match="no JSON"):
            judged(url=service.url, tries=1).score(batch(TEXTS[:1]))
        return
    [row] = judged(url=service.url, tries=1).score(batch(TEXTS[:1])).to_pylist()
    assert (row["status"], row["score"]) == ("error", None)
    assert row["message"] == "refused: the answer is no chat completion"


USAGES: list[Any] = [
    "odd", [], 7, {"prompt_tokens": "7"}, {"prompt_tokens": 1.5}, {"prompt_tokens": float("inf")},
    {"prompt_tokens": float("nan")}, {"prompt_tokens": 1 << 40}, {"prompt_tokens": -1}, {"prompt_tokens": True},
    {"prompt_tokens": [7]}, {"prompt_tokens": None},
]  # fmt: skip


@pytest.mark.parametrize("usage", USAGES, ids=str)
def test_odd_counts_are_no_counts(usage: Any, serve: Any) -> None:
    [row] = judged(url=serve(lambda request: (200, {}, chat("4", usage))).url).score(batch(TEXTS[:1])).to_pylist()
    assert (row["score"], row["prompt_tokens"], row["completion_tokens"]) == (4.0, None, None)


@pytest.mark.parametrize(
    ("content", "reply"),
    [
        ("4 \ud800", "4 \ufffd"), ("\udc00\ud83d 4", "\ufffd\ufffd 4"), ("4 \ud83d\ude00", "4 😀"), (None, ""),
        ([{"type": "text", "text": "4"}], "4"), ("Score: " + "9" * 5000, "Score: " + "9" * 5000),
    ],
)  # fmt: skip
def test_a_reply_is_stored_as_utf8_also_from_what_was_kept(
    content: Any, reply: str, serve: Any, tmp_path: Path
) -> None:
    service = serve(lambda request: (200, {}, chat(content)))
    for _ in range(2):
        scorer = judged(Context(Path(), cache=tmp_path), url=service.url)
        [row] = scorer.score(batch(TEXTS[:1])).to_pylist()
        if row["status"] == "ok":
            assert row["reply"] == reply
        assert row["score"] == (4.0 if "4" in reply else None)
    assert len(service.requests) == 1


def test_kept_answers_that_are_damaged_are_asked_again(serve: Any, tmp_path: Path) -> None:
    service = serve(lambda request: said("4"))
    judged(Context(Path(), cache=tmp_path), url=service.url).score(batch(TEXTS[:1]))
    [kept] = (tmp_path / "llm-judge").iterdir()
    row = json.loads(kept.read_text())
    for damaged in (
        "{",
        "[]",
        "null",
        "7",
        '{"request": 7}',
        json.dumps({**row, "text": 7}),
        json.dumps({**row, "x": 1}),
    ):
        kept.write_text(damaged + "\n")
        [found] = judged(Context(Path(), cache=tmp_path), url=service.url).score(batch(TEXTS[:1])).to_pylist()
        assert found["score"] == 4
        for other in (tmp_path / "llm-judge").iterdir():
            if other != kept:
                other.unlink()
    assert len(service.requests) == 7


def test_an_error_text_steers_nothing_and_repeats_no_key(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    evil = f"bad key {SECRET} \x1b]52;c;x\x07\u202e\n\x9b2J" + "x" * 10_000
    service = serve(lambda request: (401, {}, {"error": {"message": evil}}))
    with pytest.raises(CurationError) as failure:
        judged(url=service.url).score(batch(TEXTS[:1]))
    [finding] = failure.value.findings
    assert finding.code == "R008"
    assert finding.message.isprintable()
    assert SECRET not in finding.message
    assert len(finding.message) < 500


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_says_nothing_of_a_document(status: int, serve: Any) -> None:
    service = serve(lambda request: (status, {"location": "http://127.0.0.1:9/v1"}, {}))
    with pytest.raises(CurationError, match=f"HTTP {status}"):
        judged(url=service.url).score(batch(TEXTS[:1]))


def raw(answer: Callable[[Any], None]) -> tuple[str, ThreadingHTTPServer]:
    """A server whose answer to any request is written by hand."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            with suppress(OSError):  # it has heard enough
                answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1", server


def begin(handler: Any, kind: str = "application/json") -> None:
    handler.send_response(200)
    handler.send_header("content-type", kind)
    handler.end_headers()


def endless(handler: Any) -> None:
    begin(handler)
    for _ in range(100_000):
        handler.wfile.write(b" " * 65_536)


def trickle(handler: Any) -> None:
    begin(handler)
    while True:  # until nobody listens any more
        handler.wfile.write(b" ")
        time.sleep(0.05)


def page(handler: Any) -> None:
    begin(handler, "text/html")
    handler.wfile.write(b"<html><script>alert(1)</script>Log in first")


def deep(handler: Any) -> None:
    begin(handler)
    handler.wfile.write(b"[" * 200_000)


@pytest.mark.parametrize(("answer", "outcome"), [(endless, "too long"), (trickle, None), (page, None), (deep, None)])
def test_an_answer_without_an_end_or_sense_ends(answer: Any, outcome: str | None) -> None:
    url, server = raw(answer)
    scorer = judged(url=url, tries=1, timeout=1.0)
    if outcome:
        [row] = scorer.score(batch(TEXTS[:1])).to_pylist()
        assert (row["status"], row["message"]) == ("error", f"refused: the answer is {outcome}")
    else:
        with pytest.raises(CurationError, match="R008"):
            scorer.score(batch(TEXTS[:1]))
    server.shutdown()
