"""In this process: threads that share one copy of each model. Kernels, Arrow and DuckDB let go of Python's lock."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import pyarrow as pa

from curation import failpoints
from curation.flow import Failure, Outcome, perform
from curation.flow.objects import tokenising_object
from curation.flow.perform import infer_here, prepare_here, score_here
from curation.models.hardware import hardware
from curation.models.meter import Reading
from curation.plan import Step
from schemas.recipe import Resources
from workers.executor import Metered, marked, metered


class LocalExecutor:
    """Performs units on `workers` threads."""

    name = "local"

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._before: dict[str, list[Reading]] = {}
        failpoints.register("driver")

    def hardware(self, steps: Iterable[Step]) -> str:
        return hardware()

    def run(self, units: Iterable[Any], steps: list[Step], tasks: Iterable[Resources] = ()) -> Iterator[Outcome]:
        pool = ThreadPoolExecutor(self.workers)
        self._before = {step.actor: marked(tokenising_object(step)) for step in steps if step.heavy}
        flying: dict[Future[Any], Any] = {}
        waiting = iter(units)
        try:
            while True:
                while len(flying) < 2 * self.workers:
                    unit = next(waiting, None)
                    if unit is None:
                        break
                    flying[pool.submit(perform, unit, self._score)] = unit
                if not flying:
                    return
                done, _ = wait(flying, return_when=FIRST_COMPLETED)
                for future in done:
                    yield _outcome(flying.pop(future), future)
        except KeyboardInterrupt:
            # what is running ends and commits, what waits is left for the next attempt
            pool.shutdown(wait=True, cancel_futures=True)
            for future, unit in flying.items():
                if not future.cancelled():
                    yield _outcome(unit, future)
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _score(self, step: Step, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not step.heavy:
            return score_here(step, batch)
        # Outside the lock, so that one shard's documents are tokenised while the model has another's.
        prepared = prepare_here(step, batch)
        with self._locks[step.actor]:
            return infer_here(step, prepared)

    def meters(self, steps: list[Step]) -> list[Metered]:
        heavy = {step.actor: step for step in steps if step.heavy}
        return [
            row
            for key, step in heavy.items()
            for row in metered(step, tokenising_object(step), self._before.get(key, []))
        ]

    def close(self) -> None:
        self._locks.clear()


def _outcome(unit: Any, future: Future[Any]) -> Outcome:
    value = future.result()
    failed = isinstance(value, Failure)
    return Outcome(unit, None if failed else value, value if failed else None)
