"""Refusals at an answer's beginning, and words of refusal that are none."""

from __future__ import annotations

import pyarrow as pa
import pytest

from curation.rules.refusals import PHRASES, begins_with, refusals

TEXT = pa.large_string()
KNOWN = refusals(pa.array(PHRASES, TEXT))


def found(*texts: str) -> list[str | None]:
    return begins_with(pa.array(texts, TEXT), KNOWN).to_pylist()


def test_every_phrase_is_found_by_its_own_words_in_any_case_and_with_any_apostrophe() -> None:
    plain = found(*(f"{phrase} … and so on." for phrase in PHRASES))
    assert plain == list(PHRASES)
    assert found(*(f"**{phrase.upper().replace(chr(39), '’')}** !" for phrase in PHRASES)) == plain


def test_the_longest_phrase_is_named() -> None:
    assert found("As an AI, I", "I'm sorry, but as an AI language model I have no body.") == [
        "as an ai",
        "i'm sorry but as an ai",
    ]


def test_what_only_looks_like_a_refusal_is_none() -> None:
    assert (
        found(
            "",
            "As an aim, it is fine.",
            "I'm sorry",
            "The robot said: I'm sorry, but I can't do that.",
            "Sorry to hear that; try turning it off and on again.",
            "I can't believe it's not butter is a brand.",
            "... " * 60 + "I'm sorry, but I can't",
        )
        == [None] * 7
    )


@pytest.mark.parametrize("entry", ["...", " ".join(map(str, range(33)))])
def test_what_is_no_phrase_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="no phrase of 1 to 32 words"):
        refusals(pa.array(["fine", entry], TEXT))
