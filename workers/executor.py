"""What an executor is: it performs units of work, in any order, and hands back what became of each."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from curation.flow import Outcome
from curation.models.meter import Reading
from curation.plan import Step
from curation.plugins import contained
from curation.progress import UnitProgress
from curation.scorers.base import Scorer
from schemas.recipe import Resources


@dataclass(frozen=True)
class Metered:
    """What one model did in one process during one pass."""

    step: str
    host: str
    pid: int
    model: str
    device: str
    dtype: str
    reading: Reading
    peak: float | None
    """Operations a second that the device has at best; None where that is not known."""

    def record(self) -> dict[str, Any]:
        """As a row of the manifest's `meters`."""
        facts = asdict(self)
        return {**{name: facts[name] for name in facts if name != "reading"}, **facts["reading"]}


@dataclass(frozen=True)
class UnderWay:
    """The units that are under way, as far as they have said."""

    units: tuple[tuple[Any, UnitProgress], ...]
    tokens: int = 0
    """That models have read since these units began to be performed, ended ones too."""
    in_models: float = 0.0
    """Documents' worth of work that models in processes of their own have done of their batches at hand."""
    drains: float | None = None
    """Of a run that was interrupted: seconds until they are given up."""


Watch = Callable[[UnderWay], None]
BEAT_SECONDS = 1.0
"""How often whoever watches is told."""


class Executor(Protocol):
    """In this process, or on a cluster: the same units, the same bytes."""

    name: str
    watch: Watch
    """Told in the thread that runs the units how far those under way are: before the first, when models have read
    nothing of it, and then about once a second."""

    @property
    def workers(self) -> int:
        """Units at a time."""

    def hardware(self, steps: Iterable[Step]) -> str:
        """The class of hardware that the steps' scores are made on (`curation.models.hardware`)."""

    def run(self, units: Iterable[Any], steps: list[Step], tasks: Iterable[Resources] = ()) -> Iterator[Outcome]:
        """Perform units as they come, bounded in flight; `steps` are those whose models may be needed, `tasks` what
        stages ask for that run in the units themselves. Interrupted, it lets units end that are under way."""

    def meters(self, steps: list[Step]) -> list[Metered]:
        """What the steps' models did during the last `run`."""

    def close(self) -> None:
        """Let go of models and processes."""


def unwatched(under_way: UnderWay) -> None:
    """Tells nobody."""


def metered(step: Step, scorer: Scorer, before: list[Reading]) -> list[Metered]:
    """Readings of a scorer's models in this process, less those `before`; none of models that did nothing."""
    from curation.models.devices import peak_flops

    models = []
    with contained():
        readings = scorer.readings()
    for number, (reader, reading) in enumerate(readings):
        since_mark = reading.since(before[number]) if number < len(before) else reading
        if since_mark.slots:
            facts = (reader.model.address, reader.device, reader.dtype)
            peak = peak_flops(reader.device, reader.dtype)
            models.append(Metered(step.name, socket.gethostname(), os.getpid(), *facts, since_mark, peak))
    return models


def marked(scorer: Scorer) -> list[Reading]:
    """Readings of a scorer's models before a run, from which their clocks start again."""
    with contained():
        return [reader.meter.mark() for reader, _ in scorer.readings()]
