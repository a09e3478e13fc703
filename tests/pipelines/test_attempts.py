"""Whether an attempt is at work is told by its process, and never by another's that has the same number."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.running import attempts
from pipelines.running.attempts import HOST, alive, process_mark, running


def row(**changes: Any) -> dict[str, Any]:
    own = {"host": socket.gethostname(), "pid": os.getpid(), "process": process_mark(os.getpid())}
    return {"attempt": "a", "run": "r", **own, "started_at": datetime.now(UTC), **changes}


def test_a_mark_names_the_process_the_kernel_and_the_namespace() -> None:
    started, kernel, namespace = process_mark(os.getpid()).split(" ")
    assert started.isdigit()
    assert len(kernel) == 36
    assert namespace == os.readlink("/proc/self/ns/pid")
    assert process_mark(2**22 + 1) == ""


def test_a_process_here_is_seen() -> None:
    started, rest = process_mark(os.getpid()).split(" ", 1)
    assert alive(row()) is True
    assert alive(row(process=started)) is True  # as earlier versions wrote it
    assert alive(row(process=f"{int(started) + 1} {rest}")) is False
    assert alive(row(pid=2**22 + 1)) is False
    assert alive(row(host="elsewhere")) is None


def test_a_dead_process_that_nobody_has_waited_for_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as child:
        mark = process_mark(child.pid)
        assert mark
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and left as it is
        assert process_mark(child.pid) == ""
        assert alive(row(pid=child.pid, process=mark)) is False


@pytest.mark.parametrize("other", ["pid:[4026532999]", HOST])
def test_a_process_of_another_container_is_not_taken_for_gone(monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    started, kernel, _ = process_mark(os.getpid()).split(" ")
    monkeypatch.setattr(attempts, "_surroundings", lambda: f"{kernel} pid:[4026532111]")
    assert alive(row(process=f"{started} {kernel} {other}")) is None
    elsewhere = row(process=f"{started} 00000000-1111 {other}")
    assert alive(elsewhere) is None
    assert running(_Manifest(elsewhere)) == {"a": "r"}  # type: ignore[arg-type]
    assert running(_Manifest(elsewhere | {"started_at": datetime.now(UTC) - timedelta(days=2)})) == {}  # type: ignore[arg-type]


def test_where_there_is_a_heartbeat_it_says_whether_an_attempt_elsewhere_lives() -> None:
    elsewhere = row(host="elsewhere", started_at=datetime.now(UTC) - timedelta(days=2))
    beat = f'{{"time": {time.time()}}}'
    assert running(_Manifest(elsewhere, heartbeat=beat)) == {"a": "r"}  # type: ignore[arg-type]
    beat = f'{{"time": {time.time() - attempts.OUTDATED_SECONDS}}}'
    assert running(_Manifest(elsewhere | {"started_at": datetime.now(UTC)}, heartbeat=beat)) == {}  # type: ignore[arg-type]


def test_after_a_machine_was_started_anew_nothing_of_before_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_surroundings", lambda: f"second {HOST}")
    assert alive(row(process=f"1 first {HOST}")) is False


class _Manifest:
    """Attempts without ends."""

    def __init__(self, *rows: dict[str, Any], heartbeat: str = "") -> None:
        self.rows = rows
        self.heartbeat = heartbeat

    @property
    def store(self) -> Any:
        return self

    def read(self, kind: str) -> Any:
        if kind == "heartbeats/a.json":
            return self.heartbeat
        import pyarrow as pa

        from curation.manifest.parts import to_table

        return to_table(kind, self.rows) if kind == "attempts" else pa.table({"attempt": pa.array([], pa.string())})
