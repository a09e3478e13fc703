"""IFD equals a short oracle in both modes, and orders answers: given away by the prompt, fitting, of another row."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.models.causal import TokenLosses
from curation.models.sequences import Sequences
from curation.registry import find
from curation.scorers.base import Context
from curation.scorers.ifd import Ifd, IfdSettings
from schemas.documents import TEXT
from small_models import write_tiny_causal

DOLLY = Path(__file__).parents[2].parent / "shared" / "data" / "dolly_3k.parquet"
ROWS = [
    ("What is the capital of France?", "", "The capital of France is Paris."),
    ("Repeat the sentence.", "The ferry leaves at seven.", "The ferry leaves at seven."),
    ("Write about the sea", "", "Whisk the eggs with sugar until pale, then fold in the flour."),
    ("", "", "An answer to nothing at all."),
    ("Translate to French", "naïve 😀", "naïve café\r\n東京 <|endoftext|>"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_causal(tmp_path_factory.mktemp("ifd") / "model")


@pytest.fixture
def fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.models.reader.best_dtype", lambda device: "fp32")


def ifd(folder: Path, **more: Any) -> Ifd:
    return Ifd(IfdSettings(model=f"path:{folder}", **more), Context(Path()))


def batch(rows: list[tuple[str, str, str]]) -> pa.RecordBatch:
    names = ("instruction", "input", "output")
    return pa.record_batch({name: pa.array([row[place] for row in rows], TEXT) for place, name in enumerate(names)})


def oracle(folder: Path, ids: list[int], first: int) -> float:
    """Mean of -log softmax over the tokens from `first` on, by transformers in float64."""
    import torch
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float64).eval()
    with torch.inference_mode():
        logits = network(torch.tensor([ids])).logits[0]
    return float(np.mean([-math.log(float(torch.softmax(logits[t - 1], 0)[ids[t]])) for t in range(first, len(ids))]))


@pytest.mark.usefixtures("fp32")
def test_aligned_is_the_oracle(folder: Path) -> None:
    scorer = ifd(folder)
    scores = scorer.score(batch(ROWS)).to_pylist()
    scorer.load()
    encode = scorer.causal.tokens.library.encode
    start = scorer.causal.start_ids
    for (instruction, more, output), found in zip(ROWS, scores, strict=True):
        prompt = encode("".join(f"{part}\n" for part in (instruction, more) if part)).ids
        answer = encode(output).ids
        conditional = oracle(folder, start + prompt + answer, len(start + prompt))
        alone = oracle(folder, start + answer, 1)
        assert found["status"] == "ok"
        assert found["tokens"] == len(answer)
        assert found["loss_cond"] == pytest.approx(conditional, rel=1e-5)
        assert found["loss_alone"] == pytest.approx(alone, rel=1e-5)
        assert found["ifd_ppl"] == pytest.approx(math.exp(conditional) / math.exp(alone), rel=1e-4)
        assert found["ifd_loss"] == pytest.approx(conditional / alone, rel=1e-5)


@pytest.mark.usefixtures("fp32")
@pytest.mark.parametrize("limit", [1024, 40])
def test_official_is_superfilterings_procedure(folder: Path, limit: int) -> None:
    scorer = ifd(folder, mode="official", max_tokens=limit, min_tokens=1)
    scores = scorer.score(batch(ROWS)).to_pylist()
    encode = scorer.causal.tokens.library.encode
    compared = 0
    for (instruction, more, output), found in zip(ROWS, scores, strict=True):
        prompt = f"{instruction}\n{more}\n" if more else f"{instruction}\n"
        whole = prompt + output
        known = len(encode(whole[: whole.rfind(output)]).ids)
        joint = encode(whole).ids[:limit]
        alone = encode(output).ids[: limit - known + 1]
        if len(joint) <= known:
            assert found["status"] == "no_target_tokens"
            continue
        conditional, unconditional = oracle(folder, joint, known), oracle(folder, alone, 1)
        assert found["loss_cond"] == pytest.approx(conditional, rel=1e-5)
        assert found["loss_alone"] == pytest.approx(unconditional, rel=1e-5)
        assert found["tokens"] == len(joint) - known
        assert found["truncated"] == (len(encode(whole).ids) > limit)
        compared += 1
    assert compared >= 3


def test_an_empty_prompt_gives_exactly_one(folder: Path) -> None:
    row = ifd(folder).score(batch([ROWS[0], ROWS[3]])).to_pylist()[1]
    assert (row["ifd_ppl"], row["ifd_loss"]) == (1.0, 1.0)
    assert row["loss_cond"] == row["loss_alone"]


def test_the_two_ratios_order_rows_differently(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """methods.md §7: mean losses (1.0, 1.2) against (4.0, 4.4)."""
    scorer = ifd(folder, min_tokens=1)

    def token_losses(sequences: Sequences, first: np.ndarray) -> TokenLosses:
        return TokenLosses(np.repeat([1.0, 1.2, 4.0, 4.4], 5), np.arange(5) * 5)

    monkeypatch.setattr(scorer.causal, "token_losses", token_losses)
    easy, hard = scorer.score(batch([ROWS[0], ROWS[2]])).to_pylist()
    assert (easy["ifd_loss"], hard["ifd_loss"]) == pytest.approx((0.8333, 0.9091), abs=1e-4)
    assert (easy["ifd_ppl"], hard["ifd_ppl"]) == pytest.approx((0.8187, 0.6703), abs=1e-4)


@pytest.mark.parametrize("mode", ["aligned", "official"])
def test_what_cannot_be_scored_has_a_status_and_no_number(folder: Path, mode: str) -> None:
    rows = [
        ("Say nothing.", "", ""),
        ("Say nothing.", "", " \n\t"),
        ("Say one thing.", "", "x"),
        ("long " * 500, "", "An answer that the prompt leaves no room for."),
        ("long " * 20_000, "", "The same, far beyond the limit."),
        ("Fits.", "", "An answer far beyond the limit. " * 3000),
        ROWS[0],
    ]
    scores = ifd(folder, mode=mode, max_tokens=200).score(batch(rows)).to_pylist()
    assert [row["status"] for row in scores] == [
        "empty", "empty", "too_short", "no_target_tokens", "no_target_tokens", "ok", "ok",
    ]  # fmt: skip
    for row in scores[:5]:
        assert {value for name, value in row.items() if name != "status"} == {None}
    assert [row["truncated"] for row in scores[5:]] == [True, False]
    assert scores[5]["tokens"] > 150


@pytest.mark.parametrize("mode", ["aligned", "official"])
def test_a_row_has_the_same_bits_alone_and_in_any_order(folder: Path, mode: str) -> None:
    scorer = ifd(folder, mode=mode)
    together = scorer.score(batch(ROWS)).to_pylist()
    assert scorer.score(batch(ROWS[::-1])).to_pylist() == together[::-1]
    for row, expected in zip(ROWS, together, strict=True):
        assert scorer.score(batch([row])).to_pylist() == [expected]


def test_columns_are_the_declared_ones_and_no_row_gives_none(folder: Path) -> None:
    scorer = ifd(folder)
    for rows in ([], ROWS[:1]):
        scores = scorer.score(batch(rows))
        assert scores.num_rows == len(rows)
        assert [(f.name, f.type) for f in scores.schema][:6] == [(f.name, f.type) for f in scorer.fields]


def test_portions_do_not_show(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ifd(folder).score(batch(ROWS)).to_pylist()
    monkeypatch.setattr("curation.scorers.ifd.PORTION", 2)
    assert ifd(folder).score(batch(ROWS)).to_pylist() == whole


def test_settings_that_contradict_the_mode_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="official"):
        ifd(folder, mode="official", start="<|im_start|>")
    with pytest.raises(ValueError, match="needs a start token"):
        ifd(folder, start="")


def test_mode_and_start_are_part_of_the_identity(folder: Path) -> None:
    identities = [ifd(folder, **more).identity() for more in ({}, {"mode": "official"}, {"start": "<|im_start|>"})]
    assert len({str(identity) for identity in identities}) == 3
    assert [model["file"] for model in ifd(folder).models()] == ["model.safetensors", "tokenizer.json"]
    assert find("scorer", "ifd") is Ifd


@pytest.mark.long
@pytest.mark.skipif(not DOLLY.is_file(), reason="shared/data is not there")
@pytest.mark.parametrize("mode", ["aligned", "official"])
def test_copied_answers_are_easier_than_fitting_ones_and_these_than_swapped_ones(mode: str, smollm2: Path) -> None:
    rows = planted()
    scores = ifd(smollm2, mode=mode).score(batch([row for group in rows for row in group]))
    assert set(scores.column("status").to_pylist()) == {"ok"}
    values = np.array(scores.column("ifd_ppl").to_pylist()).reshape(3, -1)
    copied, fitting, swapped = values.mean(axis=1)
    assert copied < fitting < swapped
    if mode == "aligned":  # a question that does not fit helps nobody to foretell the answer; official: .89 measured
        assert np.median(values[2]) > 0.95


def planted(count: int = 8) -> list[list[tuple[str, str, str]]]:
    """Rows whose answer the prompt holds, rows as people wrote them, and the same with the answer of the next row."""
    rows = [
        row
        for row in pq.read_table(DOLLY).to_pylist()
        if not row["input"] and len(row["instruction"]) < 200 and 80 < len(row["output"]) < 250
    ][:count]
    fitting = [(row["instruction"], "", row["output"]) for row in rows]
    copied = [("Repeat this text.", output, output) for _, _, output in fitting]
    swapped = [(rows[place - 1]["instruction"], "", output) for place, (_, _, output) in enumerate(fitting)]
    return [copied, fitting, swapped]
