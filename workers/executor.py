"""What an executor is: it performs units of work, in any order, and hands back what became of each."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from curation.flow import Outcome
from curation.plan import Step


class Executor(Protocol):
    """In this process, or on a cluster: the same units, the same bytes."""

    name: str
    workers: int

    def run(self, units: Iterable[Any], steps: list[Step]) -> Iterator[Outcome]:
        """Perform units as they come, bounded in flight; `steps` are those whose models may be needed."""

    def close(self) -> None:
        """Let go of models and processes."""


@cache
def hardware() -> str:
    """The class of hardware within which scores are the same bits: architecture and matrix instructions."""
    flags: set[str] = set()
    info = Path("/proc/cpuinfo")
    if info.exists():
        line = next((line for line in info.read_text().splitlines() if line.startswith(("flags", "Features"))), "")
        flags = set(line.split())
    wanted = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")
    return "-".join([platform.machine(), *(flag for flag in wanted if flag in flags)])
