"""On Ray: one task a unit, bounded in flight, and one restartable actor for each model, shared by all shards."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import pyarrow as pa
import ray

from curation import failpoints
from curation.flow import Failure, Outcome, perform
from curation.flow.perform import infer_here, prepare_here, score_here
from curation.flow.work import scorer_object
from curation.models.meter import Reading
from curation.plan import Step
from schemas.errors import CurationError, Finding
from workers import metrics
from workers.executor import Metered, hardware, marked, metered


class RayExecutor:
    """Performs units as Ray tasks.

    Without an address it starts a private cluster on this machine and stops it again; with one it joins a running
    cluster, and needs the same RAY_AUTH_MODE and token as that.
    """

    name = "ray"

    def __init__(self, address: str | None = None, workers: int = 2, scorers: int = 1) -> None:
        self.workers = workers
        self.scorers = scorers
        self._actors: dict[str, list[Any]] = {}
        self._own = address is None
        failpoints.register("driver")
        _authenticate(self._own)
        # What Ray says of a lost worker it prints to stdout, whatever `log_to_driver` is, and stdout is for data. A
        # private switch; where it is gone the message is back, and nothing else.
        ray._private.worker._worker_logs_enabled = False
        try:
            if self._own:
                ray.init(
                    address="local",
                    num_cpus=workers,
                    include_dashboard=False,
                    logging_level="warning",
                    log_to_driver=False,
                    # no agent collects figures that nobody asks for, nor opens a port for them
                    _system_config={"metrics_report_interval_ms": 3_600_000, "enable_metrics_collection": False},
                )
            else:
                ray.init(address=address, logging_level="warning", log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError) as failure:
            reason = (str(failure).strip() or type(failure).__name__).splitlines()[0]
            raise CurationError(
                Finding(
                    "C035",
                    f"Ray {'did not start' if self._own else f'cluster at {address} did not answer'}: {reason}",
                    "use --executor local" if self._own else "check the address, RAY_AUTH_MODE and the token",
                )
            ) from failure

    def run(self, units: Iterable[Any], steps: list[Step]) -> Iterator[Outcome]:
        heavy = {step.actor: step for step in steps if step.heavy}
        actors = {key: self._actor(step, len(heavy)) for key, step in heavy.items()}
        waiting = iter(units)
        flying: dict[Any, Any] = {}
        number, run = 0, ""
        try:
            while True:
                while len(flying) < 2 * self.workers:
                    unit = next(waiting, None)
                    if unit is None:
                        break
                    chosen = {key: handles[number % len(handles)] for key, handles in actors.items()}
                    flying[_perform.remote(unit, chosen)] = unit
                    number, run = number + 1, metrics.run_of(unit)
                if not flying:
                    return
                metrics.queue(run, len(flying))
                done, _ = ray.wait(list(flying), num_returns=1)
                for reference in done:
                    unit = flying.pop(reference)
                    yield _outcome(unit, reference)
        finally:
            metrics.queue(run, 0)
            for reference in flying:
                ray.cancel(reference, force=False)

    def _actor(self, step: Step, heavy: int) -> list[Any]:
        """The step's actors: on GPUs one a card, which the `heavy` models of a pass share."""
        if step.actor not in self._actors:
            gpus = int(ray.cluster_resources().get("GPU", 0)) if step.device == "cuda" else 0
            if step.device == "cuda" and not gpus:
                raise CurationError(
                    Finding(
                        "C035",
                        f"stage '{step.name}' runs on GPUs, and the cluster has none",
                        "add a node with one, or set CURATION_DEVICE=cpu",
                    )
                )
            # num_cpus is written out, and 0: an actor that took a whole CPU of a small machine would leave none for
            # the shard tasks that feed it, and wait for ever
            options = {"num_cpus": 0, "num_gpus": 1 / heavy if gpus else 0}
            self._actors[step.actor] = [
                _Scorer.options(**options).remote(step, hardware())  # type: ignore[attr-defined]
                for _ in range(gpus or self.scorers)
            ]
        return self._actors[step.actor]

    def meters(self, steps: list[Step]) -> list[Metered]:
        heavy = {step.actor for step in steps if step.heavy}
        asked = [handle.meters.remote() for key in heavy for handle in self._actors.get(key, [])]
        found: list[Metered] = []
        for reference in asked:
            with suppress(ray.exceptions.RayError):  # figures are not worth a run
                found += ray.get(reference)
        return sorted(found, key=lambda row: (row.step, row.model, row.pid))

    def close(self) -> None:
        for handles in self._actors.values():
            for handle in handles:
                ray.kill(handle)
        self._actors.clear()
        ray.shutdown()


@ray.remote(num_cpus=1, max_retries=3)
def _perform(unit: Any, actors: dict[str, Any]) -> Any:
    failpoints.register("worker")
    clock = metrics.UnitClock(unit)

    def scoring(step: Step, batch: pa.RecordBatch) -> pa.RecordBatch:
        with clock.step(step):
            if not step.heavy:
                return score_here(step, batch)
            return ray.get(actors[step.actor].infer.remote(prepare_here(step, batch)))

    value = perform(unit, scoring)
    clock.done(value)
    return value


@ray.remote(max_restarts=-1, max_task_retries=-1)
class _Scorer:
    """Holds one model. Scoring is pure, so a batch whose actor died is simply sent again."""

    def __init__(self, step: Step, wanted: str) -> None:
        failpoints.register("scorer")
        self.step = step
        self.wanted = wanted
        self.before: list[Reading] = []
        self.clock = metrics.ModelClock(step)
        with suppress(Exception):  # `infer` raises it again, where it can be told from a lost actor
            scorer_object(step)

    def meters(self) -> list[Metered]:
        """What was done since this was last asked."""
        scorer = scorer_object(self.step)
        found = metered(self.step, scorer, self.before)
        self.before = marked(scorer)
        return found

    def infer(self, prepared: pa.RecordBatch) -> pa.RecordBatch:
        if hardware() != self.wanted:  # its scores would differ in the last bits from those that the driver records
            raise CurationError(Finding("C036", f"this node is {hardware()}, and the run is on {self.wanted}"))
        with self.clock.batch():
            return infer_here(self.step, prepared)


def _outcome(unit: Any, reference: Any) -> Outcome:
    try:
        value = ray.get(reference)
    except ray.exceptions.RayError as failure:
        first = (str(failure).strip() or type(failure).__name__).splitlines()[0]
        metrics.FAILURES.inc(1, {"code": "R006"})
        return Outcome(unit, failure=Failure("R006", f"{type(failure).__name__}: {first[:200]}", "run again to retry"))
    if isinstance(value, Failure):
        return Outcome(unit, failure=value)
    return Outcome(unit, value)


def _authenticate(own: bool) -> None:
    """Give a private cluster a token of its own; one that is joined has its token where Ray's documentation says."""
    known = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    if own and os.environ["RAY_AUTH_MODE"] == "token" and not any(name in os.environ for name in known):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
