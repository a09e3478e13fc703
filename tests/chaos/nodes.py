"""A Ray cluster of two nodes that a test may break: `ray start` in processes of its own, a token of its own.

Where the machine allows it each node lives in a network namespace of its own, and so the link between them can be cut:

    this process --- veth --- bridge of the head's namespace --- veth --- the second node's namespace

A namespace lasts as long as a process in it; ours wait for their stdin to end, so that nothing outlives this process.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

from ports import free_port

from curation import failpoints

CPUS = 2
"""Logical CPUs of a node."""
POINT = {"point": "before-part", "hit": 1, "sleep": 15.0}
"""A worker of a node that was armed sleeps once, its data written and its record not: seconds, in which a test that
sees it must get to stopping the node."""
QUIET = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    # a node that does not answer is dead after some 4 s instead of 13
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "300",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}
WATCH = """
import json, ray, sys, time
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="error")
before = None
while True:
    alive = sorted(name for node in ray.nodes() if node["Alive"] for name in node["Resources"])
    if alive != before:
        print(json.dumps(alive), flush=True)
    before = alive
    time.sleep(0.1)
"""
"""Run in the head's namespace, it tells of every change in the resources, and so the nodes, that Ray has."""


def until(what: str, ready: Callable[[], Any], seconds: float, every: float = 0.05) -> Any:
    """What `ready` returns once it is true. Raises TimeoutError, which says `what` was waited for."""
    end = time.monotonic() + seconds
    while not (found := ready()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not in {seconds:.0f} s")
        time.sleep(every)
    return found


class Network:
    """Where the two nodes are, 0 the head and 1 the second, and how they reach this process."""

    def __init__(self) -> None:
        self.why = ""
        """Why both nodes share this process' namespace; empty where each has its own."""
        self.host = "127.0.0.1"
        """Address of this process, for the nodes."""
        self.addresses = ["127.0.0.1", "127.0.0.1"]
        self._holders: list[subprocess.Popen[bytes]] = []

    @property
    def separate(self) -> bool:
        return not self.why

    def within(self, place: int) -> list[str]:
        """What comes before a command that is to run at a place."""
        return ["nsenter", "--net", "-t", str(self._holders[place].pid)] if self.separate else []

    def link(self, up: bool) -> None:
        """Cut the second node off from everybody, or join it again."""
        _say(*self.within(0), "ip", "link", "set", "second", "up" if up else "down")

    def _separate(self) -> None:
        self._holders = [subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE) for _ in range(2)]
        mine = os.readlink("/proc/self/ns/net")
        for holder in self._holders:
            until("unshare", lambda holder=holder: holder.poll() is not None or _namespace(holder.pid) != mine, 5)
            if holder.poll() is not None:
                raise OSError("unshare --net is not allowed")
        head, second = ([*self.within(place), "ip"] for place in range(2))
        number = self._link_to_host()
        net = f"198.18.{number}"  # set aside for tests of networks, and nowhere routed
        self.host, self.addresses = f"{net}.254", [f"{net}.1", f"{net}.2"]
        _say(*head, "link", "add", "hub", "type", "bridge")
        _say(*head, "link", "add", "second", "type", "veth", "peer", "name", "head", "netns", str(self._holders[1].pid))
        for device in ("host", "second"):
            _say(*head, "link", "set", device, "master", "hub", "up")
        for command, device, address in ((head, "hub", 1), (second, "head", 2), (["ip"], f"chaos{number}", 254)):
            _say(*command, "address", "add", f"{net}.{address}/24", "dev", device)
            _say(*command, "link", "set", device, "up")
        for command in (head, second):
            _say(*command, "link", "set", "lo", "up")

    def _link_to_host(self) -> int:
        """Make the link from here to the head's namespace; its number is free, since its name was."""
        for number in range(1, 255):
            peer = ["peer", "name", "host", "netns", str(self._holders[0].pid)]
            try:
                _say("ip", "link", "add", f"chaos{number}", "type", "veth", *peer)
            except OSError as failure:
                if "exists" not in str(failure):
                    raise
            else:
                return number
        raise OSError("254 links are there already")

    def close(self) -> None:
        for holder in self._holders:
            holder.kill()
            holder.communicate()
        self._holders = []


@contextmanager
def network(separate: bool = True) -> Iterator[Network]:
    """Namespaces of their own for both nodes, or where that is not allowed this process' own."""
    made = Network()
    try:
        if not separate:
            made.why = "it was asked for"
        elif missing := [name for name in ("ip", "nsenter", "unshare") if shutil.which(name) is None]:
            made.why = f"there is no {missing[0]}"
        else:
            try:
                made._separate()
            except (OSError, TimeoutError) as failure:
                made.close()
                made.__init__()
                made.why = str(failure)
        yield made
    finally:
        made.close()


class Node:
    """One `ray start` and all processes that came of it: its session."""

    def __init__(self, name: str, command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        """Also a resource of this node alone, by which Ray tells it from others."""
        self.points = folder / name
        self.points.mkdir()
        self.disarm()
        spec = json.dumps({**POINT, "dir": str(self.points)})
        with (folder / f"{name}.log").open("w") as log:
            self.process = subprocess.Popen(
                command,
                env={**environment, failpoints.VARIABLE: spec},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def arm(self) -> None:
        """The next worker here that is about to commit sleeps first."""
        (self.points / "hit-1").unlink()

    def disarm(self) -> None:
        (self.points / "hit-1").touch()

    def fired(self) -> bool:
        return (self.points / "hit-1").exists()

    def processes(self) -> dict[int, str]:
        """Command lines by process id, of those that live."""
        return {pid: command for pid, session, command in _living() if session == self.process.pid}

    def working(self) -> list[int]:
        """Processes with a task of ours, sorted."""
        return sorted(pid for pid, command in self._ours("worker") if "IDLE" not in command)

    def scoring(self) -> list[int]:
        """Processes that hold a model, sorted."""
        return sorted(pid for pid, _ in self._ours("scorer"))

    def _ours(self, role: str) -> list[tuple[int, str]]:
        known = {int(entry.name.rsplit("-", 1)[1]) for entry in self.points.glob(f"pid-{role}-*")}
        return [(pid, command) for pid, command in self.processes().items() if pid in known]

    def send(self, number: signal.Signals, pids: list[int] | None = None) -> int:
        """Send a signal to some of its processes, or to all: the raylet first. Returns how many."""
        everybody = self.processes() if pids is None else dict.fromkeys(pids, "")
        for pid in sorted(everybody, key=lambda pid: ("raylet/raylet" not in everybody[pid], pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return len(everybody)

    def end(self) -> None:
        """Kill all of it, whatever state it is in."""
        while self.send(signal.SIGKILL):  # one that was about to start another may have done so
            time.sleep(0.05)
        self.process.wait()


class Cluster:
    """A head that stays, and a second node that comes and goes."""

    def __init__(self, folder: Path, net: Network, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.net = net
        self.mark = secrets.token_hex(8)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "CURATION_"))},
            **QUIET,
            **environment,
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "CHAOS_CLUSTER": self.mark,
        }
        self.alive: list[str] = []
        self.temporary = Path(tempfile.mkdtemp(prefix="ray"))  # short: sockets' paths are limited to 107 bytes
        self._started = 0
        self._watch: subprocess.Popen[str] | None = None

    def start(self) -> None:
        port = free_port()
        own = [] if self.net.why else ["--node-ip-address", self.net.addresses[0]]
        extra = ["--ray-client-server-port", str(free_port()), "--include-dashboard", "false"]
        self.address = f"{self.net.addresses[0]}:{port}"
        self.head = self._node(0, ["--head", "--port", str(port), *own, *extra])
        until("Ray's head", lambda: self._answers(port), 60)
        watch = [*self.net.within(0), sys.executable, "-c", WATCH, self.address]
        with (self.folder / "watch.log").open("w") as log:
            self._watch = subprocess.Popen(
                watch, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )
        Thread(target=self._listen, daemon=True).start()
        self.second = self._second()
        until("two nodes", self.joined, 60)

    def replace(self) -> None:
        """End what is left of the second node, and start another in its place."""
        self.second.end()
        self.net.link(True) if self.net.separate else None
        self.second = self._second()

    def joined(self) -> bool:
        """Whether Ray has the second node."""
        return self.second.name in self.alive

    def driver(self, arguments: list[str], talk: Path) -> subprocess.Popen[bytes]:
        """A driver beside the head, what it says appended to a file."""
        command = [*self.net.within(0), sys.executable, "-m", "pipelines.cli", *arguments]
        with talk.open("a") as log:
            return subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def close(self) -> None:
        """End all that inherited our mark or belongs to a session of ours, and remove what Ray left."""
        mark = f"CHAOS_CLUSTER={self.mark}".encode()
        sessions = {node.process.pid for node in (getattr(self, name, None) for name in ("head", "second")) if node}

        def left() -> list[int]:
            return [pid for pid, session, _ in _living() if session in sessions or mark in _environment(pid)]

        while pids := left():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        if self._watch is not None:
            self._watch.wait()
        shutil.rmtree(self.temporary, ignore_errors=True)

    def _second(self) -> Node:
        own = ["--node-ip-address", self.net.addresses[1]] if self.net.separate else []
        return self._node(1, ["--address", self.address, *own])

    def _node(self, place: int, arguments: list[str]) -> Node:
        self._started += 1
        name = f"{('head', 'second')[place]}-{self._started}"
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", *arguments, "--num-cpus", str(CPUS)]
        ray += ["--object-store-memory", "80000000", "--disable-usage-stats", "--include-log-monitor", "false"]
        ray += ["--dashboard-agent-listen-port", str(free_port()), "--temp-dir", str(self.temporary / str(place))]
        ray += ["--resources", json.dumps({name: 1})]
        return Node(name, [*self.net.within(place), *ray, "--block"], self.folder, self.environment)

    def _answers(self, port: int) -> bool:
        if self.head.process.poll() is not None:
            raise OSError((self.folder / f"{self.head.name}.log").read_text()[-2000:])
        with suppress(OSError), socket.create_connection((self.net.addresses[0], port), timeout=1):
            return True
        return False

    def _listen(self) -> None:
        assert self._watch is not None
        assert self._watch.stdout is not None
        for line in self._watch.stdout:
            if line.startswith("["):  # not what Ray itself prints
                self.alive = json.loads(line)


@contextmanager
def cluster(folder: Path, net: Network, environment: Mapping[str, str]) -> Iterator[Cluster]:
    """Two nodes that are up; both are gone afterwards, whatever happened."""
    with ExitStack() as stack:
        made = Cluster(folder, net, environment)
        stack.callback(made.close)
        made.start()
        yield made


def _living() -> Iterator[tuple[int, int, str]]:
    """Process id, session and command line of every process that is no zombie."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                if fields[0] != "Z":
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    yield int(entry.name), int(fields[3]), command.strip()


def _environment(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""


def _namespace(pid: int) -> str:
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/net")
    return ""


def _say(*command: str) -> None:
    """Run a command. Raises OSError with what it said."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(command[-6:])}: {(done.stderr.strip() or 'failed').splitlines()[0]}")
