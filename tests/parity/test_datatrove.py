"""Gopher quality, Gopher repetition, FineWeb and C4 say what datatrove 0.10.1 says.

Its answers are frozen by make_datatrove_vectors.py. Two layers: the rules on datatrove's own words, where everything is
equal; and the rules on ours, where verdicts are, because our words are spaCy's in nearly every document.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from curation.rules import c4, fineweb, gopher_quality, gopher_repetition
from curation.rules.profile import Profile
from curation.text.edits import apply_edits
from curation.text.words import Words, words

HERE = Path(__file__).parent
SHARED = HERE.parents[1].parent / "shared" / "data"
LIVE = HERE.parents[1] / "build" / "parity" / "words.parquet"
VECTORS: dict[str, Any] = json.loads((HERE / "datatrove.json").read_text(encoding="utf-8"))
FAMILIES: dict[str, tuple[Profile, Callable[..., dict[str, Any]]]] = {
    "gopher_quality": (gopher_quality.DATATROVE, gopher_quality.measure_words),
    "gopher_repetition": (gopher_repetition.DATATROVE, gopher_repetition.measure_words),
    "fineweb": (fineweb.CODE, fineweb.measure_words),
}


def texts_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("parity_texts", HERE / "texts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WRITTEN: dict[str, str] = texts_module().TEXTS
CASES: dict[str, dict[str, Any]] = {case["name"]: case for case in VECTORS["texts"]}


def words_of(case: dict[str, Any]) -> list[str]:
    given = case["words"]
    return given[0] * given[1] if len(given) == 2 and isinstance(given[0], list) else given


def as_words(texts: list[str], tokens: list[list[str]]) -> Words:
    """Where the tokens lie in the texts' bytes, each after the one before it."""
    documents, starts, ends = [0], [], []
    for text, listed in zip(texts, tokens, strict=True):
        raw, at = text.encode(), 0
        for token in listed:
            start = raw.index(token.encode(), at)
            at = start + len(token.encode())
            starts.append(start)
            ends.append(at)
        documents.append(len(starts))
    return Words(np.array(documents, np.int64), np.array(starts, np.uint32), np.array(ends, np.uint32))


def real(file: str, step: int) -> pa.LargeStringArray:
    path = SHARED / f"{file}.parquet"
    if not path.exists():
        pytest.skip(f"{path} is not here: the data sets are not shipped")
    texts = pq.read_table(path, columns=["text"])["text"].combine_chunks().cast(pa.large_string())
    return texts.take(pa.array(np.arange(0, len(texts), step)))


def test_the_vectors_are_of_the_texts() -> None:
    assert list(CASES) == list(WRITTEN)


@pytest.mark.parametrize("name", WRITTEN)
def test_our_words_are_spacys(name: str) -> None:
    text = WRITTEN[name]
    found, raw = words(pa.array([text], pa.large_string())), text.encode()
    assert [raw[a:b].decode() for a, b in zip(found.starts, found.ends, strict=True)] == words_of(CASES[name])


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_on_the_same_words_every_measurement_reason_and_verdict_is_datatroves(family: str) -> None:
    profile, measure = FAMILIES[family]
    texts = pa.array(WRITTEN.values(), pa.large_string())
    given = as_words(list(WRITTEN.values()), [words_of(case) for case in CASES.values()])
    judged = profile.judge(measure(texts, given), {}).to_pylist()
    for name, row in zip(WRITTEN, judged, strict=True):
        expected = CASES[name][family]
        measured = {column: row[column] for column in expected["measured"]}
        assert (name, measured, row["reason"]) == (name, expected["measured"], expected["reason"])
        assert row["pass"] == (expected["reason"] is None)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_vectors_hold_every_reason(family: str) -> None:
    profile, _ = FAMILIES[family]
    reasons = {case[family]["reason"] for case in CASES.values()}
    assert reasons == {None, profile.nothing, *(rule.reason for rule in profile.rules)}


@pytest.mark.parametrize("name", WRITTEN)
def test_lines_are_removed_and_texts_dropped_as_by_datatroves_c4(name: str) -> None:
    text = pa.array([WRITTEN[name]], pa.large_string())
    cleaned = c4.clean(text)
    expected = CASES[name]["c4"]
    assert cleaned["reason"].to_pylist() == [expected["reason"]]
    if expected["reason"] is None:
        assert apply_edits(text, cleaned["edits"]).to_pylist() == [expected["left"]]


def test_the_vectors_hold_every_reason_of_c4() -> None:
    assert {case["c4"]["reason"] for case in CASES.values()} == {
        *(None, "lorem_ipsum", "curly_bracket", "too_few_sentences")
    }


@pytest.mark.parametrize("file", VECTORS["shared"])
def test_real_documents_are_judged_as_by_datatrove(file: str) -> None:
    """On our own words. Measurements are compared wherever those are spaCy's: in all files but pep_versions in every
    document, there in 136 of 150, the others hold rows of single quotes, which spaCy joins in pairs now and then."""
    frozen = VECTORS["shared"][file]
    texts, rows = real(file, frozen["step"]), frozen["rows"]
    found = words(texts)
    same = [row["words"] == digest for row, digest in zip(rows, digests(texts, found), strict=True)]
    assert np.mean(same) > (0.9 if file == "pep_versions" else 0.999)
    for family, (profile, measure) in FAMILIES.items():
        judged = profile.judge(measure(texts, found), {})
        columns = [field.name for field in profile.measurements]
        ours = judged.select(["reason", *columns]).to_pylist()
        for number, (mine, row) in enumerate(zip(ours, rows, strict=True)):
            assert (number, mine["reason"]) == (number, row[family][0])
            if same[number]:
                assert [mine["reason"], *(mine[column] for column in columns)] == row[family]


@pytest.mark.parametrize("file", VECTORS["shared"])
def test_real_documents_are_edited_as_by_datatroves_c4(file: str) -> None:
    frozen = VECTORS["shared"][file]
    texts = real(file, frozen["step"])
    cleaned = c4.clean(texts)
    left = apply_edits(texts, cleaned["edits"]).to_pylist()
    ours = [
        [reason, None if reason else hashlib.sha256(text.encode()).hexdigest()[:16]]
        for reason, text in zip(cleaned["reason"].to_pylist(), left, strict=True)
    ]
    assert ours == [row["c4"] for row in frozen["rows"]]


@pytest.mark.parametrize("file", VECTORS["shared"])
def test_real_documents_on_datatroves_words_are_equal_in_every_measurement(file: str) -> None:
    if not LIVE.exists():
        pytest.skip(f"{LIVE} is not here: `make parity` has datatrove write it")
    frozen = VECTORS["shared"][file]
    texts = real(file, frozen["step"])
    listed = pq.read_table(LIVE, filters=pc.field("file") == file)["words"].to_pylist()
    given = as_words(texts.to_pylist(), listed)
    for family, (profile, measure) in FAMILIES.items():
        columns = [field.name for field in profile.measurements]
        judged = profile.judge(measure(texts, given), {}).select(["reason", *columns])
        assert [list(row.values()) for row in judged.to_pylist()] == [row[family] for row in frozen["rows"]]


def digests(texts: pa.Array, found: Words) -> list[str]:
    result = []
    for number, text in enumerate(texts.to_pylist()):
        raw = text.encode()
        span = slice(found.documents[number], found.documents[number + 1])
        listed = [raw[a:b].decode() for a, b in zip(found.starts[span], found.ends[span], strict=True)]
        result.append(hashlib.sha256("\n".join(listed).encode()).hexdigest()[:16])
    return result
