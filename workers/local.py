"""In this process: threads that share one copy of each model. Kernels, Arrow and DuckDB let go of Python's lock."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

import pyarrow as pa

from curation import failpoints
from curation.flow import Failure, Outcome
from curation.flow.objects import tokenising_object
from curation.flow.perform import infer_here, perform, prepare_here, score_here
from curation.models.hardware import hardware
from curation.models.meter import Reading
from curation.plan import Step
from curation.progress import StoppedError, UnitProgress, counting
from curation.text import load_numba
from schemas.recipe import Resources
from workers.executor import BEAT_SECONDS, Metered, UnderWay, Watch, marked, metered, unwatched
from workers.interrupt import drain_seconds

Flying = dict[Future[Any], tuple[Any, UnitProgress]]


class LocalExecutor:
    """Performs units on `workers` threads."""

    name = "local"

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self.watch: Watch = unwatched
        self._drain_seconds = drain_seconds()
        self._tokens = 0
        """That units which have ended read."""
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._before: dict[str, list[Reading]] = {}
        failpoints.register("driver")

    def hardware(self, steps: Iterable[Step]) -> str:
        return hardware()

    def run(self, units: Iterable[Any], steps: list[Step], tasks: Iterable[Resources] = ()) -> Iterator[Outcome]:
        load_numba()
        pool = ThreadPoolExecutor(self.workers)
        self._before = {step.actor: marked(tokenising_object(step)) for step in steps if step.heavy}
        flying: Flying = {}
        self._tokens = 0
        waiting = iter(units)
        due = time.monotonic() + BEAT_SECONDS
        try:
            self.watch(self._under_way(flying))
            while True:
                while len(flying) < 2 * self.workers:
                    unit = next(waiting, None)
                    if unit is None:
                        break
                    counts = UnitProgress()
                    flying[pool.submit(self._perform, unit, counts)] = unit, counts
                if not flying:
                    return
                yield from self._ended(flying, BEAT_SECONDS)
                if time.monotonic() >= due:
                    due = time.monotonic() + BEAT_SECONDS
                    self.watch(self._under_way(flying))
        except KeyboardInterrupt:
            yield from self._drain(pool, flying)
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            wait(flying, timeout=self._drain_seconds)
            _give_up(flying)
            pool.shutdown(wait=True)

    def _ended(self, flying: Flying, seconds: float) -> Iterator[Outcome]:
        """Units that have ended; waits for one, so long."""
        done, _ = wait(flying, timeout=seconds, return_when=FIRST_COMPLETED)
        for future in done:
            unit, counts = flying.pop(future)
            self._tokens += counts.tokens
            yield _outcome(unit, future)

    def _drain(self, pool: ThreadPoolExecutor, flying: Flying) -> Iterator[Outcome]:
        """What is running ends and commits, or is given up after a while; what waits is left for the next attempt."""
        pool.shutdown(wait=False, cancel_futures=True)
        for future in [future for future in flying if future.cancelled()]:
            del flying[future]
        end = time.monotonic() + self._drain_seconds
        while flying and (left := end - time.monotonic()) > 0:
            self.watch(self._under_way(flying, left))
            yield from self._ended(flying, min(left, BEAT_SECONDS))
        _give_up(flying)
        for future, (unit, _) in flying.items():
            with suppress(StoppedError):
                yield _outcome(unit, future)

    def _under_way(self, flying: Flying, drains: float | None = None) -> UnderWay:
        units = tuple(pair for future, pair in flying.items() if future.running())
        return UnderWay(units, self._tokens + sum(counts.tokens for _, counts in units), drains=drains)

    def _perform(self, unit: Any, counts: UnitProgress) -> Any:
        with counting(counts):
            return perform(unit, self._score)

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


def _give_up(flying: Flying) -> None:
    """Have units end where they count next, without a commit."""
    for _, counts in flying.values():
        counts.stopped = True


def _outcome(unit: Any, future: Future[Any]) -> Outcome:
    value = future.result()
    failed = isinstance(value, Failure)
    return Outcome(unit, None if failed else value, value if failed else None)
