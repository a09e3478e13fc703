"""`curate ui`: its address, its port, and its end."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import ui
from pipelines.cli.main import _main
from pipelines.ui import serve


def begin(workspace: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    """A server, and its address."""
    command = [sys.executable, "-m", "pipelines.cli", "ui", "-w", str(workspace), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_it_tells_its_address_and_ends_when_it_is_told(number: int, numbers: Path) -> None:
    process, address = begin(numbers, "--port", "0", "--no-browser")
    with urllib.request.urlopen(address + "api/events", timeout=30) as listening:
        assert listening.readline().startswith(b"data: "), "somebody listens as it ends"
        process.send_signal(number)
        assert process.wait(20) == 0
    out, err = process.communicate()
    assert out == ""
    assert "Ctrl-C ends it" in err
    assert "Traceback" not in err


def test_a_query_that_is_at_work_does_not_abort_it_as_it_ends(numbers: Path) -> None:
    process, address = begin(numbers, "--port", "0", "--no-browser")
    host = address.removeprefix("http://").strip("/")
    query = b'{"query": "select count(*) from range(30000000000)"}'
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request("POST", "/api/sql", query, {"X-Curation": "1", "Content-Type": "application/json"})
    time.sleep(1.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert "FATAL" not in process.communicate()[1]


def test_a_port_that_is_taken_is_refused_or_the_next_is_taken(capsys: Any, numbers: Path, monkeypatch: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert _main(["ui", "-w", str(numbers), "--port", str(port), "--no-browser"]) == 2
        assert "error[C064]" in capsys.readouterr().err
        monkeypatch.setattr(serve, "PORT", port)
        with serve.listen("127.0.0.1", None) as listening:
            assert port < listening.getsockname()[1] < port + serve.TRIED


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--host", "0.0.0.0"], "C064"),
        (["--host", "0.0.0.0", "--token", "short"], "C064"),
        (["--host", "a..b", "--token", "correct-horse"], "C064"),
        (["--host", "no.such.host.invalid", "--token", "correct-horse"], "C064"),
        (["-w", "nothing"], "C030"),
    ],
)
def test_what_cannot_be_served_is_refused(options: list[str], code: str, capsys: Any, numbers: Path) -> None:
    assert _main(["ui", "-w", str(numbers), "--no-browser", *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"error[{code}]" in err


def test_a_browser_is_opened_where_there_is_something_to_open_it_on(monkeypatch: Any) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    assert not ui.has_display() or sys.platform != "linux"
    monkeypatch.setenv("DISPLAY", ":0")
    assert ui.has_display()
    began: list[Any] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: began.append((command, options)))
    ui.open_browser("http://127.0.0.1:1/?token=x")
    [(command, options)] = began
    assert command[0] == sys.executable
    assert command[-1] == "http://127.0.0.1:1/?token=x"
    assert options["stdout"] == subprocess.DEVNULL


def test_the_address_has_the_token_that_was_made() -> None:
    assert serve.Address("127.0.0.1", 8765, "a%26b").url == "http://127.0.0.1:8765/?token=a%26b"
    assert serve.Address("::1", 8765, None).url == "http://[::1]:8765/"
    assert os.sep not in serve.Address("0.0.0.0", 1, "x").url.removeprefix("http://").partition("/")[0]
