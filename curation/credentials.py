"""Credentials in addresses: refused where one is given, since addresses are recorded, and shown in no message."""

from __future__ import annotations

import re

_USER = r"[^/@\s'\"]*(?=@)"
_WITH_SLASHES = r"[^/@\s:'\"]*:(?!\d+(?:[/\s'\"]|$))[^@\s'\"]*(?=@)"
"""Secret keys of S3 have slashes; what stands behind the colon is no port then."""
_NAMES = r"[\w.-]*(?:key|token|secret|signature|passw|credential|\bsig|\bauth)[\w.-]*="
_IN_AUTHORITY = re.compile(rf"(?<=://)(?:{_USER}|{_WITH_SLASHES})")
_IN_QUERY = re.compile(rf"(?<=[?&#])({_NAMES})([^&#\s'\"]+)", re.IGNORECASE)


def has_credentials(url: str, query: bool = True) -> bool:
    """Whether an address holds some: before an `@`, or as a parameter behind `?`, which is asked where `query` says."""
    return bool(_IN_AUTHORITY.search(url) or (query and _IN_QUERY.search(url)))


def masked(text: str) -> str:
    """A text as long as it was, with dots for credentials in the addresses in it."""
    text = _IN_AUTHORITY.sub(lambda found: "·" * len(found.group()), text)
    return _IN_QUERY.sub(lambda found: found[1] + "·" * len(found[2]), text)
