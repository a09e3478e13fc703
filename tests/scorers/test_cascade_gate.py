"""The gate of a cascade: its bounds hold as often as they promise, and it escalates no more than it must."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.scorers.cascade_gate import DROP, ESCALATE, KEEP, TwoSidedGate, audited, calibrate, frontier
from curation.statistics.intervals import lower_bound, rows_needed, upper_bound

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def test_the_bound_solves_the_binomial_equation() -> None:
    """Clopper and Pearson's definition: seeing as few errors has probability delta at the bound."""
    for wrong, rows, delta in ((0, 299, 0.05), (3, 773, 0.05), (7, 60, 0.025)):
        bound = float(upper_bound(wrong, rows, delta))
        tail = sum(math.comb(rows, k) * bound**k * (1 - bound) ** (rows - k) for k in range(wrong + 1))
        assert tail == pytest.approx(delta, rel=1e-6)
        low = lower_bound(rows - wrong, rows, delta)
        assert low == pytest.approx(1 - bound, rel=1e-9)
    assert upper_bound(0, 0, 0.05) == 1.0
    assert upper_bound(5, 5, 0.05) == 1.0


def test_one_percent_takes_299_rows_without_an_error_and_773_with_three() -> None:
    """The figures of methods.md, Corrections."""
    assert rows_needed(0.01, 0.05) == 299
    assert upper_bound(0, 299, 0.05) <= 0.01 < upper_bound(0, 298, 0.05)
    assert upper_bound(3, 773, 0.05) <= 0.01 < upper_bound(3, 772, 0.05)
    assert rows_needed(0.05, 0.05) == 59


def test_a_document_is_kept_from_high_on_dropped_below_low_and_else_escalated() -> None:
    scores = np.array([0.1, 0.2, 0.5, 0.8, 0.9, np.nan, np.inf, -np.inf])
    assert TwoSidedGate(0.2, 0.8).route(scores).tolist() == [DROP, ESCALATE, ESCALATE, KEEP, KEEP, ESCALATE, KEEP, DROP]
    assert set(TwoSidedGate().route(scores[:6]).tolist()) == {ESCALATE}


# --- the promise -----------------------------------------------------------------------------------------------------

LEVELS = np.linspace(0, 1, 201)
WORLDS = {
    # P(expensive keeps | cheap), the cheap score being uniform over LEVELS
    "steep": 1 / (1 + np.exp(-12 * (LEVELS - 0.5))),
    "shallow": 1 / (1 + np.exp(-4 * (LEVELS - 0.5))),
    "lopsided": np.clip(0.02 + 0.9 * (LEVELS - 0.6) / 0.4, 0.02, 0.96),
    # exactly the allowed error wherever the gate could open: what is hardest to tell apart
    "brink": np.where(LEVELS < 0.45, 0.0501, np.where(LEVELS > 0.55, 0.9499, 0.5)),
}


@pytest.mark.long
@pytest.mark.parametrize("world", WORLDS)
def test_the_bounds_are_broken_in_at_most_66_of_1000_samples(world: str) -> None:
    """66 is the 99th percentile of Binomial(1000, .05): a promise kept at .05 fails this once in a hundred seeds."""
    chance = WORLDS[world]
    random = np.random.default_rng(7)
    broken = decided = 0
    for _ in range(1000):
        drawn = random.integers(len(LEVELS), size=2000)
        keeps = random.random(2000) < chance[drawn]
        found = calibrate(
            LEVELS[drawn], keeps, np.arange(2000) % 2 == 0, wrong_keeps=0.05, wrong_drops=0.05, delta=0.05
        )
        route = found.gate.route(LEVELS)
        wrong_keeps = (1 - chance[route == KEEP]).mean() if (route == KEEP).any() else 0.0
        wrong_drops = chance[route == DROP].mean() if (route == DROP).any() else 0.0
        broken += wrong_keeps > 0.05 or wrong_drops > 0.05
        decided += found.escalated < 1
    assert broken <= 66
    # a gate that decides nothing would keep any promise
    assert decided >= {"steep": 900, "lopsided": 800}.get(world, 0)


def test_to_take_the_largest_share_that_passes_would_break_the_promise() -> None:
    """Why the order matters: on `brink` the best of all cuts, each tested alone, is wrong far more often."""
    chance = WORLDS["brink"]
    random = np.random.default_rng(7)
    broken = 0
    for _ in range(300):
        drawn = random.integers(len(LEVELS), size=600)
        keeps = random.random(600) < chance[drawn]
        cuts = LEVELS[110::4]
        wrong = np.array([(~keeps[LEVELS[drawn] >= cut]).sum() for cut in cuts])
        rows = np.array([(LEVELS[drawn] >= cut).sum() for cut in cuts])
        broken += bool((upper_bound(wrong, rows, 0.05) <= 0.05).any())
    assert broken > 0.066 * 300


def test_noise_escalates_everything_where_both_bounds_lie_below_the_base_rates() -> None:
    random = np.random.default_rng(3)
    opened = 0
    for _ in range(200):
        cheap, keeps = random.random(2000), random.random(2000) < 0.4
        found = calibrate(cheap, keeps, random.random(2000) < 0.5, wrong_keeps=0.1, wrong_drops=0.1, delta=0.05)
        opened += found.escalated < 1
    assert opened <= 20  # delta of them may


def test_at_five_percent_kept_dropping_everything_is_legal() -> None:
    random = np.random.default_rng(4)
    cheap, keeps = random.random(20_000), random.random(20_000) < 0.03
    found = calibrate(cheap, keeps, random.random(20_000) < 0.5, wrong_keeps=0.05, wrong_drops=0.05, delta=0.05)
    assert found.escalated < 0.05
    assert found.gate.high == np.inf
    assert found.recall < 0.1  # which is why the recall is printed beside the bounds


def test_a_cheap_score_that_is_the_expensive_one_escalates_next_to_nothing() -> None:
    random = np.random.default_rng(5)
    cheap = random.random(4000)
    found = calibrate(cheap, cheap >= 0.6, random.random(4000) < 0.5, wrong_keeps=0.02, wrong_drops=0.02, delta=0.05)
    assert found.escalated <= 1 / 40 + 0.01
    assert found.kept.bound <= 0.02
    assert found.dropped.bound <= 0.02
    assert found.recall > 0.97


def test_calibration_is_the_same_in_any_order_of_rows() -> None:
    random = np.random.default_rng(6)
    cheap = random.random(1000)
    keeps = random.random(1000) < cheap
    first = random.random(1000) < 0.5
    order = random.permutation(1000)
    bounds = {"wrong_keeps": 0.1, "wrong_drops": 0.1, "delta": 0.05}
    assert calibrate(cheap, keeps, first, **bounds) == calibrate(cheap[order], keeps[order], first[order], **bounds)


@given(
    st.lists(
        st.tuples(st.floats(allow_nan=True, allow_infinity=True), st.booleans(), st.booleans()), min_size=0, max_size=80
    ),
    st.floats(0.01, 0.5),
)
@settings(deadline=None, max_examples=150)
def test_whatever_the_sample_the_gate_is_one_and_its_certified_bounds_are_kept(
    rows: list[tuple[float, bool, bool]], error: float
) -> None:
    cheap = np.array([row[0] for row in rows], dtype=np.float64)
    keeps, first = (np.array([row[k] for row in rows], dtype=bool) for k in (1, 2))
    found = calibrate(cheap, keeps, first, wrong_keeps=error, wrong_drops=error, delta=0.2)
    assert found.gate.low <= found.gate.high
    if found.gate.high < np.inf:
        assert found.kept.bound <= error
    if found.gate.low > -np.inf:
        assert found.dropped.bound <= error
    json.dumps(found.describe(audit=0.01), allow_nan=False)


@pytest.mark.long
def test_sides_that_overlap_are_parted_by_one_cut_that_both_have_certified() -> None:
    random = np.random.default_rng(0)
    single = 0
    for _ in range(500):
        n = int(random.integers(100, 1500))
        cheap = random.random(n)
        steepness, middle = random.uniform(1, 300), random.uniform(0.2, 0.8)
        keeps = random.random(n) < 1 / (1 + np.exp(-steepness * (cheap - middle)))
        error = random.uniform(0.02, 0.6)
        found = calibrate(cheap, keeps, random.random(n) < 0.5, wrong_keeps=error, wrong_drops=error, delta=0.05)
        assert found.gate.low <= found.gate.high
        if found.gate.low == found.gate.high:
            single += 1
            assert found.escalated == 0
            assert max(found.kept.bound, found.dropped.bound) <= error
    assert single > 50


# --- the price -------------------------------------------------------------------------------------------------------


def test_the_cost_counts_calibration_escalation_and_audit() -> None:
    cheap = np.linspace(0, 1, 2000)
    found = calibrate(cheap, cheap >= 0.5, np.arange(2000) % 2 == 0, wrong_keeps=0.05, wrong_drops=0.05, delta=0.05)
    assert found.cost(100_000) == 2000 + 100_000 * found.escalated
    assert found.cost(100_000, audit=0.01) == pytest.approx(2000 + 100_000 * (1 - 0.99 * (1 - found.escalated)))
    said = found.describe(audit=0.01)
    break_even = said["pays_from_documents"]
    assert found.cost(break_even, 0.01) <= break_even
    assert found.cost(break_even - 1, 0.01) > break_even - 1


def test_the_frontier_falls_as_the_bound_is_loosened() -> None:
    random = np.random.default_rng(8)
    cheap = random.random(6000)
    keeps = random.random(6000) < 1 / (1 + np.exp(-10 * (cheap - 0.5)))
    points = frontier(cheap, keeps, random.random(6000) < 0.5, delta=0.05, errors=(0.02, 0.05, 0.1, 0.2))
    shares = [found.escalated for _, found in points]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]


def test_an_audit_shows_a_gate_that_no_longer_holds() -> None:
    random = np.random.default_rng(9)
    gate = TwoSidedGate(0.2, 0.8)
    cheap = random.random(5000)
    route = gate.route(cheap)
    before = audited(route, cheap > 0.5, 0.05)
    assert before["kept"].wrong == before["dropped"].wrong == 0
    after = audited(route, random.random(5000) < 0.3, 0.05)
    assert after["kept"].wrong / after["kept"].rows == pytest.approx(0.7, abs=0.05)
    assert after["dropped"].bound > 0.25


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not there")
def test_on_real_queries_the_frontier_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Word count as the cheap score for human well-formedness ratings: honest, and of little use."""
    import pyarrow.parquet as pq

    table = pq.read_table(DATA / "query_wellformedness_train.parquet")
    words = np.array([len(text.split()) for text in table.column("text").to_pylist()], dtype=np.float64)
    keeps = table.column("rating").to_numpy() >= 0.8
    random = np.random.default_rng(0)
    points = frontier(words, keeps, random.random(len(words)) < 0.5, delta=0.05, errors=(0.05, 0.1, 0.2, 0.4))
    with capsys.disabled():
        for error, found in points:
            print(f"\nerror {error:.2f}: escalated {found.escalated:.3f}, recall {found.recall:.3f}", end="")
    assert points[0][1].escalated == 1.0  # both base rates are above .05, and length says little
    assert points[-1][1].escalated < 1.0
