"""A cluster's Jobs API: submit a command with what it needs, list, follow, stop. Whatever goes wrong is one finding."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx2
import ray
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from schemas.errors import CurationError, Finding

ANSWER_SECONDS = 10.0
"""A server that takes longer to accept a connection counts as unreachable."""
TRIES = 5
"""How often in a row a follower asks a server that does not answer."""
READY_SECONDS = 60.0
"""How long a head that has just started may take to be ready for jobs."""
UNDER_WAY = ("PENDING", "RUNNING")


@dataclass(frozen=True)
class Job:
    """One submission, as the cluster tells of it now."""

    id: str
    status: str
    """PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED."""
    metadata: dict[str, str]
    started: datetime | None
    seconds: float | None
    """Since it started, or until it ended."""
    exit_code: int | None
    message: str

    @property
    def under_way(self) -> bool:
        return self.status in UNDER_WAY

    @property
    def code(self) -> int:
        """The exit code that its command had, or would have had."""
        if self.status == "STOPPED":
            return 130
        if self.exit_code is None:
            return 0 if self.status == "SUCCEEDED" else 1
        return self.exit_code if self.exit_code >= 0 else 128 - self.exit_code


@dataclass(frozen=True)
class Submission:
    """What is to be run."""

    id: str
    entrypoint: str
    """A line of shell, run on the head in the unpacked `folder`."""
    folder: Path
    modules: tuple[Path, ...] = ()
    """Packages that are put before all others on the path, each uploaded once for as long as it stays the same."""
    environment: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


class Jobs:
    """The jobs of one cluster.

    >>> Jobs("http://127.0.0.1:8265").list()
    """

    def __init__(self, address: str) -> None:
        self.address = checked(address)
        for name in ("dashboard.modules.dashboard_sdk", "dashboard.modules.job.sdk", "_private.runtime_env"):
            logging.getLogger(f"ray.{name}").setLevel(logging.WARNING)
        with self._findings():
            answer = httpx2.get(f"{self.address}/api/version", timeout=ANSWER_SECONDS)  # the client would wait for ever
            if answer.status_code not in (401, 403) and b'"ray_version"' not in answer.content:
                message = f"what answers at {self.address} is not a Ray jobs server: HTTP {answer.status_code}"
                hint = "write the address of the head's dashboard, http://HEAD:8265; its head needs ray[default]"
                raise CurationError(Finding("C045", message, hint))
            self._client = JobSubmissionClient(self.address)

    def same_version(self) -> None:
        """Raise C045 unless the cluster runs the Ray that is installed here."""
        cluster_version = self._client._server_ray_version
        if cluster_version != ray.__version__:
            raise CurationError(
                Finding(
                    "C045",
                    f"the cluster at {self.address} runs Ray {cluster_version}, and here is Ray {ray.__version__}",
                    "a driver and its cluster need the same version: submit from an environment with the cluster's",
                )
            )

    def submit(self, wanted: Submission) -> bool:
        """Upload and start. False where the id has been used on this cluster."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                with self._findings():
                    self._client.submit_job(
                        entrypoint=wanted.entrypoint,
                        submission_id=wanted.id,
                        metadata=dict(wanted.metadata),
                        runtime_env={
                            "working_dir": str(wanted.folder),
                            "py_modules": [str(module) for module in wanted.modules],
                            "env_vars": wanted.environment,
                        },
                    )
                return True
            except _RefusedError as failure:
                if "already exists" in str(failure):
                    return False
                if "No available agent" not in str(failure) or time.monotonic() > deadline:
                    raise CurationError(Finding("C046", f"{self.address} refused the job: {failure}")) from failure
            time.sleep(1)

    def list(self) -> list[Job]:
        """Jobs that were submitted, the latest first."""
        with self._findings():
            found = [_job(details) for details in self._client.list_jobs() if details.submission_id]
        return sorted(found, key=lambda job: (job.started or datetime.max.replace(tzinfo=UTC), job.id), reverse=True)

    def get(self, job: str) -> Job:
        """One job by its submission id."""
        with self._existing(job):
            return _job(self._client.get_job_info(job))

    def logs(self, job: str) -> str:
        """What its command has written to stdout and stderr so far."""
        with self._existing(job):
            return str(self._client.get_job_logs(job))

    def stop(self, job: str) -> bool:
        """ResourceRequest it to stop; False where it had ended by itself."""
        with self._existing(job):
            return bool(self._client.stop_job(job))

    def wait(self, job: str, seconds: float | None = None) -> Job:
        """Until it has ended, or so long."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            found = self.get(job)
            if not found.under_way or (deadline is not None and time.monotonic() > deadline):
                return found
            time.sleep(0.5)

    def follow(self, job: str, write: Callable[[str], None]) -> Job:
        """Hand on what its command writes, from the beginning, until it has ended; a broken connection is taken up
        again."""
        told = tries = 0
        while True:
            before = told
            try:
                with self._existing(job):
                    told = asyncio.run(self._stream(job, told, write))
                state = self.get(job)
                if not state.under_way:
                    write(self.logs(job)[told:])  # what a broken stream did not bring
                    return state
            except CurationError as failure:
                tries = 0 if told > before else tries + 1
                if failure.findings[0].code != "C045" or tries == TRIES:
                    raise
            time.sleep(1)

    async def _stream(self, job: str, told: int, write: Callable[[str], None]) -> int:
        """Write what comes after the first `told` characters; returns how many have been told then."""
        position = 0
        with suppress(aiohttp.ClientConnectionError, RuntimeError):  # the connection was lost
            async for chunk in self._client.tail_job_logs(job):
                write(chunk[max(0, told - position) :])
                position += len(chunk)
                told = max(position, told)
        return told

    @contextmanager
    def _existing(self, job: str) -> Iterator[None]:
        try:
            with self._findings():
                yield
        except _RefusedError as failure:
            if "does not exist" in str(failure):
                raise CurationError(no_such_job(job, self.address)) from failure
            raise CurationError(Finding("C046", f"job {job} at {self.address}: {failure}")) from failure

    @contextmanager
    def _findings(self) -> Iterator[None]:
        """What the client's libraries raise, as findings; what the server says of a request, as _RefusedError."""
        try:
            yield
        except BrokenPipeError:  # whoever reads our stdout has had enough
            raise
        except AuthenticationError as failure:
            raise CurationError(_unauthorised(self.address, failure)) from failure
        except aiohttp.WSServerHandshakeError as failure:
            if failure.status in (401, 403):
                raise CurationError(_unauthorised(self.address, failure)) from failure
            raise _RefusedError("does not exist" if failure.status == 404 else str(failure)) from failure
        except (httpx2.TransportError, httpx2.InvalidURL, aiohttp.ClientError, OSError) as failure:
            reason = (str(failure).strip() or type(failure).__name__).splitlines()[0].rstrip(".")
            hint = "is the head up, and is this its dashboard's port, 8265 unless it was given another?"
            raise CurationError(Finding("C045", f"{self.address} did not answer: {reason}", hint)) from failure
        except (RuntimeError, KeyError, ValueError) as failure:
            raise _RefusedError(_last(str(failure)) or type(failure).__name__) from failure


class _RefusedError(Exception):
    """The server answered, and said no."""


def checked(address: str) -> str:
    """An address of a jobs server, without a slash at its end. Raises C045 for one of another kind."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        name = parts.hostname if parts.scheme and parts.netloc else address.partition(":")[0]
        host = name if name and name != "auto" else "HEAD"
        raise CurationError(
            Finding(
                "C045",
                f"{address} is not the address of a jobs server",
                f"write http://{host}:8265, the address of the head's dashboard",
            )
        )
    if parts.username or parts.password:
        raise CurationError(Finding("C045", "the address holds credentials", "leave them out: Ray takes a token"))
    return address.rstrip("/")


def on_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def no_such_job(job: str, address: str) -> Finding:
    return Finding("C046", f"there is no job '{job}' on {address}", f"see: curate jobs list --address {address}")


def _unauthorised(address: str, failure: Exception) -> Finding:
    text = str(failure)
    mode = os.environ["RAY_AUTH_MODE"]
    if "invalid or incorrect" in text or getattr(failure, "status", 0) == 403:
        complaint = "refuses the token"
    elif "RAY_AUTH_TOKEN_PATH is set" in text:
        return Finding("C045", "the file that RAY_AUTH_TOKEN_PATH names cannot be read, or is empty", _TOKEN)
    elif mode != "token":
        complaint = f"asks for a token, and RAY_AUTH_MODE is {mode}"
    else:
        complaint = "asks for a token, and there is none here"
    return Finding("C045", f"{address} {complaint}", _TOKEN)


_TOKEN = (
    "set RAY_AUTH_MODE=token, and the cluster's token in RAY_AUTH_TOKEN, or in a file that RAY_AUTH_TOKEN_PATH names"
)


def _job(details: Any) -> Job:
    """Of Ray's JobDetails; its times are ms since 1970."""
    started = None if details.start_time is None else datetime.fromtimestamp(details.start_time / 1000, UTC)
    ended = time.time() if details.end_time is None else details.end_time / 1000
    return Job(
        id=details.submission_id,
        status=str(details.status.value),
        metadata=dict(details.metadata or {}),
        started=started,
        seconds=None if started is None else round(ended - started.timestamp(), 1),
        exit_code=details.driver_exit_code,
        message=_first(details.message or ""),
    )


def _first(message: str) -> str:
    """The line of a job's message that says most: an error of ours where its last lines hold one."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith(("error[", "failed["))]
    return (ours or lines or [""])[0].removesuffix(", last available logs (truncated to 20,000 chars):")


def _last(text: str) -> str:
    """What a server's error says in the end: it sends its own traceback."""
    lines = [line.strip() for line in text.splitlines() if re.search(r"\w", line)]
    return re.sub(r"^(Request failed with status code \d+|\w+Error): ", "", lines[-1]) if lines else ""
