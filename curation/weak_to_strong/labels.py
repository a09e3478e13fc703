"""From what supervisors say to one calibrated label a row, with what may be promised of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.statistics import metrics
from curation.weak_to_strong import calibration, conformal, label_model, risk
from curation.weak_to_strong.label_model import ABSTAIN, likeliest
from schemas.weak_to_strong import SPLITS, Certify, Combine

LEAST = 20
"""Rows of known class from which a temperature is fitted: fewer say nothing."""
CURVE = 101
"""Points of the risk-coverage curve that are kept."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """What is known of n rows before they are labelled."""

    votes: NDArray[np.int8]
    """[n, m]"""
    p: NDArray[np.float32]
    """[n, m, k], NaN where a supervisor abstains."""
    names: tuple[str, ...]
    """Of the voters, [m]."""
    gold: NDArray[np.int8]
    split: NDArray[np.int8]
    """Place in `SPLITS`; below 0, a row that is set aside."""
    clusters: NDArray[np.int64]
    keys: NDArray[np.uint64]

    def with_gold(self, split: str) -> NDArray[np.bool_]:
        """Rows of the split whose class is known."""
        return np.asarray((self.split == SPLITS.index(split)) & (self.gold != ABSTAIN))

    def single(self, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Of these rows, one of each cluster: independent draws."""
        chosen = np.flatnonzero(rows)
        chosen = chosen[np.lexsort((self.keys[chosen], self.clusters[chosen]))]
        first = np.append(True, np.diff(self.clusters[chosen]) != 0)[: len(chosen)]
        found = np.zeros(len(rows), bool)
        found[chosen[first]] = True
        return found


@dataclass(frozen=True)
class Labels:
    """One label a row, n rows."""

    soft: NDArray[np.float32]
    """[n, k], calibrated; uniform or the prior where all abstain."""
    hard: NDArray[np.int8]
    """The likeliest class; ABSTAIN where all supervisors abstain, or two classes are equally likely."""
    agreement: NDArray[np.float32]
    """Share of the voters, of those that vote, that say the hard label; NaN without one."""
    automatic: NDArray[np.bool_]
    """Accepted by risk control."""
    sets: NDArray[np.bool_]
    """Conformal set, [n, k]; all classes where nothing was calibrated, or all supervisors abstain."""
    facts: dict[str, Any]
    """What was fitted, and how well it does where gold is known. Plain JSON."""

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the hard label; NaN without one."""
        return np.where(self.hard == ABSTAIN, np.nan, self.soft.max(axis=1)).astype(np.float32)

    @property
    def margin(self) -> NDArray[np.float32]:
        two = np.sort(self.soft, axis=1)[:, -2:]
        return np.asarray(two[:, 1] - two[:, 0])

    @property
    def entropy(self) -> NDArray[np.float32]:
        """In nats."""
        p = np.maximum(self.soft, np.finfo(np.float32).tiny)
        return np.asarray(-(p * np.log(p)).sum(axis=1))


def label(evidence: Evidence, combine: Combine, certify: Certify, classes: int, seed: int = 0) -> Labels:
    """Combine, calibrate, certify. Rows that are set aside stay without a label and have no say.

    Raises CurationError R009 where supervisors are copies of one another, or a combination cannot use them.
    """
    use = evidence.split >= 0
    combined, facts = _combined(evidence, use, combine, classes)
    voted = (evidence.votes != ABSTAIN).any(axis=1) & use
    z = calibration.logits(combined)
    fit_on = evidence.with_gold("calibration") & voted
    T = calibration.temperature(z[fit_on], evidence.gold[fit_on]) if fit_on.sum() >= LEAST else None
    soft = calibration.scaled(z, 1.0 if T is None else T)
    hard = np.where(voted, likeliest(soft), ABSTAIN).astype(np.int8)
    labelled = hard != ABSTAIN
    confidence = np.where(labelled, soft.max(axis=1), np.nan)
    said = (evidence.votes == hard[:, None]) & (evidence.votes != ABSTAIN)
    with np.errstate(invalid="ignore"):
        agreement = said.sum(axis=1) / (evidence.votes != ABSTAIN).sum(axis=1)
    sets, conformal_facts = _sets(evidence, soft, voted, certify, seed)
    control, control_facts = _controlled(evidence, hard, confidence, certify)
    facts |= {
        "rows": int(use.sum()),
        "labelled": int(labelled.sum()),
        "abstained": int((use & ~voted).sum()),
        "tied": int((voted & ~labelled).sum()),
        "temperature": T,
        "calibration_rows": int(fit_on.sum()),
        "conformal": conformal_facts,
        "risk_control": control_facts,
        "class_shares": np.bincount(hard[labelled], minlength=classes).tolist(),
        "measured": _measured(evidence, combined, soft, hard, confidence),
    }
    automatic = control.accepts(confidence) if control is not None else np.zeros(len(voted), bool)
    facts["automatic"] = int(automatic.sum())
    agreement = np.where(labelled, agreement, np.nan).astype(np.float32)
    return Labels(soft.astype(np.float32), hard, agreement, automatic, sets, facts)


def _combined(
    evidence: Evidence, use: NDArray[np.bool_], combine: Combine, classes: int
) -> tuple[Floats, dict[str, Any]]:
    """Probabilities [n, k], and how the supervisors go together."""
    prior = None if combine.prior is None else np.array(combine.prior)
    votes = label_model.distinct(evidence.votes[use], classes, evidence.names)
    label_model.refuse_duplicates(votes)
    accuracy = error = np.full(len(evidence.names), np.nan)
    if combine.by == "mean":
        pooled = label_model.mean(evidence.p[use].astype(np.float64))
    else:
        if combine.by == "reliability":
            gold = np.where(evidence.with_gold("weak"), evidence.gold, ABSTAIN)[use]
            accuracy, error = label_model.measured(votes, gold)
            model = label_model.weighted(votes, accuracy, error, prior)
        else:
            model = (label_model.triplet if combine.by == "triplet" else label_model.em)(votes, prior)
            accuracy, error = model.accuracy, model.error
        pooled = model.posterior
    whole = np.full((len(use), classes), 1 / classes)
    whole[use] = pooled
    share, both = label_model.agreement(votes)
    gold = evidence.gold[use]
    beyond = label_model.dependence(votes, gold if (gold != ABSTAIN).any() else None)
    return whole, {
        "by": combine.by,
        "supervisors": list(evidence.names),
        "estimated_accuracy": _plain(accuracy),
        "estimated_error": _plain(error),
        "agreement": _plain(share),
        "rows_both_vote": both.tolist(),
        "dependence": _plain(beyond),
        "dependence_given_gold": bool((gold != ABSTAIN).any()),
    }


def _sets(
    evidence: Evidence, soft: Floats, voted: NDArray[np.bool_], certify: Certify, seed: int
) -> tuple[NDArray[np.bool_], dict[str, Any] | None]:
    everything = np.ones(soft.shape, bool)
    rows = evidence.single(evidence.with_gold("certification") & voted)
    if not rows.any():
        return everything, None
    conformal_sets = conformal.calibrate(
        soft[rows],
        evidence.gold[rows],
        certify.alpha,
        score=certify.score,
        by_class=certify.by_class,
        keys=evidence.keys[rows],
        seed=seed,
    )
    sets = np.where(voted[:, None], conformal_sets.sets(soft, evidence.keys), everything)
    facts: dict[str, Any] = {
        "alpha": certify.alpha,
        "score": certify.score,
        "rows": conformal_sets.rows.tolist(),
        "quantile": _plain(conformal_sets.quantile),
        "coverage_on_average": _plain(conformal_sets.level),
        "singletons": int((sets.sum(axis=1) == 1)[voted].sum()),
    }
    test = evidence.with_gold("test") & voted
    if test.any():
        held = sets[test, evidence.gold[test]]
        facts |= {"coverage_on_test": float(held.mean()), "covered_on_test": int(held.sum()), "test_rows": len(held)}
    return np.asarray(sets), facts


def _controlled(
    evidence: Evidence, hard: NDArray[np.int8], confidence: Floats, certify: Certify
) -> tuple[risk.Control | None, dict[str, Any] | None]:
    right = hard == evidence.gold
    first, second = (evidence.single(evidence.with_gold(split)) for split in ("calibration", "certification"))
    if not first.any() or not second.any():
        return None, None
    error, delta = certify.error, certify.delta
    cuts = risk.register(confidence[first], right[first], rows=int(second.sum()), error=error, delta=delta)
    control = risk.control(confidence[second], right[second], cuts, error=error, delta=delta)
    facts = control.describe()
    test = evidence.with_gold("test")
    accepted = test & control.accepts(confidence)
    if accepted.any():
        wrong, rows = int((~right[accepted]).sum()), int(accepted.sum())
        facts["test"] = {"rows": rows, "of": int(test.sum()), "wrong": wrong, "error": wrong / rows}
        facts["test"]["share"] = float(accepted.sum() / test.sum())
    return control, facts


def _measured(
    evidence: Evidence, before: Floats, soft: Floats, hard: NDArray[np.int8], confidence: Floats
) -> dict[str, Any] | None:
    """How well labels and supervisors do on the test split; None without gold there."""
    test = evidence.with_gold("test")
    if not test.any():
        return None
    voted = test & (hard != ABSTAIN)
    gold = evidence.gold
    rows, labelled = int(test.sum()), int(voted.sum())
    right = int((hard[voted] == gold[voted]).sum())
    guessed = answers(hard)[test]
    accuracy = right / labelled if labelled else None
    facts: dict[str, Any] = {
        "rows": rows,
        "labelled_rows": labelled,
        "right": right,
        "majority": float(np.bincount(gold[test]).max() / rows),
        "accuracy": accuracy,
        "labelled": labelled / rows,
        "accuracy_where_labelled": accuracy,
        # As a student is measured, which answers every row.
        "accuracy_with_guesses": float((guessed == gold[test]).mean()) if (guessed != ABSTAIN).all() else None,
    }
    if voted.any():
        tables = [calibration.equal_width(*calibration.top(p[voted], gold[voted])) for p in (before, soft)]
        share, error = risk.curve(confidence[test], (hard == gold)[test])
        kept = np.unique(np.linspace(0, len(share) - 1, CURVE).round().astype(np.int64))
        facts |= {
            "ece_before": tables[0].error,
            "ece": tables[1].error,
            "brier": calibration.brier(soft[voted], gold[voted]),
            "log_loss": calibration.log_loss(calibration.logits(soft[voted]), gold[voted]),
            "reliability": [
                [round(float(x), 6) for x in row]
                for row in zip(tables[1].confidence, tables[1].accuracy, tables[1].share, strict=True)
            ],
            "risk_coverage": [[float(share[i]), float(error[i])] for i in kept],
        }
    facts["supervisors"] = [_one(evidence, place, test) for place in range(len(evidence.names))]
    return facts


def answers(hard: NDArray[np.int8]) -> NDArray[np.int8]:
    """Hard labels, and where there is none the commonest of them: students and ceilings answer every row as well.

    ABSTAIN stays where no row has a label, or two classes are equally common: then there is no guess to make.
    """
    labelled = hard != ABSTAIN
    count = np.bincount(hard[labelled], minlength=1)
    guess = int(count.argmax()) if labelled.any() and (count == count.max()).sum() == 1 else ABSTAIN
    return np.where(labelled, hard, guess).astype(np.int8)


def _one(evidence: Evidence, place: int, test: NDArray[np.bool_]) -> dict[str, Any]:
    """One voter on the test rows."""
    votes, p, gold = evidence.votes[:, place], evidence.p[:, place], evidence.gold
    voted = test & (votes != ABSTAIN)
    facts: dict[str, Any] = {"votes": float(voted.sum() / test.sum()), "accuracy": None, "ece": None, "auc": None}
    facts |= {"rows": int(voted.sum()), "right": int((votes[voted] == gold[voted]).sum())}
    if voted.any():
        facts["accuracy"] = facts["right"] / facts["rows"]
        given = p[voted].astype(np.float64)
        if not np.isin(given, (0.0, 1.0)).all():
            facts["ece"] = calibration.equal_width(*calibration.top(given, gold[voted])).error
            if p.shape[1] == 2 and 0 < (gold[voted] == 1).sum() < voted.sum():
                facts["auc"] = metrics.auc(given[:, 1], gold[voted] == 1)
    return facts


def _plain(values: Floats) -> Any:
    """Nested lists, None for what is not finite."""
    return np.where(np.isfinite(values), values, None).tolist()  # type: ignore[call-overload]
