"""Dolma's forms of the Gopher and C4 rules: worked by hand, and against slow and obvious ones in plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_text import pages

from curation.rules import Profile, resolve
from curation.rules.c4_dolma import DOLMA as C4
from curation.rules.gopher_quality_dolma import DOLMA as QUALITY
from curation.rules.gopher_repetition_dolma import DOLMA as REPETITION

PROFILES = (QUALITY, REPETITION, C4)
STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}
PIECES = (
    *("the ", "The ", "of ", "boat ", "sea ", "#", "…", "…\n", "\n- ", "\n", "* ", "12 ", "\u3000", "é", "i̇ "),
    *("İ", "a b ", "a b c d e f ", ". ", "?\n", '"', "JavaScript ", "lorem ", "Ipsum", "{", "\r\n", "\x1f"),
    *("\u2028"),
)
TEXT = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=40).map("".join)


def texts(*rows: str | None) -> pa.LargeStringArray:
    return pa.array(rows, pa.large_string())


def measured(profile: Profile, text: str) -> dict[str, Any]:
    """The measurements of one text; NaN, which is not measured, as None."""
    row = profile.measure(texts(text), {}).to_pylist()[0]
    return {field.name: row[field.name] for field in profile.measurements}


def quality(text: str) -> dict[str, Any]:
    words, lines = text.split(), text.split("\n")
    return {
        "words": len(words),
        "median_word_length": median(map(len, words)) if words else 0,
        "symbol_words_ratio": sum("#" in word or "…" in word for word in words) / max(len(words), 1),
        "alpha_words_ratio": sum(any(c.isalpha() for c in word) for word in words) / max(len(words), 1),
        "stop_words": sum(word in STOP_WORDS for word in words),
        "bullet_lines_ratio": sum(line[:1] in ("*", "-") for line in lines) / len(lines),
        "ellipsis_lines_ratio": sum(line[-1:] == "…" for line in lines) / len(lines),
    }


def repetition(text: str) -> dict[str, Any]:
    words, lines = text.split(), Counter(text.split("\n"))
    characters = max(len("".join(words)), 1)
    found: dict[str, Any] = {
        "words": len(words),
        "dup_line_frac": sum(n for n in lines.values() if n > 1) / lines.total(),
        "dup_line_char_frac": sum(len(line) * n for line, n in lines.items() if n > 1) / characters,
    }
    for n in range(2, 11):
        grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        total = {gram: count * len("".join(gram)) for gram, count in grams.items()}
        name = f"top_{n}_gram" if n < 5 else f"duplicated_{n}_n_grams"
        if not grams:
            found[name] = None
        elif n < 5:
            most = max(grams.values())
            found[name] = total[next(gram for gram in grams if grams[gram] == most)] / characters
        else:
            found[name] = sum(size for gram, size in total.items() if grams[gram] > 1) / sum(total.values())
    return found


def c4(text: str) -> dict[str, Any]:
    lines = [line.strip() for line in text.lower().split("\n")]
    return {
        "words": len(text.split()),
        "lines": len(lines),
        "lines_without_end_punctuation": sum(not line.endswith((".", "?", "!", '"')) for line in lines),
        "lines_with_too_few_words": sum(len(line.split()) < 3 for line in lines),
        "curly_braces": text.lower().count("{"),
        "lorem_ipsum": text.lower().count("lorem ipsum"),
        "javascript": text.lower().count("javascript"),
    }


PLAIN = {QUALITY.name: quality, REPETITION.name: repetition, C4.name: c4}


def agree(profile: Profile, rows: Iterable[str]) -> None:
    rows = list(rows)
    for text, row in zip(rows, profile.measure(texts(*rows), {}).to_pylist(), strict=True):
        expected = PLAIN[profile.name](text)
        assert (text, {name: row[name] for name in expected}) == (text, expected)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_profiles_are_found_by_name(profile: Profile) -> None:
    assert resolve(profile.name) is profile


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_every_measurement_is_that_of_the_plain_rules_whatever_the_text(profile: Profile) -> None:
    @settings(deadline=None)  # the first example compiles
    @given(st.lists(TEXT, max_size=4))
    def check(rows: list[str]) -> None:
        agree(profile, rows)

    check()


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_every_measurement_is_that_of_the_plain_rules_on_pages(profile: Profile) -> None:
    agree(profile, pages())


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_document_is_judged_alike_wherever_it_stands(profile: Profile) -> None:
    @settings(deadline=None)
    @given(st.lists(TEXT, max_size=4), st.randoms(use_true_random=False))
    def check(rows: list[str], random: Any) -> None:
        alone = [profile.measure(texts(text), {}).to_pylist()[0] for text in rows]
        order = list(range(len(rows)))
        random.shuffle(order)
        among = texts("x y\nx y", *(rows[i] for i in order), "the sea " * 40)[1:-1]
        assert profile.measure(among, {}).to_pylist() == [alone[i] for i in order]

    check()


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_no_documents_have_no_verdicts_and_empty_ones_fail(profile: Profile) -> None:
    assert profile.measure(texts(), {}).num_rows == 0
    off = dict.fromkeys(profile.defaults)
    assert profile.measure(texts("", " \n\u2028 ", None), off)["reason"].to_pylist() == [profile.nothing] * 3


@pytest.mark.parametrize("rule", [*QUALITY.rules, *REPETITION.rules, *C4.rules], ids=lambda rule: rule.name)
def test_a_rule_alone_rejects_beyond_its_bound_and_not_on_it(rule: Any) -> None:
    profile = next(profile for profile in PROFILES if rule in profile.rules)
    off = dict.fromkeys(profile.defaults)
    text = texts(
        "- so it is # of the { JavaScript 12…\n* lorem ipsum of the\n- so it is # of the { JavaScript 12…\n" * 2
    )
    value = float(profile.measure(text, off)[rule.column][0].as_py())
    beyond = value + (1e-9 if rule.bound == "min" else -1e-9)
    assert profile.measure(text, {**off, rule.name: value})["pass"].to_pylist() == [True]
    assert profile.measure(text, {**off, rule.name: beyond})["reason"].to_pylist() == [rule.reason]


def test_quality_by_hand() -> None:
    text = "* The boat… of 12\n- and #tag the\nwords of it…\n…"
    assert measured(QUALITY, text) == {
        "words": 13,  # * The boat… of 12 - and #tag the words of it… …
        "median_word_length": 3,  # 1 1 1 2 2 2 | 3 | 3 3 3 4 5 5
        "symbol_words_ratio": 4 / 13,  # boat… #tag it… …
        "alpha_words_ratio": 9 / 13,
        "stop_words": 4,  # of and the of: case counts, and so does each of two
        "bullet_lines_ratio": 2 / 4,
        "ellipsis_lines_ratio": 2 / 4,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [("ab", 2), ("ab abcd", 3), ("a ab", 1.5), ("a ab abcdef", 2), ("é" * 3 + " b", 2), ("x" * 5000, 5000)],
)
def test_the_median_is_in_characters_and_between_two_of_an_even_number(text: str, expected: float) -> None:
    assert measured(QUALITY, text)["median_word_length"] == expected


@pytest.mark.parametrize(
    ("line", "bullet", "ellipsis"),
    [("- a", 1, 0), ("*a", 1, 0), (" - a", 0, 0), ("• a", 0, 0), ("a…", 0, 1), ("a… ", 0, 0), ("a...", 0, 0)],
)
def test_lines_are_not_stripped_and_few_marks_count(line: str, bullet: int, ellipsis: int) -> None:
    row = measured(QUALITY, line)
    assert (row["bullet_lines_ratio"], row["ellipsis_lines_ratio"]) == (bullet, ellipsis)


def test_repetition_by_hand() -> None:
    row = measured(REPETITION, "to be or\nto be or\nnot\n\n")
    assert row["dup_line_frac"] == 4 / 5  # the empty lines are two copies of one
    assert row["dup_line_char_frac"] == 16 / 15  # white space above the line, none below
    assert row["top_2_gram"] == 4 * 2 / 15  # "to be", ahead of "be or", which occurs as often
    assert row["top_3_gram"] == 6 * 2 / 15
    assert row["top_4_gram"] == 8 / 15  # the first of four that occur once
    assert row["duplicated_5_n_grams"] == 0
    assert (row["duplicated_7_n_grams"], row["duplicated_8_n_grams"]) == (0, None)


def test_every_occurrence_of_a_duplicated_n_gram_counts_overlapping_or_not() -> None:
    row = measured(REPETITION, "a b a b a b a c")
    # a b a b a, b a b a b, a b a b a, b a b a c
    assert row["duplicated_5_n_grams"] == 10 / 20
    assert row["duplicated_6_n_grams"] == 0


def test_word_order_tells_n_grams_apart() -> None:
    assert measured(REPETITION, "a b b a")["top_2_gram"] == 2 / 4
    assert measured(REPETITION, "ab c a bc")["top_2_gram"] == 3 / 6


def test_the_rules_that_never_fired_do_here_and_null_gives_what_was_done() -> None:
    unique = " ".join(f"w{i}" for i in range(40))
    text = texts(" ".join(["red boat"] * 10) + " " + unique)
    dolma = {f"max_top_{n}_gram": None for n in (2, 3, 4)} | {f"max_duplicated_{n}_n_grams": None for n in range(5, 11)}
    assert REPETITION.measure(text, {})["reason"].to_pylist() == ["fraction_of_characters_in_most_common_2grams"]
    assert REPETITION.measure(text, dolma)["reason"].to_pylist() == [None]
    assert REPETITION.defaults["max_dup_line_char_frac"] == 0.3


def test_c4_by_hand() -> None:
    text = "Use JAVASCRIPT.js \"now\"\nno end\n\n It ends…  \nIt ends... \nIt's 'it'\n{Lorem  Ipsum} lorem ipsum!"
    assert measured(C4, text) == {
        "words": 15,
        "lines": 7,
        "lines_without_end_punctuation": 4,
        "lines_with_too_few_words": 5,
        "curly_braces": 1,
        "lorem_ipsum": 1,
        "javascript": 1,
    }
    assert C4.measure(texts("Fine.", text), {})["reason"].to_pylist() == [None, "has_curly_brace"]


def test_no_letter_beyond_ascii_spells_javascript() -> None:
    assert [measured(C4, text)["javascript"] for text in ("javascrİpt", "javaſcript", "JavaScriptJAVASCRIPT")] == [
        0,
        0,
        2,
    ]


def test_a_long_document_takes_no_time_for_each_word_of_each_n_gram() -> None:
    # Quadratic work on a document of this size would not end.
    text = "a b " * 300_000
    row = REPETITION.measure(texts(text, "a b"), {}).to_pylist()
    assert (row[0]["words"], row[0]["duplicated_10_n_grams"], row[1]["top_2_gram"]) == (600_000, 1.0, 1.0)
    assert np.isclose(row[0]["top_2_gram"], 1.0, atol=1e-5)
