"""On Ray: one task a unit, bounded in flight, and actors that hold the models, shared by all shards."""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from curation import failpoints, registry
from curation.flow import Failure, Outcome, perform
from curation.flow.perform import infer_here, prepare_here, score_here
from curation.flow.units import scorer_object
from curation.models.devices import THREADS
from curation.models.hardware import difference, hardware
from curation.models.meter import Reading
from curation.plan import Pass, Step
from schemas.documents import INPUT
from schemas.errors import CurationError, Finding
from schemas.recipe import Resources
from workers import cluster, metrics
from workers import shared_kv as board
from workers.cluster import Ask, Wanted
from workers.executor import Metered, marked, metered
from workers.joined import JoinedCluster
from workers.pool import Pool
from workers.private import PrivateCluster, at_ease
from workers.remote_scoring import DIED, Calls, actor_name, loading

BEAT_SECONDS = 1.0
"""How often the driver looks after its actors while no unit ends."""
IDLE_SECONDS = 30.0
"""How long an actor too many stays."""
CRASHES = 2
"""After so many of a unit's processes died it is performed with care: what scores runs in a process of its own."""
CRASHES_IN_ALL = 6
LOSSES = 12
"""After so many processes, nodes or objects were lost under a unit it is given up."""
DRAIN_SECONDS = 30.0
"""How long units that are under way may go on after an interrupt; CURATION_DRAIN_SECONDS."""


@dataclass
class _Flight:
    """A unit that was handed to Ray, and what became of it so far."""

    unit: Any
    crashes: int = 0
    losses: int = 0


class RayExecutor:
    """Performs units as Ray tasks.

    Without an address it starts a private cluster on this machine and stops it again; with one it joins a running
    cluster, and needs the same RAY_AUTH_MODE and token as that.
    """

    name = "ray"

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        tell: Callable[[str], None] = lambda text: None,
        marker: str | None = None,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        """`workers`: units at a time; without it all CPUs of a cluster that is joined, however many it comes to have.

        `marker` names a file of the workspace that every node must see.
        """
        self._own = address is None
        self._wanted = workers or (2 if self._own else None)
        self._tell = tell
        self._marker = marker
        self._idle_seconds = idle_seconds
        self._pools: dict[str, Pool] = {}
        self._hardware: dict[bool, str] = {}
        self._looked = False
        self._beaten = 0.0
        self._dead: set[str] | None = None
        self._lost: set[Any] = set()
        self._said: set[str] = set()
        """Stages whose deaths were told of; "" for those of a unit's own process."""
        failpoints.register("driver")
        self._drain_seconds = _drain_seconds()
        _authenticate(self._own)
        if not ray.is_initialized():
            # What Ray says of a lost worker it prints to stdout, whatever `log_to_driver` is, and stdout is for data. A
            # private switch; where it is gone the message is back, and nothing else.
            ray._private.worker._worker_logs_enabled = False
        self._cluster = PrivateCluster(self._wanted) if address is None else JoinedCluster(address)
        for key in (_STOP, DIED):  # of an earlier run in a process that stays on the cluster
            board.erase(key)

    @property
    def workers(self) -> int:
        """Units at a time."""
        return self._wanted or max(1, int(cluster.total("CPU")))

    def room(self, passes: Iterable[Pass]) -> str:
        """What is free. Raises C043 where a pass asks for what the cluster could never hold."""
        for part in passes:
            wanted = [*_wanted(_by_model(part.steps)).values(), Wanted("a unit of work", _each(list(part.tasks)), 1)]
            cluster.refuse_impossible(wanted)
        here = cluster.nodes()
        return f"{len(here)} machine{'s' if len(here) != 1 else ''}. {cluster.free_now(here)}"

    def hardware(self, steps: Iterable[Step]) -> str:
        """The class of hardware that the steps' scores are made on: with models on GPUs that of a machine with one."""
        away = not self._own and any(step.heavy and step.device == "cuda" for step in steps)
        if away not in self._hardware:
            if away:
                ask = Ask(gpus=0.01)
                cluster.admit([Wanted("a model", ask, 1)], [], self._tell)
                self._hardware[away] = ray.get(_hardware.options(**ask.options()).remote())
            else:
                self._hardware[away] = hardware()
        return self._hardware[away]

    def run(self, units: Iterable[Any], steps: list[Step], tasks: Iterable[Resources] = ()) -> Iterator[Outcome]:
        """Perform units as they come. `tasks`: what the stages ask for that run in the units themselves."""
        tasks = list(tasks)
        each = _each(tasks)
        limit = min([most for asked in tasks if (most := asked.bounds[1]) is not None], default=None)
        self._staff(steps, each)
        wanted = self.hardware(steps)
        waiting = iter(units)
        flying: dict[Any, _Flight] = {}
        run = ""
        try:
            while True:
                while len(flying) < (limit or 2 * self.workers):
                    unit = next(waiting, None)
                    if unit is None:
                        break
                    run = metrics.run_of(unit)
                    self._look_round(unit)
                    flight = _Flight(unit)
                    flying[self._submit(flight, each, wanted)] = flight
                if not flying:
                    return
                metrics.queue(run, len(flying))
                for reference in self._ended(flying):
                    flight = flying.pop(reference)
                    outcome = self._outcome(flight, reference)
                    if outcome is None:
                        flying[self._submit(flight, each, wanted)] = flight
                        continue
                    yield outcome
                    if outcome.failure is not None and outcome.failure.code == "R019":
                        yield from self._give_up(outcome.failure, flying, waiting)
                        return
        except KeyboardInterrupt:
            yield from self._drain(flying)
            raise
        finally:
            if self._cluster.alive:
                metrics.queue(run, 0)
                for reference in flying:
                    ray.cancel(reference, force=False)

    def _submit(self, flight: _Flight, each: Ask, wanted: str) -> Any:
        # Ray's own retries would hide how often a unit's process died
        options = {**each.options(), "max_retries": 0}
        return _perform.options(**options).remote(flight.unit, flight.crashes >= CRASHES, wanted)

    def _ended(self, flying: dict[Any, _Flight]) -> list[Any]:
        """Units that ended, waiting for one a moment at most, so that actors are looked after meanwhile."""
        references = list(flying)
        if not self._cluster.alive:
            raise CurationError(_ENDED)
        done, rest = ray.wait(references, num_returns=1, timeout=BEAT_SECONDS)
        if done and rest:
            more, _ = ray.wait(rest, num_returns=len(rest), timeout=0)
            done += more
        now = time.monotonic()
        if now - self._beaten >= BEAT_SECONDS:
            self._beaten = now
            for pool in self._pools.values():
                pool.tend(len(flying))
            self._say_deaths()
            done += self._stranded([reference for reference in flying if reference not in done])
        return done  # type: ignore[no-any-return]

    def _say_deaths(self) -> None:
        name = board.read(DIED)
        if name is not None and name not in self._said:
            self._said.add(name)
            self._tell(f"stage '{name}': the process that scores died; looking for the document")

    def _stranded(self, references: list[Any]) -> list[Any]:
        """Units on machines that Ray has given up since this was last asked.

        Ray fails a unit when the connection to its process breaks. Of a machine that is frozen or cut off that takes
        seven minutes, and the unit would not be repeated before.
        """
        dead = {node["NodeID"] for node in ray.nodes() if not node["Alive"]}
        new, self._dead = dead - (dead if self._dead is None else self._dead), dead
        lost = [item for item in references if new and board.read(_at(item.task_id().hex())) in new]
        self._lost.update(lost)
        return lost

    def _outcome(self, flight: _Flight, reference: Any) -> Outcome | None:
        """What became of a unit, or None where it is to be tried again."""
        if reference in self._lost:
            # not cancelled: should the process be alive, it could be cancelled in the middle of an import
            self._lost.remove(reference)
            flight.losses += 1
            metrics.RETRIES.inc(1, {"what": "unit"})
            return None
        try:
            value = ray.get(reference)
        except ray.exceptions.RayError as failure:
            died = isinstance(failure, ray.exceptions.WorkerCrashedError | ray.exceptions.OutOfMemoryError)
            flight.crashes += died
            flight.losses += 1
            if died and "" not in self._said:
                self._said.add("")
                self._tell(
                    f"the process of {_described(flight.unit)} died; it is begun again, and if it dies again, "
                    "with what scores in a process of its own"
                )
            if flight.crashes < CRASHES_IN_ALL and flight.losses < LOSSES:
                metrics.RETRIES.inc(1, {"what": "unit"})
                return None
            first = (str(failure).strip() or type(failure).__name__).splitlines()[0]
            metrics.FAILURES.inc(1, {"code": "R006"})
            return Outcome(
                flight.unit, failure=Failure("R006", f"{type(failure).__name__}: {first[:200]}", "run again to retry")
            )
        if isinstance(value, Failure):
            return Outcome(flight.unit, failure=value)
        return Outcome(flight.unit, value)

    def _give_up(self, failure: Failure, flying: dict[Any, _Flight], waiting: Iterator[Any]) -> Iterator[Outcome]:
        """Units that are not begun any more, or not ended, where one has shown that all of them would fail."""
        for reference, flight in flying.items():
            ray.cancel(reference, force=False)
            yield Outcome(flight.unit, failure=failure)
        flying.clear()
        for unit in waiting:
            yield Outcome(unit, failure=failure)

    def _drain(self, flying: dict[Any, _Flight]) -> Iterator[Outcome]:
        """Let units that are under way end and commit, for a while; what has not begun is left for the next attempt."""
        end = time.monotonic() + self._drain_seconds
        told = False
        while flying and (left := end - time.monotonic()) > 0:
            if not self._cluster.alive:  # whoever stops us has stopped Ray first
                return
            if not told:
                board.write(_STOP, "")
                told = True
            done, _ = ray.wait(list(flying), num_returns=1, timeout=min(BEAT_SECONDS, left))
            for reference in done:
                flight = flying.pop(reference)
                with suppress(ray.exceptions.RayError):
                    value = ray.get(reference)
                    if value is not None and not isinstance(value, Failure):
                        yield Outcome(flight.unit, value)

    def _staff(self, steps: list[Step], each: Ask) -> None:
        """Have the actors that a pass needs, and no others: those before it give their machines back."""
        heavy = _by_model(steps)
        wanted = _wanted(heavy)
        for key in [key for key in self._pools if key not in heavy]:
            self._pools.pop(key).close()
        new = [key for key in heavy if key not in self._pools]
        held = [wanted[key] for key in heavy if key not in new]
        cluster.admit([wanted[key] for key in new], [*held, Wanted("a unit of work", each, 1)], self._tell)
        for key in new:
            self._pools[key] = self._pool(heavy[key], wanted[key].ask, each)
            self._pools[key].fill()

    def _pool(self, group: list[Step], ask: Ask, each: Ask) -> Pool:
        least, most = _bounds(group)
        if most is None and not ask.cpus and not ask.gpus:  # what reserves nothing would find room for ever
            cpus, gpus = cluster.total("CPU"), cluster.total("GPU")
            most = max(least, int(gpus if group[0].device == "cuda" else cpus // THREADS))
        step = group[0]
        wanted = self.hardware(group)
        taken: Counter[str] = Counter()

        def start(name: str) -> Any:
            options: dict[str, Any] = {**ask.options(), "name": actor_name(name)}
            if not ask.cpus and not ask.gpus:
                # Ray would put what reserves nothing anywhere, the head too, which may be there to keep order only
                here = [node.id for node in cluster.nodes() if node.total.get("CPU")]
                if here:
                    node = min(here, key=lambda node: (taken[node], node))
                    taken[node] += 1
                    options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=True)
            return Model.options(**options).remote(step, wanted, name)  # type: ignore[attr-defined]

        def room() -> bool:
            # others hold GPUs for long, so a free one is needed; CPUs come free as tasks end
            if ask.gpus:
                return cluster.has_room(ask) or cluster.may_grow(ask)
            held = [Wanted("", pool.ask, len(pool.members)) for pool in self._pools.values()]
            return cluster.could_hold([*held, Wanted("", ask, 1), Wanted("", each, 1)])

        return Pool(step, ask, (least, most), start, room, self._tell, self._idle_seconds)

    def _look_round(self, unit: Any) -> None:
        """Once: that all machines know what the stages need, and where others may use them, too, that they see the
        workspace and run this code."""
        if self._looked:
            return
        self._looked = True
        work = getattr(unit, "at", unit).work
        kinds = cluster.kinds_of(work.stages)
        if not self._own and self._marker is not None:
            cluster.look_round(work.root, self._marker, self._tell, kinds)
        elif foreign := {kind: stage for kind, stage in kinds.items() if kind[1] not in registry.BUILTIN[kind[0]]}:
            cluster.look_round(None, "", self._tell, foreign)

    def meters(self, steps: list[Step]) -> list[Metered]:
        heavy = {step.actor for step in steps if step.heavy}
        pools = [pool for key, pool in self._pools.items() if key in heavy]
        asked = [handle.meters.remote() for pool in pools for handle in pool.members.values()]
        found: list[Metered] = []
        for reference in asked:
            with suppress(ray.exceptions.RayError):  # figures are not worth a run
                found += ray.get(reference)
        return sorted(found, key=lambda row: (row.step, row.model, row.pid))

    def close(self) -> None:
        if self._cluster.alive:
            for pool in self._pools.values():
                pool.close()
        self._pools.clear()
        self._cluster.stop()


_ENDED = Finding(
    "R006",
    "the processes of Ray on this machine have ended while the run was under way",
    "most often the machine lacks memory: see its kernel log; run again, what is committed stays",
)
_STOP = "stop"
"""Stands on the board once a driver is interrupted."""


def _drain_seconds() -> float:
    """Raises C004 for a setting that is no number: an interrupt is no time to find that out."""
    given = os.environ.get("CURATION_DRAIN_SECONDS", "").strip()
    try:
        seconds = float(given) if given else DRAIN_SECONDS
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        message = f"environment variable CURATION_DRAIN_SECONDS: expected a number from 0, got '{given}'"
        raise CurationError(Finding("C004", message, f"leave it out for {DRAIN_SECONDS:g}"))
    return seconds


def _at(task: str) -> str:
    """Where on the board stands which machine a unit is on."""
    return f"at/{task}"


@ray.remote
def _perform(unit: Any, careful: bool, wanted: str) -> Any:
    """A unit's value or Failure; None where the driver is stopping and the unit had not begun."""
    failpoints.register("worker")
    at_ease()
    if board.read(_STOP) is not None:
        return None
    clock = metrics.UnitClock(unit)
    calls = Calls(careful, wanted)
    context = ray.get_runtime_context()
    here = _at(context.get_task_id())
    board.write(here, context.get_node_id())

    def scoring(step: Step, batch: pa.RecordBatch) -> pa.RecordBatch:
        with clock.step(step):
            return calls.score(step, batch)

    try:
        value = perform(unit, scoring)
    finally:
        calls.close()
        board.erase(here)
    clock.done(value)
    return value


@ray.remote
def _hardware() -> str:
    return hardware()


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
        self.since: float | None = None
        if step is None:
            return
        self.clock = metrics.ModelClock(step)
        board.write(loading(name), str(int(board.read(loading(name)) or 0) + 1))
        with suppress(Exception):  # `infer` raises it again, where it can be told from a lost actor
            scorer_object(step)
        board.erase(loading(name))

    @ray.method(concurrency_group="talk")
    def load(self) -> tuple[float, float]:
        """Seconds of work so far, and the clock that they are seen by: answered while a batch is under way."""
        now, since = time.perf_counter(), self.since
        return self.busy + (now - since if since is not None else 0.0), now

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
        with self._work(token), self.clock.batch():
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
            board.write(token, "")
        began = self.since = time.perf_counter()
        try:
            yield
        finally:
            self.busy += time.perf_counter() - began
            self.since = None
            if token:
                board.erase(token)


def _described(unit: Any) -> str:
    """A unit, as a message has it."""
    shard = getattr(getattr(unit, "at", None), "shard", None)
    stages = [f"'{stage.id}'" for stage in getattr(getattr(unit, "part", None), "stages", ()) if stage.id != INPUT]
    what = f"stage{'s' if len(stages) > 1 else ''} {', '.join(stages)}" if stages else "a unit of work"
    return f"{what} on {shard.path}" if shard is not None else what


def _by_model(steps: Iterable[Step]) -> dict[str, list[Step]]:
    heavy: dict[str, list[Step]] = {}
    for step in steps:
        if step.heavy:
            heavy.setdefault(step.actor, []).append(step)
    return heavy


def _wanted(heavy: dict[str, list[Step]]) -> dict[str, Wanted]:
    """The least that each model of a pass needs before the pass can begin."""
    return {
        key: Wanted(f"stage '{group[0].name}'", _ask(group, heavy), _bounds(group)[0]) for key, group in heavy.items()
    }


def _each(tasks: list[Resources]) -> Ask:
    """What each unit reserves."""
    return Ask(cpus=max([asked.num_cpus for asked in tasks if asked.num_cpus is not None], default=1.0))


def _ask(group: list[Step], heavy: dict[str, list[Step]]) -> Ask:
    """What each actor reserves that serves these steps: the most that one of them asks for."""
    asked = [step.resources for step in group if step.resources]
    cpus = [item.num_cpus for item in asked if item.num_cpus is not None]
    gpus = [item.num_gpus for item in asked if item.num_gpus is not None]
    if not gpus and group[0].device == "cuda":  # the models of a pass share each card
        gpus = [1 / sum(steps[0].device == "cuda" for steps in heavy.values())]
    # num_cpus is 0 unless asked for: an actor that took a whole CPU of a small machine would leave none for the shard
    # tasks that feed it, and wait for ever
    return Ask(max(cpus, default=0.0), max(gpus, default=0.0))


def _bounds(group: list[Step]) -> tuple[int, int | None]:
    """Least and most actors of a model that these steps share."""
    bounds = [step.resources.bounds for step in group if step.resources]
    if not bounds:
        return 1, None
    most = [upper for _, upper in bounds]
    return max(least for least, _ in bounds), None if None in most else max(filter(None, most))


def _authenticate(own: bool) -> None:
    """Give a private cluster a token of its own; one that is joined has its token where Ray's documentation says."""
    known = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    if own and os.environ["RAY_AUTH_MODE"] == "token" and not any(name in os.environ for name in known):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
