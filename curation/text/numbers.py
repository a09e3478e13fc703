"""The number that a text settles on: after "the answer is" or ####, or the last one.

What stands around a number decides whether it is one: of "3 to 5", "2 hours and 30 minutes", "less than 5" or "v2"
nothing is taken, since the last digits would pass a wrong answer. `numerals` reads the number itself.
"""

from __future__ import annotations

import re
from fractions import Fraction

from curation.text import numerals
from curation.text.numerals import LONGEST, MARK, Token, tokens_of, words

_BEFORE = numerals.FRACTIONS | words(
    "not no never isn aren wasn cannot less fewer more greater smaller larger under over above below beyond least most "
    "between within twice thrice double triple square cube root power plus times either neither except than step "
    "problem question part exercise figure table page section example"
)
"""Before a number, these say that it is not what is stated."""
_FUNCTIONS = words("log ln lg exp sqrt sin cos tan sec csc cot arcsin arccos arctan sinh cosh tanh det gcd lcm")
"""Right before a number, these are taken of it."""
_STOP = words("because since as which where when not instead rather so if but while given that is")
"""With these another clause begins."""
_RESULT = words("is are was were be equals equal makes make gives give get gets leaves totals thus therefore so")
_LEFT = frozenset("([\"':" + MARK + "“‘=→")
_RIGHT = frozenset(")]}.,;:!?\"'”’|" + MARK)
"""What may stand at a number without a space."""
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
"""Characters of Japanese, Chinese and Korean, where words and particles stand at a number without a space."""
_NOT_BEHIND = tuple("第负負零加减減乘除非不未过過超比逾") + tuple(
    f"{word}{end}" for word in "大小多少高低" for end in "于於"
)
"""A word with one of these ends says that the number behind it is not what is stated."""
_NOT_AHEAD = (
    *"万萬亿億兆千百十半多余餘几幾来來至到点點折倍以未番号號位的和与與或第加减減乘除만억조천백십번",
    *("分の", "分之", "から", "이상", "이하", "미만", "부터", "에서", "분의"),
)
"""A word that begins so makes another number of the one before it, or one of several."""
_ENDS = frozenset(";?!\n—|")
_BREAKS = frozenset(",.;?!\n—|\"“”'‘’#&→")


def stated(text: str) -> tuple[bool, Fraction | None]:
    """Of what follows "the answer is": does its first clause hold digits, and the number, where it holds just one."""
    tokens = _clause(tokens_of(text[:LONGEST]))
    numbers = [place for place, token in enumerate(tokens) if token[0] == "number"]
    if not numbers:
        return False, None
    begin, end = _run(tokens, numbers[0])
    if numbers[-1] >= end or (end == len(tokens) and len(text) > LONGEST):
        return True, None
    before = [word.lower() for kind, word in tokens[:begin] if kind == "word"]
    after = [word.lower() for kind, word in tokens[end:] if kind == "word"]
    negative = before[-1:] in (["minus"], ["negative"])
    if _another(before[: -1 if negative else None], after):
        return True, None
    return True, _signed(_in_prose(tokens, begin, end), negative)


def leads(text: str) -> tuple[bool, Fraction | None]:
    """Of what follows ####: is it an answer and no heading, such as "Step 3" or "3. Sum", and the number."""
    line = text[:LONGEST].partition("\n")[0]
    tokens = tokens_of(line)
    clause = _clause(tokens)
    rest = "".join(part for _, part in tokens[len(clause) :]).lstrip()
    first = next((kind for kind, part in clause if kind != "space" and part != MARK), None)
    if (first == "word" and "=" not in line) or (rest[:1] in (".", ":", ")") and re.search(r"\w", rest)):
        return False, None
    return stated(line)


def last(text: str) -> Fraction | None:
    """The last number of a text; None where what stands last is only part of something else."""
    offset = max(text.rfind(digit) for digit in "0123456789")
    if offset < 0:
        return None
    begin = max(text.rfind("\n", 0, offset) + 1, offset - LONGEST)
    whole = begin == 0 or text[begin - 1] == "\n"
    tail = text[offset : offset + LONGEST].partition("\n")[0]
    tokens = tokens_of(text[begin:offset] + tail)
    index = max((index for index, token in enumerate(tokens) if token[0] == "number"), default=None)
    if index is None:
        return None
    begin, end = _run(tokens, index)
    if begin == 0 and not whole:
        return None
    following = "".join(part for _, part in tokens[end : end + 3])
    if not any(kind == "word" for kind, _ in tokens[:begin]) and re.match(r"[.)]\s\w", following):  # a list's
        return None
    start = max((n + 1 for n in range(begin) if _ends_clause(tokens, n)), default=0)
    before = [word.lower() for kind, word in tokens[start:begin] if kind == "word"]
    equation = any(part == "=" for _, part in tokens[begin:end])
    earlier = max((n for n in range(start, begin) if tokens[n][0] == "number"), default=None)
    if earlier is not None and not equation:
        between = [word.lower() for kind, word in tokens[earlier + 1 : begin] if kind == "word"]
        if not between or between[-1] in numerals.CONNECT or (len(between) == 1 and between[0] not in _RESULT):
            return None
    if _several(tokens, begin, end):
        return None
    stop = next((n for n in range(end, len(tokens)) if _ends_clause(tokens, n) or tokens[n][1] == ","), len(tokens))
    after = [word.lower() for kind, word in tokens[end:stop] if kind == "word"]
    negative = before[-1:] in (["minus"], ["negative"])
    if _another([] if equation else before[-3 : -1 if negative else None], after):
        return None
    return _signed(_in_prose(tokens, begin, end), negative)


def _several(tokens: list[Token], begin: int, end: int) -> bool:
    """Is the number one of a list, a pair or an interval, or the last of several equations?"""
    before = [part for kind, part in tokens[:begin] if kind != "space" and part != MARK]
    after = [part for kind, part in tokens[end:] if kind != "space" and part != MARK]
    if before[-1:] == [";"] and before[-2:-1] and before[-2][-1:].isdigit():  # 5; 6
        return True
    if tokens[begin][1] == "=" and len(before) > 3 and before[-2] in (",", ";", "or", "and"):  # x = 5, y = 6
        return bool(before[-3][-1:].isdigit() and before[-4] in ("=", "-", "\\frac", "/"))
    # (-\infty, 3) and (3, x), but not (in all, 3)
    left = before[-2] if before[-1:] in ([","], [";"]) and before[-2:-1] else ""
    if _mathematical(left) and sum(map(before.count, "([{")) > sum(map(before.count, ")]}")):
        return True
    right = next((part for part in after[1:] if part not in "+-"), "") if after[:1] in ([","], [";"]) else ""
    closed = any(part in (")", "]", "}") for part in after)
    return _mathematical(right) and closed and sum(map(before.count, "([{")) >= 1


def _mathematical(part: str) -> bool:
    return part[-1:].isdigit() or part in ("\\infty", "∞") or (len(part) == 1 and part.isalpha())


def _next(tokens: list[Token], place: int) -> Token:
    """The next that is no space and no mark."""
    for token in tokens[place + 1 :]:
        if token[0] != "space" and token[1] != MARK:
            return token
    return "end", ""


def _ends_clause(tokens: list[Token], index: int) -> bool:
    """A sentence's end, or what parts as one."""
    kind, part = tokens[index]
    return (part in _ENDS and kind == "sign") or (
        part == "." and tokens[index + 1 : index + 2][:1] in ([], [("space", " ")])
    )


def _clause(tokens: list[Token]) -> list[Token]:
    """Up to where another clause begins, once a number stood."""
    number = False
    for index, (kind, part) in enumerate(tokens):
        number = number or kind == "number"
        if _ends_clause(tokens, index) or (kind == "space" and "\n" in part and (number or index)):
            return tokens[:index]
        if not number:
            continue
        follows = _next(tokens, index)
        if part == "," and (follows[0] == "word" and follows[1].lower() not in ("and", "or")):
            return tokens[:index]
        if part in (",", ":") and follows[0] == "end":
            return tokens[:index]
        if part == "(" and index and tokens[index - 1][0] == "space":
            return tokens[:index]
        if kind == "word" and part.lower() in _STOP:
            return tokens[:index]
    return tokens


def _run(tokens: list[Token], index: int) -> tuple[int, int]:
    """The stretch about a number that words and punctuation end, spaces at its ends left out."""
    begin, end = index, index + 1
    while begin and tokens[begin - 1][0] != "word" and tokens[begin - 1][1] not in _BREAKS:
        begin -= 1
    while end < len(tokens) and tokens[end][0] != "word" and tokens[end][1] not in _BREAKS:
        end += 1
    while tokens[begin][0] == "space" or tokens[begin][1] in (MARK, ":"):
        begin += 1
    while tokens[end - 1][0] == "space" or tokens[end - 1][1] in (MARK, ":"):
        end -= 1
    # Brackets about more than the number.
    while tokens[end - 1][1] in ("(", "[") and end > index + 1:
        end -= 1
        while tokens[end - 1][0] == "space":
            end -= 1
    for opening, closing in ("()", "[]", "{}"):
        parts = [part for _, part in tokens[begin:end]]
        while tokens[begin][1] == opening and parts.count(opening) > parts.count(closing) and begin < index:
            begin, parts = begin + 1, parts[1:]
        while tokens[end - 1][1] == closing and parts.count(closing) > parts.count(opening) and end > index + 1:
            end, parts = end - 1, parts[:-1]
    return begin, end


def _another(before: list[str], after: list[str]) -> bool:
    """Do the words before and after a number say that it is not the one meant, or only part of it?"""
    rest = after[1:] if after and after[0] in numerals.SCALES else after
    return (
        any(word in _BEFORE for word in before)
        or any(word in _FUNCTIONS for word in before[-1:])
        or any(word in numerals.AFTER for word in rest[:2])
        or any(word in numerals.FRACTIONS for word in rest[:5])
        or "than" in rest[:3]
    )


def _in_prose(tokens: list[Token], begin: int, end: int) -> Fraction | None:
    """The value of a run, where nothing that stands at it says that it is part of something else."""
    space = ("space", " ")
    left = tokens[begin - 1] if begin else space
    right, further = (tokens[place] if place < len(tokens) else space for place in (end, end + 1))
    equation = any(part == "=" for _, part in tokens[begin:end])
    if not equation and not (left[0] == "space" or left[1] in _LEFT or _leads_on(left)):
        return None
    scale = 1
    if right[0] == "word":
        if _UNSPACED.match(right[1]):
            if right[1].startswith(_NOT_AHEAD) or "半" in right[1]:
                return None
        elif right[1].lower() not in numerals.ATTACHED and tokens[end - 1][0] == "number":
            return None
    elif (
        (right[0] != "space" and right[1] not in _RIGHT)
        or (right[1] in (".", ",", ":") and (further[0] == "number" or further[1] in (".", "-")))
        or (right[1] == "!" and not any(kind == "word" for kind, _ in tokens))
    ):
        return None
    elif right[0] == "space" and further[0] == "word":
        if len(further[1]) == 1 and further[1] not in numerals.LETTERS:
            return None
        scale = numerals.SCALES.get(further[1].lower(), 1)
    value = numerals.side(tokens[begin:end], prose=True)
    return None if value is None else value * scale


def _leads_on(left: Token) -> bool:
    """Whether a word that stands at a number without a space is none of its parts."""
    kind, word = left
    return kind == "word" and _UNSPACED.fullmatch(word[-1]) is not None and not word.endswith(_NOT_BEHIND)


def _signed(value: Fraction | None, negative: bool) -> Fraction | None:
    if value is None or not negative:
        return value
    return -value if value > 0 else None
