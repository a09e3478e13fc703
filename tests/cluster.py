"""A real Ray cluster of two nodes on this machine, with token authentication, stopped by the ids of its processes."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
from ports import free_port

MARK = "RAY_CLUSTER_OF_A_TEST"
"""Variable that every process of the cluster inherits, whoever its parent is by then."""


@dataclass(frozen=True)
class RayCluster:
    http: str
    """Of the dashboard, which serves the Jobs API."""
    token: Path
    mark: str
    folder: Path
    """Where the nodes keep their sessions."""

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs."""
        token = {"RAY_AUTH_TOKEN_PATH": str(self.token), "RAY_AUTH_TOKEN": self.token.read_text()}
        return {"RAY_AUTH_MODE": "token", **token}  # another's RAY_AUTH_TOKEN would come first

    def processes(self) -> list[psutil.Process]:
        """Processes of all its nodes, their workers and drivers."""
        wanted = f"{MARK}={self.mark}".encode()
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(OSError):
                if wanted in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0"):
                    found.append(process)
        return found


@contextlib.contextmanager
def one_node(**options: Any) -> Iterator[Any]:
    """A cluster of one node that this process starts, and is not on: `ray.cluster_utils.Cluster`."""
    from ray.cluster_utils import Cluster  # after what is to be in the environment: it is read once

    for left in (2, 1, 0):
        try:
            started = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **options})
            break
        except Exception:  # Ray gives a node 30 s to start, however busy the machine is
            if not left:
                raise
    try:
        yield started
    finally:
        started.shutdown()


@contextlib.contextmanager
def two_nodes(num_cpus: int = 2, **environment: str) -> Iterator[RayCluster]:
    """A head and a second node of `num_cpus` each; `environment` is added to that of their processes."""
    # a short path: the nodes' sockets lie below it, and a socket's path has 107 bytes at most
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    token = folder / "token"
    token.touch(0o600)
    token.write_text(secrets.token_hex(32))
    gcs, dashboard, client, *agents = (free_port() for _ in range(5))
    mark = secrets.token_hex(8)
    cluster = RayCluster(f"http://127.0.0.1:{dashboard}", token, mark, folder)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "CURATION_"))}
    whole = {**inherited, **environment, **cluster.environment, MARK: mark}
    head = ["--head", f"--port={gcs}", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"]
    head += ["--include-dashboard=true", f"--temp-dir={folder}"]
    own: list[subprocess.Popen[bytes]] = []

    def start(node: int, *options: str) -> None:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", *options]
        command += [f"--num-cpus={num_cpus}", "--object-store-memory=100000000", "--min-worker-port=0"]
        command += ["--max-worker-port=0", f"--dashboard-agent-listen-port={agents[node]}"]
        with (folder / f"node{node}.log").open("wb") as log:
            own.append(subprocess.Popen(command, env=whole, stdout=log, stderr=log, start_new_session=True))

    def wait(ready: str, node: int) -> None:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            said = (folder / f"node{node}.log").read_text()
            if own[node].poll() is not None:
                break
            if ready in said:
                return
            time.sleep(0.2)
        raise AssertionError(f"node {node} did not start:\n{said}")

    try:
        start(0, *head)
        wait("Ray runtime started", 0)
        start(1, f"--address={_address(folder)}")
        wait("Ray runtime started", 1)
        _answering(cluster)
        yield cluster
    finally:
        for node in reversed(own):
            node.terminate()  # `ray start --block` takes its node's processes with it
        with contextlib.suppress(subprocess.TimeoutExpired):
            for node in own:
                node.wait(15)
        for process in cluster.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for node in own:
            node.wait(15)
        shutil.rmtree(folder, ignore_errors=True)


def _address(folder: Path) -> str:
    """Of the head's GCS, as it has written it down."""
    return (folder / "ray_current_cluster").read_text().strip()


def _answering(cluster: RayCluster) -> None:
    asked = Request(f"{cluster.http}/api/version", headers={"Authorization": f"Bearer {cluster.token.read_text()}"})
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urlopen(asked, timeout=5):
            return
        time.sleep(0.2)
    raise AssertionError(f"{cluster.http} does not answer")


@contextlib.contextmanager
def cut_once(http: str, after: bytes) -> Iterator[str]:
    """An address that leads to `http`, and drops the first connection that brings `after` from there."""
    host, port = http.removeprefix("http://").split(":")
    cut = threading.Event()

    def carry(source: socket.socket, to: socket.socket, other_way: bool) -> None:
        seen = b""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
                seen = seen[-len(after) :] + data
                if other_way and after in seen and not cut.is_set():
                    cut.set()
                    break
        for end in (source, to):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection((host, int(port)))
                for ends in ((near, far, False), (far, near, True)):
                    threading.Thread(target=carry, args=ends, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert cut.is_set()
