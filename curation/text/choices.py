"""The letter, A to J, of the choice that an answer settles on: (B), **B**, \\boxed{B}, "the answer is B".

"A" and "I" of English sentences are none, nor is one of several."""

from __future__ import annotations

import re

LONGEST = 400
"""Characters in which a letter is looked for."""

_DRESS = re.compile(
    r"\\(?:text(?:bf|rm|it|sf|tt)?|math(?:rm|bf|it|sf)|mbox|boldsymbol)(?![A-Za-z])|\\[(),;:! \[\]]|[*_`$~]+"
)
_ALONE = re.compile(r"[^\w+#&/=-]*([A-Ja-j])[^\w+#&/=-]*")
_LABEL = re.compile(r"[{\s]*(?:\(([A-Ja-j])\)|([A-Ja-j])[).:]|([A-J])\s*[-–—:])(?=\s|$|[.,;])")
_CANDIDATE = re.compile(r"\(([A-Ja-j])\)|\[([A-Ja-j])\]|(?<![\w'’+#.&/-])([A-J])(?![\w'’+#&/=-]|\.\w)\)?")
_NAMED = re.compile(
    r"\b(?:vitamin|hepatitis|influenza|plan|grade|type|group|class|team|point|vertex|angle|side|line|appendix|schedule"
    r"|block|building|person|player|city|town|exhibit|section|part)s?\s+$",
    re.IGNORECASE,
)
"""Before a letter, these make it a name: vitamin C is no choice."""
_NUMERAL = re.compile(r"\b(?:II|III|IV|VI{0,3}|IX|X)\b")
"""Where one of these stands too, I is a number."""
_BESIDE_SIGNS = re.compile(
    "(?<=[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uff1a])(?=[A-J](?![A-Za-z0-9]))"
    "|(?<=[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uff1a][A-J])(?=[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])"
)
_WIDE = {0xFF21 + place: chr(65 + place) for place in range(26)} | dict.fromkeys(
    map(ord, "\u00ad\u200b\u200e\u200f\u2060\ufeff"), ""
)


def _plain(text: str) -> str:
    """Without what is not seen and what only sets off; Chinese and the like stand apart from letters."""
    return _BESIDE_SIGNS.sub(" ", _DRESS.sub(" ", text).translate(_WIDE))


_SENTENCE = re.compile(r"[.;!?\n](?=\s|$)|\n")
_STOPPED = (
    "because",
    "since",
    "as",
    "given",
    "for",
    "due",
    "with",
    "on",
    "by",
    "in",
    "which",
    "and",
    "or",
    "if",
    "when",
)
_AFTER_LETTER = re.compile(rf"\s*(?:$|[^\w\s]|(?:{'|'.join(_STOPPED)})\b)")
_SAID_OF = re.compile(
    r"\s*(?:is|was|would be|seems|must be)\s+(?:the\s+)?(?:only\s+)?(?:correct|right|true|best|answer)\b", re.IGNORECASE
)
_REFUSED = re.compile(
    r"(?:n['’]t|\b(?:not|cannot|never|neither|nor|except|without|excludes?|eliminates?"
    r"|than|unlike|wrong|incorrect|rules? out))(?:\W+(?:be|an?|the|option|choice|answer|letter|out))*\W*$",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"[\s)\]]*(?:is|are|was|were|would be|must be|can be|can)\s*(?:n['’]t|not|wrong|incorrect|false|out|ruled)\b",
    re.IGNORECASE,
)
_LEADS = re.compile(
    r"(?:\b(?:is|be|was|choose|chose|pick|picked|select|selected|option|choice|answer|letter|with|say|says|therefore|thus|hence)"
    r"|['’]s|[:=：是为為选選]|->|→)\W*$",
    re.IGNORECASE,
)  # fmt: skip
_JOINED = re.compile(
    r"[\s)\]]*(?:,|/|&|\+|\bor\b|\band\b|\bto\b|[-–])(?:[\s,(\[]|or\b|and\b|either\b|both\b)*$", re.IGNORECASE
)


def whole(text: str) -> str | None:
    """The letter that a text is, as a box or a cell holds it: with its option behind it, or alone."""
    text = _plain(text[: LONGEST + 1]).strip()
    if len(text) > LONGEST:
        return None
    alone = _ALONE.fullmatch(text)
    if alone:
        return alone.group(1).upper()
    label = _LABEL.match(text)
    if label is None or _CANDIDATE.search(text, label.end()):
        return None
    return str(label.group(label.lastindex or 0)).upper()


def stated(text: str) -> tuple[bool, str | None]:
    """Of what follows "the answer is": does its first sentence name a letter, and the letter, where it is just one."""
    text = _plain(text[:LONGEST]).lstrip(" \n:={(\"'" if not text.lstrip(" \n:=*").startswith("(") else " \n:=*")
    lone = re.match(r"(?:(?:option|choice|letter)\s+)?([a-j])(?=\s*(?:$|\n|[.)](?:\s|$)))", text)
    if lone:  # nothing but a small letter
        return True, lone.group(1).upper()
    end = _SENTENCE.search(text)
    label = _LABEL.match(text)
    if label is not None:
        end = _SENTENCE.search(text, label.end())
    sentence = text[: end.start() if end else None]
    named = _letters(sentence)
    held = [(letter, begin, stop) for letter, begin, stop in named if not _out(sentence, begin, stop)]
    if not held:
        return bool(named), None
    first, rest = held[0], held[1:]
    joined = any(_JOINED.search(sentence[first[2] : begin]) for _, begin, _ in rest[:1])
    if joined or (len({letter for letter, _, _ in held}) > 1 and re.search(r"\b(?:either|both|or)\b", sentence)):
        return True, None
    if re.search(r"[A-Za-z]{2}", sentence[: first[1]]) and len({letter for letter, _, _ in held}) > 1:
        return True, None
    return True, first[0]


def last(text: str) -> str | None:
    """The last letter that a text settles on; a list of the options is none."""
    if len(text) <= LONGEST:
        plain = _plain(text).strip()
        alone = _ALONE.fullmatch(plain)
        if alone and (alone.group(1).isupper() or plain != alone.group(1)):
            return alone.group(1).upper()
    text = _plain(text[-2_000:])
    lines = text.split("\n")
    labels = [(index, found) for index, line in enumerate(lines) if (found := _LABEL.match(line))]
    options = {str(found.group(found.lastindex or 0)).upper() for _, found in labels}
    listed = {index for index, _ in labels} if len(options) > 1 else set()
    for index in range(len(lines) - 1, -1, -1):
        if index in listed:
            continue
        named = _letters(lines[index])
        held = [(letter, begin, stop) for letter, begin, stop in named if _settles(lines[index], begin, stop)]
        if not held:
            continue
        letter, begin, _ = held[-1]
        before = [stop for _, _, stop in named if stop <= begin]
        after = [start for _, start, _ in named if start > begin]
        if before and _JOINED.fullmatch(lines[index][before[-1] : begin]):
            return None
        if after and _JOINED.fullmatch(lines[index][held[-1][2] : after[0]]):
            return None
        return letter
    return None


def _letters(text: str) -> list[tuple[str, int, int]]:
    """Letter, begin and end of each candidate; "A" and "I" only where no word of their sentence follows."""
    letters = []
    numbered = bool(_NUMERAL.search(text))
    for match in _CANDIDATE.finditer(text):
        letter = str(match.group(match.lastindex or 0))
        bare = match.lastindex == 3 and not match.group().endswith(")")
        if bare and (_NAMED.search(text, max(0, match.start() - 20), match.start()) or (letter == "I" and numbered)):
            continue
        if (
            bare
            and letter in "AI"
            and not (_AFTER_LETTER.match(text, match.end()) or _SAID_OF.match(text, match.end()))
        ):
            continue
        letters.append((letter.upper(), match.start(), match.end()))
    return letters


def _out(text: str, begin: int, stop: int) -> bool:
    return bool(_REFUSED.search(text, max(0, begin - 60), begin) or _DENIED.match(text, stop))


def _settles(text: str, begin: int, stop: int) -> bool:
    """In a text without a mark: what stands at the letter says that it is meant."""
    if _out(text, begin, stop):
        return False
    if text[begin] in "([" or _SAID_OF.match(text, stop):
        return True
    alone = not re.search(r"\w", text[:begin]) and (_LABEL.match(text) or not re.search(r"\w", text[stop:]))
    return bool(alone or _LEADS.search(text, max(0, begin - 40), begin))
