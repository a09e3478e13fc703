"""A model's folder that is no model is one finding, at once: nothing of the sizes that it states is built."""

from __future__ import annotations

import json
import resource
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from curation.models.causal import Causal
from curation.models.classifier import Classifier
from curation.models.config import check
from curation.models.encoder import Encoder
from curation.models.locate import LocatedModel, ModelError, locate
from pipelines.workspace import Workspace
from schemas.errors import CurationError
from small_models import write_shapes, write_tiny_causal

BERT: dict[str, Any] = {
    "model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "vocab_size": 50, "max_position_embeddings": 64, "type_vocab_size": 2,
}  # fmt: skip
TENSORS: dict[str, tuple[int, ...]] = {
    "bert.embeddings.word_embeddings.weight": (50, 32),
    "bert.embeddings.position_embeddings.weight": (64, 32),
    "bert.embeddings.token_type_embeddings.weight": (2, 32),
    **{f"bert.encoder.layer.{n}.intermediate.dense.weight": (64, 32) for n in range(2)},
    "classifier.weight": (3, 32),
}
LABELS = {"id2label": {"0": "a", "1": "b", "2": "c"}}
READERS: dict[str, Callable[[LocatedModel], Any]] = {
    "encoder": lambda model: Encoder(model, device="cpu"),
    "classifier": lambda model: Classifier(model, device="cpu"),
}


@pytest.fixture
def folder(minilm: LocatedModel, tmp_path: Path) -> Path:
    place = tmp_path / "model"
    place.mkdir()
    (place / "config.json").write_text(json.dumps({**BERT, **LABELS}))
    write_shapes(place, TENSORS)
    shutil.copy(minilm.folder / "tokenizer.json", place)
    return place


def test_a_folder_that_fits_is_opened(folder: Path) -> None:
    assert READERS["encoder"](locate(f"path:{folder}")).dim == 32
    assert READERS["classifier"](locate(f"path:{folder}")).labels == ["a", "b", "c"]


NO_CONFIGS = ["{}", "[]", '"bert"', "null", "7", "", "{", "[" * 100_000, '{"model_type": "bert"', "\xff\xfe", "NaN"]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("content", NO_CONFIGS)
def test_a_config_that_is_none(reader: str, content: str, folder: Path) -> None:
    (folder / "config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ModelError):
        READERS[reader](locate(f"path:{folder}"))


WRONG: list[dict[str, Any]] = [
    {key: value}
    for key in ("num_hidden_layers", "hidden_size", "vocab_size", "num_attention_heads", "max_position_embeddings")
    for value in (10_000_000, 10**30, -1, 0, 1.5, "12", True, float("nan"), float("inf"))
]
WRONG += [
    {"intermediate_size": 10_000_000}, {"type_vocab_size": 10_000_000}, {"hidden_size": 64}, {"vocab_size": 51},
    {"num_hidden_layers": 3}, {"num_attention_heads": 5}, {"max_position_embeddings": 65}, {"model_type": None},
    {"model_type": ["bert"]}, {"model_type": 7}, {"layer_norm_eps": float("nan")}, {"type_vocab_size": 3},
]  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("change", WRONG, ids=str)
def test_sizes_that_the_weights_do_not_have(reader: str, change: dict[str, Any], folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({**BERT, **LABELS, **change}))
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(ModelError) as failure:
        READERS[reader](locate(f"path:{folder}"))
    assert "\n" not in str(failure.value)
    assert time.process_time() - begun < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


ALBERT = {
    "model_type": "albert", "hidden_size": 32, "embedding_size": 16, "num_hidden_layers": 12, "num_attention_heads": 2,
    "intermediate_size": 64, "vocab_size": 50, "max_position_embeddings": 64, "type_vocab_size": 2,
    "num_hidden_groups": 1, "inner_group_num": 1, "gap_size": 0, "net_structure_type": 0, "num_memory_blocks": 0,
}  # fmt: skip
GROUP = {
    "albert.embeddings.word_embeddings.weight": (50, 16),
    "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight": (64, 32),
}


@pytest.mark.parametrize(
    "change",
    [
        {}, {"generator_size": "0.25"}, {"generator_size": 0.25}, {"max_window_layers": 0}, {"conv_kernel_size": 0},
        {"group_size": -1}, {"eval_batch_size": "auto"}, {"freeze_layers": 0}, {"cross_attention_hidden_size": None},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_called_a_size_and_is_none_of_the_network(change: dict[str, Any], folder: Path) -> None:
    write_shapes(folder, GROUP)
    check(locate(f"path:{folder}"), {**ALBERT, **change})


@pytest.mark.parametrize("key", ["num_hidden_groups", "inner_group_num"])
def test_layers_that_are_shared_are_counted_too(key: str, folder: Path) -> None:
    write_shapes(folder, GROUP)
    with pytest.raises(ModelError, match=key):
        check(locate(f"path:{folder}"), {**ALBERT, key: 10_000_000})


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ({"id2label": ["a", "b", "c"]}, "id2label is a list"),
        ({"id2label": {"a": 0, "b": 1, "c": 2}}, "has the key 'a'"),
        ({"id2label": {"0": "a", "1": "b"}}, "names 2 labels, and its head classifier.weight has 3 outputs"),
        ({"id2label": {"0": "a", "1": "b", "2": "c", "3": "d"}}, "names 4 labels"),
        ({"id2label": {"1": "a", "2": "b", "3": "c"}}, "has the key '3'"),
        ({"id2label": {"0": "a", "1": "b", "2": None}}, "no text"),
        ({"id2label": "abc"}, "id2label is str"),
        ({"num_labels": 2}, "names 2 labels"),
        ({"num_labels": 10**12}, "num_labels"),
        ({"num_labels": "3"}, "num_labels"),
        ({}, "names 2 labels"),
        ({**LABELS, "problem_type": ["regression"]}, "problem_type"),
    ],
)
def test_labels_that_the_head_does_not_have(labels: dict[str, Any], says: str, folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({**BERT, **labels}))
    with pytest.raises(ModelError, match=says):
        Classifier(locate(f"path:{folder}"), device="cpu")


@pytest.mark.parametrize("way", ["empty", "garbage", "cut", "longer", "header of a petabyte", "no shapes", "deep"])
def test_weights_that_are_none(way: str, folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "garbage": b"never opened",
            "cut": whole[:-1],
            "longer": whole + b"\0",
            "header of a petabyte": (1 << 50).to_bytes(8, "little") + whole[8:],
            "no shapes": b"\x13\0\0\0\0\0\0\0" + b'{"a": {"b": [1, 2]}}'[:19],
            "deep": (100_000).to_bytes(8, "little") + b"[" * 100_000,
        }[way]
    )
    for reader in READERS.values():
        with pytest.raises(ModelError, match="safetensors"):
            reader(locate(f"path:{folder}"))


@pytest.mark.parametrize("content", ["{}", "[]", "null", "", '{"model": 7}', '{"model": {"vocab": 3}}', "{" * 50_000])
def test_a_tokenizer_that_is_none(content: str, folder: Path) -> None:
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        READERS["encoder"](locate(f"path:{folder}"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("modules.json", "{}"), ("modules.json", "[]"), ("modules.json", "[7]"), ("modules.json", '[{"type": 7}]'),
        ("sentence_bert_config.json", "[]"), ("config_sentence_transformers.json", '{"prompts": [1]}'),
        ("config_sentence_transformers.json", '{"prompts": 7, "default_prompt_name": "x"}'),
    ],
)  # fmt: skip
def test_companions_that_are_none(name: str, content: str, folder: Path) -> None:
    (folder / name).write_text(content)
    with suppress(ModelError):  # a finding, or nothing that matters
        Encoder(locate(f"path:{folder}"), device="cpu").identity()


@pytest.mark.long
def test_a_language_model_that_is_none(tmp_path: Path) -> None:
    folder = write_tiny_causal(tmp_path / "llama")
    whole = json.loads((folder / "config.json").read_text())
    Causal(locate(f"path:{folder}"), window=64, device="cpu")
    for change in (*WRONG[:27], {"num_key_value_heads": "2"}, {"head_dim": 10**9}, {"max_position_embeddings": "many"}):
        if next(iter(change)) == "max_position_embeddings" and change["max_position_embeddings"] == 10_000_000:
            continue  # rotary positions need no tensor
        (folder / "config.json").write_text(json.dumps({**whole, **change}))
        with pytest.raises(ModelError):
            Causal(locate(f"path:{folder}"), window=64, device="cpu")


STAGES: dict[str, dict[str, Any]] = {
    "embedding": {"scorer": "embedding", "model": "path:model"},
    "classifier": {"scorer": "classifier", "model": "path:model"},
    "perplexity": {"scorer": "perplexity", "model": "path:model"},
    "fasttext": {"scorer": "fasttext", "model": "path:model"},
    "embedding-head": {"scorer": "embedding-head", "head": "path:model"},
    "ifd": {"scorer": "ifd", "model": "path:model"},
    "ngram": {"scorer": "ngram", "model": "path:model"},
    "stack": {"scorer": "stack", "model": "path:model"},
    "properties": {"scorer": "properties", "head": "path:model"},
}


@pytest.mark.parametrize("content", ["{}", "[]", json.dumps({**BERT, "num_hidden_layers": 10_000_000})])
@pytest.mark.parametrize("stage", STAGES)
def test_check_has_one_finding_of_it(stage: str, content: str, folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").write_text(content)
    (folder / "scorer.json").write_text(content)
    (tmp_path / "in.jsonl").write_text('{"text": "some words", "prompt": "p", "output": "o"}\n')
    columns = {"text": "text", "instruction": "prompt", "output": "output"}
    settings = {
        "name": "x",
        "input": {"path": str(tmp_path / "in.jsonl"), "columns": columns},
        "stages": [STAGES[stage]],
    }
    with pytest.raises(CurationError) as failure:
        _check(settings, tmp_path)
    assert [finding.code for finding in failure.value.findings] == ["C013"], failure.value.findings


def _check(settings: dict[str, Any], folder: Path) -> None:
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(settings))
    Workspace(folder / "ws").check(path)
