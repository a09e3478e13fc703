"""What the client of a jobs server makes of answers. The server itself is seen by tests/pipelines/test_submit.py."""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.errors import CurationError
from workers.jobs import Job, Jobs, _job, checked


@contextmanager
def server(answer: Callable[[], tuple[int, bytes]]) -> Iterator[str]:
    """Something that is not Ray; every request gets the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


@pytest.fixture(autouse=True)
def token() -> None:
    """Ray reads mode and token once a process, so they are the same for all tests of one."""
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


@pytest.mark.parametrize(
    ("status", "body"), [(404, b"no"), (200, b"<html>"), (200, b'{"version": 1}'), (200, b"[]"), (500, b"oh")]
)
def test_what_answers_otherwise_is_no_jobs_server(status: int, body: bytes) -> None:
    with server(lambda: (status, body)) as address, pytest.raises(CurationError) as refused:
        Jobs(address)
    [finding] = refused.value.findings
    assert finding.code == "C045"
    assert finding.message == f"what answers at {address} is not a Ray jobs server: HTTP {status}"


def test_a_cluster_with_another_ray_is_refused() -> None:
    said = json.dumps({"version": "4", "ray_version": "2.9.3", "ray_commit": "", "session_name": ""}).encode()
    with server(lambda: (200, said)) as address:
        jobs = Jobs(address)
        with pytest.raises(CurationError, match=f"C045: the cluster at {address} runs Ray 2.9.3, and here is Ray 2.60"):
            jobs.same_version()


def test_an_address_with_credentials_is_refused() -> None:
    with pytest.raises(CurationError, match="C045: the address holds credentials"):
        checked("http://me:mine@head:8265")
    assert checked("http://head:8265/") == "http://head:8265"


@pytest.mark.parametrize(
    ("status", "exit_code", "code"),
    [
        ("SUCCEEDED", 0, 0),
        ("FAILED", 1, 1),
        ("FAILED", 2, 2),
        ("FAILED", 130, 130),
        ("FAILED", -9, 137),
        ("FAILED", None, 1),
        ("STOPPED", None, 130),
    ],
)
def test_the_exit_code_of_a_job_is_that_of_its_command(status: str, exit_code: int | None, code: int) -> None:
    assert Job("a", status, {}, None, None, exit_code, "").code == code


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Job is currently running.", "Job is currently running."),
        (
            "Job entrypoint command failed with exit code 7, last available logs (truncated to 20,000 chars):\nx\ny\n",
            "Job entrypoint command failed with exit code 7",
        ),
        (
            "Job … failed with exit code 1, last …:\nrun 41c2\nfailed[R001]: a.parquet\nhint: mend it\n",
            "failed[R001]: a.parquet",
        ),
        ("", ""),
    ],
)
def test_the_message_of_a_job_is_one_line_that_says_most(message: str, shown: str) -> None:
    details = {"submission_id": "a", "message": message, "metadata": None, "driver_exit_code": None}
    times = {"start_time": 1_000_000, "end_time": 1_002_500}
    made = _job(SimpleNamespace(**details, **times, status=SimpleNamespace(value="FAILED")))
    assert (made.message, made.seconds, made.metadata) == (shown, 2.5, {})
