"""NeMo Curator's filters against values worked by hand, and against a plain-Python reference."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_text import pages

from curation.rules import resolve
from curation.rules.nemo_curator import BULLETS, COMMON_WORDS, ELLIPSES, NEMO_CURATOR, POLICIES
from curation.rules.profile import Rule
from curation.scorers.base import Context
from curation.scorers.rules import Rules

PROSE = (
    "The harbour lies open to the north, and the boats that come in at night have to be brought round with care.\n\n"
    "Nobody in the town remembers who built the wall, and the water stands a foot above the quay in winter.\n\n"
    "When spring comes the first boats leave before light, with all of the nets mended and dry."
)
PIECES = [
    *("a ", "b ", "a b", "the ", "of ", "ab", " ", "  ", "\n", "\n\n", "\n\n\n", "\r\n", "\x1c", "\u2028", "\x85"),
    *("#", "##", "# a#", "...", "…", "[...] ", "-»\n", "read more\n", "Read More..", "• ", "● x\n", ". ", '"\n', "?"),
    *("http://", "https://a.b/porn ", "httpss://x", "http://é", "x%2Fy", "%2", "http://%zz", ":", "://", "(", "⟩", "{"),
    *("Terms of Use", "use cooKies", "uses cookies", "prİvacy policy", "PRIVACY & COOKIES POLICY", "lorem ipsum"),
    *("<?xml version=", "1", "٣", "é", "ж", "Ⅳ", "ａ", "\x00", "\b", "\t", "x" * 40),
]
TEXT = st.lists(
    st.sampled_from(PIECES) | st.text(st.characters(exclude_categories=("Cs", "Mn", "Mc", "So")), max_size=4),
    max_size=40,
).map("".join)


def texts(*rows: str | None) -> pa.LargeStringArray:
    return pa.array(rows, pa.large_string())


def one(text: str) -> dict[str, object]:
    row: dict[str, object] = NEMO_CURATOR.measure(texts(text), {}).to_pylist()[0]
    return row


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def is_letter(character: str) -> bool:
    """Alphabetic, but for the marks and circled letters that TEXT leaves out."""
    return character.isalpha() or unicodedata.category(character) == "Nl"


def shared(kinds: list[str]) -> tuple[float | None, float | None]:
    """Of lines or paragraphs: the share of different ones, by number and by characters."""
    return ratio(len(set(kinds)), len(kinds)), ratio(sum(map(len, set(kinds))), sum(map(len, kinds)))


def top_gram(text: str, words: list[str], n: int) -> float | None:
    grams = [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
    if not grams:
        return None
    gram = max(dict.fromkeys(grams), key=Counter(grams).__getitem__)
    return text.count(gram) * len(gram) / len(text)


def duplicate_grams(text: str, words: list[str], n: int) -> float | None:
    """The later occurrences as runs of words: those that overlap are one run."""
    if len(words) < n:
        return None
    seen, runs = set(), []
    for i in range(len(words) - n + 1):
        gram = tuple(words[i : i + n])
        if gram in seen and runs and i < runs[-1][1]:
            runs[-1][1] = i + n
        elif gram in seen:
            runs.append([i, i + n])
        seen.add(gram)
    return sum(len(" ".join(words[start:end])) for start, end in runs) / len(text)


def plain(text: str) -> dict[str, float | None]:
    """What NEMO_CURATOR measures, in plain Python."""
    words = text.split()
    lines = [line for line in text.split("\n") if line.strip()]
    stripped = [line.strip() for line in lines]
    paragraphs = text.split("\n\n")
    lowered = [paragraph.lower() for paragraph in paragraphs]
    urls = re.findall(r"https?://(?:[A-Za-z0-9$\-_@.&+/:=?#~!*(),]|%[0-9A-Fa-f]{2})+", text)
    boilerplate = sum(any(policy in paragraph for policy in POLICIES) for paragraph in lowered)
    if any("lorem ipsum" in paragraph for paragraph in lowered):
        boilerplate = len(paragraphs)
    symbols = sum(word in ELLIPSES or 2 * len(re.findall("#+", word)) > len(word) for word in words)
    lines_ratio, line_characters_ratio = shared(lines)
    paragraphs_ratio, paragraph_characters_ratio = shared(paragraphs)
    size = len(text)
    return {
        "non_alpha_numeric_ratio": ratio(len(re.findall(r"[^a-zA-Z0-9\n?!,.]", text)), size),
        "symbol_words_ratio": ratio(symbols, len(words)),
        "digits_ratio": ratio(len(re.findall("[0-9]", text)), size),
        "urls_ratio": ratio(sum(map(len, urls)), size),
        "white_space_ratio": ratio(len(re.findall("[\t\n\r\b ]", text)), size),
        "parentheses_ratio": ratio(len(re.findall(r"[][{}()⟨⟩]", text)), size),
        "boilerplate_paragraphs_ratio": boilerplate / len(paragraphs),
        "unique_lines_ratio": lines_ratio,
        "unique_paragraphs_ratio": paragraphs_ratio,
        "unique_lines_characters_ratio": line_characters_ratio,
        "unique_paragraphs_characters_ratio": paragraph_characters_ratio,
        "words": len(words),
        "unended_lines_ratio": ratio(sum(line[-1] not in ".?!\"'" for line in stripped), len(lines)),
        "alpha_words_ratio": ratio(sum(any(map(is_letter, word)) for word in words), len(words)),
        "common_words": sum(word in COMMON_WORDS for word in words),
        "mean_word_length": ratio(sum(map(len, words)), len(words)),
        "longest_word": max(map(len, words), default=0),
        "ellipsis_lines_ratio": ratio(sum(line.lower().endswith(ELLIPSES) for line in stripped), len(lines)),
        **{f"top_{n}_gram_ratio": top_gram(text, words, n) for n in (2, 3, 4)},
        **{f"duplicate_{n}_grams_ratio": duplicate_grams(text, words, n) for n in range(5, 11)},
        "bullet_lines_ratio": ratio(sum(line[0] in BULLETS for line in stripped), len(lines)),
        "alpha_ratio": ratio(sum(map(is_letter, text)), size),
        "xml_headers": int("<?xml version=" in text[:100]),
        "pornographic_urls": sum("porn" in url for url in urls),
    }


def test_prose_passes() -> None:
    row = one(PROSE)
    assert (row["pass"], row["reason"], row["words"], row["common_words"]) == (True, None, 59, 19)
    assert list(row) == [field.name for field in NEMO_CURATOR.fields]


def test_characters_by_hand() -> None:
    row = one("ab 1 (⟨é٣\t\x0b")
    # ten characters more than none of [a-zA-Z0-9\n?!,.]: space, space, (, ⟨, é, ٣, tab, vertical tab
    assert row["non_alpha_numeric_ratio"] == 8 / 11
    assert row["digits_ratio"] == 1 / 11
    assert row["white_space_ratio"] == 3 / 11
    assert row["parentheses_ratio"] == 2 / 11
    assert row["alpha_ratio"] == 3 / 11


def test_unicode_alphabetic_is_more_than_letters() -> None:
    # two letters, a vowel sign, a virama (which is none), a circled letter, a Roman numeral
    assert one("कषि\u094dⓐⅣ")["alpha_ratio"] == 5 / 6
    assert one("ि ⓐ \u094d")["alpha_words_ratio"] == 2 / 3


def test_words_by_hand() -> None:
    row = one("# ## #a# #a … [...] read of OF 12")
    assert row["symbol_words_ratio"] == 4 / 10  # of "##" and "#a" half is a run of hashes, not more
    assert row["common_words"] == 1
    assert row["alpha_words_ratio"] == 5 / 10
    assert (row["longest_word"], row["mean_word_length"]) == (5, 24 / 10)


def test_lines_and_paragraphs_by_hand() -> None:
    row = one("• one.\n \n• one.\ntwo\nREAD MORE\n\n\n\n")
    assert row["bullet_lines_ratio"] == 2 / 4
    assert row["unended_lines_ratio"] == 2 / 4
    assert row["ellipsis_lines_ratio"] == 1 / 4
    assert row["unique_lines_ratio"] == 3 / 4
    assert row["unique_lines_characters_ratio"] == 18 / 24
    assert row["unique_paragraphs_ratio"] == 2 / 3  # the text and twice nothing
    assert row["unique_paragraphs_characters_ratio"] == 1


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "nothing of it\n\nnor here"),
        (1 / 2, "our Privacy\u0020Policy\n\nand more"),
        (1 / 3, "a\n\nTHIS SITE USES COOKIES\n\nc"),
        (1 / 2, "we use cooKies\n\nK is the Kelvin sign"),
        (0, "prİvacy policy"),
        (1, "a\n\nb Lorem Ipsum\n\nc"),
        (1, POLICIES[-1].upper()),
        (0, "privacy\n\npolicy"),
    ],
)
def test_boilerplate(share: float, text: str) -> None:
    assert one(text)["boilerplate_paragraphs_ratio"] == share


@pytest.mark.parametrize(
    ("url", "before", "after"),
    [
        ("http://a.b/c?d=e&f#g", "see ", "> there"),
        ("https://x.org/%2F", "(", "%2"),
        ("http://a_http://b", "xhttps:// ", "é"),
        ("", "http:// https:/a ttp://a ftp://a httpss://a ", ""),
    ],
)
def test_urls(url: str, before: str, after: str) -> None:
    assert one(before + url + after)["urls_ratio"] == len(url) / len(before + url + after)


def test_pornographic_urls_and_xml_headers_are_counted_and_their_rules_off() -> None:
    text = "<?xml version=1?> http://porn.example https://example/porn http://example porn"
    row = one(text)
    assert (row["pornographic_urls"], row["xml_headers"]) == (2, 1)
    assert one("é" * 86 + text)["xml_headers"] == 1
    assert one("é" * 87 + text)["xml_headers"] == 0
    off = dict.fromkeys(NEMO_CURATOR.defaults)
    assert NEMO_CURATOR.measure(texts(text), off)["pass"].to_pylist() == [True]
    for name, reason in (
        ("max_pornographic_urls", "pornographic_urls_filter"),
        ("max_xml_headers", "xml_header_filter"),
    ):
        assert NEMO_CURATOR.measure(texts(text), {**off, name: 0})["reason"].to_pylist() == [reason]


def test_top_gram_is_looked_for_in_the_text_and_the_first_of_several() -> None:
    assert one("a b a b ca bc x y x y")["top_2_gram_ratio"] == 3 * 3 / 21  # "a b" twice, and within "ca bc"
    assert one("a b\na\nb")["top_2_gram_ratio"] == 3 / 7  # "a b" twice as words, once in the text
    assert one("a a a a")["top_2_gram_ratio"] == 6 / 7  # "a a" and "a a", not three of them
    assert one("p q r s")["top_3_gram_ratio"] == 5 / 7
    assert one("p q r")["top_4_gram_ratio"] is None


def test_duplicate_grams_are_counted_once_where_they_overlap() -> None:
    twice = "a b c d e f"
    row = one(f"{twice} {twice}")
    assert row["duplicate_5_grams_ratio"] == row["duplicate_6_grams_ratio"] == 11 / 23
    assert row["duplicate_7_grams_ratio"] == 0
    assert one(f"{twice}")["duplicate_7_grams_ratio"] is None


def test_long_words_that_agree_in_part_are_no_repetition() -> None:
    words = [f"{'x' * 30}{i}" for i in range(10)]
    assert one(" ".join(words))["duplicate_5_grams_ratio"] == 0
    assert one(" ".join([*words, *words]))["duplicate_10_grams_ratio"] == (319) / 639


def test_text_without_a_word_is_too_short_whatever_rules_are_on() -> None:
    judged = NEMO_CURATOR.measure(texts("", " \n\n ", None), dict.fromkeys(NEMO_CURATOR.defaults))
    assert judged["reason"].to_pylist() == ["word_count_filter"] * 3
    assert judged["mean_word_length"].null_count == judged["unique_lines_ratio"].null_count == 3


def test_the_rules_are_those_of_the_english_recipe() -> None:
    on = [rule for rule in NEMO_CURATOR.rules if rule.default is not None]
    assert len(dict.fromkeys(rule.reason for rule in on)) == 28
    assert [rule.reason for rule in NEMO_CURATOR.rules if rule.default is None] == [
        "alpha_filter",
        "xml_header_filter",
        "pornographic_urls_filter",
    ]
    assert {rule.paper for rule in NEMO_CURATOR.rules} == {"NeMo Curator 1.4.0"}


@pytest.mark.parametrize("rule", NEMO_CURATOR.rules, ids=[rule.name for rule in NEMO_CURATOR.rules])
def test_a_rule_alone_rejects_beyond_its_bound_and_not_on_it(rule: Rule) -> None:
    off = dict.fromkeys(NEMO_CURATOR.defaults)
    text = texts(f"{PROSE}\n\n{PROSE}\n• # 12… (http://porn.example) read more\n\nterms of use")
    value = float(NEMO_CURATOR.measure(text, off)[rule.column][0].as_py())
    beyond = math.nextafter(value, math.inf if rule.bound == "min" else -math.inf)
    assert NEMO_CURATOR.measure(text, {**off, rule.name: value})["pass"].to_pylist() == [True]
    assert NEMO_CURATOR.measure(text, {**off, rule.name: beyond})["reason"].to_pylist() == [rule.reason]


@settings(deadline=None, max_examples=300)
@given(TEXT)
def test_measurements_are_those_of_the_reference(text: str) -> None:
    row = one(text)
    assert {name: row[name] for name in plain(text)} == plain(text)


def test_measurements_of_pages_are_those_of_the_reference() -> None:
    exact = ("alpha_ratio", "alpha_words_ratio")  # marks are letters to some scripts
    for page, row in zip(pages(), NEMO_CURATOR.measure(texts(*pages()), {}).to_pylist(), strict=True):
        expected = plain(page)
        assert {name: row[name] for name in expected if name not in exact} == {
            name: value for name, value in expected.items() if name not in exact
        }
        assert row["alpha_ratio"] == pytest.approx(expected["alpha_ratio"], abs=0.01)


@settings(deadline=None)
@given(st.lists(TEXT, max_size=4), st.randoms(use_true_random=False))
def test_a_document_is_judged_alike_wherever_it_stands(rows: list[str], random: object) -> None:
    alone = [one(text) for text in rows]
    order = list(range(len(rows)))
    random.shuffle(order)  # type: ignore[attr-defined]
    among = texts("x " * 50, *(rows[i] for i in order), "b")[1:-1]
    assert NEMO_CURATOR.measure(among, {}).to_pylist() == [alone[i] for i in order]


def test_the_last_word_of_a_block_is_known_again() -> None:
    assert one("end of end of")["top_2_gram_ratio"] == 12 / 13


def test_no_documents_have_no_verdicts() -> None:
    assert NEMO_CURATOR.measure(texts(), {}).num_rows == 0


def test_the_scorer_finds_it_by_name() -> None:
    assert resolve("nemo-curator") is NEMO_CURATOR
    rules = Rules(Rules.Settings(profile="nemo-curator", thresholds={"min_alpha_ratio": 0.25}), Context(Path()))
    assert rules.score(pa.record_batch({"text": texts(PROSE)})).schema == pa.schema(rules.fields)
