"""How far and how fast a phase goes, made of what ended and of what units under way say of themselves."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from curation.flow import Outcome
from curation.flow.score import Scored
from pipelines.running.events import Advanced, PhaseStarted, Report
from workers.executor import Executor, UnderWay, unwatched

WINDOW_SECONDS = 30.0
"""Time over which a rate is taken: long enough to be steady, and short enough to follow a run."""

EARLY = 0.03
"""Share of a phase that has to be done before it is said how long the rest takes."""


class Pace:
    """Counts one phase."""

    def __init__(
        self, phase: PhaseStarted, report: Report, rows_of: Callable[[Any], int | None] = lambda unit: None
    ) -> None:
        """`rows_of`: documents of a unit; None for one that is not about documents."""
        self.phase = phase
        self.report = report
        self.rows_of = rows_of
        self.began = time.monotonic()
        self.units = 0
        self.rows = 0
        """Documents of units that ended."""
        self.through = self.kept = 0
        """Of these, those that were scored, and those of them that the gates let pass."""
        self.most = 0.0
        """Documents done, as was last said: what is counted anew after a loss is not taken back."""
        self.tokens: tuple[int, int] | None = None
        """As they were when the phase began, and now: the same models may have read for another one."""
        self.times: deque[tuple[float, float, int]] = deque([(self.began, 0.0, 0)])
        """When so many documents and tokens were done."""

    def ended(self, outcome: Outcome) -> None:
        self.units += 1
        self.rows += self.rows_of(outcome.unit) or 0
        if isinstance(outcome.value, Scored):
            self.through += outcome.value.rows
            self.kept += outcome.value.kept

    def watch(self, under_way: UnderWay) -> None:
        """Told by the executor about once a second."""
        counts = [item for _, item in under_way.units]
        begun = [(unit, item.to_score) for unit, item in under_way.units if item.to_score]
        done, to_score = float(self.rows), self.phase.documents
        exact = True
        if self.phase.step == "score" and to_score is not None:
            todo = self.through + sum(count for _, count in begun)
            seen = self.rows + sum(self.rows_of(unit) or 0 for unit, _ in begun)
            # of shards that nobody has looked into yet, as many documents are taken to be left as of the others
            to_score = round(todo + (to_score - seen) * (todo / seen if seen else 1.0))
            exact = seen >= (self.phase.documents or 0)
            done = min(self.through + sum(item.scored for item in counts) + under_way.in_models, to_score)
        self.most = max(self.most, done)
        first = under_way.tokens if self.tokens is None else self.tokens[0]
        self.tokens = first, under_way.tokens
        now = time.monotonic()
        compiling = any(item.compiling for item in counts)
        working = [item for item in counts if item.step]
        loading = bool(working) and all(item.loading for item in working)
        if compiling or loading:
            self.times.clear()  # what comes before the work says nothing of how fast it is
        rates = self._rates(now)
        left = None
        if to_score is not None and rates[0] and done > EARLY * to_score:
            left = (to_score - self.most) / rates[0]
        through = self.through + sum(item.through for item in counts)
        self.report(
            Advanced(
                name=self.phase.name,
                units=self.units,
                total=self.phase.total,
                under_way=len(counts),
                documents=None if to_score is None else int(self.most),
                to_score=to_score,
                exact=exact,
                kept=(self.kept + sum(item.kept for item in counts)) / through if through else None,
                tokens=under_way.tokens - first,
                seconds=now - self.began,
                documents_per_second=rates[0] if to_score is not None else None,
                tokens_per_second=rates[1] if under_way.tokens > first else None,
                seconds_left=left,
                working=tuple(sorted({item.step for item in working})),
                compiling=compiling,
                loading=loading,
                drains=under_way.drains,
            )
        )

    def finish(self) -> None:
        """Say how far the phase came, once no unit of it is left."""
        self.watch(UnderWay((), 0 if self.tokens is None else self.tokens[1]))

    def _rates(self, now: float) -> tuple[float, float]:
        """Documents and tokens a second of late."""
        first, tokens = self.tokens or (0, 0)
        self.times.append((now, self.most, tokens - first))
        while len(self.times) > 2 and now - self.times[0][0] > WINDOW_SECONDS:
            self.times.popleft()
        then, documents, read = self.times[0]
        span = max(now - then, 1e-9)
        return (self.most - documents) / span, (tokens - first - read) / span


@contextmanager
def paced(executor: Executor, pace: Pace) -> Iterator[None]:
    """Within, the executor's beats are the phase's."""
    executor.watch = pace.watch
    try:
        yield
    finally:
        executor.watch = unwatched
