"""Votes → one label a row, a unit for each seed, stored as a table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation import parquet
from curation.plan import fingerprint
from curation.weak_to_strong.label_model import ABSTAIN
from curation.weak_to_strong.labels import Evidence, label
from curation.weak_to_strong.task import codes
from pipelines.weak_to_strong.phases import Run
from pipelines.weak_to_strong.plan import VERSION
from pipelines.weak_to_strong.splits import Splits
from pipelines.weak_to_strong.table import label_table
from pipelines.weak_to_strong.units import Record, Unit, UnitOutput, UnitStore, hashed
from pipelines.weak_to_strong.votes import VotesBySeed


@dataclass(frozen=True)
class StoredLabels:
    """Labels of all rows, as they are committed."""

    units: UnitStore
    classes: tuple[str, ...]
    records: tuple[Record, ...]
    """By seed."""

    def table(self, seed: int, columns: list[str] | None = None) -> pa.Table:
        with self.units.store.reading(self.records[seed]["data"]) as source:
            return parquet.read(source, columns=columns)

    def soft_and_hard(self, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
        """Soft labels [n, k], NaN where there is none, and hard ones [n]."""
        table = self.table(seed, ["soft_label", "hard_label"])
        lists = table["soft_label"].combine_chunks()
        soft = np.full((len(lists), len(self.classes)), np.nan, np.float32)
        soft[lists.is_valid().to_numpy(zero_copy_only=False)] = (
            lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, len(self.classes))
        )
        return soft, codes(table["hard_label"].combine_chunks().cast(pa.string()), self.classes)


def combine_votes(run: Run, splits: Splits, votes: VotesBySeed) -> StoredLabels:
    """Labels of all seeds."""
    units = [_unit(run, splits, _evidence(run, splits, votes, seed), seed) for seed in run.seeds]
    records = run.phases.perform("labels", units)
    return StoredLabels(run.units, run.classes, tuple(record for record in records if record is not None))


def _evidence(run: Run, splits: Splits, votes: VotesBySeed, seed: int) -> Evidence:
    voting = [supervisor for supervisor in run.loaded.supervisors if supervisor.name in votes]
    cast = [votes[supervisor.name][seed] for supervisor in voting]
    split = splits.by_seed[seed]
    matrix = np.concatenate([one.votes for one in cast], axis=1)
    matrix[split < 0] = ABSTAIN
    p = np.concatenate([one.probabilities(len(run.classes)) for one in cast], axis=1)
    names = tuple(name for supervisor in voting for name in supervisor.voters)
    return Evidence(matrix, p, names, run.data.gold, split, splits.clusters, run.data.keys)


def _unit(run: Run, splits: Splits, evidence: Evidence, seed: int) -> Unit:
    combine, certify = run.loaded.spec.combine, run.loaded.spec.certify
    content = [hashed(evidence.votes), hashed(evidence.p)]
    settings = [combine.model_dump(), certify.model_dump(), run.classes, evidence.names]
    key = fingerprint(["labels", VERSION, content, settings, run.data.identity, splits.identity(seed), seed])

    def make() -> UnitOutput:
        labels = label(evidence, combine, certify, len(run.classes), seed)
        table = label_table(labels, evidence, run.data, run.classes)
        return UnitOutput(run.units.put("labels", ".parquet", partial(parquet.write, table)), labels.facts)

    return Unit("labels", "", key, make, run.units, seed=seed)
