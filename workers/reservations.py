"""What the actors and units of a pass reserve, from what its stages ask for."""

from __future__ import annotations

from collections.abc import Iterable

from curation.plan import Step
from schemas.recipe import Resources
from workers.cluster import Demand, ResourceRequest


def by_model(steps: Iterable[Step]) -> dict[str, list[Step]]:
    heavy: dict[str, list[Step]] = {}
    for step in steps:
        if step.heavy:
            heavy.setdefault(step.actor, []).append(step)
    return heavy


def demands_of(heavy: dict[str, list[Step]]) -> dict[str, Demand]:
    """The least that each model of a pass needs before the pass can begin."""
    return {
        key: Demand(f"stage '{group[0].name}'", actor_request(group, heavy), actor_bounds(group)[0])
        for key, group in heavy.items()
    }


def unit_request(tasks: list[Resources]) -> ResourceRequest:
    """What each unit reserves."""
    return ResourceRequest(cpus=max([asked.num_cpus for asked in tasks if asked.num_cpus is not None], default=1.0))


def actor_request(group: list[Step], heavy: dict[str, list[Step]]) -> ResourceRequest:
    """What each actor reserves that serves these steps: the most that one of them asks for."""
    asked = [step.resources for step in group if step.resources]
    cpus = [item.num_cpus for item in asked if item.num_cpus is not None]
    gpus = [item.num_gpus for item in asked if item.num_gpus is not None]
    if not gpus and group[0].device == "cuda":  # the models of a pass share each card
        gpus = [1 / sum(steps[0].device == "cuda" for steps in heavy.values())]
    # num_cpus is 0 unless asked for: an actor that took a whole CPU of a small machine would leave none for the shard
    # tasks that feed it, and wait for ever
    return ResourceRequest(max(cpus, default=0.0), max(gpus, default=0.0))


def actor_bounds(group: list[Step]) -> tuple[int, int | None]:
    """Least and most actors of a model that these steps share."""
    bounds = [step.resources.bounds for step in group if step.resources]
    if not bounds:
        return 1, None
    most = [upper for _, upper in bounds]
    return max(least for least, _ in bounds), None if None in most else max(filter(None, most))
