"""What a cluster has room for: asked before anything is started on it, since Ray itself waits in silence."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from curation import registry
from curation.plan import StagePlan
from curation.store import open_store
from schemas.errors import CurationError, Finding
from workers.ray_private import autoscaler_limits, available_by_node

PATIENCE = 600.0
"""Seconds that a run waits, saying so, for what other runs hold."""
SAY_AFTER, SAY_EVERY = 5.0, 30.0
"""Seconds before the first line and the next ones: at first it may be actors of the pass before, on their way out."""
NO_KINDS: Mapping[tuple[str, str], str] = {}
LOOK_SECONDS = 60.0
"""Seconds that a node has for its first answer."""


@dataclass(frozen=True)
class ResourceRequest:
    """What one actor or one task reserves."""

    cpus: float = 0.0
    gpus: float = 0.0

    def fits(self, free: Mapping[str, float]) -> bool:
        """Whether a node with this much free has room for one."""
        return self.cpus <= free.get("CPU", 0.0) + 1e-6 and self.gpus <= free.get("GPU", 0.0) + 1e-6

    def options(self) -> dict[str, float]:
        """For `.options(...)`: num_cpus always beside num_gpus, or Ray adds a CPU of its own."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus}

    def __str__(self) -> str:
        gpus = f" and {self.gpus:g} GPU" if self.gpus else ""
        return f"{self.cpus:g} CPU{gpus}"


@dataclass(frozen=True)
class Demand:
    """So many of one kind, all of which a pass needs before it can begin."""

    who: str
    """As a message has it: stage 'x'."""
    request: ResourceRequest
    count: int


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    id: str
    address: str
    total: dict[str, float]
    free: dict[str, float]


def nodes() -> list[Node]:
    """Machines that are alive, in the order of their ids."""
    free = available_by_node()
    alive = [node for node in ray.nodes() if node["Alive"]]
    return sorted(
        (Node(n["NodeID"], n["NodeManagerAddress"], n["Resources"], free.get(n["NodeID"], {})) for n in alive),
        key=lambda node: node.id,
    )


def total(resource: str) -> float:
    """How much of a resource all machines have together, taken or not."""
    return float(ray.cluster_resources().get(resource, 0.0))


def has_room(request: ResourceRequest) -> bool:
    """Whether some machine has room for one right now."""
    return any(request.fits(node.free) for node in nodes())


def may_grow(request: ResourceRequest) -> bool:
    """Whether an autoscaler says that it could add machines with room for one more."""
    most = autoscaler_limits()
    if not most:
        return False
    left = {name: most.get(name, 0.0) - total(name) for name in ("CPU", "GPU")}
    return request.fits(left)


def admit(wanted: list[Demand], beside: list[Demand], tell: Callable[[str], None]) -> None:
    """Return once all that is `wanted` has room. Raises C043 at once where the cluster could never hold it together
    with what is to run `beside` it: an actor that takes the last CPU would wait for ever for tasks to feed it.

    What other runs hold is waited for, at most PATIENCE seconds, with a line now and then.
    """
    began = last_told = time.monotonic()
    first = True
    while True:
        machines = nodes()
        growing = refuse_impossible([*wanted, *beside])
        if growing is not None:
            tell(f"{_sentence(growing)}; waiting for the autoscaler. {free_now(machines)}")
            return  # what waits to be started is what the autoscaler goes by
        short = _first_without_room(wanted, [node.free for node in machines])
        if short is None:
            return
        now = time.monotonic()
        if now - began > PATIENCE:
            raise CurationError(
                Finding(
                    "C043",
                    f"{_sentence(short)}; others held it for {PATIENCE:.0f} s. {free_now(machines)}",
                    "run again when they are done, or lower the stage's `resources:`",
                )
            )
        if now - last_told > (SAY_AFTER if first else SAY_EVERY):
            first, last_told = False, now
            tell(f"waiting: {_sentence(short)}, which others hold. {free_now(machines)}")
        time.sleep(0.25)


def could_hold(wanted: list[Demand]) -> bool:
    """Whether machines and autoscaler have room for all of it at once, whatever runs there now."""
    short = _first_without_room(wanted, [node.total for node in nodes()])
    return short is None or may_grow(short.request)


def refuse_impossible(wanted: list[Demand]) -> Demand | None:
    """Raise C043 where the cluster could never hold all of it at once. Returns what only an autoscaler can make room
    for, or None."""
    machines = nodes()
    never = _first_without_room(wanted, [node.total for node in machines])
    if never is None or may_grow(never.request):
        return never
    raise CurationError(
        Finding(
            "C043",
            f"{_sentence(never)}, and the cluster has no room for that. {free_now(machines)}",
            "lower the stage's `resources:`, or add machines; without a GPU: CURATION_DEVICE=cpu",
        )
    )


def _first_without_room(wanted: Iterable[Demand], machines: list[dict[str, float]]) -> Demand | None:
    """Place the largest first, each where it fits; the first that does not, or None."""
    free = [dict(machine) for machine in machines]
    for item in sorted(wanted, key=lambda item: (-item.request.gpus, -item.request.cpus)):
        for _ in range(item.count):
            machine_with_room = next((machine for machine in free if item.request.fits(machine)), None)
            if machine_with_room is None:
                return item
            machine_with_room["CPU"] = machine_with_room.get("CPU", 0.0) - item.request.cpus
            machine_with_room["GPU"] = machine_with_room.get("GPU", 0.0) - item.request.gpus
    return None


def _sentence(wanted: Demand) -> str:
    return f"{wanted.who} needs {wanted.count} × {wanted.request}"


def free_now(machines: list[Node]) -> str:
    """Free and total of each machine that differs in them, the commonest first."""
    counts: dict[str, int] = {}
    for node in machines:
        parts = [
            f"{node.free.get(name, 0.0):g} of {node.total[name]:g} {name}"
            for name in ("CPU", "GPU")
            if node.total.get(name)
        ]
        counts[" and ".join(parts) or "nothing"] = counts.get(" and ".join(parts) or "nothing", 0) + 1
    shown = sorted(counts.items(), key=lambda item: -item[1])
    said = [f"{count} × {what}" if count > 1 else what for what, count in shown[:5]]
    more = f" and {len(shown) - 5} more kinds of machine" if len(shown) > 5 else ""
    return f"Free: {', '.join(said) or 'no machine'}{more}"


@cache
def code() -> str:
    """Names this version of the engine's code: two versions may score one document differently."""
    digest = hashlib.sha256()
    for package in ("curation", "schemas", "workers"):
        folder = Path(import_module(package).__path__[0])  # in a submitted job each package lies in a folder of its own
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def kinds_of(stages: Iterable[StagePlan]) -> dict[tuple[str, str], str]:
    """Family and kind of all that stages are made of, scorers inside others too, with a stage that needs it."""
    kinds: dict[tuple[str, str], str] = {}

    def inside(value: Any, stage: str) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("scorer"), str):
                kinds.setdefault(("scorer", value["scorer"]), stage)
            value = list(value.values())
        for item in value if isinstance(value, list) else ():
            inside(item, stage)

    for stage in stages:
        if stage.family in registry.GROUPS:
            kinds.setdefault((stage.family, stage.kind), stage.id)
            inside(json.loads(stage.spec.settings), stage.id)
    return kinds


@ray.remote(num_cpus=0, max_retries=0)
def _look(root: str | None, marker: str, kinds: list[tuple[str, str]]) -> dict[str, Any]:
    """What a machine sees of the workspace, which code it would run, and what it lacks of what the stages need."""
    report: dict[str, Any] = {"code": code(), "problem": None, "versions": {}, "lacking": {}}
    try:
        if root is not None and not open_store(root).exists(marker):
            report["problem"] = "it is not there"
    except Exception as failure:
        report["problem"] = f"{type(failure).__name__}: {failure}".splitlines()[0][:200]
    for kind in kinds:
        try:
            report["versions"][kind] = registry.find(*kind).version
        except KeyError:
            report["lacking"][kind] = "it is not installed there"
        except BaseException as failure:  # others' code, which may do anything when it is imported
            report["lacking"][kind] = f"{type(failure).__name__}: {failure}".splitlines()[0][:200]
    return report


def preflight(
    root: str | None, marker: str, tell: Callable[[str], None], kinds: Mapping[tuple[str, str], str] = NO_KINDS
) -> None:
    """Raise C044 unless every machine that takes tasks has what stages need, as the driver has it, sees the workspace
    and would run the driver's code. Without `root` the machine is this one."""
    machines = [node for node in nodes() if node.total.get("CPU")]
    asked = {
        _look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)).remote(
            root, marker, list(kinds)
        ): node
        for node in machines
    }
    done, late = ray.wait(list(asked), num_returns=len(asked), timeout=LOOK_SECONDS)
    for reference in late:
        tell(f"node {asked[reference].address} has not answered for {LOOK_SECONDS:.0f} s; going on")
        ray.cancel(reference)
    findings = []
    for reference in done:
        where = f"node {asked[reference].address}" if root is not None else "this machine, in a process of its own,"
        try:
            report = ray.get(reference)
        except ray.exceptions.RayError as failure:
            reason = (str(failure).strip() or type(failure).__name__).splitlines()[-1]
            if isinstance(failure, ray.exceptions.RayTaskError):  # it cannot import us, or not all that we need
                hint = "give every node the same image, or `curate submit`, which brings the code along"
                findings.append(Finding("C044", f"{where} cannot run this version: {reason[:200]}", hint))
            continue
        if report["code"] != code():
            hint = "give every node the same version, or `curate submit`, which brings the code along"
            findings.append(Finding("C044", f"{where} has another version of the engine than the driver", hint))
        findings += _unlike(where, kinds, report)
        if report["problem"]:
            hint = "put the workspace on a disk that all nodes share, or on an object store"
            findings.append(Finding("C044", f"{where} does not see the workspace {root}: {report['problem']}", hint))
    if findings:
        raise CurationError(*findings)


def _unlike(where: str, kinds: Mapping[tuple[str, str], str], report: dict[str, Any]) -> Iterator[Finding]:
    """What a machine does not have, or not as the driver has it."""
    hint = "install it on every node, or send it along: curate submit --code; what a notebook defines is in no package"
    for (family, kind), stage in kinds.items():
        what = f"the {family} '{kind}' of stage '{stage}'"
        if (family, kind) in report["lacking"]:
            why = report["lacking"][family, kind]
            yield Finding("C044", f"{where} does not have {what}, which the driver has: {why}", hint)
        elif report["versions"][family, kind] != registry.find(family, kind).version:
            yield Finding("C044", f"{where} has another version of {what} than the driver", hint)
