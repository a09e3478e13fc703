"""The units of a run, phase by phase, through an executor; and which members the run goes on without."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from curation.flow import Failure
from curation.weak_to_strong.students.base import Student
from curation.weak_to_strong.supervisors.base import Supervisor
from pipelines.running.events import Failed, PhaseEnded, PhaseStarted, Report, UnitEnded
from pipelines.running.pace import Pace, paced
from pipelines.weak_to_strong.data import Data
from pipelines.weak_to_strong.plan import Resolved
from pipelines.weak_to_strong.spec import Loaded
from pipelines.weak_to_strong.units import MemberFailure, Record, Unit, UnitStore
from workers.executor import Executor


class StoppedError(Exception):
    """The run cannot go on."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Phases:
    """Performs units, and notes members of which one fails."""

    def __init__(self, executor: Executor, report: Report) -> None:
        self.executor = executor
        self.report = report
        self.left_out: dict[str, Failure] = {}
        """Supervisors and students that failed, by title."""

    def perform(self, name: str, units: Sequence[Unit]) -> list[Record | None]:
        """The units' records in their order, None for those that failed, and for what a member had left by then.

        Raises StoppedError where a unit fails that is no member's, or a machine.
        """
        if not units:
            return []
        phase = PhaseStarted(name, len(units))
        self.report(phase)
        pace = Pace(phase, self.report)
        position = {unit: index for index, unit in enumerate(units)}
        records: list[Record | None] = [None] * len(units)
        failures: dict[int, Failure] = {}
        first: dict[str, int] = {}
        """Of each member that failed, its first unit that did, whichever came first: a report is the same each time."""
        with paced(self.executor, pace):
            for outcome in self.executor.run(_while_whole(units, first), []):
                pace.ended(outcome)
                self.report(UnitEnded(outcome))
                index, failure = position[outcome.unit], outcome.failure
                if failure is None:
                    records[index] = outcome.value
                elif isinstance(failure, MemberFailure):
                    failures[index] = failure
                    for member in outcome.unit.members:
                        first[member] = min(first.get(member, index), index)
                else:
                    self.report(Failed(failure))
                    raise StoppedError(failure)
        for member, index in sorted(first.items(), key=lambda entry: entry[1]):
            self._leave_out(member, failures[index])
        self.report(PhaseEnded(name))
        return records

    def takes(self, member: Supervisor | Student) -> bool:
        """Whether the run still goes on with a member."""
        return member.title not in self.left_out

    def _leave_out(self, member: str, failure: Failure) -> None:
        if member not in self.left_out:
            self.left_out[member] = failure
            self.report(Failed(failure))


def _while_whole(units: Iterable[Unit], failed: dict[str, int]) -> Iterator[Unit]:
    """Units of members that have not failed by the time their turn comes."""
    return (unit for unit in units if failed.keys().isdisjoint(unit.members))


@dataclass(frozen=True)
class Run:
    """What every step of a run is given."""

    resolved: Resolved
    data: Data
    units: UnitStore
    phases: Phases

    @property
    def loaded(self) -> Loaded:
        return self.resolved.loaded

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.loaded.spec.task.classes)

    @property
    def seeds(self) -> range:
        return range(self.loaded.spec.seeds)
