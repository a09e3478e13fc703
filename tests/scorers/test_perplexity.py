"""Perplexity, bits per byte and what else is told of a document; its rows do not depend on one another."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation.registry import find
from curation.scorers.base import Context
from curation.scorers.perplexity import Perplexity, PerplexitySettings
from schemas.documents import TEXT
from small_models import write_tiny_causal

TEXTS = [
    "The ferry leaves the harbour at seven and the tide gauge records the height of the sea.",
    "",
    " \n\t",
    "x",
    "naïve café 😀\r\n\tzero\x00byte <|endoftext|>",
    "Whisk the eggs with sugar until the mixture is pale. " * 60,
    "y" * 100_000,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_causal(tmp_path_factory.mktemp("perplexity") / "model")


def perplexity(folder: Path, **more: Any) -> Perplexity:
    return Perplexity(PerplexitySettings(model=f"path:{folder}", **more), Context(Path()))


def batch(texts: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, TEXT)})


def test_the_three_numbers_belong_together(folder: Path) -> None:
    row = perplexity(folder).score(batch(TEXTS[4:5])).to_pylist()[0]
    assert row["ppl"] == pytest.approx(math.exp(row["loss"]))
    size = len(TEXTS[4].encode())
    assert row["bits_per_byte"] == pytest.approx(row["tokens"] / size * row["loss"] / math.log(2))
    assert row["truncated"] is False


def test_a_document_has_the_same_bits_alone_and_in_any_order(folder: Path) -> None:
    scorer = perplexity(folder, max_tokens=1500)
    together = scorer.score(batch(TEXTS)).to_pylist()
    assert scorer.score(batch(TEXTS[::-1])).to_pylist() == together[::-1]
    for text, expected in zip(TEXTS, together, strict=True):
        alone = scorer.score(batch([text])).to_pylist()[0]
        assert alone == {name: expected[name] for name in alone}


def test_what_has_nothing_to_score_has_a_status_and_no_number(folder: Path) -> None:
    scores = perplexity(folder, start="").score(batch(TEXTS)).to_pylist()
    assert [row["status"] for row in scores] == ["ok", "empty", "empty", "no_target_tokens", "ok", "ok", "ok"]
    for row in (scores[1], scores[2], scores[3]):
        assert {value for name, value in row.items() if name != "status"} == {None}
    assert [row["truncated"] for row in scores] == [False, None, None, None, False, False, True]


def test_max_tokens_and_stride_reach_the_model(folder: Path) -> None:
    short = perplexity(folder, max_tokens=50).score(batch(TEXTS[5:6])).to_pylist()[0]
    assert (short["tokens"], short["truncated"]) == (50, True)
    wide, narrow = (
        perplexity(folder, max_tokens=200, window=64, stride=stride).score(batch(TEXTS[5:6])).to_pylist()[0]
        for stride in (63, 8)
    )
    assert wide["tokens"] == narrow["tokens"] == 200
    assert wide["loss"] != narrow["loss"]
    with pytest.raises(ValueError, match="below the window"):
        perplexity(folder, window=64, stride=64)


def test_a_loss_that_is_no_number_is_a_fault_not_a_score(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = write_tiny_causal(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], float("inf"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    rows = perplexity(folder).score(batch(["Some words.", ""])).to_pylist()
    assert [row["status"] for row in rows] == ["nonfinite", "empty"]
    assert rows[0]["ppl"] is None


def test_columns_are_the_declared_ones_and_no_document_gives_none(folder: Path) -> None:
    scorer = perplexity(folder)
    for texts in ([], TEXTS[:1]):
        scores = scorer.score(batch(texts))
        assert scores.num_rows == len(texts)
        assert [(f.name, f.type) for f in scores.schema] == [(f.name, f.type) for f in scorer.fields]


@pytest.mark.long
def test_a_plan_knows_fields_and_identity_without_opening_torch(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from curation.scorers.base import Context;"
        "from curation.scorers.perplexity import Perplexity, PerplexitySettings;"
        f"s = Perplexity(PerplexitySettings(model='path:{folder}'), Context(Path()));"
        "s.fields; s.models();"
        "print(s.identity()['start'][0], [m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "<|endoftext|> []"
    assert find("scorer", "perplexity") is Perplexity


@pytest.mark.long
def test_perplexity_tells_prose_from_shuffled_words_and_takes_repetition_for_good(smollm2: Path) -> None:
    """C6's planted pairs: shuffled words score worse; repetition scores better, which a repetition rule must catch."""
    prose = [
        "The Amazon rainforest covers much of the Amazon basin of South America and is home to many species.",
        "To open a file, call open with its name, and read what you need inside a with block.",
        "The council decided on Tuesday to spend three million on the new bridge across the river.",
        "She put the letter back into the drawer, locked it, and went out to meet him at the station.",
    ]
    random = np.random.default_rng(0)
    shuffled = [" ".join(random.permutation(text.split())) for text in prose]
    repeated = [" ".join([text] * 6) for text in prose]
    scores = perplexity(smollm2).score(batch([*prose, *shuffled, *repeated]))
    good, bad, again = np.array(scores.column("ppl").to_pylist()).reshape(3, -1)
    assert good.max() < bad.min()  # AUC 1
    assert again.max() < good.min()
