"""On Ray: one task a unit, bounded in flight, and actors that hold the models, shared by all shards.

Longer than most files: units in flight, actors, losses and the end of a run are looked after by one loop.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from curation import failpoints, registry
from curation.flow import Failure, Outcome
from curation.flow.perform import perform
from curation.models.devices import THREADS
from curation.models.hardware import hardware
from curation.plan import Pass, Step
from curation.progress import UnitProgress, counting
from schemas.documents import INPUT
from schemas.errors import CurationError, Finding
from schemas.recipe import Resources
from workers import cluster, metrics, reports, shared_kv
from workers.actor import Model, actor_name
from workers.cluster import Demand, ResourceRequest
from workers.executor import BEAT_SECONDS, Metered, UnderWay, Watch, unwatched
from workers.interrupt import drain_seconds
from workers.joined import JoinedCluster
from workers.pool import Pool
from workers.private import PrivateCluster, at_ease
from workers.ray_private import silence_worker_logs
from workers.remote_scoring import DIED, RemoteScorer
from workers.reservations import actor_bounds, by_model, demands_of, unit_request

MOST_ASKED = 32
"""Units that are asked in one beat how far they are: of more of them each says so more rarely."""
IDLE_SECONDS = 30.0
"""How long an actor too many stays."""
CRASHES = 2
"""After so many of a unit's processes died it is performed with care: what scores runs in a process of its own."""
CRASHES_IN_ALL = 6
LOSSES = 12
"""After so many processes, nodes or objects were lost under a unit it is given up."""


@dataclass
class _InFlight:
    """A unit that was handed to Ray, and what became of it so far."""

    unit: Any
    crashes: int = 0
    losses: int = 0
    counts: UnitProgress = field(default_factory=UnitProgress)


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
        self.watch: Watch = unwatched
        self._private = address is None
        self._wanted = workers or (2 if self._private else None)
        self._tell = tell
        self._marker = marker
        self._idle_seconds = idle_seconds
        self._pools: dict[str, Pool] = {}
        self._hardware: dict[bool, str] = {}
        self._looked = False
        self._beaten = 0.0
        self._asked = 0
        """Units that were asked how far they are, from which the next ones follow."""
        self._dead: set[str] | None = None
        self._lost: set[Any] = set()
        self._told: set[str] = set()
        """Stages whose deaths were told of; "" for those of a unit's own process."""
        failpoints.register("driver")
        self._drain_seconds = drain_seconds()
        _authenticate(self._private)
        if not ray.is_initialized():
            silence_worker_logs()
        self._cluster = PrivateCluster(self._wanted) if address is None else JoinedCluster(address)
        for key in (_STOP, DIED):  # of an earlier run in a process that stays on the cluster
            shared_kv.erase(key)

    @property
    def workers(self) -> int:
        """Units at a time."""
        return self._wanted or max(1, int(cluster.total("CPU")))

    def room(self, passes: Iterable[Pass]) -> str:
        """What is free. Raises C043 where a pass asks for what the cluster could never hold."""
        for part in passes:
            wanted = [
                *demands_of(by_model(part.steps)).values(),
                Demand("a unit of work", unit_request(list(part.tasks)), 1),
            ]
            cluster.refuse_impossible(wanted)
        here = cluster.nodes()
        return f"{len(here)} machine{'s' if len(here) != 1 else ''}. {cluster.free_now(here)}"

    def hardware(self, steps: Iterable[Step]) -> str:
        """The class of hardware that the steps' scores are made on: with models on GPUs that of a machine with one."""
        away = not self._private and any(step.heavy and step.device == "cuda" for step in steps)
        if away not in self._hardware:
            if away:
                request = ResourceRequest(gpus=0.01)
                cluster.admit([Demand("a model", request, 1)], [], self._tell)
                self._hardware[away] = ray.get(_hardware.options(**request.options()).remote())
            else:
                self._hardware[away] = hardware()
        return self._hardware[away]

    def run(self, units: Iterable[Any], steps: list[Step], tasks: Iterable[Resources] = ()) -> Iterator[Outcome]:
        """Perform units as they come. `tasks`: what the stages ask for that run in the units themselves."""
        tasks = list(tasks)
        each = unit_request(tasks)
        limit = min([most for asked in tasks if (most := asked.bounds[1]) is not None], default=None)
        self._ensure_actors(steps, each)
        wanted = self.hardware(steps)
        waiting = iter(units)
        flying: dict[Any, _InFlight] = {}
        run = ""
        try:
            self.watch(self._under_way(flying))
            while True:
                while len(flying) < (limit or 2 * self.workers):
                    unit = next(waiting, None)
                    if unit is None:
                        break
                    run = metrics.run_of(unit)
                    self._preflight(unit)
                    flight = _InFlight(unit)
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

    def _submit(self, flight: _InFlight, each: ResourceRequest, wanted: str) -> Any:
        # Ray's own retries would hide how often a unit's process died
        options: dict[str, Any] = {**each.options(), "max_retries": 0}
        if gpus := getattr(flight.unit, "gpus", 0.0):  # a fit, whose models no actor holds, and whose examples are here
            options["num_gpus"] = gpus
            here = ray.get_runtime_context().get_node_id()
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(here, soft=True)
        return _perform.options(**options).remote(flight.unit, flight.crashes >= CRASHES, wanted)

    def _ended(self, flying: dict[Any, _InFlight]) -> list[Any]:
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
                pool.autoscale(len(flying))
            self._say_deaths()
            self._ask_progress(flying)
            self.watch(self._under_way(flying))
            done += self._lost_with_nodes([reference for reference in flying if reference not in done])
        return done  # type: ignore[no-any-return]

    def _ask_progress(self, flying: dict[Any, _InFlight]) -> None:
        """Of some units, what they last said of themselves; what is lost on the way, or late, harms nobody."""
        references = list(flying)
        for turn in range(min(MOST_ASKED, len(references))):
            reference = references[(self._asked + turn) % len(references)]
            report = shared_kv.read(reports.key(reference.task_id().hex()))
            if report is not None:
                reports.take(report, flying[reference].counts)
        self._asked += MOST_ASKED

    def _under_way(self, flying: dict[Any, _InFlight], drains: float | None = None) -> UnderWay:
        pools = self._pools.values()
        in_models = sum(pool.scored for pool in pools) / max(len(pools), 1)
        units = tuple((flight.unit, flight.counts) for flight in flying.values())
        return UnderWay(units, sum(pool.tokens for pool in pools), in_models, drains)

    def _say_deaths(self) -> None:
        name = shared_kv.read(DIED)
        if name is not None and name not in self._told:
            self._told.add(name)
            self._tell(f"stage '{name}': the process that scores died; looking for the document")

    def _lost_with_nodes(self, references: list[Any]) -> list[Any]:
        """Units on machines that Ray has given up since this was last asked.

        Ray fails a unit when the connection to its process breaks. Of a machine that is frozen or cut off that takes
        seven minutes, and the unit would not be repeated before.
        """
        dead = {node["NodeID"] for node in ray.nodes() if not node["Alive"]}
        new, self._dead = dead - (dead if self._dead is None else self._dead), dead
        lost = [item for item in references if new and shared_kv.read(_node_key(item.task_id().hex())) in new]
        self._lost.update(lost)
        return lost

    def _outcome(self, flight: _InFlight, reference: Any) -> Outcome | None:
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
            if died and "" not in self._told:
                self._told.add("")
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

    def _give_up(self, failure: Failure, flying: dict[Any, _InFlight], waiting: Iterator[Any]) -> Iterator[Outcome]:
        """Units that are not begun any more, or not ended, where one has shown that all of them would fail."""
        for reference, flight in flying.items():
            ray.cancel(reference, force=False)
            yield Outcome(flight.unit, failure=failure)
        flying.clear()
        for unit in waiting:
            yield Outcome(unit, failure=failure)

    def _drain(self, flying: dict[Any, _InFlight]) -> Iterator[Outcome]:
        """Let units that are under way end and commit, for a while; what has not begun is left for the next attempt."""
        end = time.monotonic() + self._drain_seconds
        told = False
        while flying and (left := end - time.monotonic()) > 0:
            if not self._cluster.alive:  # whoever stops us has stopped Ray first
                return
            if not told:
                shared_kv.write(_STOP, "")
                told = True
            self.watch(self._under_way(flying, left))
            done, _ = ray.wait(list(flying), num_returns=1, timeout=min(BEAT_SECONDS, left))
            for reference in done:
                flight = flying.pop(reference)
                with suppress(ray.exceptions.RayError):
                    value = ray.get(reference)
                    if value is not None and not isinstance(value, Failure):
                        yield Outcome(flight.unit, value)

    def _ensure_actors(self, steps: list[Step], each: ResourceRequest) -> None:
        """Have the actors that a pass needs, and no others: those before it give their machines back."""
        heavy = by_model(steps)
        wanted = demands_of(heavy)
        for key in [key for key in self._pools if key not in heavy]:
            self._pools.pop(key).close()
        new = [key for key in heavy if key not in self._pools]
        held = [wanted[key] for key in heavy if key not in new]
        cluster.admit([wanted[key] for key in new], [*held, Demand("a unit of work", each, 1)], self._tell)
        for key in new:
            self._pools[key] = self._pool(heavy[key], wanted[key].request, each)
            self._pools[key].fill()

    def _pool(self, group: list[Step], request: ResourceRequest, each: ResourceRequest) -> Pool:
        least, most = actor_bounds(group)
        if most is None and not request.cpus and not request.gpus:  # what reserves nothing would find room for ever
            cpus, gpus = cluster.total("CPU"), cluster.total("GPU")
            most = max(least, int(gpus if group[0].device == "cuda" else cpus // THREADS))
        step = group[0]
        wanted = self.hardware(group)
        taken: Counter[str] = Counter()

        def start(name: str) -> Any:
            options: dict[str, Any] = {**request.options(), "name": actor_name(name)}
            if not request.cpus and not request.gpus:
                # Ray would put what reserves nothing anywhere, the head too, which may be there to keep order only
                here = [node.id for node in cluster.nodes() if node.total.get("CPU")]
                if here:
                    node = min(here, key=lambda node: (taken[node], node))
                    taken[node] += 1
                    options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=True)
            return Model.options(**options).remote(step, wanted, name)  # type: ignore[attr-defined]

        def room() -> bool:
            # others hold GPUs for long, so a free one is needed; CPUs come free as tasks end
            if request.gpus:
                return cluster.has_room(request) or cluster.may_grow(request)
            held = [Demand("", pool.request, len(pool.members)) for pool in self._pools.values()]
            return cluster.could_hold([*held, Demand("", request, 1), Demand("", each, 1)])

        return Pool(step, request, (least, most), start, room, self._tell, self._idle_seconds)

    def _preflight(self, unit: Any) -> None:
        """Once: that all machines know what the stages need, and where others may use them, too, that they see the
        workspace and run this code."""
        if self._looked:
            return
        self._looked = True
        work = unit.work
        kinds = cluster.kinds_of(work.stages)
        if not self._private and self._marker is not None:
            cluster.preflight(work.root, self._marker, self._tell, kinds)
        elif foreign := {kind: stage for kind, stage in kinds.items() if kind[1] not in registry.BUILTIN[kind[0]]}:
            cluster.preflight(None, "", self._tell, foreign)

    def meters(self, steps: list[Step]) -> list[Metered]:
        heavy = {step.actor for step in steps if step.heavy}
        pools = [pool for key, pool in self._pools.items() if key in heavy]
        asked = [handle.meters.remote() for pool in pools for handle in pool.members.values()]
        rows: list[Metered] = []
        for reference in asked:
            with suppress(ray.exceptions.RayError):  # figures are not worth a run
                rows += ray.get(reference)
        return sorted(rows, key=lambda row: (row.step, row.model, row.pid))

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
"""Stands in the shared store once a driver is interrupted."""


def _node_key(task: str) -> str:
    """Where in the shared store stands which machine a unit is on."""
    return f"at/{task}"


@ray.remote
def _perform(unit: Any, careful: bool, wanted: str) -> Any:
    """A unit's value or Failure; None where the driver is stopping and the unit had not begun."""
    failpoints.register("worker")
    at_ease()
    if shared_kv.read(_STOP) is not None:
        return None
    clock = metrics.UnitClock(unit)
    calls = RemoteScorer(careful, wanted)
    context = ray.get_runtime_context()
    node_key = _node_key(context.get_task_id())
    shared_kv.write(node_key, context.get_node_id())

    def scoring(step: Step, batch: pa.RecordBatch) -> pa.RecordBatch:
        with clock.step(step):
            return calls.score(step, batch)

    told = reports.Reports(context.get_task_id())
    try:
        with counting(UnitProgress(changed=told)):
            value = perform(unit, scoring)
    finally:
        calls.close()
        told.close()
        shared_kv.erase(node_key)
    clock.done(value)
    return value


@ray.remote
def _hardware() -> str:
    return hardware()


def _described(unit: Any) -> str:
    """A unit, as a message has it."""
    shard = getattr(unit, "shard", None)
    stages = [f"'{stage.id}'" for stage in getattr(getattr(unit, "part", None), "stages", ()) if stage.id != INPUT]
    what = f"stage{'s' if len(stages) > 1 else ''} {', '.join(stages)}" if stages else "a unit of work"
    return f"{what} on {shard.path}" if shard is not None else what


def _authenticate(private: bool) -> None:
    """Give a private cluster a token of its own; one that is joined has its token where Ray's documentation says."""
    known = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    if private and os.environ["RAY_AUTH_MODE"] == "token" and not any(name in os.environ for name in known):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
