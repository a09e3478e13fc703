"""CoLoR's score: nothing for equal models, and more for texts like those that the conditional model was trained on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation.models.locate import ModelError
from curation.scorers.base import Context
from curation.scorers.contrast import Contrast, ContrastSettings
from curation.scorers.perplexity import Perplexity, PerplexitySettings
from curation.statistics.metrics import auc
from schemas.documents import TEXT
from small_models import train_causal, write_tiny_causal


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_causal(tmp_path_factory.mktemp("contrast") / "prior")


def contrast(prior: Path, conditional: Path, **more: Any) -> Contrast:
    settings = ContrastSettings(form="lm", prior=f"path:{prior}", conditional=f"path:{conditional}", **more)
    return Contrast(settings, Context(Path()))


def batch(texts: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, TEXT)})


def recipes(count: int, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    verbs, things = ["whisk", "fold", "bake", "chill", "stir"], ["flour", "eggs", "sugar", "butter", "cream"]
    return [" ".join(f"{random.choice(verbs)} the {random.choice(things)}," for _ in range(8)) for _ in range(count)]


def notices(count: int, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    names, places = ["ferry", "train", "bus", "tram", "pilot"], ["harbour", "bridge", "station", "river", "coast"]
    return [" ".join(f"{random.choice(names)} to {random.choice(places)};" for _ in range(8)) for _ in range(count)]


def test_equal_models_give_exactly_nothing(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "same")
    texts = ["The ferry leaves.", "", "naïve 東京 😀", "Whisk the eggs. " * 300]
    scores = contrast(folder, tmp_path / "same").score(batch(texts)).to_pylist()
    assert [row["difference"] for row in scores] == [0.0, None, 0.0, 0.0]
    assert [row["status"] for row in scores] == ["ok", "empty", "ok", "ok"]
    assert [row["truncated"] for row in scores] == [False, None, False, True]


@pytest.mark.long
def test_a_model_trained_on_the_target_finds_more_of_it_better_than_perplexity(folder: Path, tmp_path: Path) -> None:
    target = train_causal(folder, tmp_path / "conditional", recipes(200, seed=1))
    texts = [*recipes(40, seed=2), *notices(40, seed=3)]
    like = np.arange(80) < 40
    scorer = contrast(folder, target)
    scores = np.array(scorer.score(batch(texts)).column("difference").to_pylist())
    prior = np.array(perplexity(folder, texts))
    np.testing.assert_array_equal(scores, prior - perplexity(target, texts))
    assert auc(scores, like) >= 0.9
    assert auc(scores, like) > auc(-prior, like)


def perplexity(folder: Path, texts: list[str]) -> list[float]:
    scorer = Perplexity(PerplexitySettings(model=f"path:{folder}"), Context(Path()))
    return scorer.score(batch(texts)).column("loss").to_pylist()  # type: ignore[no-any-return]


def test_different_tokenizers_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "other")
    path = tmp_path / "other" / "tokenizer.json"
    path.write_text(path.read_text().replace("\n", " "))
    with pytest.raises(ModelError, match="different tokenizers"):
        contrast(folder, tmp_path / "other").identity()


def test_both_models_are_in_identity_and_manifest(folder: Path) -> None:
    scorer = contrast(folder, folder)
    assert set(scorer.identity()) == {"prior", "conditional"}
    assert [row["file"] for row in scorer.models()] == ["model.safetensors", "tokenizer.json"] * 2
    assert scorer.score(batch([])).schema.names == [field.name for field in scorer.fields]
