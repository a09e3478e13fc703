"""Runs a job on a cluster and disturbs it by a seed: which faults, in which order, each after so many committed parts.

Progress is counted in the workspace's manifest and never in seconds, so that a seed means the same on a slow machine.
Where a fault needs what is not there yet (a node that is still starting), the scorers of `scorers.py` wait.
"""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from chaos.nodes import Cluster, Node, until

from curation.manifest.parts import Manifest
from curation.store import TEMPORARY, open_store
from object_store import Proxy
from pipelines.running.gc import NAMED

KINDS = {
    "driver killed": "kill -9 the driver; the same command resumes",
    "driver stopped": "SIGTERM to the driver: it drains, exits 130; the same command resumes",
    "worker killed": "kill -9 a process that performs a unit",
    "scorer killed": "kill -9 an actor that holds a model",
    "node killed": "kill -9 the second node's raylet and all else there; another node joins later",
    "node late": "SIGSTOP the second node, a unit about to commit, until Ray gave it up and repeated the unit; SIGCONT",
    "node cut off": "the same behind a cut link, which is mended after the late commit",
    "disk full": "no block free where the workspace is; the run fails with R005 and is resumed once there is space",
    "store failing": "a quarter of all requests to the object store meet a fault, for 20 parts",
    "store away": "all requests to the object store meet a fault, for 2 s",
    "poison": "a document over which the process that scores it dies",
}
UNITS = ("scores", "entrants", "pairs", "groups", "decisions", "written")
"""Kinds of records that units of work commit: what progress is counted in."""
RATE, FAILING = 0.02, 0.25
"""Share of requests to the object store that meet a fault at any time, and while it fails."""
MARK = re.compile(r"-\d{8}T\d{6}-[0-9a-f]{8}-[0-9a-f]{8}")
"""What tells the file of one execution of a unit from that of another: `Work.mark`."""
PATIENCE = 180.0
"""Seconds for anything to happen that must."""


@dataclass(frozen=True)
class Fault:
    kind: str
    after: int
    """Committed parts, counted since the run's first attempt."""


def plan(seed: int, kinds: tuple[str, ...], last: int) -> list[Fault]:
    """The faults of a run in their order, all of `kinds`, each somewhere in its own share of the parts up to `last`."""
    chance = random.Random(seed)
    share = last // len(kinds)
    shuffled = enumerate(chance.sample(kinds, len(kinds)))
    return [Fault(kind, share * number + chance.randrange(1, share)) for number, kind in shuffled]


@dataclass
class Entry:
    """One fault that was injected."""

    run: str
    seed: int
    seconds: float
    """Since the run's first attempt began."""
    parts: int
    kind: str
    target: str
    followed: list[str] = field(default_factory=list)


@dataclass
class Report:
    """What was injected, over all runs, and what could not be."""

    where: str
    entries: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """A table, and notes below it."""
        head = ["run", "seed", "s", "parts", "fault", "target", "what followed"]
        rows = [
            [e.run, str(e.seed), f"{e.seconds:.1f}", str(e.parts), e.kind, e.target, "; ".join(e.followed)]
            for e in self.entries
        ]
        widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [head, *rows]
        ]
        kinds = {entry.kind for entry in self.entries}
        total = f"{len(self.entries)} faults of {len(kinds)} kinds; {self.where}"
        return [*table, total, *self.notes]


class Space:
    """A workspace that may run out of space, or lie behind a store that fails."""

    def __init__(self, root: str, disk: Path | None = None, proxy: Proxy | None = None) -> None:
        self.root = root
        self.store = open_store(root)
        self.manifest = Manifest(self.store)
        self.disk = disk
        self.proxy = proxy
        self.every = 0.02 if proxy is None else 0.3
        """Seconds between two looks at its progress."""

    def parts(self) -> int:
        return sum(len(self.store.names(f"manifest/parts/{kind}")) for kind in UNITS)

    def named(self) -> set[str]:
        """Data files that records name."""
        return {
            str(row[column])
            for kind, columns in NAMED.items()
            for row in self.manifest.read(kind).to_pylist()
            for column in columns
            if row[column]
        }

    def unnamed(self) -> set[str]:
        """Data files that no record names: a unit is about to commit them, or came too late."""
        there = {name for name, _ in self.store.walk() if MARK.search(name) and TEMPORARY not in name}
        return {name for name in there if not name.startswith("manifest/")} - self.named()

    def fill(self) -> None:
        """Leave no block free."""
        assert self.disk is not None
        with (self.disk / "ballast").open("ab", buffering=0) as ballast, suppress(OSError):
            while True:
                ballast.write(bytes(4096))

    def free(self) -> None:
        assert self.disk is not None
        (self.disk / "ballast").unlink()


class Disturbed:
    """One job and the faults that it meets."""

    def __init__(
        self, name: str, seed: int, faults: list[Fault], cluster: Cluster, space: Space, recipe: Path, report: Report
    ) -> None:
        self.name = name
        self.seed = seed
        self.faults = deque(faults)
        self.cluster = cluster
        self.space = space
        self.arguments = ["run", str(recipe), "-w", space.root, "--address", cluster.address, "--workers", "4"]
        self.report = report
        self.talk = recipe.with_name(f"talk-{name}")
        self.random = random.Random(seed)
        self.control = Path(cluster.environment["CHAOS_DIR"])
        (self.control / "deaths").unlink(missing_ok=True)
        self.drivers: list[subprocess.Popen[bytes]] = []
        self.expected: set[int] = set()
        """Exit codes that a fault leads to; but for 0 there are no others."""
        self.late = 0
        """Commits that came late, and whose files are gone."""
        self.poison: dict[str, Entry] = {}
        self.waiting: tuple[Entry, int, float] | None = None
        """A fault after which nothing was committed yet, the parts that there were, and when that was."""

    def run(self) -> None:
        """Until the run is done. Raises AssertionError where it cannot be."""
        self.began = time.monotonic()
        try:
            until("two nodes", self.cluster.joined, PATIENCE)
            self._start()
            while not self._ended():
                self._step()
                time.sleep(self.space.every)
            self._poisoned()
            assert not self.faults, f"the run was done before {self.faults[0].kind}"
        except Exception as failure:
            said = self.talk.read_text()[-3000:] if self.talk.exists() else ""
            table = "\n".join(self.report.lines())
            self.cluster.replace()  # in whatever state the second node is
            raise AssertionError(f"{self.name}, seed {self.seed}: {failure}\n{table}\n{said}") from failure
        finally:
            self._hold(False)
            for driver in self.drivers:
                driver.kill()
                driver.wait()

    @property
    def driver(self) -> subprocess.Popen[bytes]:
        return self.drivers[-1]

    def _start(self) -> None:
        self.first = self.space.parts()
        self.drivers.append(self.cluster.driver(self.arguments, self.talk))

    def _ended(self) -> bool:
        code = self.driver.poll()
        if code is None:
            return False
        if code == 0:
            return True
        assert code in self.expected, f"the driver ended with {code}"
        self.expected = set()
        self._start()
        return False

    def _step(self) -> None:
        parts = self.space.parts()
        seconds = time.monotonic() - self.began
        assert seconds < 1200, "the run does not come to an end"
        if self.waiting is not None and parts > self.waiting[1]:
            entry, _, since = self.waiting
            entry.followed.append(f"next part after {time.monotonic() - since:.1f} s")
            self.waiting = None
        self._poisoned()
        if self.cluster.second.process.poll() is not None:
            self.report.notes.append(f"{self.name}, {seconds:.1f} s: {self.cluster.second.name} ended by itself")
            self.cluster.replace()
        if self.waiting is not None or not self.faults or parts < self.faults[0].after:
            self._hold(False)
        elif self._ready(self.faults[0].kind) and self.driver.poll() is None:
            self._hold(False)
            self._inject(self.faults.popleft().kind, parts, seconds)
        else:
            # the driver is to get somewhere before it is killed; all else is waited for
            self._hold(not self.faults[0].kind.startswith("driver"))

    def _ready(self, kind: str) -> bool:
        second = self.cluster.second
        match kind:
            case "driver killed" | "driver stopped":
                return self.space.parts() > self.first
            case "worker killed":
                return bool(self.cluster.head.working() or second.working())
            case "scorer killed":
                return bool(self.cluster.head.scoring() or second.scoring())
            case "node killed" | "node late" | "node cut off":
                return self.cluster.joined() and bool(second.working())
        return True

    def _hold(self, on: bool) -> None:
        """Let scorers wait, or go on."""
        if on:
            (self.control / "hold").touch()
        else:
            (self.control / "hold").unlink(missing_ok=True)

    def _inject(self, kind: str, parts: int, seconds: float) -> None:
        entry = Entry(self.name, self.seed, seconds, parts, kind, "")
        self.report.entries.append(entry)
        entry.target = getattr(self, f"_{kind.replace(' ', '_')}")(entry)
        self.waiting = entry, self.space.parts(), time.monotonic()

    def _poisoned(self) -> None:
        """Note that processes died of poison: the first time as a fault, which goes on by itself."""
        for kind, count in deaths(self.control).items():
            if kind not in self.poison:
                where = time.monotonic() - self.began, self.space.parts()
                self.poison[kind] = Entry(self.name, self.seed, *where, "poison", f"a document for {kind}")
                self.report.entries.append(self.poison[kind])
            self.poison[kind].followed = [f"{count} processes died"]

    def _more(self, parts: int) -> float:
        """Wait until so many more parts are committed, or the driver ends. Returns seconds."""
        began, goal = time.monotonic(), self.space.parts() + parts
        until(f"{parts} more parts", lambda: self.space.parts() >= goal or self.driver.poll() is not None, PATIENCE)
        return time.monotonic() - began

    def _exit(self, entry: Entry, code: int, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait for the driver to end, as it must."""

        def ended() -> bool:
            meanwhile()
            return self.driver.poll() is not None

        began = time.monotonic()
        until("the driver's end", ended, PATIENCE)
        entry.followed.append(f"exit {self.driver.returncode} after {time.monotonic() - began:.1f} s")
        assert self.driver.returncode == code, f"{entry.kind}: the driver ended with {self.driver.returncode}"
        self.expected = {code}

    def _choose(self, of: str) -> tuple[Node, int]:
        found = [(node, pid) for node in (self.cluster.head, self.cluster.second) for pid in getattr(node, of)()]
        return self.random.choice(found)

    def _driver_killed(self, entry: Entry) -> str:
        self.driver.kill()
        self._exit(entry, -signal.SIGKILL)
        return f"process {self.driver.pid}"

    def _driver_stopped(self, entry: Entry) -> str:
        self.driver.terminate()
        self._exit(entry, 130)
        return f"process {self.driver.pid}"

    def _worker_killed(self, entry: Entry) -> str:
        node, pid = self._choose("working")
        node.send(signal.SIGKILL, [pid])
        return f"process {pid} of {node.name}"

    def _scorer_killed(self, entry: Entry) -> str:
        node, pid = self._choose("scoring")
        node.send(signal.SIGKILL, [pid])
        return f"process {pid} of {node.name}"

    def _node_killed(self, entry: Entry) -> str:
        node = self.cluster.second
        count = len(node.processes())
        node.end()
        seconds = self._more(3)
        self.cluster.replace()
        entry.followed.append(f"3 parts on one node in {seconds:.1f} s, then {self.cluster.second.name} was started")
        return f"{node.name}, {count} processes"

    def _node_late(self, entry: Entry) -> str:
        node = self.cluster.second
        self._about_to_commit(node)
        node.send(signal.SIGSTOP)
        self._late(entry, node, node.working())
        node.send(signal.SIGCONT)
        self._leaves(entry, node)
        return node.name

    def _node_cut_off(self, entry: Entry) -> str:
        node = self.cluster.second
        self._about_to_commit(node)
        busy = node.working()
        node.send(signal.SIGSTOP, busy)
        self.cluster.net.link(up=False)
        self._late(entry, node, busy)
        self.cluster.net.link(up=True)
        self._leaves(entry, node)
        return node.name

    def _about_to_commit(self, node: Node) -> None:
        node.arm()
        until("a worker that is about to commit", node.fired, PATIENCE, 0.01)

    def _late(self, entry: Entry, node: Node, stopped: list[int]) -> None:
        """Let workers that were stopped go on once their units were repeated, and see their commits come to nothing."""
        began = time.monotonic()
        done = self._done()
        theirs = {name for name in self.space.unnamed() if MARK.sub("", name) not in done}
        self._hold(True)  # or the run would be over before Ray knows
        until("the node's death", lambda: not self.cluster.joined(), PATIENCE)
        self._hold(False)
        entry.followed.append(f"dead after {time.monotonic() - began:.1f} s")

        def repeated() -> set[str]:
            done = self._done()
            return {name for name in theirs & self.space.unnamed() if MARK.sub("", name) in done}

        files = until("the unit's repetition", repeated, PATIENCE, 0.2)
        entry.followed.append(f"unit repeated after {time.monotonic() - began:.1f} s")
        self._hold(True)  # a late commit may take as long as all that is left to score
        node.send(signal.SIGCONT, stopped)
        gone = until("a late commit", lambda: files - self.space.unnamed(), PATIENCE, 0.1)
        assert not gone & self.space.named(), "a late commit stands beside the first"
        self.late += 1
        entry.followed.append(f"late commit discarded: {sorted(gone)[0].split('/')[0]}")

    def _done(self) -> set[str]:
        """What files of committed units are called but for who wrote them."""
        return {MARK.sub("", name) for name in self.space.named()}

    def _leaves(self, entry: Entry, node: Node) -> None:
        """A raylet that hears of its death ends itself; another node takes its place."""
        began = time.monotonic()
        raylets = lambda: any("raylet/raylet" in command for command in node.processes().values())  # noqa: E731
        until("the raylet's end", lambda: not raylets(), PATIENCE)
        entry.followed.append(f"raylet gone after {time.monotonic() - began:.1f} s")
        self.cluster.replace()

    def _disk_full(self, entry: Entry) -> str:
        said = self.talk.stat().st_size
        try:
            self._exit(entry, 1, self.space.fill)  # again and again: what failed units remove would be space
        finally:
            self.space.free()
        assert b"failed[R005]" in self.talk.read_bytes()[said:], "the driver did not say that the disk is full"
        entry.followed.append("R005")
        return os.path.basename(self.space.root)

    def _store_failing(self, entry: Entry) -> str:
        proxy = self.space.proxy
        assert proxy is not None
        before, asked = _faults(proxy), proxy.requests
        proxy.rate = FAILING
        seconds = self._more(20)
        proxy.rate = RATE
        entry.followed.append(f"{_faults(proxy) - before} of {proxy.requests - asked} requests met faults")
        entry.followed.append(f"20 parts in {seconds:.1f} s")
        return "proxy"

    def _store_away(self, entry: Entry) -> str:
        proxy = self.space.proxy
        assert proxy is not None
        before = _faults(proxy)
        proxy.down_from = proxy.requests
        time.sleep(2)
        proxy.down_from = None
        entry.followed.append(f"{_faults(proxy) - before} requests met faults")
        return "proxy"


def _faults(proxy: Proxy) -> int:
    return sum(count for kind, count in proxy.injected.items() if kind)


@contextmanager
def small_disk(folder: Path, megabytes: int = 64) -> Iterator[Path]:
    """A disk of its own, mounted at a new folder. Raises OSError where mounting is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "chaos", str(folder)]
    if shutil.which("mount") is None:
        raise OSError(errno.ENOENT, "there is no mount")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(errno.EPERM, (done.stderr.strip() or "mount failed").splitlines()[0])
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def plugins(folder: Path) -> str:
    """Install the scorers of `scorers.py` as somebody else's package would be; returns what PYTHONPATH needs."""
    info = folder / "chaos_scorers-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: chaos-scorers\nVersion: 1.0\n")
    points = "[curation.scorers]\nchaos-light = chaos_scorers:Light\nchaos-heavy = chaos_scorers:Heavy\n"
    (info / "entry_points.txt").write_text(points)
    shutil.copy(Path(__file__).with_name("scorers.py"), folder / "chaos_scorers.py")
    return os.pathsep.join([str(folder), str(Path(__file__).parents[2])])


def deaths(control: Path) -> dict[str, int]:
    """How often a process died of poison, by the kind of scorer."""
    lines = (control / "deaths").read_text().split() if (control / "deaths").exists() else []
    return {kind: lines.count(kind) for kind in sorted(set(lines))}


def reference(recipe: Path, root: Path, environment: dict[str, str]) -> None:
    """The run that nothing happens to: in one thread of a process of its own."""
    command = [sys.executable, "-m", "pipelines.cli", "run", str(recipe), "-w", str(root)]
    done = subprocess.run(
        [*command, "--executor", "local", "--workers", "1"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
