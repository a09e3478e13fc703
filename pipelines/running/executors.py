"""Where a run is performed, as it was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipelines.nearest import MARKER
from pipelines.planning.cost import local_workers
from pipelines.running.events import Notice, Report
from schemas.errors import CurationError, Finding

LARGE = 256 * 1024 * 1024
"""Input bytes from which `executor="auto"` starts Ray."""


def executor_maker(name: str, address: str | None, workers: int | None, plan: Any, tell: Report) -> Callable[[], Any]:
    """Begins the executor that `name` (local, ray or auto) means for a plan. Raises C035 for another name."""
    size = sum(shard.bytes for shard in plan.good_shards)
    if name == "auto":
        name = "ray" if address or size > LARGE else "local"
    if name not in ("local", "ray"):
        raise CurationError(Finding("C035", f"there is no executor '{name}'", "use local or ray"))

    def make() -> Any:
        if name == "local":
            from workers.local import LocalExecutor

            return LocalExecutor(workers or local_workers(plan))
        from workers.on_ray import RayExecutor

        count = workers if address else workers or local_workers(plan)
        return RayExecutor(address, count, lambda text: tell(Notice(text)), MARKER)

    return make
