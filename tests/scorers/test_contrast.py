"""Contrast of two n-gram models: signs, sums, what cancels, and that it finds a domain from few examples."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.numpy import save_file

from curation.scorers.base import Artifact, Context
from curation.scorers.contrast import Contrast, ContrastSettings
from curation.statistics import metrics
from curation.text import ngram_model
from schemas.documents import TEXT

DATA = Path(__file__).parents[2].parent / "shared" / "data"
TARGET = [f"The cook adds {n} spoons of sugar to the dough and stirs it." for n in ["two", "three", "four", "five"]]
POOL = [f"Shares in the bank fell by {n} per cent after the vote." for n in ["two", "three", "four", "five", "six"]]
NEW = ["The cook stirs sugar and dough.", "The bank fell after the vote."]
FIELDS = ["difference", "target_loss", "pool_loss", "tokens"]


def batch(texts: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, TEXT)})


def write(path: Path, texts: list[str]) -> None:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")


def save(artifact: Artifact, folder: Path) -> Path:
    folder.mkdir()
    save_file(artifact.tensors, folder / "head.safetensors")
    return folder


def fitted(folder: Path, pool: list[str], **settings: object) -> Contrast:
    chosen = ContrastSettings.model_validate({"target": "target.jsonl", **settings})
    artifact = Contrast(chosen, Context(folder)).fit(batch(pool))
    return Contrast(chosen, Context(folder, save(artifact, folder / f"artifact{len(list(folder.iterdir()))}")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    write(folder / "target.jsonl", TARGET)
    write(folder / "background.jsonl", POOL)
    return folder


@pytest.fixture(scope="module")
def scorer(folder: Path) -> Contrast:
    return fitted(folder, POOL)


def test_the_target_is_above_zero_and_the_pool_below(scorer: Contrast) -> None:
    like_target, like_pool = scorer.score(batch(NEW)).column("difference").to_pylist()
    assert like_target > 0 > like_pool


def test_a_difference_is_that_of_the_mean_losses(scorer: Contrast) -> None:
    words = ngram_model.tokens(pa.array([*TARGET, *POOL], TEXT)).hashes
    seen = ngram_model.tokens(pa.array(NEW, TEXT))
    for name, texts in (("target_loss", TARGET), ("pool_loss", POOL)):
        fit = ngram_model.fit(ngram_model.tokens(pa.array(texts, TEXT)), 3, len(np.unique(words)) + 1)
        losses = ngram_model.losses(seen, ngram_model.opened(fit))
        expected = [losses[seen.documents[i] : seen.documents[i + 1]].mean() for i in range(2)]
        assert scorer.score(batch(NEW)).column(name).to_pylist() == pytest.approx(expected)
    for row in scorer.score(batch(NEW)).to_pylist():
        assert row["difference"] == row["pool_loss"] - row["target_loss"]


def test_equal_models_cancel_to_the_bit(scorer: Contrast, folder: Path, tmp_path: Path) -> None:
    assert scorer.context.artifact is not None
    learned = scorer.inner.tensors()
    same = {**learned, **{f"pool.{name}": learned[f"target.{name}"] for name in ngram_model.Fit._fields}}
    twin = Contrast(scorer.settings, Context(folder, save(Artifact(same), tmp_path / "artifact")))
    assert twin.score(batch([*NEW, *TARGET, "unheard"])).column("difference").to_pylist() == [0.0] * 7


def test_a_token_that_neither_side_knows_weighs_little(scorer: Contrast) -> None:
    weights = dict(scorer.attribution(batch(["zyx"])).pieces)
    assert abs(weights["zyx"]) < 0.5


def test_the_columns_are_the_declared_ones_and_blank_text_has_a_status(scorer: Contrast) -> None:
    scores = scorer.score(batch(NEW))
    assert [(f.name, f.type) for f in scores.schema] == [(f.name, f.type) for f in scorer.fields]
    rows = scorer.score(batch(["", NEW[0], " \n\u3000"])).to_pylist()
    assert [row["status"] for row in rows] == ["empty", "ok", "empty"]
    assert [rows[0][name] for name in FIELDS] == [None] * 4


def test_fits_repeat_and_their_identity_is_what_they_depend_on(folder: Path, scorer: Contrast) -> None:
    assert fitted(folder, POOL).identity() == scorer.identity() != {}
    assert fitted(folder, [], background="background.jsonl").identity() == scorer.identity()

    def identity(**settings: object) -> dict[str, object]:
        chosen = ContrastSettings.model_validate({"target": "target.jsonl", **settings})
        return Contrast(chosen, Context(folder)).fit_identity()

    for changed in ({"order": 2}, {"sample": 9}, {"target": "background.jsonl"}):
        assert identity(**changed) != identity()
    with pytest.raises(RuntimeError, match="fitted first"):
        Contrast(ContrastSettings(target="target.jsonl"), Context(folder)).load()
    with pytest.raises(ValidationError):
        ContrastSettings.model_validate({"target": "target.jsonl", "form": "lm"})


@hypothesis_settings(max_examples=100, deadline=None)
@given(texts=st.lists(st.text(max_size=60) | st.sampled_from([*NEW, "İ ΑΣ x"]), min_size=1, max_size=5))
def test_any_text_has_its_own_score_whose_attributions_add_up(scorer: Contrast, texts: list[str]) -> None:
    together = scorer.score(batch(texts)).select(FIELDS).to_pylist()
    for text, row in zip(texts, together, strict=True):
        assert scorer.score(batch(["before", text]).slice(1)).select(FIELDS).to_pylist() == [row]
        assert scorer.attribution(batch([text])).total == pytest.approx(row["difference"] or 0, abs=1e-9)


def test_attributions_name_the_ngrams_that_moved_the_score(scorer: Contrast) -> None:
    weights = dict(scorer.attribution(batch(["The cook fell after the vote"])).pieces)
    assert weights["the cook"] > 0 > weights["after the vote"]


def read(name: str) -> list[str]:
    path = DATA / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    return [text for text in pq.read_table(path).column("text").to_pylist() if text.strip()]


def test_a_domain_is_found_from_200_examples_and_better_than_by_one_loss(tmp_path: Path) -> None:
    reviews, questions = read("sst2_train"), read("query_wellformedness_dev")
    write(tmp_path / "target.jsonl", reviews[:200])
    scorer = fitted(tmp_path, questions[:1000])
    rows = scorer.score(batch([*reviews[1000:1500], *questions[2000:2500]]))
    kind = np.arange(1000) < 500
    difference = metrics.auc(np.array(rows.column("difference")), kind)
    assert difference >= 0.95
    assert difference > metrics.auc(-np.array(rows.column("target_loss")), kind)
