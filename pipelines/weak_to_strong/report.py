"""What a run found, as plain JSON: no clock, no machine, the same however often it was interrupted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from curation.statistics.intervals import lower_bound, upper_bound
from curation.statistics.metrics import Interval
from curation.weak_to_strong.crossfit import QUARANTINED, straddles
from curation.weak_to_strong.gap import LEVEL, Gap, recovered, t_interval
from curation.weak_to_strong.label_model import ABSTAIN, likeliest
from curation.weak_to_strong.labels import answers
from curation.weak_to_strong.students.base import Student
from pipelines.weak_to_strong.run import SET_ASIDE_BLANK, Invocation
from schemas.weak_to_strong import SPLITS

TAIL = (1 - LEVEL) / 2
EXAMPLES, EXCERPT = 5, 160
"""Copied errors that are shown of each student, and characters of each."""


def report(run: Invocation) -> dict[str, Any]:
    """Everything that is told of a run. Accuracies are measured on test rows with gold, or not given at all."""
    facts = [json.loads(record["facts"]) for record in run.labels]
    measured = [fact["measured"] for fact in facts]
    return {
        "format": 1,
        "run": run.resolved.run,
        "name": run.spec.name,
        "classes": list(run.classes),
        "seeds": run.spec.seeds,
        "rows": len(run.data),
        "gold": int((run.data.gold != ABSTAIN).sum()),
        "left_out": [{"name": who, "message": message} for who, message in run.broken.items()],
        "splits": [_split(run, seed) for seed in range(run.spec.seeds)],
        "supervisors": _supervisors(run, facts),
        "agreement": {
            name: facts[0][name] for name in ("supervisors", "agreement", "dependence", "dependence_given_gold")
        },
        "labels": _labels(facts),
        "students": [_student(run, one, measured) for one in run.loaded.students if _taught(run, one)],
    }


def _split(run: Invocation, seed: int) -> dict[str, Any]:
    split, gold = run.splits[seed], run.data.gold
    return {
        "seed": seed,
        "rows": {name: int((split == place).sum()) for place, name in enumerate(SPLITS)},
        "gold": {name: int(((split == place) & (gold != ABSTAIN)).sum()) for place, name in enumerate(SPLITS)},
        "quarantined": int((split == QUARANTINED).sum()),
        "blank": int((split == SET_ASIDE_BLANK).sum()),
        "clusters_in_two_splits": len(straddles(run.clusters, split)),
    }


def _supervisors(run: Invocation, facts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry a voter: means over seeds."""
    kinds = {one.name: one.kind for one in run.loaded.supervisors}
    found = []
    for place, name in enumerate(facts[0]["supervisors"]):
        measured = [fact["measured"]["supervisors"][place] for fact in facts if fact["measured"]]
        beyond = [value for other, value in enumerate(facts[0]["dependence"][place]) if other != place]
        others = [other for other in facts[0]["supervisors"] if other != name]
        known = [(value, other) for value, other in zip(beyond, others, strict=True) if value is not None]
        most = max(known, default=(None, None))
        entry = {
            "name": name,
            "kind": kinds[name.partition(".")[0]],
            "estimated_accuracy": _mean([fact["estimated_accuracy"][place] for fact in facts]),
            "estimated_error": _mean([fact["estimated_error"][place] for fact in facts]),
            "dependence": most[0],
            "most_dependent_on": most[1],
        }
        if measured:
            entry |= {key: _mean([one[key] for one in measured]) for key in ("votes", "auc", "ece")}
            entry["accuracy"] = share([one["accuracy"] for one in measured], measured[0]["right"], measured[0]["rows"])
            entry |= {"right": measured[0]["right"], "of": measured[0]["rows"]}
        found.append(entry)
    return found


def _labels(facts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What became of all supervisors together: means over seeds, and details of the first, which is published."""
    first = facts[0]
    found: dict[str, Any] = {
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
        one = measured[0]
        found["accuracy"] = share([one["accuracy"] for one in measured], one["right"], one["labelled_rows"])
        found |= {key: one[key] for key in ("right", "labelled_rows")} | {"test_rows": one["rows"]}
        guesses = [one["accuracy_with_guesses"] for one in measured]
        found["accuracy_with_guesses"] = _mean(guesses) if None not in guesses else None
        found["majority"] = _mean([one["majority"] for one in measured])
        for key in ("labelled", "ece_before", "ece", "brier", "log_loss"):
            found[f"{key}_of_test" if key == "labelled" else key] = _mean([one.get(key) for one in measured])
        for key in ("reliability", "risk_coverage"):
            found[key] = measured[0].get(key)
    return found


def _taught(run: Invocation, student: Student) -> bool:
    return (student.name, 0, "weak") in run.learned


def _student(run: Invocation, student: Student, measured: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    seeds = range(run.seeds(student))
    facts = [json.loads(run.learned[(student.name, seed, "weak")]["facts"]) for seed in seeds]
    entry: dict[str, Any] = {
        "name": student.name,
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
    said = [_said(run, student, seed, "weak") for seed in seeds]
    hard = [run.soft(seed)[1] for seed in seeds]
    asked = [run.asked(seed) for seed in seeds]
    same = [_same(p, answers(h)[rows]) for p, h, rows in zip(said, hard, asked, strict=True) if len(rows)]
    entry["agrees_with_weak"] = (
        share([float(one.mean()) for one in same], int(same[0].sum()), len(same[0])) if same else None
    )
    if any(one is None for one in measured):
        entry["no_gap_because"] = "no row of the test split has gold: nothing was measured, estimated accuracies only"
        return entry
    gold = [run.data.gold[rows] for rows in asked]
    right = [float((p == y).mean()) for p, y in zip(said, gold, strict=True)]
    entry["accuracy"] = share(right, int((said[0] == gold[0]).sum()), len(gold[0]))
    entry |= {"right": int((said[0] == gold[0]).sum()), "of": len(gold[0])}
    guessed = [one["accuracy_with_guesses"] for one in measured[: len(seeds)] if one]
    if None in guessed:
        entry["no_gap_because"] = (
            "weak labels answer no test row without one: none has a label, or no class is commonest"
        )
        return entry
    weak = [float(one) for one in guessed]
    if any((student.name, seed, "ceiling") not in run.learned for seed in seeds):
        entry["no_gap_because"] = "no row of the transfer split has gold: there is no ceiling"
        return entry
    top = [_said(run, student, seed, "ceiling") for seed in seeds]
    ceiling = [float((p == y).mean()) for p, y in zip(top, gold, strict=True)]
    majority = float(np.mean([one["majority"] for one in measured[: len(seeds)] if one]))
    entry["gap"] = gap(recovered(weak, right, ceiling, majority=majority))
    labels = [answers(h)[rows] for h, rows in zip(hard, asked, strict=True)]
    entry["errors"] = errors(labels, said, top, gold)
    if run.spec.output.text:
        entry["copied"] = _copied(run, said[0], labels[0], asked[0])
    return entry


def _said(run: Invocation, student: Student, seed: int, target: str) -> Any:
    """The class that it says of each row that it was asked; ABSTAIN where it cannot decide."""
    return likeliest(run.open(run.learned[(student.name, seed, target)])["p"])


def _same(one: Any, other: Any) -> Any:
    """Where two answer, and say the same."""
    return (one == other) & (one != ABSTAIN)


def errors(
    weak: Sequence[Any], student: Sequence[Any], ceiling: Sequence[Any], gold: Sequence[Any]
) -> dict[str, float | None]:
    """Where the student copied the supervisor's errors: shares of test rows, means over seeds.

    The ceiling never saw a weak label: what it has in common with the errors is what the rows themselves suggest.
    """
    found: dict[str, list[float | None]] = {}
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
            found.setdefault(name, []).append(None if value is None else float(value))
    return {name: _mean(values) for name, values in found.items()}


def _copied(run: Invocation, said: Any, weak: Any, asked: Any) -> list[dict[str, Any]]:
    """The surest weak errors that the student repeats, of the first seed."""
    soft, _ = run.soft(0)
    data, sure = run.data, soft[asked].max(axis=1)
    copied = np.flatnonzero((weak != data.gold[asked]) & _same(said, weak) & np.isfinite(sure))
    order = copied[np.lexsort((asked[copied], -sure[copied]))][:EXAMPLES]
    paths = {shard.file: shard.path for shard in run.resolved.found.shards}
    return [
        {
            "document": f"{paths[int(data.file[row])].rpartition('/')[2]}#{int(data.row[row])}",
            "gold": run.classes[data.gold[row]],
            "weak": run.classes[weak[place]],
            "confidence": float(sure[place]),
            "text": str(data.rows.text[int(row)].as_py())[:EXCERPT],
        }
        for place, row in zip(order.tolist(), asked[order].tolist(), strict=True)
    ]


def gap(found: Gap) -> dict[str, Any]:
    """A gap as plain JSON; `recovered` is None where it is not identifiable, and `reason` says why."""
    names = ("weak", "student", "ceiling", "gained", "attainable", "recovered")
    return {
        **{name: plain(getattr(found, name), name in names[:3]) for name in names},
        "identifiable": found.recovered is not None,
        "reason": found.reason,
        "seeds": found.seeds,
    }


def share(values: Sequence[float | None], right: int, rows: int) -> dict[str, float | None] | None:
    """A share: mean and t interval over seeds, inside 0 … 1.

    Where seeds have no spread, for there is one of them or all say the same, the interval is that of the first one's
    counts (Clopper and Pearson 1934): ten of ten right are no proof of all.
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    if len(set(known)) > 1:
        return plain(t_interval(np.array(known)), True)
    low, high = lower_bound(right, rows, TAIL), float(upper_bound(right, rows, TAIL))
    return plain(Interval(known[0], low, high), True)


def plain(found: Interval | None, within: bool = False) -> dict[str, float | None] | None:
    """Plain JSON; with `within`, of a share: no end is below 0 or above 1."""
    if found is None:
        return None
    shown = {name: float(value) if np.isfinite(value) else None for name, value in found._asdict().items()}
    return (
        {name: None if value is None else min(max(value, 0.0), 1.0) for name, value in shown.items()}
        if within
        else shown
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
