"""What a run found, as plain JSON: no clock, no machine, the same however often it was interrupted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curation.flow.faults import to_be_stored
from curation.statistics.intervals import lower_bound, upper_bound
from curation.statistics.metrics import Interval
from curation.weak_to_strong.crossfit import QUARANTINED, straddles
from curation.weak_to_strong.gap import LEVEL, Gap, recovered, share_interval
from curation.weak_to_strong.label_model import ABSTAIN
from curation.weak_to_strong.labels import answers
from curation.weak_to_strong.students.base import Student
from pipelines.weak_to_strong.labels import StoredLabels
from pipelines.weak_to_strong.phases import Run
from pipelines.weak_to_strong.splits import BLANK, Splits
from pipelines.weak_to_strong.students import FittedStudents, seeds_of
from schemas.weak_to_strong import SPLITS

TAIL = (1 - LEVEL) / 2
EXAMPLES, EXCERPT = 5, 160
"""Copied errors that are shown of each student, and characters of each."""


@dataclass(frozen=True)
class Completed:
    """A run with all that its steps committed: what is reported and published."""

    run: Run
    splits: Splits
    labels: StoredLabels
    students: FittedStudents

    @property
    def label_facts(self) -> list[dict[str, Any]]:
        """How each seed's labels were made, and what was measured of them."""
        return [json.loads(record["facts"]) for record in self.labels.records]

    @property
    def left_out(self) -> dict[str, str]:
        """Why each member that failed did, by title."""
        return {member: to_be_stored(failure.message) for member, failure in self.run.phases.left_out.items()}


def make_report(done: Completed) -> dict[str, Any]:
    """Everything that is told of a run. Accuracies are measured on test rows with gold, or not given at all."""
    run, facts = done.run, done.label_facts
    measured = [fact["measured"] for fact in facts]
    fitted = [student for student in run.loaded.students if (student.name, 0, "weak") in done.students]
    return {
        "format": 1,
        "run": run.resolved.run,
        "name": run.loaded.spec.name,
        "classes": list(run.classes),
        "seeds": len(run.seeds),
        "rows": len(run.data),
        "gold": int((run.data.gold != ABSTAIN).sum()),
        "left_out": [{"name": member, "message": message} for member, message in done.left_out.items()],
        "splits": [_split(done.splits, seed) for seed in run.seeds],
        "supervisors": _supervisors(run, facts),
        "agreement": {
            name: facts[0][name] for name in ("supervisors", "agreement", "dependence", "dependence_given_gold")
        },
        "labels": _labels(facts),
        "students": [_student(done, student, measured) for student in fitted],
    }


def _split(splits: Splits, seed: int) -> dict[str, Any]:
    split = splits.by_seed[seed]
    return {
        "seed": seed,
        "rows": {name: int(splits.rows(name, seed).sum()) for name in SPLITS},
        "gold": {name: int(splits.with_gold(name, seed).sum()) for name in SPLITS},
        "quarantined": int((split == QUARANTINED).sum()),
        "blank": int((split == BLANK).sum()),
        "clusters_in_two_splits": len(straddles(splits.clusters, split)),
    }


def _supervisors(run: Run, facts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry a voter: means over seeds."""
    kinds = {supervisor.name: supervisor.kind for supervisor in run.loaded.supervisors}
    names = facts[0]["supervisors"]
    entries = []
    for index, name in enumerate(names):
        measured = [fact["measured"]["supervisors"][index] for fact in facts if fact["measured"]]
        row = zip(facts[0]["dependence"][index], names, strict=True)
        dependences = [(value, other) for value, other in row if other != name and value is not None]
        most = max(dependences, default=(None, None))
        entry = {
            "name": name,
            "kind": kinds[name.partition(".")[0]],
            "estimated_accuracy": _mean([fact["estimated_accuracy"][index] for fact in facts]),
            "estimated_error": _mean([fact["estimated_error"][index] for fact in facts]),
            "dependence": most[0],
            "most_dependent_on": most[1],
        }
        if measured:
            entry |= {key: _mean([seed[key] for seed in measured]) for key in ("votes", "auc", "ece")}
            right, rows = measured[0]["right"], measured[0]["rows"]
            entry["accuracy"] = share([seed["accuracy"] for seed in measured], right, rows)
            entry |= {"right": right, "of": rows}
        entries.append(entry)
    return entries


def _labels(facts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What became of all supervisors together: means over seeds, and details of the first, which is published."""
    first = facts[0]
    entry: dict[str, Any] = {
        "by": first["by"],
        **{key: first[key] for key in ("labelled", "abstained", "tied")},
        "of": first["rows"],
        "automatic": first["automatic"],
        "temperature": [fact["temperature"] for fact in facts],
        "class_shares": first["class_shares"],
        "conformal": first["conformal"],
        "risk_control": first["risk_control"],
    }
    measured = [fact["measured"] for fact in facts if fact["measured"]]
    if measured:
        published = measured[0]
        accuracies = [seed["accuracy"] for seed in measured]
        entry["accuracy"] = share(accuracies, published["right"], published["labelled_rows"])
        entry |= {key: published[key] for key in ("right", "labelled_rows")} | {"test_rows": published["rows"]}
        guesses = [seed["accuracy_with_guesses"] for seed in measured]
        entry["accuracy_with_guesses"] = _mean(guesses) if None not in guesses else None
        entry["majority"] = _mean([seed["majority"] for seed in measured])
        for key in ("labelled", "ece_before", "ece", "brier", "log_loss"):
            entry[f"{key}_of_test" if key == "labelled" else key] = _mean([seed.get(key) for seed in measured])
        for key in ("reliability", "risk_coverage"):
            entry[key] = published.get(key)
    return entry


def _student(done: Completed, student: Student, measured: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    run, labels, name = done.run, done.labels, student.name
    seeds = seeds_of(run, student)
    facts = [done.students.facts((name, seed, "weak")) for seed in seeds]
    entry: dict[str, Any] = {
        "name": name,
        "kind": student.kind,
        "loss": student.settings.loss,
        "scorer": list(student.scorer),
        "seeds": len(seeds),
        "learned_from": [fact["learned_from"] for fact in facts],
        "chosen": [
            {key: value for key, value in fact.items() if key in ("l2", "kept_epoch", "epochs")} for fact in facts
        ],
        "gap": None,
        "no_gap_because": None,
    }
    predicted = [done.students.answers((name, seed, "weak")) for seed in seeds]
    hard = [labels.soft_and_hard(seed)[1] for seed in seeds]
    rows = [done.splits.evaluation(seed) for seed in seeds]
    same = [_same(p, answers(h)[asked]) for p, h, asked in zip(predicted, hard, rows, strict=True) if len(asked)]
    entry["agrees_with_weak"] = (
        share([float(agrees.mean()) for agrees in same], int(same[0].sum()), len(same[0])) if same else None
    )
    if any(seed is None for seed in measured):
        entry["no_gap_because"] = "no row of the test split has gold: nothing was measured, estimated accuracies only"
        return entry
    gold = [run.data.gold[asked] for asked in rows]
    right = [float((p == y).mean()) for p, y in zip(predicted, gold, strict=True)]
    right_of_first = int((predicted[0] == gold[0]).sum())
    entry["accuracy"] = share(right, right_of_first, len(gold[0]))
    entry |= {"right": right_of_first, "of": len(gold[0])}
    guessed = [seed["accuracy_with_guesses"] for seed in measured[: len(seeds)] if seed]
    if None in guessed:
        entry["no_gap_because"] = (
            "weak labels answer no test row without one: none has a label, or no class is commonest"
        )
        return entry
    if any((name, seed, "ceiling") not in done.students for seed in seeds):
        entry["no_gap_because"] = "no row of the transfer split has gold: there is no ceiling"
        return entry
    top = [done.students.answers((name, seed, "ceiling")) for seed in seeds]
    ceiling = [float((p == y).mean()) for p, y in zip(top, gold, strict=True)]
    majority = float(np.mean([seed["majority"] for seed in measured[: len(seeds)] if seed]))
    entry["gap"] = gap(recovered([float(weak) for weak in guessed], right, ceiling, majority=majority))
    weak_labels = [answers(h)[asked] for h, asked in zip(hard, rows, strict=True)]
    entry["errors"] = errors(weak_labels, predicted, top, gold)
    if run.loaded.spec.output.text:
        entry["copied"] = _copied(done, predicted[0], weak_labels[0], rows[0])
    return entry


def _same(one: Any, other: Any) -> Any:
    """Where two answer, and say the same."""
    return (one == other) & (one != ABSTAIN)


def errors(
    weak: Sequence[Any], student: Sequence[Any], ceiling: Sequence[Any], gold: Sequence[Any]
) -> dict[str, float | None]:
    """Where the student copied the supervisor's errors: shares of test rows, means over seeds.

    The ceiling never saw a weak label: what it has in common with the errors is what the rows themselves suggest.
    """
    shares: dict[str, list[float | None]] = {}
    for w, s, c, y in zip(weak, student, ceiling, gold, strict=True):
        wrong = w != y
        parts = {
            "weak_wrong": wrong.mean(),
            "student_repeats_where_weak_is_wrong": _same(s, w)[wrong].mean() if wrong.any() else None,
            "ceiling_repeats_where_weak_is_wrong": _same(c, w)[wrong].mean() if wrong.any() else None,
            "student_agrees_where_weak_is_right": _same(s, w)[~wrong].mean() if (~wrong).any() else None,
            "ceiling_agrees_where_weak_is_right": _same(c, w)[~wrong].mean() if (~wrong).any() else None,
        }
        for name, value in parts.items():
            shares.setdefault(name, []).append(None if value is None else float(value))
    return {name: _mean(values) for name, values in shares.items()}


def _copied(done: Completed, predicted: Any, weak: Any, rows: Any) -> list[dict[str, Any]]:
    """The surest weak errors that the student repeats, of the first seed."""
    run, data = done.run, done.run.data
    confidence = done.labels.soft_and_hard(0)[0][rows].max(axis=1)
    copied = np.flatnonzero((weak != data.gold[rows]) & _same(predicted, weak) & np.isfinite(confidence))
    surest = copied[np.lexsort((rows[copied], -confidence[copied]))][:EXAMPLES]
    paths = {shard.file: shard.path for shard in run.resolved.input.shards}
    return [
        {
            "document": f"{paths[int(data.file[row])].rpartition('/')[2]}#{int(data.row[row])}",
            "gold": run.classes[data.gold[row]],
            "weak": run.classes[weak[index]],
            "confidence": float(confidence[index]),
            "text": str(data.rows.text[int(row)].as_py())[:EXCERPT],
        }
        for index, row in zip(surest.tolist(), rows[surest].tolist(), strict=True)
    ]


def gap(estimate: Gap) -> dict[str, Any]:
    """A gap as plain JSON; `recovered` is None where it is not identifiable, and `reason` says why."""
    names = ("weak", "student", "ceiling", "gained", "attainable", "recovered")
    return {
        **{name: plain(getattr(estimate, name)) for name in names},
        "identifiable": estimate.recovered is not None,
        "reason": estimate.reason,
        "seeds": estimate.seeds,
    }


def share(values: Sequence[float | None], right: int, rows: int) -> dict[str, float | None] | None:
    """A share: mean and interval over seeds, inside 0 … 1; two seeds that differ have none.

    Where seeds have no spread, for there is one of them or all say the same, the interval is that of the first one's
    counts (Clopper and Pearson 1934): ten of ten right are no proof of all.
    """
    measured = [value for value in values if value is not None]
    if not measured:
        return None
    if len(set(measured)) > 1:
        return plain(share_interval(np.array(measured)))
    low, high = lower_bound(right, rows, TAIL), float(upper_bound(right, rows, TAIL))
    return plain(Interval(measured[0], low, high))


def plain(interval: Interval | None) -> dict[str, float | None] | None:
    """Plain JSON: an end that is infinite is null."""
    if interval is None:
        return None
    return {name: float(value) if np.isfinite(value) else None for name, value in interval._asdict().items()}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
