"""Ports for the servers that tests start by number."""

from __future__ import annotations

import random
import socket
from pathlib import Path

FIRST = 20_000
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")

_taken: list[socket.socket] = []


def free_port() -> int:
    """A port on loopback that stays this process's to its end.

    A port that the kernel picks may be picked again before the server has it: for another test process, or for a client
    of anything. So it is one below those that clients get, and a name that only one process can have stands for it.
    """
    last = int(EPHEMERAL.read_text().split()[0]) if EPHEMERAL.exists() else 32_768
    numbers = range(FIRST, last) if last > FIRST + 1_000 else range(1_100, last)
    for port in random.SystemRandom().sample(numbers, len(numbers)):
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0port-of-a-test-{port}")
            with socket.create_server(("127.0.0.1", port)):
                _taken.append(name)
                return port
        except OSError:
            name.close()
    raise OSError("no port is free")
