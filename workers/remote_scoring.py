"""A task's calls to processes that may die under a document: repeated, and blamed only for deaths that are theirs."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pyarrow as pa
import ray

from curation.flow.faults import WorkerLostError
from curation.flow.isolate import ScorerError, plain_batch
from curation.flow.perform import prepare_here, score_here
from curation.plan import Step
from schemas.errors import CurationError, Finding
from workers import metrics, shared_kv
from workers.actor import Model, actor_name, loading
from workers.pool import REFRESH_SECONDS, pool_key

DEATHS_OF_ONE = 3
"""A document over which a process dies this often is set aside."""
DEATHS_OF_MANY = 2
"""A batch over which it dies this often is halved, to find the document."""
IN_A_ROW = 5
"""Documents one after another over which it dies, after which a unit is given up."""
LOADS = 3
"""A model whose process dies this often while loading is not tried again."""
LOOK_SECONDS = 5.0
"""How often a batch that waits looks whether its actor loads at all."""
OUTAGE_SECONDS = 600.0
"""How long a batch waits for an actor that is up."""
Call = Callable[[Any, pa.RecordBatch, str], Any]
"""Sends rows to an actor, with a token under which it notes that they are under way."""
Plain = Callable[[], pa.RecordBatch]
DIED = "died"
"""In the shared store: the step whose process was last seen to die over what it had."""


class RemoteScorer:
    """What one unit sends to other processes: model batches, and where `careful` everything that scores.

    Scoring is pure, so what was lost is sent again. After a first loss the process that scores notes each batch in the
    shared store before it begins: a batch that stands there when the process is gone was under way, and one that does
    not was only in line behind another's.
    """

    def __init__(self, careful: bool, hardware: str) -> None:
        self.careful = careful
        self.hardware = hardware
        self._suspicious: set[str] = set()
        self._turn = os.getpid()
        self._pools: dict[str, tuple[float, list[str]]] = {}
        self._handles: dict[str, Any] = {}
        self._sandbox: Any = None
        self._sound: set[str] = set()
        """Steps whose process has outlived plain words."""
        self._row: Counter[str] = Counter()
        """By step: documents one after another over which its process died."""

    def score(self, step: Step, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A step's columns for a batch. Raises ScorerError where the process dies over it, again and again, and
        WorkerLostError where it is lost otherwise."""
        try:
            return self._score(step, batch)
        except ray.exceptions.RayTaskError:
            raise  # the scorer's own
        except ray.exceptions.RayError as lost:
            raise WorkerLostError(f"{type(lost).__name__}: {lost}") from lost

    def _score(self, step: Step, batch: pa.RecordBatch) -> pa.RecordBatch:
        plain = partial(plain_batch, batch.schema)
        if not step.heavy:
            if not self.careful:
                return score_here(step, batch)
            return self._guarded(
                step, batch, self._sandboxed, lambda on, rows, token: on.score.remote(step, rows, token), plain
            )

        def prepare(rows: pa.RecordBatch, plain: Plain | None) -> pa.RecordBatch:
            if not self.careful:
                return prepare_here(step, rows)
            call: Call = lambda on, rows, token: on.prepare.remote(step, rows, token)  # noqa: E731
            return self._guarded(step, rows, self._sandboxed, call, plain)

        return self._guarded(
            step,
            prepare(batch, plain),
            lambda: self._member(step),
            lambda on, rows, token: on.infer.remote(rows, token),
            lambda: prepare(plain(), None),
        )

    def close(self) -> None:
        """Let go of the process that was for this unit alone."""
        if self._sandbox is not None:
            ray.kill(self._sandbox)
            self._sandbox = None

    def _guarded(
        self,
        step: Step,
        batch: pa.RecordBatch,
        choose: Callable[[], tuple[str, Any]],
        call: Call,
        plain: Plain | None,
    ) -> pa.RecordBatch:
        """`plain` makes what to try where the process died; without it, this is such a try."""
        one, suspicious = batch.num_rows == 1, self.careful or step.name in self._suspicious
        limit = DEATHS_OF_MANY if plain is None else DEATHS_OF_ONE if one else 1 if suspicious else DEATHS_OF_MANY
        token = _token() if suspicious else ""
        deaths = losses = 0
        began = time.monotonic()
        while True:
            name, handle = choose()
            try:
                reference = call(handle, batch, token)
                # a call of an actor that dies while it loads waits, and never fails
                while not ray.wait([reference], timeout=LOOK_SECONDS)[0]:
                    self._check_loading(step, name, None)
                result = ray.get(reference)
                self._row[step.name] *= plain is None
                return result
            except ray.exceptions.RayTaskError:
                self._row[step.name] *= plain is None
                raise  # the scorer's own
            except ray.exceptions.RayError as lost:
                losses += 1
                metrics.RETRIES.inc(1, {"what": "batch"})
                deaths += _was_under_way(token)
                if deaths:
                    shared_kv.write(DIED, step.name)
                if deaths >= limit:
                    self._suspicious.add(step.name)
                    if plain is not None:
                        self._suspect(step, choose, call, plain, one)
                    what = f"the process that scored it died{f' {deaths} times' if one else ''}"
                    raise ScorerError(what, type(lost).__name__) from lost
                self._check_retry(step, name, lost, began)
            token = _token()
            time.sleep(min(2.0, 0.2 * losses))

    def _suspect(self, step: Step, choose: Callable[[], tuple[str, Any]], call: Call, plain: Plain, one: bool) -> None:
        """Raise where it is no document that ends the process: it dies over plain words too, or over all in a row."""
        if step.name not in self._sound:
            try:
                self._guarded(step, plain(), choose, call, None)
            except ScorerError as dead:
                raise CurationError(
                    Finding(
                        "R019",
                        f"stage '{step.name}' ends the process that scores, over plain words, too",
                        "try its scorer by itself: it crashes, takes more memory than there is, or calls exit",
                    )
                ) from dead
            except ray.exceptions.RayTaskError:  # it raises, and lives
                pass
            self._sound.add(step.name)
        self._row[step.name] += one
        if self._row[step.name] >= IN_A_ROW:
            raise CurationError(
                Finding(
                    "R003",
                    f"stage '{step.name}': the process that scores died over {IN_A_ROW} documents in a row",
                    "look at what they have in common; the scorer crashes over it, or takes more memory than there is",
                )
            )

    def _check_retry(self, step: Step, name: str, lost: Exception, began: float) -> None:
        """Raise where another try is pointless."""
        self._check_loading(step, name, lost)
        if time.monotonic() - began > OUTAGE_SECONDS:
            raise lost
        self._pools.pop(step.actor, None)
        self._handles.pop(name, None)

    def _check_loading(self, step: Step, name: str, lost: Exception | None) -> None:
        if name and int(shared_kv.read(loading(name)) or 0) > LOADS:
            raise CurationError(
                Finding(
                    "R006",
                    f"stage '{step.name}': the process that holds the model died {LOADS} times while loading it",
                    "most often it lacks memory: see the node's kernel log, or give it a larger machine",
                )
            ) from lost

    def _member(self, step: Step) -> tuple[str, Any]:
        """The actor whose turn it is, of those that there are."""
        read, names = self._pools.get(step.actor, (0.0, []))
        if time.monotonic() - read > REFRESH_SECONDS:
            names = json.loads(shared_kv.read(pool_key(step)) or "[]")
            self._pools[step.actor] = time.monotonic(), names
        if not names:
            raise CurationError(Finding("R006", f"stage '{step.name}': its model's actors are gone", "run again"))
        self._turn += 1
        name = names[self._turn % len(names)]
        if name not in self._handles:
            with suppress(ValueError):  # ended since
                self._handles[name] = ray.get_actor(actor_name(name))
        return name, self._handles.get(name) or _Gone()

    def _sandboxed(self) -> tuple[str, Any]:
        """A process for this unit alone, so that what dies there is its own doing."""
        if self._sandbox is None:
            self._sandbox = Model.options(num_cpus=0).remote(None, self.hardware, "")  # type: ignore[attr-defined]
        return "", self._sandbox


class _Gone:
    """Stands for an actor that was retired between reading the list and asking for it."""

    def __getattr__(self, method: str) -> _Gone:
        return self

    def remote(self, *_: Any) -> Any:
        raise ray.exceptions.ActorUnavailableError("retired", None)


def _token() -> str:
    return f"batch/{os.urandom(8).hex()}"


def _was_under_way(token: str) -> bool:
    if not token or shared_kv.read(token) is None:
        return False
    shared_kv.erase(token)
    return True
