"""How the matchers read text: kinds of ASCII characters, runs of them, words."""

from __future__ import annotations

from curation.text.compiling import njit, njit_inline

_DOT, _COMMA, _HYPHEN, _AT, _PERCENT, _UNDERSCORE = b".,-@%_"


@njit_inline
def is_digit(byte):  # type: ignore[no-untyped-def]
    return 48 <= byte <= 57


@njit_inline
def is_upper(byte):  # type: ignore[no-untyped-def]
    return 65 <= byte <= 90


@njit_inline
def is_letter(byte):  # type: ignore[no-untyped-def]
    return 65 <= byte & 0xDF <= 90 and byte < 0x80


@njit_inline
def is_hex(byte):  # type: ignore[no-untyped-def]
    return is_digit(byte) or (65 <= byte & 0xDF <= 70 and byte < 0x80)


@njit_inline
def is_alnum(byte):  # type: ignore[no-untyped-def]
    return is_digit(byte) or is_letter(byte)


@njit_inline
def is_word(byte):  # type: ignore[no-untyped-def]
    r"""A letter, a digit or "_"."""
    return is_alnum(byte) or byte == _UNDERSCORE


@njit_inline
def digits(data, i, hi):  # type: ignore[no-untyped-def]
    """How many digits stand at byte `i`."""
    end = i
    while end < hi and is_digit(data[end]):
        end += 1
    return end - i


@njit_inline
def space(data, i, hi):  # type: ignore[no-untyped-def]
    """Bytes of the space or no-break space at byte `i`, or 0."""
    if i < hi and data[i] == 32:
        return 1
    return 2 if i + 1 < hi and data[i] == 0xC2 and data[i + 1] == 0xA0 else 0


@njit_inline
def starts(data, i, hi, word):  # type: ignore[no-untyped-def]
    """Whether `word` stands at byte `i`."""
    size = len(word)
    same = 0
    while i + size <= hi and same < size and data[i + same] == word[same]:
        same += 1
    return same == size


@njit_inline
def ends(data, lo, i, word):  # type: ignore[no-untyped-def]
    """Whether `word` stands right before byte `i`."""
    return i - len(word) >= lo and starts(data, i - len(word), i, word)


@njit(nogil=True, cache=True)
def is_among(data, start, end, lexicon):  # type: ignore[no-untyped-def]
    """Whether the word [start, end), in lower case, is one of the lexicon's, which stand between spaces."""
    size = end - start
    for first in range(1, len(lexicon) - size):
        if size > 0 and lexicon[first - 1] == 32 and lexicon[first + size] == 32:
            same = 0
            while same < size and data[start + same] + 32 * is_upper(data[start + same]) == lexicon[first + same]:
                same += 1
            if same == size:
                return True
    return False


@njit_inline
def is_number_end(data, i, hi):  # type: ignore[no-untyped-def]
    """Whether a number may end before byte `i`: no word, address, percentage or longer number goes on there."""
    if i == hi:
        return True
    byte = data[i]
    following = data[i + 1] if i + 1 < hi else 0
    if byte == _DOT or byte == _COMMA:
        return not is_digit(following)
    if byte == _HYPHEN:
        return not is_word(following)
    return not is_word(byte) and byte != _AT and byte != _PERCENT
