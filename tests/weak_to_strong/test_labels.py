"""From votes to labels: combinations, calibration on its own split, and promises kept on rows that made none."""

from __future__ import annotations

import numpy as np
import pytest

from curation.weak_to_strong import calibration
from curation.weak_to_strong.label_model import ABSTAIN, likeliest
from curation.weak_to_strong.labels import Evidence, answers, label
from curation.weak_to_strong.supervisors.base import Votes
from schemas.weak_to_strong import SPLITS, Certify, Combine

ACCURACIES = (0.9, 0.75, 0.65)


def evidence(rows: int = 6000, *, seed: int = 0, classes: int = 2, soft: bool = False, known: float = 1.0) -> Evidence:
    """Supervisors that err independently and abstain in a tenth of the rows; `soft` ones are far too sure."""
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, rows)
    votes, p = [], []
    for accuracy in ACCURACIES:
        wrong = (y + random.integers(1, classes, rows)) % classes
        vote = np.where(random.random(rows) < accuracy, y, wrong)
        vote[random.random(rows) < 0.1] = ABSTAIN
        sure = np.full((rows, classes), 0.01 / (classes - 1))
        sure[np.arange(rows), np.maximum(vote, 0)] = 0.99
        if not soft:
            sure = np.eye(classes)[np.maximum(vote, 0)]
        sure[vote == ABSTAIN] = np.nan
        votes.append(vote)
        p.append(sure)
    split = random.integers(0, len(SPLITS), rows).astype(np.int8)
    gold = np.where(random.random(rows) < known, y, ABSTAIN).astype(np.int8)
    keys = random.integers(0, 2**63, rows).astype(np.uint64)
    stacked = np.stack(p, axis=1).astype(np.float32)
    names = tuple(f"s{place}" for place in range(len(ACCURACIES)))
    return Evidence(np.stack(votes, axis=1).astype(np.int8), stacked, names, gold, split, np.arange(rows), keys)


@pytest.mark.parametrize("by", ["reliability", "triplet", "em"])
def test_a_combination_is_better_than_its_best_supervisor_and_finds_the_accuracies(by: str) -> None:
    found = label(evidence(), Combine(by=by), Certify(), 2).facts
    np.testing.assert_allclose(found["estimated_accuracy"], ACCURACIES, atol=0.05)
    one = [entry["accuracy"] for entry in found["measured"]["supervisors"]]
    assert found["measured"]["accuracy_where_labelled"] > one[1]
    assert found["measured"]["accuracy"] > 0.85
    assert found["dependence_given_gold"]


def test_three_classes_by_em() -> None:
    found = label(evidence(classes=3), Combine(by="em"), Certify(), 3)
    assert found.soft.shape[1] == 3
    assert found.facts["measured"]["accuracy"] > 0.85


def test_the_temperature_makes_sure_supervisors_honest() -> None:
    three = evidence(soft=True)
    given = Evidence(
        three.votes[:, 1:2], three.p[:, 1:2], ("s1",), three.gold, three.split, three.clusters, three.keys
    )  # right in 75 % of rows, and 99 % sure of each
    found = label(given, Combine(), Certify(), 2)
    assert found.facts["temperature"] > 1
    assert found.facts["measured"]["ece"] < 0.5 * found.facts["measured"]["ece_before"]
    test = given.with_gold("test") & (found.hard != ABSTAIN)
    assert found.facts["measured"]["brier"] == pytest.approx(
        calibration.brier(found.soft[test].astype(float), given.gold[test]), rel=1e-5
    )


def test_gold_of_the_test_split_decides_no_label() -> None:
    given = evidence()
    hidden = np.where(given.split == SPLITS.index("test"), 1 - given.gold, given.gold).astype(np.int8)
    other = Evidence(given.votes, given.p, given.names, hidden, given.split, given.clusters, given.keys)
    for by in ("mean", "reliability", "triplet", "em"):
        a, b = (label(one, Combine(by=by), Certify(), 2) for one in (given, other))
        assert np.array_equal(a.soft, b.soft)
        assert np.array_equal(a.automatic, b.automatic)
        assert np.array_equal(a.sets, b.sets)


def test_sets_and_automatic_labels_hold_what_they_promise() -> None:
    found = label(evidence(20_000), Combine(by="reliability"), Certify(alpha=0.1, error=0.05), 2)
    assert found.facts["conformal"]["coverage_on_test"] >= 0.88
    control = found.facts["risk_control"]
    assert control["cut"] is not None
    assert control["test"]["error"] <= 0.06
    assert found.automatic.sum() == found.facts["automatic"] > 0
    assert not found.automatic[found.hard == ABSTAIN].any()


def test_a_near_duplicate_counts_once_where_cuts_are_tested() -> None:
    given = evidence(400)
    clusters = np.repeat(np.arange(40), 10)
    same = Evidence(given.votes, given.p, given.names, given.gold, given.split, clusters, given.keys)
    chosen = same.single(same.with_gold("test"))
    assert chosen.sum() == len(np.unique(clusters[same.with_gold("test")]))
    assert not chosen[~same.with_gold("test")].any()


def test_rows_that_are_set_aside_have_no_label_and_no_say() -> None:
    given = evidence()
    split = given.split.copy()
    split[:500] = -2
    votes = given.votes.copy()
    votes[:500] = 1
    one = Evidence(votes, given.p, given.names, given.gold, split, given.clusters, given.keys)
    votes = votes.copy()
    votes[:500] = 0
    two = Evidence(votes, given.p, given.names, given.gold, split, given.clusters, given.keys)
    a, b = (label(one, Combine(by="em"), Certify(), 2) for one in (one, two))
    assert np.array_equal(a.soft, b.soft)
    assert (a.hard[:500] == ABSTAIN).all()


def test_without_gold_nothing_is_calibrated_measured_or_promised() -> None:
    found = label(evidence(known=0.0), Combine(by="em"), Certify(), 2)
    facts = found.facts
    assert facts["temperature"] is facts["conformal"] is facts["risk_control"] is facts["measured"] is None
    assert found.sets.all()
    assert not found.automatic.any()
    np.testing.assert_allclose(facts["estimated_accuracy"], ACCURACIES, atol=0.05)


# --- ties and missing values are no class ------------------------------------------------------------------------


def turned(given: Evidence) -> Evidence:
    """The same evidence, its two classes written the other way round."""

    def other(codes: np.ndarray) -> np.ndarray:
        return np.where(codes == ABSTAIN, ABSTAIN, 1 - codes).astype(np.int8)

    return Evidence(
        other(given.votes), given.p[:, :, ::-1], given.names, other(given.gold), given.split, given.clusters, given.keys
    )


@pytest.mark.parametrize(
    ("p", "best"),
    [
        ([0.5, 0.5], ABSTAIN), ([0.4, 0.6], 1), ([0.6, 0.4], 0), ([np.nan, 0.5], ABSTAIN), ([np.nan, np.nan], ABSTAIN),
        ([1 / 3, 1 / 3, 1 / 3], ABSTAIN), ([0.4, 0.4, 0.2], ABSTAIN), ([0.2, 0.4, 0.4], ABSTAIN), ([0.3, 0.3, 0.4], 2),
        ([0.1 + 0.2, 0.3, 0.4 - 1e-17], 2), ([(0.1 + 0.2) / 2, 0.15, 0.0], ABSTAIN), ([np.inf, 0.1], ABSTAIN),
    ],
)  # fmt: skip
def test_the_likeliest_class_is_one_or_none(p: list[float], best: int) -> None:
    assert likeliest(np.array([p])).tolist() == [best]
    other = likeliest(np.array([p[::-1]]))
    assert other.tolist() == [best if best == ABSTAIN else len(p) - 1 - best]


def test_a_supervisor_that_cannot_decide_abstains() -> None:
    said = Votes.of(np.array([[0.5, 0.5], [0.2, 0.8], [1 / 3, 2 / 3]]))
    assert said.votes[:, 0].tolist() == [ABSTAIN, 1, 1]
    assert said.probabilities(2)[0].tolist() == [[0.5, 0.5]], (
        "and says how unsure it is, where probabilities are pooled"
    )


def only(rows: int, p: tuple[float, float], share: float = 0.995) -> Evidence:
    """One supervisor that says `p` of every row (NaN abstains), where the first class has `share` of the rows."""
    gold = (np.arange(rows) >= share * rows).astype(np.int8)
    order = np.random.default_rng(0).permutation(rows)
    said = np.tile(np.array(p, np.float32), (rows, 1))
    votes = likeliest(said)[:, None]
    split = (np.arange(rows) % len(SPLITS)).astype(np.int8)
    keys = np.arange(rows).astype(np.uint64)
    return Evidence(votes, said[:, None, :], ("s",), gold[order], split, np.arange(rows), keys)


@pytest.mark.parametrize("p", [(np.nan, np.nan), (0.5, 0.5)])
@pytest.mark.parametrize("way", ["as written", "turned"])
def test_where_nobody_votes_there_is_no_accuracy(p: tuple[float, float], way: str) -> None:
    """It was .995, or .005 with the classes written the other way round."""
    given = only(1000, p)
    found = label(given if way == "as written" else turned(given), Combine(), Certify(), 2)
    measured = found.facts["measured"]
    assert (found.hard == ABSTAIN).all()
    assert not found.automatic.any()
    assert np.isnan(found.confidence).all()
    assert (measured["accuracy"], measured["accuracy_with_guesses"]) == (None, None)
    assert (measured["labelled"], measured["labelled_rows"], measured["right"]) == (0.0, 0, 0)
    assert found.facts["class_shares"] == [0, 0]
    assert found.sets.all()


def tied(rows: int = 4000) -> Evidence:
    """Two sure supervisors that contradict each other on every third row, and are mostly right on the others."""
    random = np.random.default_rng(3)
    y = random.integers(0, 2, rows)
    first = np.where(random.random(rows) < 0.95, y, 1 - y)
    second = np.where(np.arange(rows) % 3 == 0, 1 - first, np.where(random.random(rows) < 0.95, y, 1 - y))
    votes = np.stack([first, second], axis=1).astype(np.int8)
    p = np.eye(2, dtype=np.float32)[votes]
    split = random.integers(0, len(SPLITS), rows).astype(np.int8)
    keys = random.integers(0, 2**63, rows).astype(np.uint64)
    return Evidence(votes, p, ("a", "b"), y.astype(np.int8), split, np.arange(rows), keys)


def test_a_tie_is_no_label_and_the_order_of_classes_decides_nothing() -> None:
    given = tied()
    one, other = (label(each, Combine(), Certify(error=0.3), 2) for each in (given, turned(given)))
    contradicted = given.votes[:, 0] != given.votes[:, 1]
    assert (one.hard[contradicted] == ABSTAIN).all()
    assert (one.hard[~contradicted] == given.votes[~contradicted, 0]).all()
    assert one.automatic.any()
    assert not one.automatic[contradicted].any()
    assert np.isnan(one.agreement[contradicted]).all()
    assert one.facts["tied"] == contradicted.sum()
    assert one.facts["abstained"] == 0
    assert one.facts["labelled"] == (~contradicted).sum()
    assert np.array_equal(other.hard, np.where(one.hard == ABSTAIN, ABSTAIN, 1 - one.hard))
    assert np.array_equal(other.automatic, one.automatic)
    assert np.array_equal(other.sets, one.sets[:, ::-1])
    measured = one.facts["measured"]
    test = given.with_gold("test") & ~contradicted
    assert measured["labelled_rows"] == test.sum()
    assert measured["accuracy"] == measured["right"] / test.sum() == (one.hard == given.gold)[test].mean()
    for name in ("accuracy", "accuracy_with_guesses", "majority", "ece", "brier", "right"):
        assert other.facts["measured"][name] == pytest.approx(measured[name]), name


@pytest.mark.parametrize(
    ("hard", "filled"),
    [
        ([-1, 1, 1, 0, -1], [1, 1, 1, 0, 1]),
        ([-1, 1, 0, -1], [-1, 1, 0, -1]),
        ([-1, -1], [-1, -1]),
        ([2, 2, -1], [2, 2, 2]),
    ],
)
def test_a_guess_is_the_commonest_label_or_none(hard: list[int], filled: list[int]) -> None:
    assert answers(np.array(hard, np.int8)).tolist() == filled
