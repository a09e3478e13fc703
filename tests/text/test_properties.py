"""What holds of every stage that reads text: any text goes in, neighbours do not matter, nor how Arrow cuts it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation.registry import find
from curation.rules import PROFILES
from curation.scorers.base import Context
from curation.text.analysis import analyse, forget, take
from curation.text.edits import apply_edits
from curation.text.lines import lines
from curation.text.segments import segments
from curation.text.shingles import shingle_hashes
from curation.text.spaced import spaced
from curation.text.words import words

STAGES: dict[str, tuple[str, str, dict[str, Any]]] = {
    **{name: ("scorer", "rules", {"profile": name}) for name in PROFILES},
    "language": ("scorer", "language", {"top": 3}),
    "decontaminate": ("scorer", "decontaminate", {"against": [{"name": "b", "path": "items.jsonl"}], "ngram": 3}),
    "c4@datatrove": ("transform", "remove-lines", {"profile": "c4@datatrove"}),
    "refinedweb@dclm": ("transform", "remove-lines", {"profile": "refinedweb@dclm"}),
    "redact-pii": ("transform", "redact-pii", {}),
}
FINDERS = {"words": words, "spaced": spaced, "lines": lines, "segments": segments}
PIECES = (
    *("the boat", "Nobody knew it.", "and of to", "of the tide and the sea", "A B", "don't", "[1]", "{", "javascript"),
    *(
        "me@example.net",
        "+1 212 555 0187",
        "8.8.8.8",
        "4111 1111 1111 1111",
        "https://example.org/a?b=c",
        "3.14",
        "#",
        "...",
    ),
    *(
        "…",
        "•",
        "-",
        "*",
        "Lorem ipsum",
        "東京",
        "ไทย",
        "कि",
        "한국",
        "🚤",
        "e\u0301",
        "\u212a",
        "\u0130",
        "ß",
        "\ufeff",
    ),
    *(" ", "  ", "\n", "\n\n", "\r\n", "\t", "\u2028", "\x85", "\x1c", "\x00", "\u200b", "\u3000", "\u00a0"),
)
TEXT = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join),
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
    st.text(max_size=80),
)
TEXTS = st.lists(TEXT, max_size=6)
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def stage_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    folder = tmp_path_factory.mktemp("recipe")
    items = ["of the tide and the sea", "Nobody knew it. and of to", "東京東京東京"]
    (folder / "items.jsonl").write_text("".join(json.dumps({"text": item}) + "\n" for item in items))

    @cache
    def build(name: str) -> Any:
        family, kind, options = STAGES[name]
        target = find(family, kind)
        stage = target(target.Settings.model_validate(options), Context(Path(folder)))
        stage.load()
        return stage

    return build


def large(texts: list[str]) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def rows(stage: Any, text: pa.LargeStringArray) -> list[str]:
    """What the stage says of each text; as text, since NaN is not equal to itself. No status stands for `ok`."""
    forget()
    said = stage.score(pa.record_batch({"text": text})).to_pylist()
    return [repr({**row, "status": row.get("status", "ok")}) for row in said]


@pytest.mark.parametrize("name", STAGES)
@FEW
@given(texts=TEXTS, seed=st.integers(0, 99))
def test_a_document_is_judged_by_itself(stage_of: Callable[[str], Any], name: str, texts: list[str], seed: int) -> None:
    stage = stage_of(name)
    alone = [rows(stage, large([text]))[0] for text in texts]
    assert rows(stage, large(texts)) == alone
    order = np.random.default_rng(seed).permutation(len(texts))
    assert rows(stage, large([texts[i] for i in order])) == [alone[i] for i in order]
    assert rows(stage, large(["x y\nz.", *texts, "é"]).slice(1, len(texts))) == alone


@pytest.mark.parametrize("name", [name for name, (family, *_) in STAGES.items() if family == "transform"])
@FEW
@given(texts=TEXTS)
def test_edits_can_be_done_and_leave_valid_text(stage_of: Callable[[str], Any], name: str, texts: list[str]) -> None:
    text = large(texts)
    result = stage_of(name).score(pa.record_batch({"text": text}))
    apply_edits(text, result["edits"]).validate(full=True)


@pytest.mark.parametrize("name", FINDERS)
@FEW
@given(texts=TEXTS)
def test_spans_lie_inside_the_text_on_borders_of_characters(name: str, texts: list[str]) -> None:
    found = FINDERS[name](large(texts))
    assert found.documents[0] == 0
    assert len(found.documents) == len(texts) + 1
    for number, text in enumerate(texts):
        raw = text.encode()
        last = 0
        span = slice(found.documents[number], found.documents[number + 1])
        for start, end in zip(found.starts[span], found.ends[span], strict=True):
            assert last <= start <= end <= len(raw)
            raw[start:end].decode()
            last = end


@pytest.mark.parametrize("name", FINDERS)
@FEW
@given(texts=TEXTS, cut=st.integers(0, 6))
def test_chunks_slices_and_narrow_offsets_change_nothing(name: str, texts: list[str], cut: int) -> None:
    finder = FINDERS[name]
    whole = [array.tolist() for array in finder(large(texts))]
    cut = min(cut, len(texts))
    chunked = pa.chunked_array([large(texts[:cut]), large(texts[cut:])], pa.large_string())
    assert [array.tolist() for array in finder(chunked)] == whole
    assert [array.tolist() for array in finder(pa.array(texts, pa.string()))] == whole
    assert [array.tolist() for array in finder(large(["a b", *texts, "c"])[1:-1])] == whole


@FEW
@given(texts=TEXTS, kept=st.sets(st.integers(0, 5)))
def test_what_was_found_goes_along_with_the_rows_that_are_taken(texts: list[str], kept: set[int]) -> None:
    forget()
    text = large(texts)
    for finder in FINDERS.values():
        analyse(text).find(finder)
    rows = np.array(sorted(row for row in kept if row < len(texts)), np.int64)
    taken = take(text, rows)
    known = analyse(taken)
    assert taken.to_pylist() == [texts[row] for row in rows]
    for finder in FINDERS.values():
        assert finder in known._results
        assert [array.tolist() for array in known.find(finder)] == [array.tolist() for array in finder(taken)]


@FEW
@given(texts=TEXTS, n=st.integers(1, 4))
def test_shingles_are_of_each_text_alone(texts: list[str], n: int) -> None:
    offsets, hashes = shingle_hashes(large(texts), n)
    for number, text in enumerate(texts):
        alone = shingle_hashes(large([text]), n)[1]
        assert hashes[offsets[number] : offsets[number + 1]].tolist() == alone.tolist()
