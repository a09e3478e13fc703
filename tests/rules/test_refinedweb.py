"""RefinedWeb's line rules as DCLM applies them: worked by hand, and against slow and obvious ones in plain Python."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_text import pages

from curation.rules.refinedweb import COUNTED, FIELDS, clean
from curation.text.edits import apply_edits
from schemas.documents import EDITS

PIECES = (
    *("Some words here", "one", "ABC De", "12", "²", "3 likes", "1,024.5K Views!", "７ shares", "items in cart"),
    *("ITEMS İN CART", "Read more...", "read more >>", "ſıgn-in", "Sign-in", "read items in cart more..."),
    *("a b c d e f g h i j", "(", "ǅ", "Ⅷ", "Ⓐ", "½", " ", "\t", "\u3000", "\0", "\n", "\n\n", "\n\n\n\n"),
    *("\r\n", "\u2028"),
)
TEXT = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=25).map("".join)
PHRASES = {"items_in_cart": r"\s?items in cart", "read_more": r"\s?read more...$", "sign_in": r"^sign-in\s?"}
LINE_RULES = {
    "upper_case": lambda line: sum(map(str.isupper, line)) / len(line) > 0.5,
    "digits": lambda line: sum(map(str.isdigit, line)) / len(line) > 0.999999,
    "counter": lambda line: re.search(rf"^\W*\d[\d,.]*[kmb]?\s+({'|'.join(COUNTED)})\W*$", line.lower()),
    "too_few_words": lambda line: len(line.split()) < 2,
}


def words(text: str) -> int:
    return sum(word[:1].isalnum() for word in re.split("[ \t\n\v\f\r\0]", text))


def plain(text: str) -> tuple[dict[str, Any], str]:
    """What the columns ought to be, and the text that is left."""
    left = re.sub("\n\n\n+", "\n\n", text)
    row: dict[str, Any] = {
        "lines": sum(line != "" for line in text.split("\n")),
        "lines_removed_phrase": 0,
        "line_feeds_removed": len(text) - len(left),
        "words": words(text),
    }
    for rule, goes in LINE_RULES.items():
        lines = left.split("\n")
        kept = [line for line in lines if not line or not goes(line)]
        row[f"lines_removed_{rule}"] = len(lines) - len(kept)
        left = "\n".join(kept)
        if rule != "too_few_words":
            left = left.strip()
    for phrase, pattern in PHRASES.items():
        kept = []
        row[f"phrases_removed_{phrase}"] = 0
        for line in left.split("\n"):
            cut, times = re.subn(pattern, "", line, flags=re.I) if len(line.split()) <= 10 else (line, 0)
            row[f"phrases_removed_{phrase}"] += times
            if line and not cut.strip():
                row["lines_removed_phrase"] += 1
            else:
                kept.append(cut)
        left = "\n".join(kept).strip()
    before = row["words"]
    row["words_removed_ratio"] = (before - words(left)) / before if before else None
    row["reason"] = None
    if not left:
        row["reason"] = "empty"
    elif not before:
        row["reason"] = "no_words"
    elif row["words_removed_ratio"] > 0.05:
        row["reason"] = "words_removed"
    row["pass"] = row["reason"] is None
    return row, left


def texts(*rows: str | None) -> pa.LargeStringArray:
    return pa.array(rows, pa.large_string())


def cleaned(*rows: str) -> list[tuple[dict[str, Any], str]]:
    """The columns of each text, without its edits, and the edited text."""
    batch = clean(texts(*rows))
    left = apply_edits(texts(*rows), batch["edits"])
    left.validate(full=True)
    return list(zip(batch.drop_columns("edits").to_pylist(), left.to_pylist(), strict=True))


def left(text: str) -> str:
    return cleaned(text)[0][1]


@settings(deadline=None, max_examples=300)  # the first example compiles
@given(st.lists(TEXT, max_size=4))
def test_columns_and_text_are_those_of_the_plain_rules_whatever_the_text(rows: list[str]) -> None:
    assert cleaned(*rows) == [plain(text) for text in rows]


def test_columns_and_text_are_those_of_the_plain_rules_on_pages() -> None:
    rows = [*pages(), "Subscribe to our newsletter!\nSign in\n12 likes\nShare this\nA line of words that stays."]
    found = cleaned(*rows)
    assert found == [plain(text) for text in rows]
    assert {row["reason"] for row, _ in found} >= {None, "words_removed"}


@settings(deadline=None)
@given(st.lists(TEXT, max_size=4), st.randoms(use_true_random=False))
def test_a_document_is_edited_alike_wherever_it_stands(rows: list[str], random: Any) -> None:
    alone = [clean(texts(text)).to_pylist()[0] for text in rows]
    order = list(range(len(rows)))
    random.shuffle(order)
    among = texts("x\ny z", *(rows[i] for i in order), "more of it")[1:-1]
    assert clean(among).to_pylist() == [alone[i] for i in order]


def test_columns_are_those_declared_and_the_edits() -> None:
    assert clean(texts("a b", None)).schema == pa.schema([*FIELDS, pa.field("edits", EDITS)])
    assert clean(texts()).num_rows == 0


def test_by_hand() -> None:
    text = (
        "\nHOME AND Away\n\n\n\nThe first boats leave before light.\n2024\n  3 Likes!\nMenu\n"
        "Nets are mended, dry Read more...\nSign-in to see the sails\n4 items in cart\n"
    )
    row, rest = cleaned(text)[0]
    assert rest == "\nThe first boats leave before light.\nNets are mended, dry\nto see the sails\n4".strip()
    assert row == {
        "pass": False,
        "reason": "words_removed",
        "lines": 8,
        "lines_removed_upper_case": 1,
        "lines_removed_digits": 1,
        "lines_removed_counter": 1,
        "lines_removed_too_few_words": 1,
        "lines_removed_phrase": 0,
        "phrases_removed_items_in_cart": 1,
        "phrases_removed_read_more": 1,
        "phrases_removed_sign_in": 1,
        "line_feeds_removed": 2,
        "words": 28,
        "words_removed_ratio": 13 / 28,
    }


def test_a_text_that_needs_nothing_gets_no_edits() -> None:
    assert clean(texts("The first boats leave\n\nbefore light."))["edits"].to_pylist() == [[]]


@pytest.mark.parametrize(
    ("line", "stays"),
    [
        ("AB cd", True),  # two of five
        ("ABC d", False),
        ("AB c", True),  # half of it
        ("ÄÖ \u2160 \u24b6", False),  # Roman numerals and circled letters are upper case
        ("1234567", False),
        ("123 4567", True),
        ("1²③", False),
        ("1½", False),  # no digit, but one word
        ("1.5k views", False),
        ("1.5 k views", True),
        ("12 likes and shares", True),
        ("-- 3 FoLLowers --", False),
        ("3likes too", True),
        ("٣ likes", False),
        ("3 boo\u212amarks", False),
        ("3 lİkes", True),
        ("word", False),
        ("two words", True),
    ],
)
def test_lines_go_or_stay(line: str, stays: bool) -> None:
    kept = f"{line}\n" if stays else ""
    assert left(f"Some words.\n{line}\nMore words.") == f"Some words.\n{kept}More words."


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("You have 2 Items in Cart now", "You have 2 now"),
        ("one, items in cart items in cart!", "one,!"),
        ("and now Read more...", "and now"),
        ("and now read more >>", "and now"),  # DCLM's stops are any three characters
        ("and now Read more", "and now Read more"),
        ("read more... and now", "read more... and now"),
        ("Sign-in to it", "to it"),
        ("to Sign-in it", "to Sign-in it"),
        ("ſıgn-İN to it", "to it"),  # as re.IGNORECASE has it
        ("read items in cart more...", None),
        ("a b c d e f g items in cart", "a b c d e f g"),
        ("a b c d e f g h items in cart", "a b c d e f g h items in cart"),
    ],
)
def test_phrases_are_cut_from_short_lines(line: str, rest: str | None) -> None:
    kept = "" if rest is None else f"{rest}\n"
    assert left(f"Some words.\n{line}\nMore words.") == f"Some words.\n{kept}More words."


def test_each_step_sees_what_the_step_before_left() -> None:
    # Stripped after the first step, the line is all digits in the second.
    assert left("  123\nSome words.") == "Some words."
    # What only the removal brings together stays: line feeds are capped first.
    assert left("Some words.\n\nX\n\nMore words.") == "Some words.\n\n\nMore words."


@pytest.mark.parametrize(("words", "reason"), [(20, None), (19, "words_removed")])
def test_a_document_may_lose_one_word_of_twenty(words: int, reason: str | None) -> None:
    row, _ = cleaned("gone\n" + "word " * (words - 1))[0]
    assert (row["words"], row["reason"]) == (words, reason)


def test_a_document_of_which_nothing_is_left_fails() -> None:
    found = cleaned("", " \n\n ", "HOME", "--- !!", "\n\n\n\n")
    assert [row["reason"] for row, _ in found] == ["empty", "empty", "empty", "no_words", "empty"]
    assert [rest for _, rest in found] == ["", "", "", "--- !!", ""]
    assert [row["words_removed_ratio"] for row, _ in found] == [None, None, 1, None, None]
