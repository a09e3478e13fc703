"""E-mail addresses: addr-spec of RFC 5322 without quotes and comments.

The local part (at most 64 octets) is read without the marks ! # $ & * / = ? ^ ` { | } that stand around addresses in
markup and URLs. The domain has two labels or more, the last one of letters or "xn--…". Cased letters beyond ASCII
belong to words too (RFC 6531). Left alone: user names in URLs (`ssh://git@host`), scp targets
(`git@github.com:org/repo`), handles (`@user@host`), package versions (`react@18.2.0`), files (`icon@2x.png`), products
of matrices that end in a call (`q@k.mean(0)`).
"""

from __future__ import annotations

from curation.rules.pii.bytes import digits, is_alnum, is_among, is_digit, is_letter, is_word, starts
from curation.text.characters import before, decode, is_lower, is_upper
from curation.text.compiling import njit, njit_inline

ANCHORS = b"@"
_NOBODY = (b"email@example.com", b"firstname.lastname@example.org")
"""Addresses that redaction itself writes, ours and datatrove's."""
_NOT_TOP_LEVEL = (
    b" png jpg jpeg gif svg webp js mjs cjs ts jsx tsx json css scss html htm txt xml yml yaml tgz gz php exe dll tar"
    b" whl jar data shape grad values "
)
"""File extensions and attributes that follow "@" and a dot in code, and are no top-level domain."""
_LONGEST_LOCAL = 64  # RFC 5321, 4.5.3.1.1
_LONGEST_LABEL = 63  # RFC 1035, 2.3.4
_AT, _COLON, _DOT, _HYPHEN, _PLUS, _SLASH, _PERCENT, _DOLLAR, _TILDE, _OPEN = b"@:.-+/%$~("
_QUOTE, _DOUBLE_QUOTE, _QUESTION, _HASH, _LESS, _GREATER = b"'\"?#<>"


@njit(nogil=True, cache=True)
def match(data, lo, hi, at_sign, classes):  # type: ignore[no-untyped-def]
    """The address around the "@" at byte `at_sign`."""
    start, edge = _local_part(data, lo, at_sign, classes)
    if start == at_sign or (start > edge and data[start - 1] == _PERCENT and start + 1 == at_sign):  # %s@…
        return 0, 0
    if edge > lo and (data[edge - 1] == _AT or data[edge - 1] == _DOLLAR or _is_authority(data, lo, edge)):
        return 0, 0  # $: a variable of a shell, or an identifier of a message on Usenet
    end = _domain(data, at_sign + 1, hi, classes)
    if end < 0 or (start + 3 == at_sign and starts(data, start, at_sign, b"git")):
        return 0, 0
    if end < hi and (data[end] == _AT or data[end] == _OPEN or _is_remote_path(data, end, hi)):
        return 0, 0
    for nobody in _NOBODY:
        if end - start == len(nobody) and starts(data, start, end, nobody):
            return 0, 0
    return start, end


@njit(nogil=True, cache=True)
def _local_part(data, lo, at_sign, classes):  # type: ignore[no-untyped-def]
    """Start of the local part that ends at byte `at_sign`, or that for none, and the edge of the token it stands in."""
    edge = at_sign
    while edge > lo:
        i = before(data, lo, edge)
        if not _is_local(data, i, edge, classes) or (data[i] == _DOT and (edge == at_sign or data[edge] == _DOT)):
            break
        if at_sign - i > _LONGEST_LOCAL:
            return at_sign, edge
        edge = i
    if edge == at_sign or data[at_sign - 1] == _QUOTE:
        return at_sign, edge
    start = edge
    while start < at_sign and data[start] < 0x80 and not is_word(data[start]):
        start += 1
    return start, edge


@njit_inline
def _is_local(data, i, end, classes):  # type: ignore[no-untyped-def]
    """Whether the character at [i, end) is one of a local part."""
    byte = data[i]
    if byte < 0x80:
        return is_word(byte) or byte in (_DOT, _HYPHEN, _PLUS, _PERCENT, _QUOTE, _TILDE)
    return _is_cased(data, i, end, classes)


@njit_inline
def _is_cased(data, i, end, classes):  # type: ignore[no-untyped-def]
    """Whether a letter with upper and lower case starts at byte `i`: scripts without case need no space before it."""
    codepoint = decode(data, i, end)[0]
    return is_lower(classes, codepoint) or is_upper(classes, codepoint)


@njit_inline
def _is_authority(data, lo, i):  # type: ignore[no-untyped-def]
    """Whether byte `i` stands behind "//", perhaps with a user's name and ":" between (RFC 3986, 3.2.1)."""
    for k in range(i - 1, max(lo, i - _LONGEST_LOCAL) - 1, -1):
        byte = data[k]
        if byte == _SLASH:
            return k > lo and data[k - 1] == _SLASH
        if byte <= 32 or byte >= 0x80 or byte in (_QUESTION, _HASH, _DOUBLE_QUOTE, _LESS, _GREATER):
            return False
    return False


@njit(nogil=True, cache=True)
def _domain(data, start, hi, classes):  # type: ignore[no-untyped-def]
    """End of the domain that starts at byte `start`, or -1 where there is none."""
    labels = 0
    number = False  # whether the first label is a number
    top = end = start
    i = start
    while i < hi and data[i] != _HYPHEN:
        first = i
        while i < hi and (
            is_alnum(data[i]) or data[i] == _HYPHEN or (data[i] >= 0x80 and _is_cased(data, i, hi, classes))
        ):
            i += decode(data, i, hi)[1]
        last = i
        while last > first and data[last - 1] == _HYPHEN:
            last -= 1
        if last == first:
            break
        if last - first > _LONGEST_LABEL:
            return -1
        labels += 1
        if labels == 1:
            number = digits(data, first, last) == last - first
        elif labels == 2 and number and is_digit(data[first]):
            return -1  # the version of a package
        top, end = first, last
        if last < i or i == hi or data[i] != _DOT:
            break
        i += 1
    return end if labels > 1 and _is_top_level(data, top, end) else -1


@njit(nogil=True, cache=True)
def _is_top_level(data, start, end):  # type: ignore[no-untyped-def]
    if starts(data, start, end, b"xn--"):
        return True
    for i in range(start, end):
        if data[i] < 0x80 and not is_letter(data[i]):
            return False
    return end - start > 1 and not is_among(data, start, end, _NOT_TOP_LEVEL)


@njit_inline
def _is_remote_path(data, i, hi):  # type: ignore[no-untyped-def]
    """Whether a ":" at byte `i` parts a host from a path (scp, git, rsync): another ":", or "/" before a space."""
    if data[i] != _COLON:
        return False
    if i + 1 < hi and data[i + 1] == _COLON:
        return True
    for k in range(i + 1, min(hi, i + 257)):
        if data[k] <= 32:
            return False
        if data[k] == _SLASH:
            return data[k - 1] != _COLON or k == i + 1  # else a URL follows
    return False
