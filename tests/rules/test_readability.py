"""Readability formulas against values worked by hand, and their counts against a plain-Python reference."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_text import pages

from curation.rules import resolve
from curation.rules.readability import ABBREVIATIONS, PATTERNS, READABILITY, measure
from curation.scorers.base import Context
from curation.scorers.rules import Rules

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
COUNTS = ("words", "sentences", "syllables", "characters", "polysyllables")
VOWELS, CONSONANTS = "aeiouy", "bcdfghjklmnpqrstvwxz"
CLASSES = {"V": VOWELS, "U": "aeiou", "C": CONSONANTS, "L": CONSONANTS.replace("l", "").replace("r", "")}
ADDED: dict[str, int] = {}
for number, patterns in PATTERNS:
    for pattern in patterns.split():
        for letters in product(*(CLASSES.get(place, place) for place in pattern)):
            ADDED["".join(letters)] = ADDED.get("".join(letters), 0) + number
LONGEST = max(map(len, ADDED))

TEXT = st.lists(
    st.sampled_from(
        ["Dr. ", "e.g. ", "J. ", "1. ", "cat", "The ", "the ", ". ", "?", '!" ', "…", "\n", "\n\n", " - ", "’s "]
    )
    | st.sampled_from(
        ["table", "created", "TV", "5th", "élite", "Straße", "ж", "don't ", "co-op", "ſ", "(", ".) ", "²"]
    )
    | st.text(max_size=5),
    max_size=30,
).map("".join)


def texts(*rows: str | None) -> pa.LargeStringArray:
    return pa.array(rows, pa.large_string())


def one(text: str) -> dict[str, object]:
    row: dict[str, object] = READABILITY.measure(texts(text), {}).to_pylist()[0]
    return row


def syllables(word: str) -> int:
    """Of lower-case ASCII letters: the sum of all patterns that occur, or of letters where there is no vowel."""
    if not set(word) & set(VOWELS):
        return sum(3 if letter == "w" else 1 for letter in word)
    framed = f".{word}."
    found = (framed[i:j] for i in range(len(framed)) for j in range(i + 1, min(len(framed), i + LONGEST) + 1))
    return max(1, sum(ADDED.get(piece, 0) for piece in found))


def plain(text: str) -> dict[str, int]:
    """What READABILITY counts of an ASCII text, with regular expressions."""
    count = dict.fromkeys(COUNTS, 0)
    for paragraph in re.split(r"\s*\n\s*\n\s*", text):
        length, ended = 0, False
        for word in paragraph.split():
            characters = re.sub(r"[^A-Za-z0-9]", "", word)
            if characters:
                count["sentences"] += ended and length > 0 and not characters[0].islower()
                length = 0 if ended and not characters[0].islower() else length
                ended = False
                parts = re.finditer(r"([0-9]?)([a-z]+)", word.lower().replace("'", ""))
                spoken = [
                    0 if digit and not set(part) & set(VOWELS) else syllables(part)
                    for digit, part in (part.groups() for part in parts)
                ]
                total = max(1, sum(spoken) + sum(character.isdigit() for character in characters))
                length += 1
                count["words"] += 1
                count["characters"] += len(characters)
                count["syllables"] += total
                count["polysyllables"] += total >= 3
            bare = re.sub(r"['\"\])}*_]+$", "", word)
            stopped = bare[-1:] in (".", "!", "?") and bool(bare)
            if bare.endswith("."):
                abbreviated = re.search(r"(?:^|[.(\[-])([A-Za-z]+)\.$", bare)
                titled = abbreviated is not None and (
                    len(abbreviated[1]) == 1 or abbreviated[1].lower() in ABBREVIATIONS
                )
                stopped = not titled
            numbered = length == 1 and characters.isdigit()
            ended = ended or (stopped and not numbered)
        count["sentences"] += length > 0
    return count


def test_the_cat_sat_on_the_mat() -> None:
    row = one("The cat sat on the mat.")
    assert [row[name] for name in COUNTS] == [6, 1, 6, 17, 0]
    assert row["flesch_reading_ease"] == pytest.approx(206.835 - 1.015 * 6 - 84.6)
    assert row["flesch_kincaid_grade"] == pytest.approx(0.39 * 6 + 11.8 - 15.59)
    assert row["ari"] == pytest.approx(4.71 * 17 / 6 + 3 - 21.43)
    assert row["smog"] == pytest.approx(3.1291)
    assert (row["pass"], row["reason"]) == (True, None)


def test_longer_words_and_two_sentences() -> None:
    # con-sid-er-a-tion, gov-ern-ment, re-quires, at-ten-tion; it, is, nec-es-sar-y
    row = one("Consideration government requires attention. It is necessary!")
    assert [row[name] for name in COUNTS] == [7, 2, 5 + 3 + 2 + 3 + 1 + 1 + 4, 13 + 10 + 8 + 9 + 2 + 2 + 9, 4]
    assert row["smog"] == pytest.approx(1.0430 * 60**0.5 + 3.1291)
    assert row["words_per_sentence"] == 3.5
    assert row["syllables_per_word"] == pytest.approx(19 / 7)
    assert row["flesch_reading_ease"] == pytest.approx(206.835 - 1.015 * 3.5 - 84.6 * 19 / 7)


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (1, "a the made makes asked played tied eyes league where through friend don't you're there's breathed judge"),
        (2, "table tables handled wanted boxes people being science poem doesn't safety ocean prism café élite lawyer"),
        (2, "movement hopeful homeless likely player quiet going someone George's seeing flying nation special union"),
        (3, "idea area museum everyone usual radio created imagine media syllable completely everything"),
        (4, "January society experience European variety generation well-intended algorithm"),
        (5, "association university creativity"),
    ],
)
def test_syllables(expected: int, words: str) -> None:
    counted = measure(texts(*words.split()))["syllables"].tolist()
    assert dict(zip(words.split(), counted, strict=True)) == dict.fromkeys(words.split(), expected)


def test_what_is_no_english_word_has_syllables_too() -> None:
    rows = measure(
        texts(
            "TV",
            "BBC",
            "www",
            "5th",
            "1918",
            "Straße",
            "собака",
            "東京",
            "mp3",
            "R&B",
            "cafe\u0301",
            "syl\u00adla\u00adble",
        )
    )
    assert rows["syllables"].tolist() == [2, 3, 9, 1, 4, 2, 1, 1, 3, 2, 1, 3]


@pytest.mark.parametrize(
    ("sentences", "text"),
    [
        (1, "No stop at all"),
        (2, "One here. Two there."),
        (1, "Dr. Smith met J. K. Rowling, i.e. the author, in the U.S. Senate (cf. Prof. Jones)."),
        (1, '"Why?" he asked.'),
        (2, 'He asked: "Why?" She knew.'),
        (2, "He left (at last.) She stayed."),
        (1, "Wait... what was that"),
        (2, "Wait… What was that?!"),
        (2, "A heading\n\nand its text, wrapped\nonce."),
        (2, "1. First things first. 2. Then the rest."),
        (2, "It was 1918. The war ended."),
        (2, "Stop ! Go ."),
        (2, "So it is. — And so it was."),
        (0, "... — !"),
    ],
)
def test_sentences(sentences: int, text: str) -> None:
    assert one(text)["sentences"] == sentences


def test_text_without_a_word_is_not_measured() -> None:
    judged = READABILITY.measure(texts("", " \n\n ", "— …", None), {})
    assert judged["reason"].to_pylist() == ["no_words"] * 4
    for name in ("flesch_reading_ease", "flesch_kincaid_grade", "ari", "smog"):
        assert judged[name].null_count == 4


def test_every_rule_is_off_until_it_is_given_a_bound() -> None:
    text = texts("Consideration government requires attention.")
    assert set(READABILITY.defaults.values()) == {None}
    assert READABILITY.measure(text, {})["pass"].to_pylist() == [True]
    assert READABILITY.measure(text, {"max_ari": 12})["reason"].to_pylist() == ["high_ari"]
    assert READABILITY.measure(text, {"min_flesch_reading_ease": 30})["reason"].to_pylist() == [
        "low_flesch_reading_ease"
    ]


@settings(deadline=None, max_examples=200)
@given(TEXT.filter(str.isascii))
def test_counts_are_those_of_the_reference(text: str) -> None:
    row = one(text)
    assert {name: row[name] for name in COUNTS} == plain(text)


def test_counts_of_pages_are_those_of_the_reference() -> None:
    ascii_pages = [page for page in pages() if page.isascii()]
    rows = measure(texts(*ascii_pages))
    for number, page in enumerate(ascii_pages):
        assert {name: rows[name][number] for name in COUNTS} == plain(page), number


@settings(deadline=None)
@given(st.lists(TEXT, max_size=4), st.randoms(use_true_random=False))
def test_a_document_is_measured_alike_wherever_it_stands(rows: list[str], random: object) -> None:
    alone = [one(text) for text in rows]
    order = list(range(len(rows)))
    random.shuffle(order)  # type: ignore[attr-defined]
    among = texts("x.", *(rows[i] for i in order), "y")[1:-1]
    assert READABILITY.measure(among, {}).to_pylist() == [alone[i] for i in order]


@pytest.mark.parametrize("name", ["flesch_reading_ease", "flesch_kincaid_grade", "ari", "smog"])
def test_three_levels_of_one_article_come_in_order(name: str) -> None:
    path = SHARED / "onestop_english.parquet"
    if not path.exists():
        pytest.skip(f"{path} is not here: the data sets are not shipped")
    table = pq.read_table(path, columns=["article", "level", "text"])
    scores = measure(table["text"].combine_chunks().cast(pa.large_string()))[name]
    articles: dict[str, dict[str, float]] = {}
    for article, level, score in zip(table["article"].to_pylist(), table["level"].to_pylist(), scores, strict=True):
        articles.setdefault(article, {}).setdefault(level, -score if name == "flesch_reading_ease" else score)
    ordered = [level["Ele-Txt"] < level["Int-Txt"] < level["Adv-Txt"] for level in articles.values()]
    assert len(ordered) == 189
    assert np.mean(ordered) > 0.94


def test_the_scorer_finds_it_by_name() -> None:
    assert resolve("readability") is READABILITY
    rules = Rules(Rules.Settings(profile="readability", thresholds={"max_ari": 12}), Context(Path()))
    assert rules.score(pa.record_batch({"text": texts("A cat.")})).schema == pa.schema(rules.fields)
