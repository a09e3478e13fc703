"""Gopher quality says what datatrove 0.10.1 says; its answers are frozen by make_gopher_vectors.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.rules.gopher_quality import DATATROVE, judge_words
from curation.text.words import Words, words

HERE = Path(__file__).parent
SHARED = HERE.parents[1].parent / "shared" / "data"
VECTORS: dict[str, Any] = json.loads((HERE / "gopher_quality_datatrove.json").read_text(encoding="utf-8"))


def text_of(case: dict[str, Any]) -> str:
    return case["text"] if "text" in case else case["repeat"][0] * case["repeat"][1]


def words_of(case: dict[str, Any]) -> list[str]:
    return case["words"] if "words" in case else case["words_repeat"][0] * case["words_repeat"][1]


TEXTS = pa.array([text_of(case) for case in VECTORS["texts"]], pa.large_string())


def as_spans(text: str, tokens: list[str]) -> tuple[list[int], list[int]]:
    """Where the tokens lie in the text's bytes, each after the one before it."""
    raw, starts, ends, at = text.encode(), [], [], 0
    for token in tokens:
        start = raw.index(token.encode(), at)
        at = start + len(token.encode())
        starts.append(start)
        ends.append(at)
    return starts, ends


def test_on_the_same_words_every_measurement_reason_and_verdict_is_datatroves() -> None:
    spans = [as_spans(text_of(case), words_of(case)) for case in VECTORS["texts"]]
    given = Words(
        np.cumsum([0, *(len(starts) for starts, _ in spans)]),
        np.concatenate([np.array(starts, np.uint32) for starts, _ in spans]),
        np.concatenate([np.array(ends, np.uint32) for _, ends in spans]),
    )
    judged = judge_words(TEXTS, given, {}).to_pylist()
    for case, row in zip(VECTORS["texts"], judged, strict=True):
        measured = {name: row[name] for name in case["measured"]}
        assert (case["name"], measured, row["reason"]) == (case["name"], case["measured"], case["reason"])
        assert row["pass"] == (case["reason"] is None)


def test_the_vectors_hold_every_reason() -> None:
    assert {case["reason"] for case in VECTORS["texts"]} == {None, *(rule.reason for rule in DATATROVE.rules)}


@pytest.mark.parametrize("number", range(len(VECTORS["texts"])), ids=[case["name"] for case in VECTORS["texts"]])
def test_our_words_are_spacys(number: int) -> None:
    case = VECTORS["texts"][number]
    text = TEXTS[number : number + 1]
    found, raw = words(text), text_of(case).encode()
    ours = [raw[start:end].decode() for start, end in zip(found.starts, found.ends, strict=True)]
    assert ours == words_of(case)


@pytest.mark.parametrize("file", VECTORS["shared"])
def test_verdicts_on_real_documents_are_datatroves(file: str) -> None:
    path = SHARED / f"{file}.parquet"
    if not path.exists():
        pytest.skip(f"{path} is not here: the data sets are not shipped")
    frozen = VECTORS["shared"][file]
    texts = pq.read_table(path, columns=["text"])["text"].combine_chunks().cast(pa.large_string())
    rows = pa.array(np.arange(0, len(texts), frozen["step"]))
    ours = DATATROVE.measure(texts.take(rows), {})["reason"].to_pylist()
    differ = [row for row, a, b in zip(rows.to_pylist(), ours, frozen["reasons"], strict=True) if a != b]
    assert differ == []
