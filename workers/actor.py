"""The actor that holds a model, or scores for one unit that proceeds with care."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pyarrow as pa
import ray

from curation import failpoints
from curation.flow.objects import scorer_object
from curation.flow.perform import infer_here, prepare_here, score_here
from curation.models.hardware import difference, hardware
from curation.models.meter import Reading
from curation.plan import Step
from curation.progress import UnitProgress, counting, working
from schemas.errors import CurationError, Finding
from workers import metrics, shared_kv
from workers.executor import Metered, marked, metered
from workers.private import at_ease


@ray.remote(max_restarts=-1, max_task_retries=0, concurrency_groups={"talk": 1})
class Model:
    """Holds one model; or none, and scores whatever a single unit sends. A batch whose actor died is sent again."""

    def __init__(self, step: Step | None, wanted: str, name: str) -> None:
        failpoints.register("scorer")
        at_ease()
        self.step = step
        self.wanted = wanted
        self.before: list[Reading] = []
        self.busy = 0.0
        self.counts = UnitProgress()
        self.since: float | None = None
        if step is None:
            return
        self.clock = metrics.ModelClock(step)
        shared_kv.write(loading(name), str(int(shared_kv.read(loading(name)) or 0) + 1))
        with suppress(Exception):  # `infer` raises it again, where it can be told from a lost actor
            scorer_object(step)
        shared_kv.erase(loading(name))

    @ray.method(concurrency_group="talk")
    def load(self) -> tuple[float, float, int, float]:
        """Seconds of work so far, and the clock that they are seen by; tokens read, and documents done of the batch at
        hand. Answered while a batch is under way."""
        now, since = time.perf_counter(), self.since
        counts = self.counts
        return self.busy + (now - since if since is not None else 0.0), now, counts.tokens, counts.scored

    def meters(self) -> list[Metered]:
        """What was done since this was last asked."""
        assert self.step is not None
        scorer = scorer_object(self.step)
        found = metered(self.step, scorer, self.before)
        self.before = marked(scorer)
        return found

    def infer(self, prepared: pa.RecordBatch, token: str) -> pa.RecordBatch:
        """The model's half of scoring, for every step that shares the model."""
        assert self.step is not None
        if hardware() != self.wanted:  # its scores would differ in the last bits from those that the driver records
            theirs, ours = difference(self.wanted, hardware()) or (self.wanted, hardware())
            raise CurationError(Finding("C036", f"this node is {ours}, and the run is on {theirs}"))
        with (
            self._work(token),
            self.clock.batch(),
            counting(self.counts),
            working(self.step.name, prepared.num_rows),
        ):
            return infer_here(self.step, prepared)

    def prepare(self, step: Step, batch: pa.RecordBatch, token: str) -> pa.RecordBatch:
        """The half that needs no model."""
        with self._work(token):
            return prepare_here(step, batch)

    def score(self, step: Step, batch: pa.RecordBatch, token: str) -> pa.RecordBatch:
        """All of it."""
        with self._work(token):
            return score_here(step, batch)

    @contextmanager
    def _work(self, token: str) -> Iterator[None]:
        """Note what is under way, where that was asked: who finds the note finds out whose batch ended this process."""
        if token:
            shared_kv.write(token, "")
        began = self.since = time.perf_counter()
        try:
            yield
        finally:
            self.busy += time.perf_counter() - began
            self.since = None
            if token:
                shared_kv.erase(token)


def actor_name(name: str) -> str:
    """As Ray knows it: unique in a cluster that several runs share."""
    return f"curation-{ray.get_runtime_context().get_job_id()}-{name}"


def loading(name: str) -> str:
    """Where in the shared store stands how often an actor began to load its model without an end."""
    return f"loading/{name}"
