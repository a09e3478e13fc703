"""DSIR: its weights from their definition, its golden buckets, what they select, and why."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from curation.scorers.base import Artifact, Context
from curation.scorers.dsir import Dsir, DsirSettings
from curation.statistics import metrics
from curation.text.hashed_ngrams import hashed_ngrams
from schemas.documents import TEXT

DATA = Path(__file__).parents[2].parent / "shared" / "data"
NUMBERS = ["two", "three", "four", "five"]
TARGET = [f"Alice went to the store and bought {n} apples for the white rabbit." for n in NUMBERS]
POOL = [f"Shares in the bank fell by {n} per cent after the vote." for n in [*NUMBERS, "six"]]
NEW = ["Alice bought apples in the store.", "The bank fell after the vote."]
FIELDS = ["log_weight", "per_token", "tokens"]


def batch(texts: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, TEXT)})


def write(path: Path, texts: list[str]) -> None:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")


def save(artifact: Artifact, folder: Path) -> Path:
    folder.mkdir()
    save_file(artifact.tensors, folder / "head.safetensors")
    return folder


def fitted(folder: Path, pool: list[str], **settings: object) -> Dsir:
    chosen = DsirSettings.model_validate({"target": "target.jsonl", **settings})
    artifact = Dsir(chosen, Context(folder)).fit(batch(pool))
    return Dsir(chosen, Context(folder, save(artifact, folder / f"artifact{len(list(folder.iterdir()))}")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    write(folder / "target.jsonl", TARGET)
    write(folder / "background.jsonl", POOL)
    return folder


@pytest.fixture(scope="module")
def scorer(folder: Path) -> Dsir:
    return fitted(folder, POOL)


def features(text: str) -> list[str]:
    words = re.findall(r"\w+|[^\w\s]+", text.lower())
    return words + [f"{a} {b}" for a, b in itertools.pairwise(words)]


def bucket(feature: str) -> int:
    return int(hashlib.sha256(feature.encode()).hexdigest(), 16) % 10_000


def shares(texts: list[str], smoothing: float = 0.0) -> np.ndarray:
    counts = np.zeros(10_000) + smoothing
    for text in texts:
        for feature in features(text):
            counts[bucket(feature)] += 1
    return counts / counts.sum()


@pytest.mark.parametrize("smoothing", [0.0, 1.0])
def test_a_weight_is_the_papers_formula(folder: Path, smoothing: float) -> None:
    ratio = np.log(shares(TARGET, smoothing) + 1e-8) - np.log(shares(POOL) + 1e-8)
    rows = fitted(folder, POOL, smoothing=smoothing).score(batch([*NEW, *TARGET, "unheard-of"])).to_pylist()
    for text, row in zip([*NEW, *TARGET, "unheard-of"], rows, strict=True):
        expected = sum(ratio[bucket(feature)] for feature in features(text))
        assert row["log_weight"] == pytest.approx(expected, abs=1e-9)
        assert row["tokens"] == len(re.findall(r"\w+|[^\w\s]+", text))
        assert row["per_token"] == row["log_weight"] / row["tokens"]


def test_the_target_and_the_pool_have_opposite_signs(scorer: Dsir) -> None:
    like_target, like_pool = scorer.score(batch(NEW)).column("log_weight").to_pylist()
    assert like_target > 0 > like_pool


def test_what_is_stored_are_the_counts(folder: Path) -> None:
    artifact = Dsir(DsirSettings(target="target.jsonl"), Context(folder)).fit(batch([*POOL, "", POOL[0], TARGET[0]]))
    assert artifact.tensors["target"][6720] == len(TARGET)  # alice
    assert artifact.tensors["target"][114] == len(TARGET)  # alice went
    np.testing.assert_allclose(artifact.tensors["pool"] / artifact.tensors["pool"].sum(), shares(POOL))
    assert (artifact.card["n_target"], artifact.card["n_negatives"], artifact.card["auc"]) == (4, 5, 1.0)
    json.dumps(artifact.card)


def test_the_columns_are_the_declared_ones_and_blank_text_has_a_status(scorer: Dsir) -> None:
    scores = scorer.score(batch(NEW))
    assert [(f.name, f.type) for f in scores.schema] == [(f.name, f.type) for f in scorer.fields]
    rows = scorer.score(batch(["", NEW[0], " \n\u3000"])).to_pylist()
    assert [row["status"] for row in rows] == ["empty", "ok", "empty"]
    assert [rows[0][name] for name in FIELDS] == [None] * 3


def test_fits_repeat_and_their_identity_is_what_they_depend_on(folder: Path, scorer: Dsir) -> None:
    assert fitted(folder, POOL).identity() == scorer.identity() != {}
    assert fitted(folder, [], background="background.jsonl").identity() == scorer.identity()

    def identity(**settings: object) -> dict[str, object]:
        return Dsir(DsirSettings.model_validate({"target": "target.jsonl", **settings}), Context(folder)).fit_identity()

    for changed in ({"ngram": 3}, {"buckets": 99}, {"smoothing": 1.0}, {"sample": 9}, {"target": "background.jsonl"}):
        assert identity(**changed) != identity()
    with pytest.raises(RuntimeError, match="fitted first"):
        Dsir(DsirSettings(target="target.jsonl"), Context(folder)).load()


@hypothesis_settings(max_examples=100, deadline=None)
@given(texts=st.lists(st.text(max_size=60) | st.sampled_from([*NEW, "İ ΑΣ x"]), min_size=1, max_size=5))
def test_any_text_has_its_own_score_whose_attributions_add_up(scorer: Dsir, texts: list[str]) -> None:
    together = scorer.score(batch(texts)).select(FIELDS).to_pylist()
    for text, row in zip(texts, together, strict=True):
        assert scorer.score(batch(["before", text]).slice(1)).select(FIELDS).to_pylist() == [row]
        assert sum(weight for _, weight in scorer.attribute(text)) == pytest.approx(row["log_weight"] or 0, abs=1e-9)


def test_attributions_name_the_ngrams_that_moved_the_score(scorer: Dsir) -> None:
    weights = scorer.attribute("Alice went after the vote, Alice went.")
    names = dict(weights)
    assert names["alice went"] > 0 > names["the vote"]
    assert names["alice went"] == pytest.approx(2 * names["alice"] / 2)
    assert [abs(weight) for _, weight in weights] == sorted((abs(weight) for _, weight in weights), reverse=True)


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    return float((p * np.log((p + 1e-8) / (q + 1e-8))).sum())


def read(name: str) -> list[str]:
    path = DATA / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    return [text for text in pq.read_table(path).column("text").to_pylist() if text.strip()]


def test_what_it_selects_is_nearer_to_the_target_than_chance(tmp_path: Path) -> None:
    """Reviews, a fifth of a pool of questions: the selection's n-grams against those of reviews that nobody saw."""
    reviews, questions = read("sst2_train"), read("query_wellformedness_dev")
    write(tmp_path / "target.jsonl", reviews[:500])
    pool = [*reviews[1000:1500], *questions[:2000]]
    scorer = fitted(tmp_path, pool, smoothing=1.0)
    rank = np.argsort(-np.array(scorer.score(batch(pool)).column("per_token")), kind="stable")[:500]

    def held(rows: list[str]) -> np.ndarray:
        return np.bincount(hashed_ngrams(pa.array(rows, TEXT), 2, 10_000).buckets, minlength=10_000).astype(float)

    target = held(reviews[2000:4000])
    chance = held([pool[i] for i in np.random.default_rng(0).permutation(len(pool))[:500]])
    chosen = held([pool[i] for i in rank])
    assert divergence(target / target.sum(), chosen / chosen.sum()) < divergence(
        target / target.sum(), chance / chance.sum()
    )
    unseen = scorer.score(batch([*reviews[1500:1800], *questions[2000:2300]])).column("per_token")
    assert metrics.auc(np.array(unseen), np.arange(600) < 300) > 0.9
