"""What a run tells while it goes on: one class an event. They carry failures, outcomes and meters of layers above
`schemas`, so they stand here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
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
class Joined:
    """Another attempt is at the run, and is waited for. Until it ends, the events of phases are its own."""

    run: str
    attempt: str
    host: str
    pid: int
    since: datetime
    stale_seconds: float | None
    """Of one that cannot be seen from here: how long its heartbeat has to stand still before it counts as gone."""


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
    step: str = ""
    """score, entrants, pairs, resolve, decide, write or fit; empty for a weak-to-strong run's."""
    stage: str = ""
    """The stage that it is about, of those that are about one."""
    family: str = ""
    """That stage's: dedup or select."""
    documents: int | None = None
    """Those that the units are about, counted once."""


@dataclass(frozen=True)
class Advanced:
    """How far the phase that is under way has come: about once a second. Of what other machines do it is what they last
    said, and nothing is decided by it."""

    name: str
    units: int
    """Units that ended, of `total`."""
    total: int
    under_way: int
    """Units that are being performed."""
    documents: int | None
    """Documents done, those of units under way too; None where units are about something else."""
    to_score: int | None
    """Documents that there are to do."""
    exact: bool
    """Whether `to_score` is counted, and not in part what the units so far let expect."""
    kept: float | None
    """Share of documents that the phase's gates let pass, of those that have been through."""
    tokens: int
    """Tokens that models have read in this phase."""
    seconds: float
    """Since the phase began."""
    documents_per_second: float | None
    """Of late, as the next two."""
    tokens_per_second: float | None
    seconds_left: float | None
    working: tuple[str, ...]
    """Steps that are at work."""
    compiling: bool
    """Whether text kernels are being compiled, once on a machine."""
    loading: bool
    """Whether models are being opened, and nothing else is done."""
    drains: float | None
    """After an interrupt, seconds until the units under way are given up."""


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


Event = (
    RunStarted | Joined | FitStarted | PhaseStarted | Advanced | UnitEnded | PhaseEnded | ModelMetered | Failed
    | InputSkipped | Notice
)  # fmt: skip
Report = Callable[[Event], None]
"""Told of everything that happens."""
