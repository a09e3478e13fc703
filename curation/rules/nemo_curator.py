r"""NeMo Curator's heuristic filters (NVIDIA, Apache-2.0), as version 1.4.0 defines them.

Words are those of str.split, lines those of str.split("\n") with more than white space in them, paragraphs those of
str.split("\n\n"), empty ones included; everything is counted in characters. The default rules are the shipped English
recipe (config/text/heuristic_filter_english_pipeline.yaml), in its order and with its thresholds; a reason is the name
of NeMo's class, and the n where it has one. Three filters outside that recipe are measured too, and off by default;
NeMo's own thresholds for them are `min_alpha_ratio: 0.25`, `max_xml_headers: 0` and `max_pornographic_urls: 0`.

Where NeMo divides by zero, or answers 1.0 so as to reject, there is no measurement here: nothing can be said of the
4-grams of three words. Among the n-grams that are most frequent, the first in the text is the top one; NeMo's choice
among them changes from process to process.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.rules.c4 import strip
from curation.rules.profile import Profile, Rule
from curation.text.analysis import analyse
from curation.text.characters import CATEGORIES, CATEGORY, SIZE, classes, decode, lower
from curation.text.compiling import njit, njit_inline
from curation.text.hashing import mix64, read64, xxh64
from curation.text.spaced import spaced

_SOURCE = "NeMo Curator 1.4.0"
TOP = (2, 3, 4)
"""Sizes of the n-grams of which the most frequent one is measured."""
DUPLICATE = (5, 6, 7, 8, 9, 10)
"""Sizes of the n-grams whose repetitions are measured."""

END_MARKS = ".?!\"'"
ELLIPSES = ("...", "[...]", "…", "(...)", "[…]", "-»", "read more..", "read more")
BULLETS = "•‣⁃⁌⁍∙○●◘◦⦾⦿"
COMMON_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Case-sensitive; each occurrence counts."""
LOREM_IPSUM = "lorem ipsum"
"""In any paragraph, it makes all of them boilerplate."""
POLICIES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "privacy overview",
    "use of cookies",
    "use cookies",
    "privacy & cookies policy",
    "privacy and cookies policy",
    "necessary cookies are absolutely essential for the website to function properly. this category only includes "
    "cookies that ensures basic functionalities and security features of the website. these cookies do not store any "
    "personal information.",
    "any cookies that may not be particularly necessary for the website to function and is used specifically to "
    "collect user personal data via analytics, ads, other embedded contents are termed as non-necessary cookies. it "
    "is mandatory to procure user consent prior to running these cookies on your website.",
    "if you continue to browse this site without changing your cookie settings, you agree to this use. acceptread more",
)
"""What makes a paragraph boilerplate, in lower case; NeMo's list without the two that hold a shorter one of it."""

# Unicode's Other_Alphabetic, which joins letters and letter numbers in [[:alpha:]]: as the regex package 2026.11 has it
_OTHER_ALPHABETIC = """
345 363-36f 5b0-5bd 5bf 5c1-5c2 5c4-5c5 5c7 610-61a 64b-657 659-65f 670 6d6-6dc 6e1-6e4 6e7-6e8 6ed 711 730-73f 7a6-7b0
816-817 81b-823 825-827 829-82c 8d4-8df 8e3-8e9 8f0-903 93a-93b 93e-94c 94e-94f 955-957 962-963 981-983 9be-9c4 9c7-9c8
9cb-9cc 9d7 9e2-9e3 a01-a03 a3e-a42 a47-a48 a4b-a4c a51 a70-a71 a75 a81-a83 abe-ac5 ac7-ac9 acb-acc ae2-ae3 afa-afc
b01-b03 b3e-b44 b47-b48 b4b-b4c b56-b57 b62-b63 b82 bbe-bc2 bc6-bc8 bca-bcc bd7 c00-c04 c3e-c44 c46-c48 c4a-c4c c55-c56
c62-c63 c81-c83 cbe-cc4 cc6-cc8 cca-ccc cd5-cd6 ce2-ce3 d00-d03 d3e-d44 d46-d48 d4a-d4c d57 d62-d63 d81-d83 dcf-dd4 dd6
dd8-ddf df2-df3 e31 e34-e3a e4d eb1 eb4-eb9 ebb-ebc ecd f71-f83 f8d-f97 f99-fbc 102b-1036 1038 103b-103e 1056-1059
105e-1060 1062-1064 1067-106d 1071-1074 1082-108d 108f 109a-109d 1712-1713 1732-1733 1752-1753 1772-1773 17b6-17c8
1885-1886 18a9 1920-192b 1930-1938 1a17-1a1b 1a55-1a5e 1a61-1a74 1abf-1ac0 1acc-1ace 1b00-1b04 1b35-1b43 1b80-1b82
1ba1-1ba9 1bac-1bad 1be7-1bf1 1c24-1c36 1dd3-1df4 24b6-24e9 2de0-2dff a674-a67b a69e-a69f a802 a80b a823-a827 a880-a881
a8b4-a8c3 a8c5 a8ff a926-a92a a947-a952 a980-a983 a9b4-a9bf a9e5 aa29-aa36 aa43 aa4c-aa4d aa7b-aa7d aab0 aab2-aab4
aab7-aab8 aabe aaeb-aaef aaf5 abe3-abea fb1e 10376-1037a 10a01-10a03 10a05-10a06 10a0c-10a0f 10d24-10d27 10eab-10eac
11000-11002 11038-11045 11073-11074 11080-11082 110b0-110b8 110c2 11100-11102 11127-11132 11145-11146 11180-11182
111b3-111bf 111ce-111cf 1122c-11234 11237 1123e 112df-112e8 11300-11303 1133e-11344 11347-11348 1134b-1134c 11357
11362-11363 11435-11441 11443-11445 114b0-114c1 115af-115b5 115b8-115be 115dc-115dd 11630-1163e 11640 116ab-116b5
1171d-1172a 1182c-11838 11930-11935 11937-11938 1193b-1193c 11940 11942 119d1-119d7 119da-119df 119e4 11a01-11a0a
11a35-11a39 11a3b-11a3e 11a51-11a5b 11a8a-11a97 11c2f-11c36 11c38-11c3e 11c92-11ca7 11ca9-11cb6 11d31-11d36 11d3a
11d3c-11d3d 11d3f-11d41 11d43 11d47 11d8a-11d8e 11d90-11d91 11d93-11d96 11ef3-11ef6 16f4f 16f51-16f87 16f8f-16f92
16ff0-16ff1 1bc9e 1e000-1e006 1e008-1e018 1e01b-1e021 1e023-1e024 1e026-1e02a 1e947 1f130-1f149 1f150-1f169 1f170-1f189
"""

# What an ASCII byte is; _BRACKET, _LETTER and _BULLET are what a character is.
_PLAIN = 1  # one of [a-zA-Z0-9\n?!,.], all that NonAlphaNumericFilter lets pass
_DIGIT = 2
_WHITE = 4
_BRACKET = 8
_LETTER = 16
_HEX = 32
_URL = 64
_BULLET = 128
# What a word is, beside _LETTER.
_SYMBOL = 1
_COMMON = 2

OPENING = 3
"""Letters by which phrases are spotted (Shift-And: Baeza-Yates and Gonnet 1992); no k, which has a third case, K."""
_FIRST_LETTERS = np.uint64(sum(1 << OPENING * number for number in range(1 + len(POLICIES))))
_LAST_LETTERS = np.uint64(_FIRST_LETTERS << np.uint64(OPENING - 1))


def measure(text: pa.LargeStringArray) -> dict[str, NDArray[np.generic]]:
    """The measurements of each text, a column each, as `NEMO_CURATOR.measurements` names them.

    int32 counts, float64 ratios in [0, 1] and mean word length; NaN where the denominator is zero, and for n-grams
    where there are fewer than n words.
    """
    analysis = analyse(text)
    words = analysis.find(spaced)
    counts = _count(analysis.offsets, analysis.data, *words, _tables())
    count = dict(zip(_COUNTS, counts.T, strict=True))
    characters, lines, paragraphs = count["characters"], count["lines"], count["paragraphs"]
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: not measured
        return {
            "non_alpha_numeric_ratio": (characters - count["plain"]) / characters,
            "symbol_words_ratio": count["symbol_words"] / count["words"],
            "digits_ratio": count["digits"] / characters,
            "urls_ratio": count["url_characters"] / characters,
            "white_space_ratio": count["white_space"] / characters,
            "parentheses_ratio": count["brackets"] / characters,
            "boilerplate_paragraphs_ratio": count["boilerplate_paragraphs"] / paragraphs,
            "unique_lines_ratio": count["unique_lines"] / lines,
            "unique_paragraphs_ratio": count["unique_paragraphs"] / paragraphs,
            "unique_lines_characters_ratio": count["unique_line_characters"] / count["line_characters"],
            "unique_paragraphs_characters_ratio": count["unique_paragraph_characters"] / count["paragraph_characters"],
            "words": count["words"],
            "unended_lines_ratio": count["unended_lines"] / lines,
            "alpha_words_ratio": count["alpha_words"] / count["words"],
            "common_words": count["common_words"],
            "mean_word_length": count["word_characters"] / count["words"],
            "longest_word": count["longest_word"],
            "ellipsis_lines_ratio": count["ellipsis_lines"] / lines,
            **{
                name: np.where(count["words"] < n, np.nan, count[f"gram_{n}"] / characters)
                for n, name in _GRAM_COLUMNS.items()
            },
            "bullet_lines_ratio": count["bullet_lines"] / lines,
            "alpha_ratio": count["alphabetic"] / characters,
            "xml_headers": count["xml_headers"],
            "pornographic_urls": count["pornographic_urls"],
        }


_GRAM_COLUMNS = {
    **{n: f"top_{n}_gram_ratio" for n in TOP},
    **{n: f"duplicate_{n}_grams_ratio" for n in DUPLICATE},
}
_INTEGERS = ("words", "common_words", "longest_word", "xml_headers", "pornographic_urls")
_RULES: tuple[tuple[str, str, float | None, str], ...] = (
    ("non_alpha_numeric_ratio", "max", 0.25, "non_alpha_numeric_filter"),
    ("symbol_words_ratio", "max", 0.1, "symbols_to_words_filter"),
    ("digits_ratio", "max", 0.15, "numbers_filter"),
    ("urls_ratio", "max", 0.2, "urls_filter"),
    ("white_space_ratio", "max", 0.25, "white_space_filter"),
    ("parentheses_ratio", "max", 0.1, "parentheses_filter"),
    ("boilerplate_paragraphs_ratio", "max", 0.4, "boiler_plate_string_filter"),
    ("unique_lines_ratio", "min", 0.7, "repeated_lines_filter"),
    ("unique_paragraphs_ratio", "min", 0.7, "repeated_paragraphs_filter"),
    ("unique_lines_characters_ratio", "min", 0.8, "repeated_lines_by_char_filter"),
    ("unique_paragraphs_characters_ratio", "min", 0.8, "repeated_paragraphs_by_char_filter"),
    ("words", "min", 50, "word_count_filter"),
    ("words", "max", 100_000, "word_count_filter"),
    ("unended_lines_ratio", "max", 0.85, "punctuation_filter"),
    ("alpha_words_ratio", "min", 0.8, "words_without_alphabets_filter"),
    ("common_words", "min", 2, "common_english_words_filter"),
    ("mean_word_length", "min", 3, "mean_word_length_filter"),
    ("mean_word_length", "max", 10, "mean_word_length_filter"),
    ("longest_word", "max", 1000, "long_word_filter"),
    ("ellipsis_lines_ratio", "max", 0.3, "ellipsis_filter"),
    *(
        (_GRAM_COLUMNS[n], "max", default, f"repeating_top_n_grams_filter_{n}")
        for n, default in zip(TOP, (0.2, 0.18, 0.16), strict=True)
    ),
    *(
        (_GRAM_COLUMNS[n], "max", default, f"repeating_duplicate_n_grams_filter_{n}")
        for n, default in zip(DUPLICATE, (0.15, 0.14, 0.13, 0.12, 0.11, 0.1), strict=True)
    ),
    ("bullet_lines_ratio", "max", 0.9, "bullets_filter"),
    ("alpha_ratio", "min", None, "alpha_filter"),
    ("xml_headers", "max", None, "xml_header_filter"),
    ("pornographic_urls", "max", None, "pornographic_urls_filter"),
)

NEMO_CURATOR = Profile(
    name="nemo-curator",
    version=1,
    rules=tuple(Rule(*rule, _SOURCE) for rule in _RULES),
    measurements=tuple(
        pa.field(column, pa.int32() if column in _INTEGERS else pa.float64())
        for column in dict.fromkeys(column for column, *_ in _RULES)
    ),
    measurer=measure,
    nothing="word_count_filter",
    substance="words",
)


_COUNTS = (
    *("characters", "plain", "digits", "white_space", "brackets", "alphabetic"),
    *("url_characters", "pornographic_urls", "xml_headers"),
    *("lines", "line_characters", "unique_lines", "unique_line_characters"),
    *("unended_lines", "ellipsis_lines", "bullet_lines"),
    *("paragraphs", "paragraph_characters", "unique_paragraphs", "unique_paragraph_characters"),
    "boilerplate_paragraphs",
    *("words", "word_characters", "longest_word", "symbol_words", "alpha_words", "common_words"),
    *(f"gram_{n}" for n in (*TOP, *DUPLICATE)),
)
"""What `_count` counts of a document, in its order; `gram_N` are the characters of the filters of n-grams."""


class _Strings(NamedTuple):
    """Strings as kernels read them: number k is `data[offsets[k]:offsets[k + 1]]`."""

    offsets: NDArray[np.int64]
    data: NDArray[np.uint8]


class _Tables(NamedTuple):
    """What the kernels look things up in; read-only."""

    bytes: NDArray[np.uint8]
    """Flags of each ASCII byte, shape (256,)."""
    characters: NDArray[np.uint8]
    """_LETTER, _BRACKET and _BULLET of each code point, shape (0x110000,)."""
    classes: NDArray[np.uint8]
    lower: NDArray[np.int32]
    openings: NDArray[np.uint64]
    """Where among the first OPENING letters of all phrases each byte may stand, a bit a place; shape (256,)."""
    phrases: _Strings
    """LOREM_IPSUM, then POLICIES."""
    ellipses: _Strings
    common: _Strings


@cache
def _tables() -> _Tables:
    ascii_flags = np.zeros(256, np.uint8)
    digits, letters = b"0123456789", b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for flag, members in (
        (_PLAIN, letters + digits + b"\n?!,."),
        (_DIGIT, digits),
        (_WHITE, b"\t\n\r\b "),
        (_BRACKET, b"{}[]()"),
        (_LETTER, letters),
        (_HEX, digits + b"abcdefABCDEF"),
        (_URL, letters + digits + b"$-_@.&+/:=?#~!*(),"),
    ):
        ascii_flags[list(members)] |= flag
    category = classes() & CATEGORY
    characters = np.zeros(SIZE, np.uint8)
    characters[category <= CATEGORIES.index("Lo")] = _LETTER
    characters[category == CATEGORIES.index("Nl")] = _LETTER
    for span in _OTHER_ALPHABETIC.split():
        first, _, last = span.partition("-")
        characters[int(first, 16) : int(last or first, 16) + 1] = _LETTER
    characters[category == CATEGORIES.index("Cn")] = 0
    characters[[ord(bracket) for bracket in "{}[]()⟨⟩"]] |= _BRACKET
    characters[[ord(bullet) for bullet in BULLETS]] |= _BULLET
    phrases = (LOREM_IPSUM, *POLICIES)
    openings = np.zeros(256, np.uint64)
    for bit, letter in enumerate("".join(phrase[:OPENING] for phrase in phrases)):
        openings[[ord(letter), ord(letter.upper())]] |= np.uint64(1 << bit)
    for table in (ascii_flags, characters, openings):
        table.flags.writeable = False
    return _Tables(
        ascii_flags,
        characters,
        classes(),
        lower(),
        openings,
        _strings(phrases),
        _strings(ELLIPSES),
        _strings(COMMON_WORDS),
    )


def _strings(members: Iterable[str]) -> _Strings:
    encoded = [member.encode() for member in members]
    offsets = np.cumsum([0, *(len(member) for member in encoded)])
    offsets.flags.writeable = False
    return _Strings(offsets, np.frombuffer(b"".join(encoded), np.uint8))


class _Words(NamedTuple):
    """The words of one document, and what is known of each distinct one; int64, long enough for any document."""

    starts: NDArray[np.int64]
    """First byte of each, in the block's bytes."""
    ends: NDArray[np.int64]
    numbers: NDArray[np.int64]
    """Equal for equal words: 0, 1 and so on as they come."""
    before: NDArray[np.int64]
    """Characters in all words before each, and at last in all of them."""
    repeats: NDArray[np.int64]
    """Occurrences of the words with each number."""
    firsts: NDArray[np.int64]
    """The first occurrence of each."""


@njit(nogil=True, cache=True)
def _count(offsets, data, documents, starts, ends, tables):  # type: ignore[no-untyped-def]
    """What _COUNTS names of each document, int32 of shape (documents, len(_COUNTS))."""
    n = len(offsets) - 1
    counts = np.zeros((n, len(_COUNTS)), np.int32)
    most = 1
    for document in range(n):
        most = max(most, documents[document + 1] - documents[document] + 1)
    space = np.empty((9, most), np.int64)
    words = _Words(space[0], space[1], space[2], space[3], space[4], space[5])
    seen = np.empty((0, 2), np.uint64)
    base = np.int64(1)  # never goes back, so that what one document left in `seen` is nothing to the next
    for document in range(n):
        start, stop = offsets[document], offsets[document + 1]
        first, last = documents[document], documents[document + 1]
        row = counts[document]
        line_feeds = _characters(data, start, stop, tables, row[0:6])
        row[6], row[7] = _urls(data, start, stop, tables.bytes)
        row[8] = _has_xml_header(data, start, stop)
        room = _room(max(last - first, 2 * line_feeds + 2))
        if room > len(seen):
            seen = np.zeros((room, 2), np.uint64)
        base = _segments(data, start, stop, line_feeds, tables, seen, base, row[9:21])
        for word in range(last - first):
            words.starts[word] = start + starts[first + word]
            words.ends[word] = start + ends[first + word]
        base = _words(data, words, last - first, tables, seen, base, space[6:], row[21:27])
        base = _grams(data, words, last - first, seen, base, space[6:], row[27:])
    return counts


@njit(nogil=True, cache=True)
def _characters(data, start, stop, tables, counts):  # type: ignore[no-untyped-def]
    """Fill `counts` (characters, plain ones, digits, white space, brackets, letters); returns the line feeds."""
    histogram = np.zeros(256, np.int32)
    for i in range(start, stop):
        byte = data[i]
        histogram[byte] += 1
        if byte >= 0xC2:
            codepoint, _ = decode(data, i, stop)
            counts[4] += tables.characters[codepoint] & _BRACKET != 0
            counts[5] += tables.characters[codepoint] & _LETTER != 0
    counts[0] = np.sum(histogram[:0x80]) + np.sum(histogram[0xC0:])
    for byte in range(0x80):
        flags = tables.bytes[byte]
        counts[1] += histogram[byte] if flags & _PLAIN else 0
        counts[2] += histogram[byte] if flags & _DIGIT else 0
        counts[3] += histogram[byte] if flags & _WHITE else 0
        counts[4] += histogram[byte] if flags & _BRACKET else 0
        counts[5] += histogram[byte] if flags & _LETTER else 0
    return histogram[10]


@njit(nogil=True, cache=True)
def _urls(data, start, stop, flags):  # type: ignore[no-untyped-def]
    r"""Characters in URLs, and how many of the URLs hold "porn".

    A URL is `https?://([A-Za-z0-9$\-_@.&+/:=?#~!*(),]|%[0-9A-Fa-f]{2})+`.
    """
    characters = pornographic = 0
    i = start + 4
    while i + 3 < stop:
        if data[i] != 58 or data[i + 1] != 47 or data[i + 2] != 47:
            i += 1
            continue
        scheme = i - 4
        if data[i - 1] == 115 and scheme > start:  # https
            scheme -= 1
        i += 3
        if data[scheme] != 104 or data[scheme + 1] != 116 or data[scheme + 2] != 116 or data[scheme + 3] != 112:
            continue
        host = i
        while i < stop:
            if flags[data[i]] & _URL:
                i += 1
            elif data[i] == 37 and i + 2 < stop and flags[data[i + 1]] & flags[data[i + 2]] & _HEX:
                i += 3
            else:
                break
        if i > host:
            characters += i - scheme
            pornographic += _has_porn(data, host, i)
    return characters, pornographic


@njit_inline
def _has_porn(data, start, end):  # type: ignore[no-untyped-def]
    for i in range(start, end - 3):
        if data[i] == 112 and data[i + 1] == 111 and data[i + 2] == 114 and data[i + 3] == 110:
            return True
    return False


@njit(nogil=True, cache=True)
def _has_xml_header(data, start, stop):  # type: ignore[no-untyped-def]
    """Whether `<?xml version=` lies within the first 100 characters."""
    header = b"<?xml version="
    end = start
    characters = 0
    while end < stop and characters < 100:
        _, width = decode(data, end, stop)
        end += width
        characters += 1
    for i in range(start, end - len(header) + 1):
        same = True
        for k in range(len(header)):
            if data[i + k] != header[k]:
                same = False
                break
        if same:
            return True
    return False


@njit(nogil=True, cache=True)
def _segments(data, start, stop, line_feeds, tables, seen, base, counts):  # type: ignore[no-untyped-def]
    """Fill `counts` with what _COUNTS has of lines, then of paragraphs."""
    mask = np.uint64(_room(2 * line_feeds + 2) - 1)
    classes, openings = tables.classes, tables.openings
    phrases_met = 0  # phrases in this paragraph, a bit each
    lorem_ipsum = False
    distinct = np.int64(0)  # lines and paragraphs
    characters = np.int64(0)  # in this paragraph
    paragraph = line = start
    while line <= stop:
        state = np.uint64(0)
        end = line
        while end < stop and data[end] != 10:
            state = (state << np.uint64(1) | _FIRST_LETTERS) & openings[data[end]]
            end += 1
            if state & _LAST_LETTERS:
                phrases_met |= _phrases(data, end - OPENING, stop, state, tables.phrases, tables.lower)
        size = np.int64(0)
        for i in range(line, end):
            size += data[i] & 0xC0 != 0x80
        first, last = strip(data, line, end, classes)
        if first < last:
            counts[0] += 1
            counts[1] += size
            if _number(seen, mask, xxh64(data, line, end, 0), base, distinct) == distinct:
                distinct += 1
                counts[2] += 1
                counts[3] += size
            counts[4] += not _is_end_mark(data[last - 1])
            counts[5] += _ends_in_any(data, first, last, tables.ellipses)
            codepoint, _ = decode(data, first, last)
            counts[6] += tables.characters[codepoint] & _BULLET != 0
        characters += size
        if end == stop or (line == end and line > paragraph):
            close = end if end == stop else end - 1
            characters -= end - close
            counts[7] += 1
            counts[8] += characters
            if _number(seen, mask, xxh64(data, paragraph, close, 1), base, distinct) == distinct:
                distinct += 1
                counts[9] += 1
                counts[10] += characters
            counts[11] += phrases_met != 0
            lorem_ipsum = lorem_ipsum or phrases_met & 1 != 0
            phrases_met = 0
            paragraph = end + 1
            characters = np.int64(0)
        else:
            characters += 1
        line = end + 1
    if lorem_ipsum:
        counts[11] = counts[7]
    return base + distinct


@njit(nogil=True, cache=True)
def _phrases(data, start, end, state, phrases, lower):  # type: ignore[no-untyped-def]
    """Which of the phrases that `state` has found the opening of begin at byte `start`, in lower case; a bit each."""
    phrases_met = 0
    for number in range(len(phrases.offsets) - 1):
        if state >> np.uint64(OPENING * (number + 1) - 1) & np.uint64(1) == 0:
            continue
        cursor, stop = phrases.offsets[number], phrases.offsets[number + 1]
        i = start
        while cursor < stop and i < end:
            codepoint, width = decode(data, i, end)
            # U+0130 is "i" and a combining dot in lower case, so it continues no phrase
            if codepoint == 0x130 or lower[codepoint] != phrases.data[cursor]:
                break
            cursor += 1
            i += width
        if cursor == stop:
            phrases_met |= 1 << number
    return phrases_met


@njit(nogil=True, cache=True)
def _words(data, words, count, tables, seen, base, space, counts):  # type: ignore[no-untyped-def]
    """Fill `words` and `counts` (words, characters in them, longest, symbol, alphabetic and common words)."""
    starts, ends, numbers, before, repeats, firsts = words
    sizes, kinds = space[0], space[1]  # of distinct words
    mask = np.uint64(_room(count) - 1)
    distinct = np.int64(0)
    before[0] = 0
    for word in range(count):
        start, end = starts[word], ends[word]
        number = _number(seen, mask, _key(data, start, end), base, distinct)
        if number == distinct:
            distinct += 1
            repeats[number] = 0
            firsts[number] = word
            size, hashes, kind = _describe(data, start, end, tables.bytes, tables.characters)
            if 2 * hashes > size or (kind == 0 and _is_any(data, start, end, tables.ellipses)):
                kind |= _SYMBOL
            elif end - start <= 4 and _is_any(data, start, end, tables.common):
                kind |= _COMMON
            sizes[number], kinds[number] = size, kind
        numbers[word] = number
        repeats[number] += 1
        before[word + 1] = before[word] + sizes[number]
    counts[0] = count
    counts[1] = before[count]
    for number in range(distinct):
        counts[2] = max(counts[2], sizes[number])
        counts[3] += repeats[number] if kinds[number] & _SYMBOL else 0
        counts[4] += repeats[number] if kinds[number] & _LETTER else 0
        counts[5] += repeats[number] if kinds[number] & _COMMON else 0
    return base + distinct


@njit_inline
def _key(data, start, end):  # type: ignore[no-untyped-def]
    """What equal words alone share: the hash; of up to seven bytes, the bytes themselves, below their number."""
    size = end - start
    if size > 7:
        return xxh64(data, start, end, 0)
    bits = np.uint64(8 * size)
    if start + 8 <= len(data):
        return read64(data, start) & ((np.uint64(1) << bits) - np.uint64(1)) | np.uint64(size) << bits
    key = np.uint64(size)  # the same, where the block ends too soon for reading eight bytes
    for i in range(end - 1, start - 1, -1):
        key = key << np.uint64(8) | np.uint64(data[i])
    return key


@njit_inline
def _describe(data, start, end, flags, characters):  # type: ignore[no-untyped-def]
    """Of one word: its characters, the runs of "#" in it, and _LETTER or 0."""
    size = hashes = letter = 0
    for i in range(start, end):
        byte = data[i]
        size += byte & 0xC0 != 0x80
        letter |= flags[byte] & _LETTER
        hashes += byte == 35 and (i == start or data[i - 1] != 35)
        if byte >= 0xC2:
            codepoint, _ = decode(data, i, end)
            letter |= characters[codepoint] & _LETTER
    return size, hashes, letter


@njit(nogil=True, cache=True)
def _grams(data, words, count, seen, base, space, counts):  # type: ignore[no-untyped-def]
    """Fill `counts` with the characters of the top n-grams of TOP, then of the repeated ones of DUPLICATE.

    An n-gram is the pair of the (n - 1)-grams at its place and at the next, and is repeated only where both of them
    are: each size looks at the places that the size before it left, and they get fewer.
    """
    places, grams = space[0], space[1]  # where (n - 1)-grams are repeated, and which they are
    repeats, firsts = words.repeats, words.firsts
    left = 0
    for word in range(count):
        places[left] = word
        grams[left] = words.numbers[word]
        left += repeats[words.numbers[word]] > 1
    for n in range(TOP[0], min(DUPLICATE[-1], count) + 1):
        mask = np.uint64(_room(left) - 1)
        distinct = np.int64(0)
        pairs = 0
        for k in range(left - 1):
            index = places[k]
            if places[k + 1] != index + 1:
                continue
            key = np.uint64(grams[k] << 32 | grams[k + 1])
            gram = _number(seen, mask, key, base, distinct)
            if gram == distinct:
                distinct += 1
                repeats[gram] = 0
                firsts[gram] = index
            repeats[gram] += 1
            places[pairs] = index
            grams[pairs] = gram
            pairs += 1
        base += distinct
        left = 0
        covered = np.int64(0)  # words up to here are counted
        top = np.int64(0)  # where the most frequent n-gram is, the first of several, be it unique
        most = np.int64(1)
        for k in range(pairs):
            index, gram = places[k], grams[k]
            if repeats[gram] > most:
                most = repeats[gram]
                top = index
            if n >= DUPLICATE[0] and index > firsts[gram]:
                fresh = max(index, covered)
                counts[n - TOP[0]] += words.before[index + n] - words.before[fresh] + min(index + n - fresh, n - 1)
                covered = index + n
            places[left] = index
            grams[left] = gram
            left += repeats[gram] > 1
        if n <= TOP[-1]:
            counts[n - TOP[0]] = _replaced(data, words, count, top, n)
    return base


@njit(nogil=True, cache=True)
def _replaced(data, words, count, index, n):  # type: ignore[no-untyped-def]
    """Characters that str.replace takes out for the n words from `index` on, joined by spaces.

    The first of them may be the end of a word of the text and the last the beginning of one. Between them stand
    single spaces wherever they occur, so only places of words have to be tried.
    """
    starts, ends, numbers, before, _, _ = words
    head = ends[index] - starts[index]
    tail = ends[index + n - 1] - starts[index + n - 1]
    byte = data[starts[index + n - 1]]
    occurrences = 0
    free = np.int64(0)  # where the last occurrence ended
    for i in range(count - n + 1):
        begin, last = ends[i] - head, starts[i + n - 1]
        if data[last] != byte or begin < max(starts[i], free) or last + tail > ends[i + n - 1]:
            continue
        same = True
        for k in range(1, n):
            same = same and ends[i + k - 1] + 1 == starts[i + k] and data[starts[i + k] - 1] == 32
            same = same and (k == n - 1 or numbers[i + k] == numbers[index + k])
        if same and _equal(data, begin, starts[index], head) and _equal(data, last, starts[index + n - 1], tail):
            occurrences += 1
            free = last + tail
    return occurrences * (before[index + n] - before[index] + n - 1)


@njit_inline
def _number(seen, mask, key, base, count):  # type: ignore[no-untyped-def]
    """The number of `key` among the `count` keys that this use of the table has seen; a new key gets `count`.

    `seen` is a hash table, uint64 of shape (a power of two, 2): a key, and `base` plus its number. Entries below
    `base` are of former uses, and free.
    """
    slot = mix64(key) & mask
    while seen[slot, 1] >= np.uint64(base):
        if seen[slot, 0] == key:
            return np.int64(seen[slot, 1]) - base
        slot = (slot + np.uint64(1)) & mask
    seen[slot, 0] = key
    seen[slot, 1] = np.uint64(base + count)
    return count


@njit_inline
def _room(keys):  # type: ignore[no-untyped-def]
    """Slots for so many keys: a power of two, at most half of them taken."""
    room = 2
    while room < 2 * keys:
        room *= 2
    return room


@njit_inline
def _equal(data, a, b, size):  # type: ignore[no-untyped-def]
    for k in range(size):  # noqa: SIM110 - numba knows no generator expression
        if data[a + k] != data[b + k]:
            return False
    return True


@njit_inline
def _is_end_mark(byte):  # type: ignore[no-untyped-def]
    """One of END_MARKS."""
    return byte == 46 or byte == 63 or byte == 33 or byte == 34 or byte == 39


@njit(nogil=True, cache=True)
def _is_any(data, start, end, strings):  # type: ignore[no-untyped-def]
    """Whether `data[start:end]` is one of the strings, all of them in lower case, read in its own case."""
    for number in range(len(strings.offsets) - 1):
        first = strings.offsets[number]
        if strings.offsets[number + 1] - first == end - start:
            same = True
            for k in range(end - start):
                if data[start + k] != strings.data[first + k]:
                    same = False
                    break
            if same:
                return True
    return False


@njit(nogil=True, cache=True)
def _ends_in_any(data, start, end, strings):  # type: ignore[no-untyped-def]
    """Whether `data[start:end]`, its ASCII capitals read as small letters, ends in one of the strings."""
    for number in range(len(strings.offsets) - 1):
        first = strings.offsets[number]
        size = strings.offsets[number + 1] - first
        same = size <= end - start
        k = size - 1
        while same and k >= 0:
            byte = data[end - size + k]
            same = strings.data[first + k] == (byte | 32 if 65 <= byte <= 90 else byte)
            k -= 1
        if same:
            return True
    return False
