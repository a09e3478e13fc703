"""What a pass lacks: the rows of a shard that reach a step and have no score of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from curation.flow.ledger import PENDING, Ledger
from curation.flow.replay import replay
from curation.flow.stored import StoredColumns
from curation.flow.units import ScoreWork
from curation.plan import BULKY, Pass, Step


@dataclass(frozen=True)
class Missing:
    """What one shard lacks in one pass, by step name."""

    exact: dict[str, int]
    """Documents that reach the step, by what is stored, and have no score."""
    most: dict[str, int]
    """The same when every document whose way is not known yet reaches it."""
    possible: np.ndarray
    """bool [n]: documents that may go on to the next pass."""


def missing_rows(task: ScoreWork, possible: np.ndarray, sure: bool) -> Missing:
    """For `plan`: what a pass has yet to score. Unless `sure`, which of `possible` reach it is not known."""
    part = task.part
    stored = {step.fingerprint: task.shard_work.stored(step, light_columns(step)) for step in part.steps}
    exact: dict[str, int] = {}
    most: dict[str, int] = {}
    ledger = replay(task.shard_work, part.first) if sure else None
    for stage in (*part.stages, *part.barriers):
        for step in stage.steps:
            have = stored[step.fingerprint].have
            alive = np.zeros_like(have) if ledger is None else ledger.alive
            waiting = possible if ledger is None else ledger.outcome == PENDING
            needed = needed_rows(step, stored)
            exact[step.name] = int((alive & ~have & needed).sum())
            open_yet = needed if step.only is None else needed | ~stored[step.only[0]].have
            most[step.name] = int(((alive | waiting) & ~have & open_yet).sum())
        if ledger is not None and not stage.barrier:
            ledger.score_stage(stage, stored[stage.steps[-1].fingerprint])
    return Missing(exact, most, possible if ledger is None else ledger.alive | (ledger.outcome == PENDING))


def needed_rows(step: Step, stored: dict[str, StoredColumns]) -> np.ndarray:
    """Documents (bool [n]) that need the step; where that is not known yet, none."""
    if step.only is None:
        return np.ones(len(stored[step.fingerprint].have), dtype=bool)
    where, flag = step.only
    return np.asarray(pc.fill_null(pc.struct_field(stored[where].struct, flag), False)).astype(bool)


def light_columns(step: Step) -> list[str]:
    return [name for name in step.columns.names if name not in BULKY]


def missing_of_pass(before: Ledger, part: Pass, stored: dict[str, StoredColumns]) -> tuple[np.ndarray, int]:
    """Rows (bool [n]) that lack a score which the pass needs, and how many documents are alive after its gates."""
    ledger = _copy(before)
    for stage in part.stages:
        ledger.score_stage(stage, stored[stage.steps[-1].fingerprint])
    todo = ledger.outcome == PENDING
    for stage in part.barriers:
        for step in stage.steps:
            todo |= ledger.alive & ~stored[step.fingerprint].have & needed_rows(step, stored)
    return todo, int(ledger.alive.sum() + (ledger.outcome == PENDING).sum())


def _copy(ledger: Ledger) -> Ledger:
    copy = Ledger(ledger.rows, ledger.alive)
    copy.structs = dict(ledger.structs)
    return copy
