"""Decisions replayed from what is stored: which documents of a shard reach a stage."""

from __future__ import annotations

import numpy as np

from curation.flow.dataset_wide import family_of
from curation.flow.ledger import Ledger
from curation.flow.units import ShardWork
from curation.plan import StagePlan


def replay(shard_work: ShardWork, position: int) -> Ledger:
    """What is decided by the stages before a position, from stored columns alone."""
    ledger = beginning(shard_work)
    for stage in shard_work.work.stages[:position]:
        if stage.barrier:
            ledger.group_stage(stage, family_of(stage).verdicts(shard_work, ledger))
        else:
            ledger.score_stage(stage, shard_work.stored(stage.steps[-1], decisive(stage)))
    return ledger


def beginning(shard_work: ShardWork) -> Ledger:
    """Before any stage: all documents are alive, in a sample run those of the sample."""
    if shard_work.sample is None:
        return Ledger(shard_work.shard.rows)
    inside = np.zeros(shard_work.shard.rows, dtype=bool)
    inside[list(shard_work.sample)] = True
    return Ledger(shard_work.shard.rows, inside)


def decisive(stage: StagePlan) -> list[str]:
    """Columns of a stage's own step that decisions need: edits stay on disk."""
    return [*(item.name for item in stage.fields), "status", "message"]
