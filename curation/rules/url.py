"""Rules on a document's URL: domains, pages, words and substrings that condemn it, after RefinedWeb.

Penedo et al. 2023 (arXiv 2306.01116), appendix G.1: a list of domains, and words of three kinds, "strict" anywhere in
the URL, "hard" as a word of their own, "soft" of which it takes two. The lists are the user's: none is shipped.

What is compared is the parsed URL (WHATWG, by ada), never the string: host in lower case and punycode, the path
resolved. Where the known implementations differ, this is the choice:

- A domain blocks its subdomains (datatrove's URLFilter: the registered domain and the full host; DCLM's
  url_substring_filter: the full host without "www"). An IP address blocks itself alone. No list makes hosts that are IP
  addresses suspect as such, and neither do datatrove, DCLM or FineWeb.
- A page blocks itself with any query and what lies below its path: example.com/a blocks example.com/a?b and
  example.com/a/b, not example.com/ab, nor other hosts. One with a query blocks that query alone, one without a path the
  host. Scheme, user, fragment and slashes at the end do not count, case in the path does. (datatrove: the whole string
  and no other.)
- Words are those of `curation.text.shingles`, in host and path with their escapes undone; an entry of several words is
  found where they follow one another. (datatrove: runs of A-Z, a-z, 0-9 in the whole URL.)
- Substrings are looked for in host, path and query in lower case, "-" and "." left out of both as in DCLM. (datatrove
  leaves out all but letters and digits, so that "porn" is in /corp/ornament.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote

import ada_url
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.rules import lists
from curation.rules.lists import Lookup, find
from curation.text import overlap
from curation.text.arrow import buffers
from curation.text.compiling import njit

REASONS = ("blocked_domain", "blocked_url", "blocked_word", "blocked_substring", "soft_words", "invalid_url")
"""In the order in which they are given."""
FIELDS = [
    pa.field("pass", pa.bool_()),
    pa.field("reason", pa.string()),
    pa.field("scheme", pa.string()),
    pa.field("host", pa.string()),
    pa.field("matched", pa.string()),
]
"""Columns of `judge`: `reason` one of REASONS or null, `matched` the list's entry as it stands there, null for none."""
PARSER: str = ada_url.get_version()
"""Version of the parser: another may read some URL otherwise."""

_SUBSTRINGS_AT_ONCE = 1000  # alternatives for which the regular expression still fits RE2's cache
_LONGEST_PHRASE = 64
_IGNORED = "[-.]"
_PARTS = re.compile(
    r"([a-z][a-z0-9+.\-]*):(?://(?:[^/?#@]*@)?(\[[^\]]*\]|[^/?#:]*)(:[0-9]+)?)?([^?#]*)(\?[^#]*)?", re.DOTALL
)
"""Scheme, host, port, path and query of a URL as ada writes it."""
_TEXT = pa.large_string()


class Entries(NamedTuple):
    """A list's entries, and where each is found."""

    written: pa.LargeStringArray
    """As they stand in the list."""
    lookup: Lookup
    """Of what they are compared as."""


class Words(NamedTuple):
    """A list's words or runs of words."""

    written: pa.LargeStringArray
    grams: overlap.Index
    """Each entry is an item."""


class Substrings(NamedTuple):
    """A list's substrings as they are compared, and how they were written."""

    patterns: list[str]
    """Regular expressions of some of them each, which find the one that they find in a group `entry`."""
    written: dict[str, str]


class Parts(NamedTuple):
    """Parsed URLs, large_string each, and all empty where a URL is invalid."""

    valid: NDArray[np.bool_]
    scheme: pa.LargeStringArray
    host: pa.LargeStringArray
    """Lower case and punycode; empty for schemes without one, such as mailto."""
    port: pa.LargeStringArray
    """Such as ":8080"; empty for the scheme's own."""
    path: pa.LargeStringArray
    query: pa.LargeStringArray
    """With the question mark; empty for none."""


_NOTHING = pa.array([], _TEXT)
_INVALID = ("",) * 5


def domains(written: pa.LargeStringArray) -> Entries:
    """Domains, one an entry, perhaps with "*." or "." in front. Raises ValueError for one that is no host."""
    level = pc.utf8_lower(pc.replace_substring_regex(written, r"^\*?\.|\.$", ""))
    # Most are plain already; what may be an address or holds other letters is left to the parser.
    odd = pc.invert(pc.match_substring_regex(level, r"^([a-z0-9_-]+\.)*[a-z_][a-z0-9_-]*$"))
    parsed = [_host(entry) for entry in level.filter(odd).to_pylist()]
    return Entries(written, lists.lookup(pc.replace_with_mask(level, odd, pa.array(parsed, _TEXT))))


def pages(written: pa.LargeStringArray) -> Entries:
    """URLs, with or without a scheme. Raises ValueError for one that is none, or has no host."""
    bare = pc.invert(pc.match_substring_regex(written, r"^[A-Za-z][A-Za-z0-9+.\-]*://"))
    parts = parse(pc.if_else(bare, _join(pa.scalar("http://", _TEXT), written), written))
    for row in np.flatnonzero(np.asarray(pc.equal(parts.host, "")).astype(bool))[:1]:
        raise ValueError(f"'{written[row]}' is no URL with a host")
    return Entries(written, lists.lookup(_page(parts)))


def words(written: pa.LargeStringArray) -> Words:
    """Words, one or several an entry. Raises ValueError for an entry without any."""
    count = len(written)
    index = overlap.build(written, np.arange(count), np.array([0, count]), n=_LONGEST_PHRASE, shortest=1)
    for row in np.setdiff1d(np.arange(count), index.items)[:1]:
        raise ValueError(f"'{written[row]}' has no letter or digit, and so is no word")
    return Words(written, index)


def substrings(written: pa.LargeStringArray) -> Substrings:
    """Substrings, one an entry. Raises ValueError for one of which nothing is left without "-" and "."."""
    level = _without_ignored(pc.utf8_lower(written)).to_pylist()
    for entry, given in zip(level, written.to_pylist(), strict=True):
        if not entry:
            raise ValueError(f"'{given}' has nothing but '-' and '.', which are not compared")
    first = dict(reversed(list(zip(level, written.to_pylist(), strict=True))))
    known = list(dict.fromkeys(level))
    groups = [known[i : i + _SUBSTRINGS_AT_ONCE] for i in range(0, len(known), _SUBSTRINGS_AT_ONCE)]
    return Substrings([f"(?P<entry>{'|'.join(map(re.escape, group))})" for group in groups], first)


@dataclass(frozen=True)
class Blocklists:
    """What condemns a URL. Empty lists condemn none."""

    domains: Entries = field(default_factory=lambda: domains(_NOTHING))
    urls: Entries = field(default_factory=lambda: pages(_NOTHING))
    words: Words = field(default_factory=lambda: words(_NOTHING))
    substrings: Substrings = field(default_factory=lambda: substrings(_NOTHING))
    soft_words: Words = field(default_factory=lambda: words(_NOTHING))
    soft_limit: int = 2
    """Different soft words from which a URL is condemned."""


def judge(url: pa.LargeStringArray, blocked: Blocklists) -> pa.RecordBatch:
    """Columns FIELDS for each URL: the first reason there is, and what matched.

    A URL that is empty or that no browser would open is invalid, with null scheme and host. For soft words `matched`
    names all that were found, in the order of the text.
    """
    parts = parse(url)
    host, path, query = _legible(parts)
    text = _join(host, path, between=" ")
    written, numbers = _soft(text, blocked.soft_words, blocked.soft_limit)
    matches = (
        (blocked.domains.written, _blocked_domains(*buffers(parts.host), blocked.domains.lookup)),
        (blocked.urls.written, _blocked_pages(*buffers(_page(parts)), blocked.urls.lookup)),
        (blocked.words.written, _first_word(text, blocked.words)),
        _first_substring(_join(host, path, query), blocked.substrings),
        (written, numbers),
    )
    reason = np.where(parts.valid, -1, len(REASONS) - 1)
    matched = pa.nulls(len(url), _TEXT)
    for number, (entries, which) in enumerate(matches):
        new = (which >= 0) & (reason < 0)
        if new.any():
            reason[new] = number
            matched = pc.if_else(pa.array(new), entries.take(pa.array(which, mask=~new)), matched)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(reason < 0),
            pa.array(REASONS, pa.string()).take(pa.array(reason, mask=reason < 0)),
            _shown(parts.scheme),
            _shown(parts.host),
            matched.cast(pa.string()),
        ],
        schema=pa.schema(FIELDS),
    )


def parse(url: pa.LargeStringArray) -> Parts:
    """The parts of each URL; a null is an empty one."""
    # A loop over rows, since the parser takes one URL a call.
    rows = [_split(value or "") for value in url.to_pylist()]
    columns = zip(*rows, strict=True) if rows else [()] * 5
    parts = [pa.array(column, _TEXT) for column in columns]
    return Parts(np.asarray(pc.not_equal(parts[0], "")).astype(bool), *parts)


def normalized(url: pa.LargeStringArray) -> pa.LargeStringArray:
    """Each URL as the parser writes it, without its fragment; null where it is none.

    Case of the host, the scheme's own port and dots in the path are levelled: HTTP://A.com:80/b/../c#d is http://a.com/c.
    """
    found = [_href(value or "") for value in url.to_pylist()]
    return pa.array([None if href is None else href.partition("#")[0] for href in found], _TEXT)


def _href(url: str) -> str | None:
    try:
        return ada_url.normalize_url(url)
    except ValueError:
        return None


def _split(url: str) -> Sequence[str]:
    href = _href(url)
    match = None if href is None else _PARTS.match(href)
    return _INVALID if match is None else match.groups("")


def _host(entry: str) -> str:
    parts = parse(pa.array([f"http://{entry}"], _TEXT))
    rest = [part[0].as_py() for part in (parts.port, parts.path, parts.query)]
    if rest != ["", "/", ""] or "@" in entry or "#" in entry:
        raise ValueError(f"'{entry}' is no domain")
    return parts.host[0].as_py()  # type: ignore[no-any-return]


def _page(parts: Parts) -> pa.LargeStringArray:
    """What pages are compared by: host, port, path and query."""
    return _join(parts.host, parts.port, pc.utf8_rtrim(parts.path, "/"), parts.query)


def _join(*parts: pa.LargeStringArray, between: str = "") -> pa.LargeStringArray:
    return pc.binary_join_element_wise(*parts, pa.scalar(between, _TEXT))


def _shown(part: pa.LargeStringArray) -> pa.StringArray:
    return pc.if_else(pc.equal(part, ""), None, part).cast(pa.string())


def _legible(parts: Parts) -> tuple[pa.LargeStringArray, pa.LargeStringArray, pa.LargeStringArray]:
    """Host, path and query with punycode and escapes undone."""
    return (
        _mapped(parts.host, "xn--", ada_url.idna_to_unicode),
        _mapped(parts.path, "%", unquote),
        _mapped(parts.query, "%", unquote),
    )


def _mapped(part: pa.LargeStringArray, mark: str, function: Callable[[str], str]) -> pa.LargeStringArray:
    """`function` of the values that hold `mark`: few enough for a loop."""
    marked = pc.match_substring(part, mark)
    return pc.replace_with_mask(part, marked, pa.array(map(function, part.filter(marked).to_pylist()), _TEXT))


def _without_ignored(text: pa.LargeStringArray) -> pa.LargeStringArray:
    return pc.replace_substring_regex(text, _IGNORED, "")


def _first_word(text: pa.LargeStringArray, words: Words) -> NDArray[np.int64]:
    """The entry that each text has first, or -1."""
    hits = overlap.hits(text, words.grams)
    numbers = np.full(len(text), -1, np.int64)
    some = hits.documents[:-1] < hits.documents[1:]
    numbers[some] = _entries(hits.grams[hits.documents[:-1][some]], words)
    return numbers


def _entries(grams: NDArray[np.int64], words: Words) -> NDArray[np.int64]:
    """The first entry behind each n-gram."""
    return words.grams.items[words.grams.item_bounds[grams]].astype(np.int64)


def _soft(text: pa.LargeStringArray, words: Words, limit: int) -> tuple[pa.LargeStringArray, NDArray[np.int64]]:
    """Names of what was found in the texts with at least `limit` different entries, and for each its place or -1."""
    hits = overlap.hits(text, words.grams)
    numbers = np.full(len(text), -1, np.int64)
    names: list[str] = []
    for row in np.flatnonzero(np.diff(hits.documents) >= limit):
        grams = dict.fromkeys(hits.grams[hits.documents[row] : hits.documents[row + 1]].tolist())
        if len(grams) >= limit:
            numbers[row] = len(names)
            names.append(", ".join(words.written.take(pa.array(_entries(np.array(list(grams)), words))).to_pylist()))
    return pa.array(names, _TEXT), numbers


def _first_substring(text: pa.LargeStringArray, lookup: Substrings) -> tuple[pa.LargeStringArray, NDArray[np.int64]]:
    """The substring found in each text as it was written, and its place or -1."""
    text = _without_ignored(pc.utf8_lower(text))
    numbers = np.full(len(text), -1, np.int64)
    names: list[str] = []
    for pattern in lookup.patterns:
        has = np.asarray(pc.match_substring_regex(text, pattern)).astype(bool) & (numbers < 0)
        rows = np.flatnonzero(has)
        numbers[rows] = len(names) + np.arange(len(rows))
        found = pc.struct_field(pc.extract_regex(text.take(pa.array(rows)), pattern), "entry")
        names += [lookup.written[entry] for entry in found.to_pylist()]
    return pa.array(names, _TEXT), numbers


@njit(nogil=True, cache=True)
def _blocked_domains(offsets, data, lookup):  # type: ignore[no-untyped-def]
    """For each host the entry that is it or a domain above it, the nearest first, or -1."""
    entries = np.full(len(offsets) - 1, -1, np.int64)
    for row in range(len(entries)):
        start, end = offsets[row], offsets[row + 1]
        if end > start and data[end - 1] == 46:  # example.com. is example.com
            end -= 1
        while start < end and entries[row] < 0:
            entries[row] = find(data, start, end, lookup)
            while start < end and data[start] != 46:
                start += 1
            start += 1
    return entries


@njit(nogil=True, cache=True)
def _blocked_pages(offsets, data, lookup):  # type: ignore[no-untyped-def]
    """For each page (`_page`) the entry that is it or above it, the nearest first, or -1."""
    entries = np.full(len(offsets) - 1, -1, np.int64)
    for row in range(len(entries)):
        start, stop = offsets[row], offsets[row + 1]
        entries[row] = find(data, start, stop, lookup)
        end = start
        while end < stop and data[end] != 63:
            end += 1
        if end < stop and entries[row] < 0:
            entries[row] = find(data, start, end, lookup)
        end -= 1
        while end > start and entries[row] < 0:
            if data[end] == 47:
                entries[row] = find(data, start, end, lookup)
            end -= 1
    return entries
