"""DCLM's forms of the Gopher rules: worked by hand, and against slow and obvious ones in plain Python."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_text import pages

from curation.rules import Profile, resolve
from curation.rules.gopher_quality_dclm import DCLM as QUALITY
from curation.rules.gopher_repetition_dclm import DCLM as REPETITION
from curation.text.segments import segments

PROFILES = (QUALITY, REPETITION)
STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}
PIECES = (
    *("the ", "The ", "OF ", "boat ", "sea ", "#", "…", "...", ". . .", " .", "\n- ", "\n", "\n\n", "\n\n\n"),
    *("● ", "12 ", "\u3000", "é", "a b ", "a b c d e f ", "can't ", "(a", '"b" ', "½", "\r\n", "\x1f"),
    *("\u2028", "\0"),
)
TEXT = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=40).map("".join)


def texts(*rows: str | None) -> pa.LargeStringArray:
    return pa.array(rows, pa.large_string())


def measured(profile: Profile, text: str) -> dict[str, Any]:
    """The measurements of one text; NaN, which is not measured, as None."""
    row = profile.measure(texts(text), {}).to_pylist()[0]
    return {field.name: row[field.name] for field in profile.measurements}


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def quality(text: str) -> dict[str, Any]:
    tokens = text.split()
    lines = [line for line in (line.strip() for line in text.split("\n")) if line]
    stops = [token.lower() for token in tokens if token.lower() in STOP_WORDS]
    return {
        "words": sum(word[:1].isalnum() for word in re.split("[ \t\n\v\f\r\0]", text)),
        "tokens": len(tokens),
        "mean_word_length": ratio(len("".join(tokens)), len(tokens)),
        "symbols_ratio": ratio(sum(text.count(symbol) for symbol in ("#", "...", ". . .", "…")), len(tokens)),
        "bullet_lines_ratio": ratio(sum(line.startswith(("●", "•", "*", "-")) for line in lines), len(lines)),
        "ellipsis_lines_ratio": ratio(sum(line.endswith(("...", ". . .", "…")) for line in lines), len(lines)),
        "letterless_words_ratio": ratio(
            sum(not any(character.isalpha() for character in token) for token in tokens), len(tokens)
        ),
        "stop_words": len(stops),
        "distinct_stop_words": len(set(stops)),
    }


def words_of(text: str) -> list[str]:
    """Segments that begin with a letter or a number; what a segment is, test_segments asks uniseg."""
    found, raw = segments(texts(text)), text.encode()
    cut = [raw[start:end].decode() for start, end in zip(found.starts, found.ends, strict=True)]
    return [word for word in cut if word[0].isalnum()]


def repetition(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, column, separator in (("lines", "dup_line", "\n"), ("paragraphs", "dup_para", "\n\n")):
        parts = Counter(part for part in (part.strip() for part in text.split(separator)) if part)
        found[name] = parts.total()
        found[f"{column}_frac"] = ratio(sum(n for n in parts.values() if n > 1), parts.total())
        characters = {part: len(part) * n for part, n in parts.items()}
        repeated = sum(size for part, size in characters.items() if parts[part] > 1)
        found[f"{column}_char_frac"] = ratio(repeated, sum(characters.values()))
    words = words_of(text)
    found["words"] = len(words)
    for n in range(2, 11):
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        counts = Counter(grams)
        most = max(counts.values(), default=0)
        if n < 5:
            longest = max((len("".join(gram)) for gram in grams if counts[gram] == most), default=0)
            characters = longest * most if most > 1 else 0
        else:
            covered = {i + k for i, gram in enumerate(grams) if counts[gram] > 1 for k in range(n)}
            characters = sum(len(words[i]) for i in covered)
        name = f"top_{n}_gram" if n < 5 else f"duplicated_{n}_n_grams"
        found[name] = characters / len("".join(words)) if grams else None
    return found


PLAIN = {QUALITY.name: quality, REPETITION.name: repetition}


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


@pytest.mark.parametrize("rule", [*QUALITY.rules, *REPETITION.rules], ids=lambda rule: rule.name)
def test_a_rule_alone_rejects_beyond_its_bound_and_not_on_it(rule: Any) -> None:
    profile = next(profile for profile in PROFILES if rule in profile.rules)
    off = dict.fromkeys(profile.defaults)
    line = "- so it is # of the boat that came 12…\n"
    text = texts(f"{line}- so it was\n{line}\n{line}\nof it\n\n{line}")
    value = float(profile.measure(text, off)[rule.column][0].as_py())
    beyond = value + (1e-9 if rule.bound == "min" else -1e-9)
    assert profile.measure(text, {**off, rule.name: value})["pass"].to_pylist() == [True]
    assert profile.measure(text, {**off, rule.name: beyond})["reason"].to_pylist() == [rule.reason]


def test_quality_by_hand() -> None:
    assert measured(QUALITY, '● The "boat" of\n\n  12 … (and) THE. . .\n# The ½ sea....') == {
        "words": 7,  # The of 12 THE. The ½ sea....
        "tokens": 14,
        "mean_word_length": 38 / 14,
        "symbols_ratio": 4 / 14,  # … . . . # and one of the four stops
        "bullet_lines_ratio": 1 / 3,
        "ellipsis_lines_ratio": 2 / 3,
        "letterless_words_ratio": 7 / 14,  # ● 12 … . . # ½
        "stop_words": 3,  # The of The
        "distinct_stop_words": 2,
    }


@pytest.mark.parametrize(
    ("text", "symbols"),
    [("......", 2), (".....", 1), (". . . . .", 1), (". . . . . .", 2), ("…...", 2), ("... . .", 2), ("##", 2)],
)
def test_symbols_of_one_kind_do_not_overlap_and_of_several_do(text: str, symbols: int) -> None:
    row = measured(QUALITY, text)
    assert row["symbols_ratio"] == symbols / row["tokens"]


def test_repetition_by_hand() -> None:
    row = measured(REPETITION, "The tide.\n\n\n  The tide. \n\nThe tide.\nGone")
    assert (row["lines"], row["paragraphs"]) == (4, 3)
    assert (row["dup_line_frac"], row["dup_line_char_frac"]) == (3 / 4, 27 / 31)
    assert (row["dup_para_frac"], row["dup_para_char_frac"]) == (2 / 3, 18 / 32)
    row = measured(REPETITION, "sea-boat, sea!  gulls (sea boat)\nsea")
    assert row["words"] == 7
    assert (row["top_2_gram"], row["top_3_gram"], row["top_4_gram"]) == (14 / 25, 20 / 25, 0)
    # Four times each: "i am", "ab cd", of which the longer counts.
    assert measured(REPETITION, "i am " * 4 + "so ab cd ab cd ab cd ab cd")["top_2_gram"] == 16 / 30
    # "p q r s t u" occurs twice, its 5-grams add nothing to it, and "xx" belongs to none of them.
    row = measured(REPETITION, "p q r s t u, xx: p q r s t u")
    assert (row["duplicated_5_n_grams"], row["duplicated_6_n_grams"]) == (12 / 14, 12 / 14)
    assert row["duplicated_7_n_grams"] == 0
    # Overlapping copies cover a word once.
    assert measured(REPETITION, "a b a b a b a cc")["duplicated_5_n_grams"] == 7 / 9


def test_one_line_and_few_words_repeat_nothing() -> None:
    row = measured(REPETITION, "one-line")
    assert (row["dup_line_frac"], row["dup_para_char_frac"]) == (0, 0)
    assert (row["words"], row["top_2_gram"], row["top_3_gram"]) == (2, 0, None)
    assert measured(REPETITION, "!!!")["words"] == 0


def test_paragraphs_can_be_left_out() -> None:
    text = texts(
        "The same words.\n\nThe same words.\n\nOther ones\nin two lines\nhere\nand two\nin all of it\nfor now."
    )
    lines = {rule.name: None for rule in REPETITION.rules if "para" not in rule.column}
    assert REPETITION.measure(text, lines)["reason"].to_pylist() == ["dup_para_frac"]
    skipped = {**lines, "max_dup_para_frac": None, "max_dup_para_char_frac": None}
    assert REPETITION.measure(text, skipped)["pass"].to_pylist() == [True]


def test_a_long_document_takes_no_time_for_each_word_of_each_n_gram() -> None:
    # Quadratic work on a document of this size would not end.
    row = REPETITION.measure(texts("a b " * 300_000, "a b"), {}).to_pylist()
    assert (row[0]["words"], row[0]["duplicated_10_n_grams"], row[1]["top_2_gram"]) == (600_000, 1.0, 0.0)
    assert np.isclose(row[0]["top_2_gram"], 1.0, atol=1e-5)
