"""What a run tells while it goes on: one class an event. They carry failures, outcomes and meters of layers above
`schemas`, so they stand here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curation.flow import Failure, Outcome
    from workers.executor import Metered


@dataclass(frozen=True)
class RunStarted:
    run: str
    rows: int
    shards: int


@dataclass(frozen=True)
class FitStarted:
    """A stage learns from its examples and `rows` documents of the pool."""

    stage: str
    rows: int


@dataclass(frozen=True)
class PhaseStarted:
    """`total` units of one kind begin."""

    name: str
    total: int


@dataclass(frozen=True)
class UnitEnded:
    """One unit of the phase ended, well or not."""

    outcome: Outcome


@dataclass(frozen=True)
class PhaseEnded:
    name: str


@dataclass(frozen=True)
class ModelMetered:
    """How busy a model was during a phase."""

    reading: Metered


@dataclass(frozen=True)
class Failed:
    failure: Failure
    path: str = ""
    """The input at fault, or "" where it is none's."""


@dataclass(frozen=True)
class InputSkipped:
    """The run goes on without an input file."""

    path: str
    message: str


@dataclass(frozen=True)
class Notice:
    """A line that a person should see."""

    text: str


Event = RunStarted | FitStarted | PhaseStarted | UnitEnded | PhaseEnded | ModelMetered | Failed | InputSkipped | Notice
Report = Callable[[Event], None]
"""Told of everything that happens."""
