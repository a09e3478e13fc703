"""A Ray cluster for one process alone: out of reach of signals that are meant for that process, and gone without a
trace when that process is, however it ends.

Whoever stops a run tells a group of processes: a terminal its foreground group, `timeout` its own, systemd and Slurm
all processes of the job. The driver alone is to take it up, and needs its workers to drain; so Ray's processes have a
session of their own, and do not listen. A watcher beside them, no child of the driver's, hears from a pipe when the
driver has ended, ends them, and removes their folder.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray

from schemas.errors import CurationError, Finding
from workers.interrupt import held
from workers.ray_private import no_handlers, on_loopback, own_sessions
from workers.watcher import LOCK, MARK, end_and_remove

PREFIX = "curation-ray-"
UNHEARD = frozenset({signal.SIGTERM, signal.SIGHUP})
"""Signals that the processes of a private cluster do not hear; Ray sees to SIGINT itself."""
LEAVE_SECONDS = 10.0
"""How long the watcher has for its work at an orderly end."""


class PrivateCluster:
    """Starts Ray in this process, with so many CPUs.

    >>> cluster = PrivateCluster(2)
    >>> cluster.stop()
    """

    def __init__(self, cpus: int | None) -> None:
        """Raises C061 in a process that is on a cluster already, C035 where Ray does not start."""
        if ray.is_initialized():
            raise CurationError(_occupied())
        parent = Path(os.environ.get("RAY_TMPDIR") or "/tmp")  # sockets lie below it: a path has 107 bytes at most
        _sweep(parent)
        self.folder, self._lock = _folder(parent)
        self._watcher = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("watcher.py")), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[self._lock],  # the folder counts as in use for as long as one of us lives
            start_new_session=True,
            preexec_fn=_unhearing,
        )
        self._stopped = False
        self._processes: list[subprocess.Popen[bytes]] = []
        try:
            with held(), on_loopback(), own_sessions({MARK: str(self.folder)}, _unhearing, self._tell), no_handlers():
                ray.init(
                    address="local",
                    num_cpus=cpus,
                    include_dashboard=False,
                    logging_level="warning",
                    log_to_driver=False,
                    _temp_dir=str(self.folder),
                    # no agent collects figures that nobody asks for, nor opens a port for them
                    _system_config={"metrics_report_interval_ms": 3_600_000, "enable_metrics_collection": False},
                )
        except BaseException as failure:
            self.stop()
            if not isinstance(failure, Exception):
                raise
            reason = (str(failure).strip() or type(failure).__name__).splitlines()[0]
            raise CurationError(Finding("C035", f"Ray did not start: {reason}", "use --executor local")) from failure

    def _tell(self, process: subprocess.Popen[bytes]) -> None:
        """The watcher, of a process that was started."""
        self._processes.append(process)
        assert self._watcher.stdin is not None
        with suppress(OSError):
            self._watcher.stdin.write(f"{process.pid}\n".encode())
            self._watcher.stdin.flush()

    @property
    def alive(self) -> bool:
        """Whether none of its own processes has ended; Ray itself says so after a minute, and ends the driver."""
        return not self._stopped and all(process.poll() is None for process in self._processes)

    def stop(self) -> None:
        """End it, and remove what it left on disk."""
        if self._stopped:
            return
        self._stopped = True
        with held():
            ray.shutdown()
            assert self._watcher.stdin is not None
            self._watcher.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._watcher.wait(LEAVE_SECONDS)
            os.close(self._lock)


def _occupied() -> Finding:
    address = ray.get_runtime_context().gcs_address
    return Finding(
        "C061",
        f"Ray is initialised in this process, on the cluster at {address}, and without an address a run starts its own",
        f"use that cluster: address={address}; or leave it first: ray.shutdown(); or use executor=local",
    )


def at_ease() -> None:
    """In a worker of a private cluster: hear signals again, and ignore them. What others' code starts inherits what is
    not heard, but not what is ignored this way, and could not be ended by SIGTERM."""
    if MARK not in os.environ or not UNHEARD & signal.pthread_sigmask(signal.SIG_BLOCK, []):
        return
    if threading.current_thread() is threading.main_thread():
        for number in UNHEARD:
            signal.signal(number, _ignore)
    elif signal.getsignal(signal.SIGTERM) is not _ignore:
        return
    signal.pthread_sigmask(signal.SIG_UNBLOCK, UNHEARD)


def _ignore(number: int, frame: Any) -> None:
    pass


def _unhearing() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {*UNHEARD, signal.SIGINT})


def _folder(parent: Path) -> tuple[Path, int]:
    """A new folder, and a lock that says that it is in use."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / LOCK).exists():  # nobody swept it away before it was locked
            return folder, lock
        os.close(lock)


def _sweep(parent: Path) -> None:
    """Remove what drivers left that ended together with their watchers, as when the machine did."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            lock = os.open(folder / LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                end_and_remove(str(folder))
            finally:
                os.close(lock)
