"""Two texts word by word, and what several have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from pipelines.charts.texts import valid
from schemas.charts import DiffPiece, WordDiff

WORDS = 1_000
"""Of either text, that are compared: the time grows with their square at worst."""
CONTEXT = 40
"""Words of a stretch that both have which are shown at either end."""
RUN = 3
"""Words in a row that count as common: single ones are in all texts."""
_PARTS = re.compile(r"\s*\w+|\s*[^\w\s]|\s+$")
"""A word or a sign, with the white space before it."""


def word_diff(dropped: tuple[str, str], kept: tuple[str, str]) -> WordDiff:
    """`doc` and text of each."""
    one, other = _words(dropped[1]), _words(kept[1])
    pieces: list[DiffPiece] = []
    for tag, a, b, c, d in _matcher(one, other).get_opcodes():
        if tag == "equal":
            pieces.append({"text": _shortened(one[a:b]), "side": "both"})
            continue
        if b > a:
            pieces.append({"text": valid("".join(one[a:b])), "side": "dropped"})
        if d > c:
            pieces.append({"text": valid("".join(other[c:d])), "side": "kept"})
    cut = [
        len("".join(words)) for words, (_, text) in ((one, dropped), (other, kept)) if len("".join(words)) < len(text)
    ]
    note = f"The first {max(cut):,} characters are compared." if cut else None
    return {"kind": "word_diff", "note": note, "dropped": dropped[0], "kept": kept[0], "pieces": pieces}


def common(texts: Sequence[str]) -> list[str]:
    """Runs of words that all texts have in one order: what is left of the first when each other is laid over it."""
    if len(texts) < 2:
        return []
    words = _words(texts[0])
    shared = [True] * len(words)
    for text in texts[1:]:
        shared_with = [False] * len(words)
        for a, _, size in _matcher(words, _words(text)).get_matching_blocks():
            shared_with[a : a + size] = [True] * size
        shared = [one and other for one, other in zip(shared, shared_with, strict=True)]
    runs, current = [], list[str]()
    for word, is_shared in [*zip(words, shared, strict=True), ("", False)]:
        if is_shared:
            current.append(word)
        elif current:
            if sum(part.strip()[:1].isalnum() for part in current) >= RUN:
                runs.append(_shortened(current).strip())
            current = []
    return runs


def _matcher(one: Sequence[str], other: Sequence[str]) -> SequenceMatcher[str]:
    """Of words, whatever white space is between them."""
    return SequenceMatcher(None, [w.strip() for w in one], [w.strip() for w in other], autojunk=False)


def _words(text: str) -> list[str]:
    return [match.group() for match, _ in zip(_PARTS.finditer(text), range(WORDS), strict=False)]


def _shortened(words: Sequence[str]) -> str:
    if len(words) <= 3 * CONTEXT:
        return valid("".join(words))
    return valid(f"{''.join(words[:CONTEXT])} … {''.join(words[-CONTEXT:])}")
