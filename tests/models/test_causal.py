"""Token losses are those of a plain softmax over the network's own logits, and no neighbour changes a bit of them."""

from __future__ import annotations

import json
import math
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation.models.causal import Causal, DocumentLosses, _windows, excess_loss
from curation.models.locate import ModelError, locate
from curation.models.sequences import Sequences
from curation.models.tokens import Ids
from small_models import write_tiny_causal

TEXTS = [
    "The ferry leaves the harbour at seven.",
    "x",
    "naïve café 😀\r\n\tzero\x00byte",
    "<|endoftext|> and <|im_start|> are words in this document",
    "東京は日本の首都です。",
    *("What is the capital of France? The capital of France is Paris. " * n for n in (1, 3, 9, 40)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_causal(tmp_path_factory.mktemp("causal") / "model")


@pytest.fixture(scope="module")
def fp32(folder: Path) -> Causal:
    causal = Causal(locate(f"path:{folder}"), device="cpu", dtype="fp32")
    causal.load()
    return causal


@pytest.fixture(scope="module")
def bf16(folder: Path) -> Causal:
    causal = Causal(locate(f"path:{folder}"), device="cpu", dtype="bf16")
    causal.load()
    return causal


def plain_losses(folder: Path, ids: list[int]) -> np.ndarray:
    """-log softmax of transformers' own logits, one token after another."""
    import torch
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float64).eval()
    with torch.inference_mode():
        logits = network(torch.tensor([ids])).logits[0]
    return np.array([-math.log(float(torch.softmax(logits[t - 1], 0)[ids[t]])) for t in range(1, len(ids))])


def ids_of(lengths: list[int], vocabulary: int, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(vocabulary, size=length).astype(np.int32) for length in lengths]


def split(causal: Causal, sequences: list[np.ndarray], first: list[int]) -> list[np.ndarray]:
    losses = causal.token_losses(Sequences(*Ids.joined(sequences)), np.array(first, np.int64))
    return [losses.values[a:b] for a, b in losses.spans()]


def read(causal: Causal, texts: list[str], max_tokens: int | None = None, stride: int | None = None) -> DocumentLosses:
    ids = causal.ids(pa.array(texts, pa.large_string()), max_tokens)
    sizes = np.array([len(text.encode()) for text in texts], np.int64)
    return causal.document_losses(ids, sizes, max_tokens, stride)


def tokens(causal: Causal, text: str) -> list[int]:
    return causal.tokens.library.encode(text, add_special_tokens=False).ids  # type: ignore[no-any-return]


@cache
def one_by_one(causal: Causal) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Sequences of many lengths, and the losses of each when it is scored by itself."""
    sequences = ids_of([2, 3, 7, 33, 100, 129, 400, 1024], 300)
    return sequences, [split(causal, [ids], [1])[0] for ids in sequences]


def test_losses_are_those_of_a_plain_softmax(folder: Path, fp32: Causal) -> None:
    sequences = ids_of([2, 3, 17, 200, 64], 300)
    for ids, found in zip(sequences, split(fp32, sequences, [1] * 5), strict=True):
        np.testing.assert_allclose(found, plain_losses(folder, ids.tolist()), rtol=1e-5, atol=1e-5)


def test_only_tokens_from_first_on_are_scored(fp32: Causal) -> None:
    sequences = ids_of([40, 40, 5, 7], 300)
    whole = split(fp32, sequences, [1, 1, 1, 1])
    some = split(fp32, sequences, [1, 30, 5, 3])
    assert [len(losses) for losses in some] == [39, 10, 0, 4]
    np.testing.assert_array_equal(some[1], whole[1][29:])
    np.testing.assert_array_equal(some[3], whole[3][2:])


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_neighbour_and_no_place_changes_a_bit(
    dtype: str, request: pytest.FixtureRequest, data: st.DataObject
) -> None:
    causal: Causal = request.getfixturevalue(dtype)
    sequences, alone = one_by_one(causal)
    lengths = data.draw(st.lists(st.integers(1, 600), max_size=6))
    strangers = ids_of(lengths, 300, seed=data.draw(st.integers(0, 9)))
    order = data.draw(st.permutations(range(len(sequences) + len(strangers))))
    found = split(causal, [[*sequences, *strangers][place] for place in order], [1] * len(order))
    for place, losses in zip(order, found, strict=True):
        if place < len(sequences):
            np.testing.assert_array_equal(losses, alone[place])


def test_one_thread_gives_the_bits_of_two(bf16: Causal, monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = ids_of([9, 300, 77], 300)
    two = np.concatenate(split(bf16, sequences, [1] * 3))
    monkeypatch.setattr("curation.models.forward.THREADS", 1)
    np.testing.assert_array_equal(np.concatenate(split(bf16, sequences, [1] * 3)), two)


def test_what_follows_a_token_does_not_reach_it(fp32: Causal) -> None:
    ids = ids_of([300], 300)[0]
    whole, head = split(fp32, [ids, ids[:100]], [1, 1])
    np.testing.assert_allclose(head, whole[:99], rtol=1e-5, atol=1e-5)


def test_a_uniform_byte_model_needs_eight_bits_a_byte(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = write_tiny_causal(tmp_path / "model", merges=0, start=False)
    weights = load_file(folder / "model.safetensors")
    zeros = {name: torch.zeros_like(value) if "embed" in name else value for name, value in weights.items()}
    save_file(zeros, folder / "model.safetensors", metadata={"format": "pt"})
    causal = Causal(locate(f"path:{folder}"), device="cpu", dtype="fp32", start="")
    losses = read(causal, ["The ferry leaves.", "naïve 東京 😀"])
    assert (losses.tokens * losses.loss / (losses.bytes * math.log(2))).tolist() == pytest.approx([8.0] * 2, rel=1e-7)
    assert losses.bytes.tolist() == losses.tokens.tolist()


def test_a_documents_loss_is_the_mean_behind_the_start_token(folder: Path, fp32: Causal) -> None:
    text = "The tide gauge records <|endoftext|> the sea."
    ids = tokens(fp32, text)
    assert not set(ids) & set(fp32.start_ids)
    losses = read(fp32, [text])
    assert losses.loss[0] == pytest.approx(plain_losses(folder, [*fp32.start_ids, *ids]).mean(), rel=1e-5)
    assert (losses.tokens[0], losses.bytes[0], losses.truncated[0]) == (len(ids), len(text), False)


def test_documents_alone_and_together_have_the_same_bits(bf16: Causal) -> None:
    together = read(bf16, TEXTS, max_tokens=1500)
    for row, text in enumerate(TEXTS):
        alone = read(bf16, [text], max_tokens=1500)
        assert [column[0] for column in alone] == [column[row] for column in together]


def test_no_text_gives_no_row_and_an_empty_one_no_loss(bf16: Causal) -> None:
    assert [len(column) for column in read(bf16, [])] == [0] * 4
    losses = read(bf16, [""])
    assert math.isnan(losses.loss[0])
    assert losses.tokens[0] == 0


def test_truncation_is_reported_and_the_rest_not_read(fp32: Causal) -> None:
    text = "Whisk the eggs. " * 50
    head = read(fp32, [text, text + "Sugar." * 900], max_tokens=20)
    assert head.tokens.tolist() == [20, 20]
    assert head.truncated.tolist() == [True, True]
    assert head.loss[0] == head.loss[1]
    assert head.bytes[0] == len(fp32.tokens.library.decode(tokens(fp32, text)[:20]))


def test_windows_score_each_token_once_with_the_stated_context(folder: Path) -> None:
    causal = Causal(locate(f"path:{folder}"), device="cpu", dtype="fp32", window=33)
    text = TEXTS[-2]
    ids = tokens(causal, text)
    assert len(ids) > 70
    start = causal.start_ids
    expected = plain_losses(folder, start + ids[:32])[:32].tolist()
    at = 32
    while at < len(ids):  # the definition: 8 new tokens, 24 of context, the start token before them
        window = start + ids[at + 8 - 32 : at + 8]
        expected += plain_losses(folder, window)[24:].tolist()
        at += 8
    losses = read(causal, [text], max_tokens=500, stride=8)
    assert losses.tokens[0] == len(ids) == len(expected)
    assert losses.loss[0] == pytest.approx(np.mean(expected), rel=1e-5)


@given(count=st.integers(0, 400), room=st.integers(1, 60), data=st.data())
def test_windows_cover_every_token_once(count: int, room: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, room))
    windows = _windows(count, room, stride)
    assert [place for _, scored, end in windows for place in range(scored, end)] == list(range(count))
    assert all(0 <= begin <= scored <= end and end - begin <= room for begin, scored, end in windows)


def test_the_start_token_is_the_documents_separator_or_the_named_one(folder: Path) -> None:
    model = locate(f"path:{folder}")
    assert Causal(model).start == "<|endoftext|>"
    named = Causal(model, start="<|im_start|>")
    assert named.identity() != Causal(model).identity()
    assert Causal(model, start="").start_ids == []
    with pytest.raises(ModelError, match="no start token 'never'"):
        Causal(model, start="never")


def test_the_identity_names_what_decides_the_bits(folder: Path) -> None:
    model = locate(f"path:{folder}")
    identity = Causal(model, device="cpu", dtype="fp32").identity()
    assert identity["weights"] == {"model.safetensors": model.files["model.safetensors"].sha256}
    assert identity["tokenizer"] == model.files["tokenizer.json"].sha256
    assert (identity["dtype"], identity["max_tokens"], identity["shapes"]) == ("fp32", 1024, [1024])
    json.dumps(identity)


def test_a_window_beyond_the_models_positions_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="reads 2 to 2048"):
        Causal(locate(f"path:{folder}"), window=4096)


def test_a_model_whose_logits_are_scaled_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    granite = {"model_type": "granite", "architectures": ["GraniteForCausalLM"], "logits_scaling": 8.0}
    (tmp_path / "model/config.json").write_text(json.dumps({**config, **granite}))
    with pytest.raises(ModelError, match="would not be its own"):
        Causal(locate(f"path:{tmp_path}/model"), device="cpu", dtype="fp32").load()


def test_attention_in_sliding_windows_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    mistral = {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 64}
    (tmp_path / "model/config.json").write_text(json.dumps({**config, **mistral}))
    with pytest.raises(ModelError, match="looks 64 tokens back"):
        Causal(locate(f"path:{tmp_path}/model"), device="cpu", dtype="fp32").load()


def test_equal_models_have_no_excess_loss(bf16: Causal) -> None:
    losses = read(bf16, TEXTS).loss
    assert excess_loss(losses, read(bf16, TEXTS).loss).tolist() == [0.0] * len(TEXTS)


@pytest.mark.long
def test_smollm2_has_the_known_perplexities_and_the_same_bits_anywhere(smollm2: Path) -> None:
    """The figures for such texts in bf16: 8, 13 after <|im_start|>, 1.3 and about 800 (small models, measured)."""
    causal = Causal(locate(f"path:{smollm2}"), device="cpu")
    text = (
        "The Amazon rainforest covers much of the Amazon basin of South America. It is home to an enormous diversity "
        "of plants and animals, and many of its species are found nowhere else."
    )
    shuffled = " ".join(np.random.default_rng(0).permutation(text.split()))
    texts = [text, shuffled, " ".join([text] * 12)]
    losses = read(causal, texts).loss
    plain, mixed, repeated = np.exp(losses)
    assert plain == pytest.approx(8.2, abs=0.4)
    assert repeated < 2
    assert mixed > 200
    assert read(causal, texts[::-1]).loss.tolist() == losses[::-1].tolist()
