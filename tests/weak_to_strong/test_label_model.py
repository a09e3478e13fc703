"""Label models find accuracies and labels where supervisors err independently, and refuse what would mislead them."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation.weak_to_strong import label_model as lm
from schemas.errors import CurationError

GOLDEN = (0.85, 0.70, 0.60)
MANY = (0.9, 0.8, 0.75, 0.7, 0.7, 0.65, 0.6, 0.6, 0.58, 0.55)


def votes_of(
    rows: int,
    accuracies: tuple[float, ...],
    seed: int = 0,
    *,
    classes: int = 2,
    abstain: float = 0.0,
    share: float = 0.5,
) -> tuple[np.ndarray, np.ndarray]:
    """Labels, of two classes 1 with probability `share`, and votes of supervisors that err independently."""
    random = np.random.default_rng(seed)
    y = random.random(rows) < share if classes == 2 else random.integers(classes, size=rows)
    y = y.astype(np.int8)
    columns = []
    for accuracy in accuracies:
        wrong = (y + random.integers(1, classes, size=rows)) % classes
        vote = np.where(random.random(rows) < accuracy, y, wrong)
        columns.append(np.where(random.random(rows) < abstain, lm.ABSTAIN, vote))
    return y, np.column_stack(columns).astype(np.int8)


def right(found: lm.Combined, y: np.ndarray) -> float:
    return float((found.posterior.argmax(axis=1) == y).mean())


# --- what they find --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [lm.triplet, lm.em])
@pytest.mark.parametrize("seed", range(4))
def test_the_golden_accuracies(method, seed: int) -> None:  # type: ignore[no-untyped-def]
    """methods.md §7 and Corrections: .85, .70 and .60 within .025, and better labels than the majority's."""
    y, votes = votes_of(20_000, GOLDEN, seed)
    found = method(lm.distinct(votes, 2))
    if seed < 2:
        np.testing.assert_allclose(found.accuracy, GOLDEN, atol=0.025)
    assert (np.abs(found.accuracy - GOLDEN) < 4 * found.error).all()
    assert right(found, y) == pytest.approx(0.8529, abs=0.01)
    assert right(lm.majority(lm.distinct(votes, 2)), y) == pytest.approx(0.8126, abs=0.01)


def test_three_supervisors_have_the_textbooks_triplet() -> None:
    _, votes = votes_of(5000, GOLDEN)
    signs = 2.0 * votes - 1
    m12, m13, m23 = (float((signs[:, i] * signs[:, j]).mean()) for i, j in ((0, 1), (0, 2), (1, 2)))
    expected = [(1 + np.sqrt(e)) / 2 for e in (m12 * m13 / m23, m12 * m23 / m13, m13 * m23 / m12)]
    found = lm.triplet(lm.distinct(votes, 2))
    np.testing.assert_allclose(found.accuracy, expected, rtol=1e-12)
    odds = (signs * np.log(found.accuracy / (1 - found.accuracy))).sum(axis=1)
    np.testing.assert_allclose(found.posterior[:, 1], 1 / (1 + np.exp(-odds)), rtol=1e-9)


@pytest.mark.long
@pytest.mark.parametrize(("method", "share"), [(lm.triplet, 0.5), (lm.em, 0.5), (lm.em, 0.2)])
def test_standard_errors_are_the_spread_of_the_estimates(method, share: float) -> None:  # type: ignore[no-untyped-def]
    found = [
        method(lm.distinct(votes_of(4000, (0.8, 0.75, 0.7, 0.65, 0.6), seed, abstain=0.3, share=share)[1], 2))
        for seed in range(120)
    ]
    spread = np.std([each.accuracy for each in found], axis=0)
    np.testing.assert_allclose(np.mean([each.error for each in found], axis=0), spread, rtol=0.25)
    np.testing.assert_allclose(
        np.mean([each.accuracy for each in found], axis=0), (0.8, 0.75, 0.7, 0.65, 0.6), atol=0.01
    )


@pytest.mark.parametrize("classes", [3, 5])
def test_em_finds_accuracies_of_several_classes_with_abstentions(classes: int) -> None:
    y, votes = votes_of(30_000, (0.85, 0.7, 0.6, 0.5), classes=classes, abstain=0.3)
    found = lm.em(lm.distinct(votes, classes))
    assert (np.abs(found.accuracy - (0.85, 0.7, 0.6, 0.5)) < 4 * found.error).all()
    assert (found.error < 0.01).all()
    assert right(found, y) > right(lm.majority(lm.distinct(votes, classes)), y)
    np.testing.assert_allclose(found.posterior.sum(axis=1), 1)


def test_em_learns_that_a_supervisor_confuses_one_class_more_than_the_other() -> None:
    y, votes = votes_of(40_000, (0.8, 0.8, 0.75, 0.7), share=0.3)
    random = np.random.default_rng(9)
    biased = np.where(y == 1, random.random(len(y)) < 0.98, random.random(len(y)) < 0.5).astype(np.int8)
    with_bias = np.column_stack([votes, biased])
    found = lm.em(lm.distinct(with_bias, 2))
    assert found.accuracy[-1] == pytest.approx(0.3 * 0.98 + 0.7 * 0.5, abs=0.02)
    assert found.prior[1] == pytest.approx(0.3, abs=0.02)
    assert right(found, y) > right(lm.triplet(lm.distinct(with_bias, 2)), y)


def test_probabilities_are_calibrated() -> None:
    y, votes = votes_of(100_000, (0.85, 0.75, 0.7, 0.65), abstain=0.2, share=0.3)
    p = lm.em(lm.distinct(votes, 2)).posterior[:, 1]
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
        inside = (p >= low) & (p < high)
        assert y[inside].mean() == pytest.approx(p[inside].mean(), abs=0.02)


def test_patterns_that_name_one_class_only_are_read_by_when_they_are_found() -> None:
    random = np.random.default_rng(0)
    y = (random.random(100_000) < 0.2).astype(np.int8)
    votes = np.full((len(y), 8), lm.ABSTAIN, np.int8)
    for j in range(8):
        votes[random.random(len(y)) < np.where(y == j % 2, 0.25, 0.05), j] = j % 2
    found = lm.em(lm.distinct(votes, 2))
    precision = [(y[votes[:, j] >= 0] == j % 2).mean() for j in range(8)]
    np.testing.assert_allclose(found.accuracy, precision, atol=0.03)
    with pytest.raises(CurationError, match="name one class only") as caught:
        lm.triplet(lm.distinct(votes, 2))
    assert caught.value.findings[0].code == "R009"


def test_patterns_that_are_all_found_on_the_same_rows_are_refused_rather_than_taken_for_the_truth() -> None:
    random = np.random.default_rng(0)
    y = (random.random(100_000) < 0.2).astype(np.int8)
    wordy = random.random(len(y)) < 0.5
    votes = np.full((len(y), 8), lm.ABSTAIN, np.int8)
    for j in range(8):
        votes[wordy & (random.random(len(y)) < np.where(y == j % 2, 0.5, 0.1)), j] = j % 2
    with pytest.raises(CurationError, match=r"less often than a guess.*: 1, 3, 5, 7"):
        lm.em(lm.distinct(votes, 2))


def test_a_supervisor_that_is_mostly_wrong_is_turned_around() -> None:
    y, votes = votes_of(20_000, (0.85, 0.75, 0.7, 0.25))
    for method in (lm.triplet, lm.em):
        found = method(lm.distinct(votes, 2))
        assert found.accuracy[3] == pytest.approx(0.25, abs=0.02)
        assert right(found, y) > right(lm.majority(lm.distinct(votes, 2)), y)


def test_one_that_guesses_weighs_nothing_among_three_that_do_not() -> None:
    _, votes = votes_of(20_000, (*GOLDEN, 0.5))
    found = lm.triplet(lm.distinct(votes, 2))
    assert found.accuracy[3] == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(found.accuracy[:3], GOLDEN, atol=0.03)


def test_one_that_never_votes_changes_nothing_and_has_no_accuracy() -> None:
    _, votes = votes_of(20_000, GOLDEN)
    silent = np.column_stack([votes, np.full((len(votes), 2), lm.ABSTAIN, np.int8)])
    for method in (lm.triplet, lm.em):
        alone, beside = method(lm.distinct(votes, 2)), method(lm.distinct(silent, 2))
        np.testing.assert_allclose(beside.posterior, alone.posterior, atol=1e-4)
        assert np.isnan(beside.accuracy[3:]).all()


# --- what they refuse ------------------------------------------------------------------------------------------------


def test_copies_ruin_a_majority_and_are_refused() -> None:
    """methods.md §3.4: two copies of a 60 % supervisor take the majority from .813 to .605."""
    y, votes = votes_of(20_000, GOLDEN)
    copied = np.column_stack([votes, votes[:, 2], votes[:, 2]])
    assert ((copied.sum(axis=1) > 2) == y).mean() == pytest.approx(0.605, abs=0.01)
    given = lm.distinct(copied, 2, ["head", "words", "a", "b", "c"])
    for method in (lm.majority, lm.triplet, lm.em, lambda v: lm.weighted(v, np.full(5, 0.7))):
        with pytest.raises(CurationError) as caught:
            method(given)
        said = str(caught.value)
        assert {finding.code for finding in caught.value.findings} == {"R009"}
        assert all(f"supervisors {pair} vote alike" in said for pair in ("a and b", "a and c", "b and c"))
        assert "head" not in said


def test_near_copies_and_mirror_images_are_refused() -> None:
    _, votes = votes_of(20_000, (0.85, 0.7, 0.65, 0.6))
    flips = np.random.default_rng(1).random(len(votes)) < 0.04
    near = np.where(flips, 1 - votes[:, 3], votes[:, 3]).astype(np.int8)
    with pytest.raises(CurationError, match="supervisors 3 and 4 go together far beyond"):
        lm.em(lm.distinct(np.column_stack([votes, near]), 2))
    with pytest.raises(CurationError, match="supervisors 2 and 4 vote the opposite"):
        lm.em(lm.distinct(np.column_stack([votes, 1 - votes[:, 2]]).astype(np.int8), 2))


@pytest.mark.parametrize("seed", range(40))
def test_independent_supervisors_are_never_taken_for_copies(seed: int) -> None:
    random = np.random.default_rng(seed)
    classes = int(random.integers(2, 5))
    accuracies = tuple(random.uniform(1 / classes, 0.99, size=random.integers(3, 11)))
    _, votes = votes_of(
        int(random.choice([100, 1000, 10_000])),
        accuracies,
        seed,
        classes=classes,
        abstain=float(random.choice([0, 0.5])),
    )
    given = lm.distinct(votes, classes)
    lm.refuse_duplicates(given)
    beyond = lm.dependence(given) - np.eye(len(accuracies))
    assert not (np.abs(beyond) > 0.5).any()


def test_with_labels_dependence_is_the_correlation_of_errors_however_many_copies_there_are() -> None:
    y, votes = votes_of(20_000, GOLDEN)
    random = np.random.default_rng(2)
    copies = [np.where(random.random(len(y)) < 0.05, 1 - votes[:, 2], votes[:, 2]) for _ in range(4)]
    given = lm.distinct(np.column_stack([votes, *copies]).astype(np.int8), 2)
    beyond = lm.dependence(given, gold=y)
    assert beyond[2, 3] == pytest.approx(0.9, abs=0.02)
    assert abs(beyond[0, 1]) < 0.03
    assert abs(beyond[0, 3]) < 0.03
    errors = given.patterns[given.row] != y[:, None]
    balanced = np.mean([np.corrcoef(errors[y == c].T)[2, 3] for c in (0, 1)])
    assert beyond[2, 3] == pytest.approx(balanced, abs=0.01)


def test_fewer_than_three_that_agree_beyond_chance_are_refused() -> None:
    _, votes = votes_of(20_000, (0.85, 0.7, 0.5))
    with pytest.raises(CurationError, match="cannot be told from their agreement: 0, 1"):
        lm.triplet(lm.distinct(votes, 2))
    with pytest.raises(CurationError, match="2 supervisors vote"):
        lm.em(lm.distinct(votes[:, :2].copy(), 2))
    with pytest.raises(ValueError, match="triplets are for two classes"):
        lm.triplet(lm.distinct(votes, 3))
    with pytest.raises(ValueError, match=r"votes lie in 0 … 1, and should"):
        lm.distinct(votes, 1)


# --- how they compute ------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.int8, st.tuples(st.integers(1, 30), st.integers(1, 45)), elements=st.integers(-1, 2)))
def test_distinct_rows_give_the_rows_back_in_sorted_order(votes: np.ndarray) -> None:
    found = lm.distinct(votes, 3)
    np.testing.assert_array_equal(found.patterns[found.row], votes)
    assert found.count.sum() == len(votes)
    expected, count = np.unique(votes, axis=0, return_counts=True)
    np.testing.assert_array_equal(found.patterns, expected)
    np.testing.assert_array_equal(found.count, count)


def test_the_order_of_rows_changes_no_bit() -> None:
    _, votes = votes_of(5000, (0.8, 0.7, 0.65, 0.6), abstain=0.2)
    order = np.random.default_rng(3).permutation(len(votes))
    for method in (lm.majority, lm.triplet, lm.em):
        one, other = method(lm.distinct(votes, 2)), method(lm.distinct(votes[order], 2))
        np.testing.assert_array_equal(one.posterior[order], other.posterior)
        np.testing.assert_array_equal(one.accuracy, other.accuracy)
        np.testing.assert_array_equal(one.error, other.error)


@pytest.mark.long
def test_the_bits_do_not_depend_on_the_number_of_threads() -> None:
    code = (
        "import numpy as np, hashlib; from curation.weak_to_strong import label_model as lm;"
        "r = np.random.default_rng(0); y = r.integers(0, 4, 20000);"
        "v = np.stack([np.where(r.random(20000) < a, y, r.integers(0, 4, 20000)) for a in np.linspace(.4, .8, 12)], 1);"
        "f = lm.em(lm.distinct(v.astype(np.int8), 4));"
        "print(hashlib.sha256(f.posterior.tobytes() + f.accuracy.tobytes() + f.error.tobytes()).hexdigest())"
    )
    prints = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(prints) == 1


@pytest.mark.long
def test_a_million_rows_of_ten_supervisors_take_seconds() -> None:
    y, votes = votes_of(1_000_000, MANY, abstain=0.3)
    start = time.process_time()
    given = lm.distinct(votes, 2)
    found = [method(given) for method in (lm.majority, lm.triplet, lm.em)]
    assert time.process_time() - start < 60
    assert right(found[2], y) > right(found[0], y) + 0.04
    np.testing.assert_allclose(found[1].accuracy, MANY, atol=0.005)
    np.testing.assert_allclose(found[2].accuracy, MANY, atol=0.005)


# --- known accuracies ------------------------------------------------------------------------------------------------


def test_weights_are_the_log_odds_of_accuracies() -> None:
    votes = lm.distinct(np.array([[0, 1, -1], [2, 2, 0], [-1, -1, -1]], np.int8), 3)
    found = lm.weighted(votes, np.array([0.8, 0.5, np.nan]), prior=np.array([0.2, 0.3, 0.5]))
    first = np.array([0.2 * 0.8 * 0.25, 0.3 * 0.1 * 0.5, 0.5 * 0.1 * 0.25])
    second = np.array([0.2 * 0.1 * 0.25, 0.3 * 0.1 * 0.25, 0.5 * 0.8 * 0.5])
    expected = [first / first.sum(), second / second.sum(), [0.2, 0.3, 0.5]]
    np.testing.assert_allclose(found.posterior, expected, rtol=1e-12)


def test_accuracies_are_measured_on_labelled_rows_alone() -> None:
    y, votes = votes_of(2000, GOLDEN, abstain=0.3)
    gold = np.where(np.arange(2000) < 500, y, -1).astype(np.int8)
    accuracy, error = lm.measured(lm.distinct(votes, 2), gold)
    for j in range(3):
        voted = votes[:500, j] >= 0
        hits, rows = int((votes[:500, j] == y[:500])[voted].sum()), int(voted.sum())
        assert accuracy[j] == pytest.approx((hits + 1) / (rows + 2))
        assert error[j] == pytest.approx(np.sqrt(accuracy[j] * (1 - accuracy[j]) / (rows + 3)))


def test_a_pool_is_the_mean_of_those_who_speak() -> None:
    p = np.array([[[0.9, 0.1], [0.5, 0.5]], [[np.nan, np.nan], [0.2, 0.8]], [[np.nan] * 2, [np.nan] * 2]])
    np.testing.assert_allclose(lm.mean(p), [[0.7, 0.3], [0.2, 0.8], [0.5, 0.5]])
    np.testing.assert_allclose(lm.mean(p, np.array([3.0, 1.0]))[0], [0.8, 0.2])


def test_agreement_counts_rows_on_which_both_vote() -> None:
    votes = lm.distinct(np.array([[0, 0, -1], [1, 0, -1], [1, -1, -1], [2, 2, -1]], np.int8), 3)
    share, rows = lm.agreement(votes)
    assert rows.tolist() == [[4, 3, 0], [3, 3, 0], [0, 0, 0]]
    assert share[0, 1] == pytest.approx(2 / 3)
    assert np.isnan(share[0, 2])
