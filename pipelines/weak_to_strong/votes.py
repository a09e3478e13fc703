"""What each supervisor votes on every row: by portions of rows, or by folds, so that none labels what it learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from curation.plan import fingerprint
from curation.weak_to_strong.crossfit import folds
from curation.weak_to_strong.label_model import ABSTAIN
from curation.weak_to_strong.supervisors.base import Fixed, Learning, Supervisor, Votes
from pipelines.weak_to_strong.features import Features, inputs_of
from pipelines.weak_to_strong.phases import Run
from pipelines.weak_to_strong.plan import CHUNK, FULL, PORTION, VERSION
from pipelines.weak_to_strong.splits import Splits
from pipelines.weak_to_strong.units import Record, Unit, UnitOutput, member_identity
from schemas.errors import CurationError, Finding

VotesBySeed = Mapping[str, Sequence[Votes]]
"""By supervisor, of those that did not fail: votes on all rows, for each seed."""


def collect_votes(run: Run, splits: Splits, features: Features) -> VotesBySeed:
    """Votes of all supervisors that do not fail. Raises R003 where all do."""
    planned = [(one, _units(run, splits, features, one)) for one in run.loaded.supervisors if run.phases.takes(one)]
    records = iter(run.phases.perform("supervisors", [unit for _, units in planned for unit in units]))
    votes: dict[str, Sequence[Votes]] = {}
    for supervisor, units in planned:
        stored = [record for record in islice(records, len(units)) if record is not None]
        if not run.phases.takes(supervisor):
            continue
        if isinstance(supervisor, Fixed):
            votes[supervisor.name] = [_joined(run, stored)] * len(run.seeds)
        else:
            each = len(stored) // len(run.seeds)
            votes[supervisor.name] = [_spread(run, stored[seed * each : (seed + 1) * each]) for seed in run.seeds]
    if not votes:
        raise CurationError(Finding("R003", "every supervisor failed", "see above for what each of them met"))
    return votes


def _units(run: Run, splits: Splits, features: Features, supervisor: Supervisor) -> list[Unit]:
    if isinstance(supervisor, Fixed):
        size = PORTION if supervisor.heavy else CHUNK
        return [_portion(run, supervisor, start, size) for start in range(0, len(run.data), size)]
    assert isinstance(supervisor, Learning)
    turns = (*range(run.loaded.spec.combine.folds), FULL)
    return [_fold(run, splits, features, supervisor, seed, fold) for seed in run.seeds for fold in turns]


def _portion(run: Run, supervisor: Fixed, start: int, size: int) -> Unit:
    """Votes of a supervisor that learns nothing on some rows."""
    rows = run.data.rows.slice(start, size)
    who = [*member_identity(supervisor), run.classes, run.data.identity]
    key = fingerprint(["supervisor", VERSION, *who, start, len(rows)])

    def make() -> UnitOutput:
        votes = supervisor.vote(rows)
        return UnitOutput(run.units.put_tensors({"votes": votes.votes} | ({} if votes.p is None else {"p": votes.p})))

    return Unit(
        "supervisor",
        supervisor.name,
        key,
        make,
        run.units,
        part=str(start),
        members=(supervisor.title,),
        heavy=supervisor.heavy,
    )


def _fold(run: Run, splits: Splits, features: Features, supervisor: Learning, seed: int, fold: int) -> Unit:
    """Votes on the rows of one fold by what learned from the others; with FULL, on all that have no gold to learn."""
    count = run.loaded.spec.combine.folds
    who = [*member_identity(supervisor), run.classes, run.data.identity]
    drawn = [splits.identity(seed), seed, fold, count if fold != FULL else 0]
    key = fingerprint(["supervisor", VERSION, *who, *drawn])

    def make() -> UnitOutput:
        train, predict = _fold_rows(splits, supervisor, seed, fold, count)
        if not len(predict):
            nothing = {"votes": np.zeros((0, 1), np.int8), "p": np.zeros((0, 1, len(run.classes)), "f4")}
            return UnitOutput(run.units.put_tensors({"rows": predict, **nothing}))
        p = supervisor.fit_predict(
            inputs_of(supervisor, train, run.data, features),
            run.data.gold[train],
            inputs_of(supervisor, predict, run.data, features),
        )
        votes = Votes.of(p)
        assert votes.p is not None
        return UnitOutput(run.units.put_tensors({"rows": predict, "votes": votes.votes, "p": votes.p}))

    part = "all" if fold == FULL else f"fold {fold}"
    return Unit(
        "supervisor",
        supervisor.name,
        key,
        make,
        run.units,
        seed=seed,
        part=part,
        members=(supervisor.title,),
        heavy=supervisor.heavy,
    )


def _fold_rows(
    splits: Splits, supervisor: Learning, seed: int, fold: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to learn from, and rows to label."""
    train = splits.sample(splits.with_gold("weak", seed), seed, supervisor.settings.rows)
    if not len(train):
        raise ValueError("there is no row with gold to learn from")
    if fold == FULL:
        return train, np.setdiff1d(np.flatnonzero(splits.by_seed[seed] >= 0), train)
    parts = folds(splits.clusters[train], splits.data.keys[train], count, seed)
    return train[parts != fold], train[parts == fold]


def _joined(run: Run, records: Sequence[Record]) -> Votes:
    """Votes of a supervisor that learns nothing, on all rows."""
    portions = [run.units.tensors(record) for record in records]
    p = np.concatenate([portion["p"] for portion in portions]) if "p" in portions[0] else None
    return Votes(np.concatenate([portion["votes"] for portion in portions]), p)


def _spread(run: Run, records: Sequence[Record]) -> Votes:
    """Votes of a learning supervisor on all rows: none on those that it learned from, where nothing was held out."""
    n = len(run.data)
    votes, p = np.full((n, 1), ABSTAIN, np.int8), np.full((n, 1, len(run.classes)), np.nan, np.float32)
    for fold in map(run.units.tensors, records):
        votes[fold["rows"]], p[fold["rows"]] = fold["votes"], fold["p"]
    return Votes(votes, p)
