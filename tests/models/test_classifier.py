"""Classification heads: transformers' own numbers, and each document's its own, bit for bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curation.models.classifier import Classifier
from curation.models.locate import LocatedModel, ModelError, locate
from curation.models.tokens import load_tokenizer
from small_models import write_shapes

SENTENCE = "A tide gauge records the height of the sea against a mark on land, hour after hour, for decades. "
TEXTS = [
    "",
    "naïve café 😀\r\n\tzero\x00byte",
    "[PAD] [SEP] [CLS] are words in this document [PAD]",
    "東京は日本の首都です。",
    *(SENTENCE * n for n in (1, 1, 2, 2, 3, 9, 40)),
]
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
KINDS: dict[str, dict[str, Any]] = {
    "bert": {"max_position_embeddings": 64},
    "albert": {"max_position_embeddings": 64, "embedding_size": 16},
    "electra": {"max_position_embeddings": 64, "embedding_size": 16},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 64},
    "roberta": {"max_position_embeddings": 66, "pad_token_id": 1, "type_vocab_size": 1},
    "deberta-v2": {
        "max_position_embeddings": 64,
        "relative_attention": True,
        "pos_att_type": ["c2p", "p2c"],
        "position_buckets": 32,
        "type_vocab_size": 0,
    },
    "modernbert": {"max_position_embeddings": 64, "classifier_pooling": "mean", "global_attn_every_n_layers": 2,
                   "local_attention": 16, "cls_token_id": 101, "sep_token_id": 102, "pad_token_id": 0},
    "llama": {"max_position_embeddings": 64, "num_key_value_heads": 2, "pad_token_id": 0},
    "qwen2": {"max_position_embeddings": 64, "num_key_value_heads": 2},
    "gpt2": {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2},
}  # fmt: skip
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def make(minilm: LocatedModel, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A checkpoint with random weights behind MiniLM's tokenizer."""

    @cache
    def make(kind: str, labels: int = 3) -> Path:
        import torch
        from transformers import AutoConfig, AutoModelForSequenceClassification

        sizes = {} if kind in ("distilbert", "gpt2") else SMALL
        config = AutoConfig.for_model(kind, vocab_size=30522, num_labels=labels, **{**sizes, **KINDS[kind]})
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = AutoModelForSequenceClassification.from_config(config)
            for name, weight in network.named_parameters():
                if weight.ndim > 1:  # so that attention and head see differences
                    torch.nn.init.normal_(weight, std=0.5 if "embed" in name or "wte" in name else 0.2)
        folder: Path = tmp_path_factory.mktemp(kind)
        network.save_pretrained(folder)
        shutil.copy(minilm.folder / "tokenizer.json", folder)
        return folder

    return make


def opened(folder: Path, **settings: Any) -> Classifier:
    return Classifier(locate(f"path:{folder}"), device="cpu", **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_transformers_and_of_the_document_alone(kind: str, make: Make) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    folder = make(kind)
    classifier = opened(folder, dtype="fp32")
    assert classifier.max_tokens == 64
    together = classifier.classify(TEXTS)
    assert together.logits.std(axis=0).min() > 1e-3, "the network must tell the texts apart"

    theirs = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
    theirs.eval()
    for row in (1, 3, 6):
        ids = torch.tensor([load_tokenizer(classifier.model).encode(TEXTS[row]).ids])[:, :64]
        with torch.inference_mode():
            expected = theirs(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].numpy()
        np.testing.assert_allclose(together.logits[row], expected, atol=1e-4, rtol=1e-4)

    for dtype in ("fp32", "bf16"):
        classifier = opened(folder, dtype=dtype)
        together = classifier.classify(TEXTS)
        for row in (0, 3, 6, 10):
            np.testing.assert_array_equal(classifier.classify([TEXTS[row]]).logits[0], together.logits[row])
        order = np.random.default_rng(0).integers(len(TEXTS), size=21)
        mixed = classifier.classify([TEXTS[row] for row in order]).logits
        np.testing.assert_array_equal(mixed, together.logits[order])
        # every row full, so that there is no padding for the network to notice
        full = classifier.classify([SENTENCE * 40] * (classifier.pack // 64)).logits
        np.testing.assert_array_equal(full, np.tile(together.logits[-1], (len(full), 1)))


def test_a_decoder_is_read_at_the_last_token_though_it_be_the_pad_token(make: Make) -> None:
    """transformers looks for the last id that is not the pad id, and would read the token before."""
    classifier = opened(make("llama"), dtype="fp32")
    assert classifier.tokens.library.encode("[PAD]", add_special_tokens=False).ids == [0]
    logits = classifier.classify(["sea [PAD]", "sea"], rendered=True).logits
    assert not np.array_equal(logits[0], logits[1])


def test_in_bf16_the_head_is_still_fp32(make: Make) -> None:
    import torch

    folder = make("bert", labels=1)
    exact, rough = (opened(folder, dtype=dtype).classify(TEXTS).logits for dtype in ("fp32", "bf16"))
    np.testing.assert_allclose(rough, exact, atol=0.1)
    grid = torch.from_numpy(rough).bfloat16().float().numpy()
    assert (grid != rough).mean() > 0.5


def test_pairs_have_segments_and_lose_the_longer_part_first(make: Make) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    classifier = opened(make("bert"), dtype="fp32")
    one = classifier.classify(["the sea", "a mark"], ["a mark", "the sea"])
    assert one.tokens.tolist() == [7, 7]
    assert not np.array_equal(one.logits[0], one.logits[1])
    assert classifier.tokens.library.encode("the sea", "a mark").type_ids == [0, 0, 0, 0, 1, 1, 1]
    theirs = AutoModelForSequenceClassification.from_pretrained(classifier.model.folder, dtype=torch.float32).eval()
    both = AutoTokenizer.from_pretrained(classifier.model.folder)("the sea", "a mark", return_tensors="pt")
    with torch.inference_mode():
        np.testing.assert_allclose(one.logits[0], theirs(**both).logits[0].numpy(), atol=1e-5)
    long = classifier.classify(["the sea"], [SENTENCE * 40])
    assert long.truncated.tolist() == [True]
    assert long.tokens.tolist() == [64]
    same = classifier.classify(["the sea"], [SENTENCE * 80])
    np.testing.assert_array_equal(long.logits, same.logits)


@pytest.mark.parametrize(
    ("config", "problem", "labels"),
    [
        ({"num_labels": 1}, "regression", ["LABEL_0"]),
        ({"id2label": {"1": "bad", "0": "good"}}, "single", ["good", "bad"]),
        ({"id2label": {"0": "a"}, "problem_type": "multi_label_classification"}, "multi", ["a"]),
        ({}, "single", ["LABEL_0", "LABEL_1"]),
    ],
)
def test_what_the_head_says_is_read_from_the_config(
    config: dict[str, Any], problem: str, labels: list[str], minilm: LocatedModel, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "max_position_embeddings": 512, **config}))
    write_shapes(tmp_path, {"classifier.weight": (len(labels), 32)})
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 400}')
    shutil.copy(minilm.folder / "tokenizer.json", tmp_path)
    classifier = opened(tmp_path)
    assert (classifier.problem, classifier.labels, classifier.max_tokens) == (problem, labels, 400)
    json.dumps(classifier.identity())


@pytest.mark.parametrize(
    ("config", "says"),
    [({"model_type": "t5"}, "is a t5 model"), ({"model_type": "bert", "problem_type": "ranking"}, "'ranking'")],
)
def test_what_would_be_computed_wrongly_is_refused(config: dict[str, Any], says: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    write_shapes(tmp_path, {"classifier.weight": (2, 32)})
    with pytest.raises(ModelError, match=says):
        opened(tmp_path)


def test_a_checkpoint_without_a_head_is_refused(minilm: LocatedModel) -> None:
    """transformers would give it a random one."""
    with pytest.raises(ModelError, match="has no classification head"):
        Classifier(minilm, device="cpu")


TEMPLATE = (
    "{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}{{ raise_exception('no') }}{% endif %}"
    "{{ '<' + m.role + '> ' + m.content + eos_token }}{% endfor %}{{ strftime_now('%Y') }}"
)


@pytest.mark.parametrize("place", ["chat_template.jinja", "tokenizer_config.json"])
def test_a_conversation_is_written_in_the_template_whose_hash_is_in_the_identity(
    place: str, make: Make, tmp_path: Path
) -> None:
    shutil.copytree(make("qwen2", labels=1), tmp_path / "model")
    plain = opened(tmp_path / "model")
    assert plain.template is None
    settings: dict[str, Any] = {"eos_token": {"content": "[SEP]"}}
    if place == "tokenizer_config.json":
        settings["chat_template"] = TEMPLATE
    else:
        (tmp_path / "model" / place).write_text(TEMPLATE)
    (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps(settings))
    classifier = opened(tmp_path / "model")
    rendered = classifier.render([{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}])
    assert rendered == "<user> Why?[SEP]<assistant> So.[SEP]2024"
    assert classifier.identity() != plain.identity()
    found = classifier.classify([rendered], rendered=True)
    assert found.tokens.tolist() == [len(classifier.tokens.library.encode(rendered, add_special_tokens=False).ids)]
    with pytest.raises(ValueError, match="refuses"):
        classifier.render([{"role": "tool", "content": "x"}])
