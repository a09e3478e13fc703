"""Any way of pooling, dense layers, prompts and architectures: the vectors are sentence-transformers' own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curation.models.encoder import Encoder
from curation.models.locate import LocatedModel, locate

TEXTS = ["", "The ferry leaves.", "naïve café 😀\r\n\tzero\x00byte", "東京は日本の首都です。", "tide gauge " * 60]
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
KINDS: dict[str, dict[str, Any]] = {
    "bert": {"max_position_embeddings": 64},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 64},
    "xlm-roberta": {"max_position_embeddings": 66, "pad_token_id": 0, "type_vocab_size": 1},
    "mpnet": {"max_position_embeddings": 66, "pad_token_id": 0},
    "qwen3": {"max_position_embeddings": 64, "num_key_value_heads": 1, "head_dim": 16},
}
Made = tuple[Path, Any]


def make(
    folder: Path, kind: str, minilm: LocatedModel, pooling: Any, *, dense: bool = False, norm: bool = True
) -> Made:
    """A sentence-transformers model with random weights behind MiniLM's tokenizer, saved: the folder and the model."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    sizes = {} if kind == "distilbert" else SMALL
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = AutoModel.from_config(AutoConfig.for_model(kind, vocab_size=30522, **{**sizes, **KINDS[kind]}))
        for name, weight in network.named_parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.5 if "embed" in name else 0.2)
        layer = modules.Dense(32, 24, activation_function=torch.nn.Tanh())
    network.save_pretrained(folder / "body")
    AutoTokenizer.from_pretrained(minilm.folder).save_pretrained(folder / "body")
    body = modules.Transformer(str(folder / "body"))
    body.max_seq_length = 50
    parts = [body, modules.Pooling(32, pooling), *([layer] if dense else []), *([modules.Normalize()] if norm else [])]
    model = SentenceTransformer(modules=parts, device="cpu", prompts={"query": "find: "})
    model.save(str(folder / "model"))
    return folder / "model", model


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_of_an_architecture_are_its_own_and_the_documents_alone(
    kind: str, minilm: LocatedModel, tmp_path: Path
) -> None:
    folder, theirs = make(tmp_path, kind, minilm, "lasttoken" if kind == "qwen3" else "mean")
    encoder = Encoder(locate(f"path:{folder}"), max_tokens=50, device="cpu", dtype="fp32")
    found = encoder.encode(TEXTS)
    np.testing.assert_allclose(found.vectors, theirs.encode(TEXTS), atol=2e-5)
    assert found.truncated.tolist() == [False, False, False, False, True]
    for row, text in enumerate(TEXTS):
        np.testing.assert_array_equal(encoder.encode([text]).vectors[0], found.vectors[row])
    order = np.random.default_rng(0).integers(len(TEXTS), size=60)
    np.testing.assert_array_equal(encoder.encode([TEXTS[row] for row in order]).vectors, found.vectors[order])


@pytest.mark.parametrize(
    "pooling", ["cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", ("mean", "max"), ("cls", "mean")]
)
def test_every_way_of_pooling_is_known(pooling: Any, minilm: LocatedModel, tmp_path: Path) -> None:
    folder, theirs = make(tmp_path, "bert", minilm, pooling, norm=pooling == "cls")
    encoder = Encoder(locate(f"path:{folder}"), max_tokens=50, device="cpu", dtype="fp32")
    vectors = encoder.encode(TEXTS).vectors
    assert vectors.shape[1] == encoder.dim == (64 if isinstance(pooling, tuple) else 32)
    np.testing.assert_allclose(vectors, theirs.encode(TEXTS), atol=2e-5, rtol=1e-4)


def test_dense_layers_and_prompts(minilm: LocatedModel, tmp_path: Path) -> None:
    folder, theirs = make(tmp_path, "bert", minilm, "mean", dense=True)
    plain = Encoder(locate(f"path:{folder}"), max_tokens=50, device="cpu", dtype="fp32")
    assert plain.dim == 24
    np.testing.assert_allclose(plain.encode(TEXTS).vectors, theirs.encode(TEXTS), atol=2e-5)
    for prompt in ("query", "find: "):
        asked = Encoder(locate(f"path:{folder}"), max_tokens=50, prompt=prompt, device="cpu", dtype="fp32")
        np.testing.assert_allclose(asked.encode(TEXTS).vectors, theirs.encode(TEXTS, prompt="find: "), atol=2e-5)
        assert asked.identity() != plain.identity()


def test_without_a_stated_limit_it_is_that_of_tokenizer_and_positions(minilm: LocatedModel, tmp_path: Path) -> None:
    shutil.copytree(minilm.folder, tmp_path / "model")
    (tmp_path / "model/sentence_bert_config.json").unlink()
    assert Encoder(locate(f"path:{tmp_path}/model")).max_tokens == 512
    path = tmp_path / "model/tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": 100}))
    assert Encoder(locate(f"path:{tmp_path}/model")).max_tokens == 100
