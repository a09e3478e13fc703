"""A real S3 server on loopback, a bucket for each test, and the store as the engine sees it through a failing one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from curation.store import remote
from object_store import new_bucket

pytest.importorskip("s3fs", reason="s3fs is in the extra s3")
pytest.importorskip("moto", reason="moto, the S3 server, is in the extra dev")


@pytest.fixture(scope="session")
def server() -> Iterator[int]:
    """The port of an S3 server on loopback."""
    command = [sys.executable, str(Path(__file__).with_name("server.py"))]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@pytest.fixture(scope="module")
def environment(server: int) -> Iterator[Callable[[int], None]]:
    """A function that makes the engine, here and in processes it starts, use a port; the server's at first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "KEY-OF-THE-TEST")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET-OF-THE-TEST")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setattr(remote, "WAIT", (0.005, 0.05))

        def use(port: int) -> None:
            patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
            remote._filesystem.cache_clear()

        use(server)
        yield use
    remote._filesystem.cache_clear()


@pytest.fixture
def endpoint(environment: Callable[[int], None], server: int) -> Iterator[Callable[[int], None]]:
    """The same for one test: afterwards it is the server's port again."""
    yield environment
    environment(server)


@pytest.fixture
def bucket(environment: Callable[[int], None]) -> str:
    """The URL of a new, empty bucket."""
    return new_bucket()
