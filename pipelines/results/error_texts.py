"""What docs/errors.md says of each code. That file is the one source: a wheel carries it beside `schemas`."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import pyarrow as pa

import schemas
from schemas.errors import CODES, CurationError, Finding


def explained(code: str) -> str:
    """A code's section, in Markdown. Raises C032 for one that there is not."""
    code = code.upper()
    if code not in CODES:
        near = get_close_matches(code, CODES, 3, 0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "curate error lists all of them"
        raise CurationError(Finding("C032", f"there is no error code '{code}'", hint))
    return _sections().get(code, f"# {code} {CODES[code]}\n")


def codes() -> pa.Table:
    """Every code, and what it means."""
    return pa.table({"code": list(CODES), "meaning": list(CODES.values())})


@cache
def _sections() -> dict[str, str]:
    package = Path(next(iter(schemas.__path__)))
    packed, source = package / "errors.md", package.parent / "docs" / "errors.md"
    try:
        text = (packed if packed.exists() else source).read_text(encoding="utf-8")
    except FileNotFoundError:  # code that was sent to a cluster
        return {}
    sections = re.split(r"^### (?=[CR]\d{3} )", text, flags=re.MULTILINE)[1:]
    return {section[:4]: f"# {re.split(r'^## ', section, flags=re.MULTILINE)[0].strip()}\n" for section in sections}
