"""What a run on Ray tells Prometheus, through Ray's metrics agents: /metrics on each node's --metrics-export-port.

Ray writes `ray_` before each name and `_total` behind a counter's. These are figures to watch a run by: a worker that
dies takes its last seconds of them along, and a run's last ones may leave with its processes before anybody asks. What
a run did is in its manifest. A private cluster, which a run without an address starts, collects none.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.util.metrics import Counter, Gauge, Histogram

from curation import tally
from curation.flow import Failure
from curation.flow.fit import FitWork
from curation.flow.objects import tokenising_object
from curation.flow.score import Scored
from curation.flow.units import DecideWork, EnterWork, PairWork, ResolveWork, ScoreWork, WriteWork
from curation.plan import Step
from schemas.errors import CurationError

DOCUMENTS = Counter("curation_documents", "Documents that a step scored.", ("step",))
TOKENS = Counter("curation_tokens", "Tokens that a step's models read, without padding.", ("step",))
QUEUE = Gauge("curation_queue", "Units of work that a run has handed to Ray and that are not done.", ("run",))
COMMITS = Counter("curation_commits", "Records that workers committed.", ("kind",))
LOST_RACES = Counter("curation_lost_races", "Commits that came late: another worker's stands.", ("kind",))
RETRIES = Counter("curation_retries", "Units, models and store requests begun again.", ("what",))
FAILURES = Counter("curation_failures", "Units that failed, by the code of docs/errors.md.", ("code",))
OUT_OF_MEMORY = Counter("curation_out_of_memory", "Batches that did not fit into a device's memory.", ("step",))
# Ray's agent makes a histogram's sum from the middles of its buckets, so the exact seconds are a counter of their own.
BUSY = Counter("curation_busy_seconds", "Seconds that units spent in a step, waiting for models included.", ("step",))
UNIT = Histogram(
    "curation_unit_seconds",
    "Seconds that one unit spent in a step, waiting for models included.",
    [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000],
    ("step",),
)

METRICS = (DOCUMENTS, TOKENS, QUEUE, COMMITS, LOST_RACES, RETRIES, FAILURES, OUT_OF_MEMORY, BUSY, UNIT)
SUFFIXES = {Counter: ("_total",), Gauge: ("",), Histogram: ("_bucket", "_count", "_sum")}
EXPORTED = {f"ray_{metric.info['name']}{suffix}" for metric in METRICS for suffix in SUFFIXES[type(metric)]}
"""Names as Prometheus sees them."""


class UnitClock:
    """Times one unit of work in the process that performs it, and publishes what came of it."""

    def __init__(self, unit: Any) -> None:
        self.unit = unit
        self.began = time.perf_counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def step(self, step: Step) -> Iterator[None]:
        """Around every batch that a step scores."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step.name] += time.perf_counter() - began

    def done(self, value: Any) -> None:
        """Publish; `value` is what `perform` returned."""
        if isinstance(value, Scored):
            for step, rows in value.by_step.items():
                _add(DOCUMENTS, rows, step=step)
        if isinstance(value, Failure):
            FAILURES.inc(1, {"code": value.code})
        if not isinstance(self.unit, ScoreWork):
            self.seconds[_stage_of(self.unit)] = time.perf_counter() - self.began
        for step, seconds in self.seconds.items():
            _add(BUSY, seconds, step=step)
            UNIT.observe(seconds, {"step": step})
        publish_tally()


class ModelClock:
    """Counts the tokens of one actor's models, and the batches that did not fit."""

    def __init__(self, step: Step) -> None:
        self.model = step
        self.tokens = 0
        if ray.get_runtime_context().was_current_actor_reconstructed:
            RETRIES.inc(1, {"what": "model"})

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Around every batch."""
        try:
            yield
        except CurationError as failure:
            if failure.findings[0].code == "R007":
                OUT_OF_MEMORY.inc(1, {"step": self.model.name})
            raise
        total = sum(reading.tokens for _, reading in tokenising_object(self.model).readings())
        _add(TOKENS, total - self.tokens, step=self.model.name)
        self.tokens = total
        publish_tally()


def queue(run: str, units: int) -> None:
    """Say how many units a run has in flight. For the driver: one process, so one number."""
    QUEUE.set(units, {"run": run})


def publish_tally() -> None:
    """Publish what the library counted in this process."""
    counters = {tally.COMMITS: (COMMITS, "kind"), tally.LOST: (LOST_RACES, "kind"), tally.RETRIES: (RETRIES, "what")}
    for (name, what), count in tally.take().items():
        counter, key = counters[name]
        counter.inc(count, {key: what})


def run_of(unit: Any) -> str:
    """The run that a unit belongs to."""
    return str(unit.work.run)


def _stage_of(unit: Any) -> str:
    match unit:
        case EnterWork() | PairWork() | ResolveWork():
            return str(unit.stage.id)
        case DecideWork():
            return "decide"
        case WriteWork():
            return "write"
        case FitWork():
            return "fit"
    return type(unit).__name__


def _add(counter: Counter, value: float, **tags: str) -> None:
    if value > 0:  # Ray refuses to add nothing
        counter.inc(value, tags)
