"""Numbers as answers have them, read whole or not at all: 1,000.50, -3/4, \\frac{1}{2}, 1 1/2, 1.5 × 10^6, x = 5.

What is left over decides nothing but that there is no number: of "3-5", "(1, 2)", "5x", "2\\sqrt{3}", "1.000,5" and
"5:30" no part is taken for the whole. Values are exact, `Fraction`. A sum that is not worked out is no number, since
"3-5" may as well be a range; a product is one, where a text is nothing else.

By hand, since what is there (math-verify on latex2sympy2 on ANTLR, and sympy's own reader) evaluates what it reads,
9^{9^{9^9}} too, and is stopped by an alarm: the result would depend on the machine's speed. Here every step is bounded.
"""

from __future__ import annotations

import re
from fractions import Fraction

LONGEST = 400
"""Characters in which an answer is looked for; a number that is longer is none."""
DIGITS, DEPTH, BITS = 300, 20, 8_192
"""Most digits of one number, brackets inside one another, and bits of a value."""
MARK = "\x00"
"""Stands for what only sets a number off, such as ** and $: it may stand around it, never within."""

Token = tuple[str, str]
"""Kind, one of number, word, command, space and sign, and what it says."""

# --- characters and commands that mean the same -------------------------------------------------------------------

_SUPER = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-", strict=True))
_VULGAR = ("12", "13", "14", "34", "23", "18")
_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("−﹣－–‐‑", "-"),
        **dict.fromkeys("÷⁄∕／", "/"),
        **dict.fromkeys("·⋅∙", "\\cdot "),
        **dict.fromkeys("≈≅", "="),
        **{chr(0xFF10 + digit): str(digit) for digit in range(10)},
        **{char: f"\\frac{{{pair[0]}}}{{{pair[1]}}}" for char, pair in zip("½⅓¼¾⅔⅛", _VULGAR, strict=True)},
        **{char: f"^{{{plain}}}" for char, plain in _SUPER.items() if plain != "-"},
        "×": "\\times ", "°": "^\\circ ", "％": "%", "﹪": "%", "＝": "=", "＄": "$", "，": ",", "\x00": "\ufffd",
        "。": "\n", "；": ";", "：": ":",
    }
)  # fmt: skip
_UNSEEN = re.compile(r"(?<![\w.,-])[\u200b\u200e\u200f\u2060\ufeff]+|[\u200b\u200e\u200f\u2060\ufeff]+(?![\w.,-])")
"""Has no width, and stands at a word's end; within a number it is a part that is not read."""
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_GROUPED = re.compile(r"(?<=[0-9])(?:[\u00a0\u2009\u202f]|\\[,;!: ]|\{,\}|\\!,|,\\!)(?=[0-9]{3}(?![0-9]))")
_WORDS_SET = re.compile(
    r"\\(?:text(?:bf|rm|it|sf|tt)?|math(?:rm|bf|it|sf)|mbox|boldsymbol|operatorname)\s?\{([^{}]{0,200})\}"
)
_SAME = (
    (re.compile(r"\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\(?:left|right|big|Big|bigg|Bigg|displaystyle|textstyle)(?![A-Za-z])"), ""),
    (re.compile(r"\\(?:degree|degrees)(?![A-Za-z])"), r"^\\circ "),
    (re.compile(r"\\approx(?![A-Za-z])"), "="),
    (re.compile(r"\\div(?![A-Za-z])"), "/"),
    (re.compile(r"\\(?:quad|qquad)(?![A-Za-z])|\\[,;:! ]|~"), " "),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"[-=]+>"), "→"),
    # <answer>12</answer>, 12<br>; what stands lower, higher or crossed out is part of something else.
    (re.compile(r"</?(?!(?:su[bp]|s|del|strike)\b)[A-Za-z][A-Za-z0-9_-]{0,30} ?/?>"), MARK),
    (re.compile(r"\\[()\[\]]|\\boxed(?![A-Za-z])"), MARK),
    # A currency's sign stands between a minus and its number; elsewhere it sets off, as $ does in TeX.
    (re.compile(r"-\s?\\?[$€£¥₹]\s?(?=[.0-9])"), "-"),
    (re.compile(r"\\?[$€£¥₹]"), MARK),
    (re.compile(r"`+|__"), MARK),
)
_STARS = re.compile(r"\*+")
_AREA = re.compile(
    r"((?<![A-Za-z])(?:mm|cm|dm|m|km|ft|in|yd|mi|units?|inches|meters?|metres?|feet)|(?<=/)s)\s*\^\s?(?:[23](?!\d)|\{[23]\})"
)
_ELLIPSIS = re.compile(r"\.\.|…|\\(?:[lc]?dots)(?![A-Za-z])")
_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+(?:[.,][0-9]+)*|\.[0-9]+)(?:[eE][+-]?[0-9]+(?![0-9A-Za-z]))?)"
    r"|(?P<word>[^\W\d_]+)|(?P<command>\\(?:[A-Za-z]+|.))|(?P<space>\s+)|(?P<sign>.)",
    re.DOTALL,
)
_WELL_FORMED = re.compile(r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9]+)?(?:\.[0-9]+)?(?:[eE]([+-]?[0-9]{1,6}))?")

# --- words ---------------------------------------------------------------------------------------------------------


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ATTACHED = words(
    "mm cm dm km mg kg ml cl dl lb lbs oz ft yd mi mph kph kmh km hr hrs min mins sec secs ms ns hz khz mhz ghz kb mb "
    "gb tb kw kwh wh mw mol pa kpa atm usd eur gbp cents sq cu deg rad px pt"
)
"""Units that may follow their number without a space."""
LETTERS = words("m s g h l L J N K V W A C F T")
"""Units of one letter; another letter after a number is algebra."""
SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
FRACTIONS = words(
    "half halves third thirds quarter quarters fourth fourths fifth fifths sixth sixths seventh sevenths eighth "
    "eighths ninth ninths tenth tenths hundredth hundredths thousandth thousandths"
)
AFTER = words(
    "dozen dozens score gross plus minus times squared cubed factorial choose mod modulo remainder divided multiplied "
    "power hundreds thousands millions billions trillions k pm am out to through until or over pi lakh crore "
    "percentile than e i infinity"
)
"""After a number, these make it another, or one of several."""
CONNECT = words("and or to through until by of per plus minus times x over in from than for")
_RELATIONS = words("< > ≤ ≥ ≠ ± ; \\le \\leq \\ge \\geq \\ne \\neq \\in \\pm")


# --- reading -------------------------------------------------------------------------------------------------------


def spelled(text: str) -> str:
    """A text in the characters that the other functions know: −5 as -5, ½ as \\frac{1}{2}, m² as m^{2}."""
    if text.isascii():
        return text.replace(MARK, "\ufffd")
    text = _UNSEEN.sub("", text)
    text = _RAISED.sub(lambda found: "^{" + "".join(_SUPER[char] for char in found.group()) + "}", text)
    return text.translate(_CHARACTERS)


def read(text: str) -> Fraction | None:
    """The number that a text is, as a box or a cell holds it; a unit may follow it."""
    if len(text) > LONGEST or _ELLIPSIS.search(text):
        return None
    return side(stripped(tokens_of(text)), prose=False)


def plain(value: Fraction) -> str:
    """As a decimal where it ends, else as a fraction in lowest terms."""
    bottom, twos, fives = value.denominator, 0, 0
    while bottom % 2 == 0:
        bottom, twos = bottom // 2, twos + 1
    while bottom % 5 == 0:
        bottom, fives = bottom // 5, fives + 1
    if bottom != 1:
        return f"{value.numerator}/{value.denominator}"
    places = max(twos, fives)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


def tokens_of(text: str) -> list[Token]:
    text = _GROUPED.sub(",", text)
    for _ in range(3):
        text = _WORDS_SET.sub(r" \1 ", text)
    for pattern, same in _SAME:
        text = pattern.sub(same, text)
    text = _AREA.sub(r"\1 ", text)
    text = _STARS.sub(_star, text)
    return [(str(found.lastgroup), found.group()) for found in _TOKEN.finditer(text)]


def _star(match: re.Match[str]) -> str:
    """A sign of multiplication stays; what sets in bold is a mark."""
    left, right = match.string[max(0, match.start() - 1) : match.start()], match.string[match.end() : match.end() + 2]
    between = re.fullmatch(r"[0-9A-Za-z)}\]]", left) and re.match(r"[0-9A-Za-z({\[\\-]|\.[0-9]", right)
    return match.group() if between or (left.isspace() and right[:1].isspace()) else MARK


def stripped(tokens: list[Token]) -> list[Token]:
    begin, end = 0, len(tokens)
    while begin < end and (tokens[begin][0] == "space" or tokens[begin][1] == MARK):
        begin += 1
    while begin < end and (tokens[end - 1][0] == "space" or tokens[end - 1][1] in (MARK, ".", ",")):
        end -= 1
    return tokens[begin:end]


class _UnreadableError(Exception):
    pass


def side(tokens: list[Token], prose: bool) -> Fraction | None:
    """What stands after the last sign of equality."""
    depth, cut = 0, -1
    for index, (kind, part) in enumerate(tokens):
        depth += (part in "({[") - (part in ")}]")
        if part == "=" and depth == 0:
            cut = index
        elif part in _RELATIONS or (depth == 0 and (part == "," or (kind == "word" and part.lower() in ("or", "and")))):
            return None
    try:
        value = _Reader(stripped(tokens[cut + 1 :]), prose, cut >= 0).whole()
    except (_UnreadableError, ZeroDivisionError):
        return None
    return value


class _Reader:
    """Reads one value from tokens, from left to right."""

    def __init__(self, tokens: list[Token], prose: bool, equation: bool) -> None:
        self.tokens, self.prose, self.equation, self.cursor, self.depth = tokens, prose, equation, 0, 0

    def peek(self, ahead: int = 0) -> Token:
        place = self.cursor + ahead
        return self.tokens[place] if place < len(self.tokens) else ("end", "")

    def space(self) -> bool:
        there = self.peek()[0] == "space"
        self.cursor += there
        return there

    def take(self, part: str) -> None:
        self.space()
        if self.peek()[1] != part:
            raise _UnreadableError
        self.cursor += 1

    def whole(self) -> Fraction:
        value = self.product()
        self.unit()
        return value

    def product(self) -> Fraction:
        value = self.quotient()
        while True:
            start = self.cursor
            self.space()
            if self.peek()[1] not in ("\\times", "\\cdot", "*"):
                self.cursor = start
                return value
            self.cursor += 1
            self.space()
            base = self.peek()[1]
            factor = self.quotient()
            if self.prose and not self.equation and base != "10":  # a size, such as 3 × 5
                raise _UnreadableError
            value = _bounded(value * factor)

    def quotient(self) -> Fraction:
        value = self.power()
        start = self.cursor
        self.space()
        if self.peek()[1] != "/" or self.peek(1)[0] == "word":
            self.cursor = start
            return value
        self.cursor += 1
        value = _bounded(value / self.power())
        start = self.cursor
        self.space()
        if self.peek()[1] == "/" and self.peek(1)[0] != "word":
            raise _UnreadableError
        self.cursor = start
        return value

    def power(self) -> Fraction:
        self.space()
        sign = 1
        if self.peek()[1] in ("-", "+"):
            sign = -1 if self.peek()[1] == "-" else 1
            self.cursor += 1
            if self.space() and self.prose and not self.equation:  # a dash
                raise _UnreadableError
        value = self.atom()
        if self.peek()[1] == "^" and not self.degrees():
            self.cursor += 1
            value = _raised(value, self.exponent())
        return sign * value

    def degrees(self) -> bool:
        following = [self.peek(ahead)[1] for ahead in (1, 2, 3)]
        return following[0] == "\\circ" or following == ["{", "\\circ", "}"]

    def exponent(self) -> Fraction:
        self.space()
        if self.peek()[1] in ("{", "("):
            return self.bracketed()
        sign = -1 if self.peek()[1] == "-" else 1
        self.cursor += self.peek()[1] == "-"
        value = sign * self.number()
        if self.peek()[1] == "^":
            raise _UnreadableError
        return value

    def atom(self) -> Fraction:
        kind, part = self.peek()
        if part in ("(", "{"):
            return self.bracketed()
        if part == "\\frac":
            return self.fraction()
        if kind != "number":
            raise _UnreadableError
        value = self.number()
        return value + self.beside(value) if value.denominator == 1 and part.isdigit() else value

    def beside(self, value: Fraction) -> Fraction:
        """The fraction of a mixed number, or 0."""
        start = self.cursor
        spaced = self.space()
        if self.peek()[1] == "\\frac":
            part = self.fraction()
        elif spaced and self.peek()[0] == "number" and self.peek(1)[1] == "/" and self.peek(2)[0] == "number":
            top = self.number()
            self.cursor += 1
            part = top / self.number()
        else:
            self.cursor = start
            return Fraction(0)
        if not 0 < part < 1:
            raise _UnreadableError
        return part

    def bracketed(self) -> Fraction:
        closing = {"(": ")", "{": "}"}[self.peek()[1]]
        if closing == ")" and "," in self.peek(1)[1]:  # (1,234) may be a pair
            raise _UnreadableError
        self.cursor += 1
        self.depth += 1
        if self.depth > DEPTH:
            raise _UnreadableError
        value = self.product()
        self.depth -= 1
        self.take(closing)
        return value

    def fraction(self) -> Fraction:
        self.cursor += 1
        self.space()
        part = self.peek()[1]
        if re.fullmatch(r"[0-9][1-9]", part):  # \frac12
            self.cursor += 1
            if self.peek()[1] == "{":
                raise _UnreadableError
            return Fraction(int(part[0]), int(part[1]))
        top, bottom = self.argument(), self.argument()
        return _bounded(top / bottom)

    def argument(self) -> Fraction:
        self.space()
        if self.peek()[1] == "{":
            return self.bracketed()
        if not re.fullmatch("[0-9]", self.peek()[1]):
            raise _UnreadableError
        return self.number()

    def number(self) -> Fraction:
        kind, part = self.peek()
        form = _WELL_FORMED.fullmatch(part)
        if kind != "number" or form is None or len(part) > DIGITS or abs(int(form.group(1) or 0)) > DIGITS:
            raise _UnreadableError
        self.cursor += 1
        return Fraction(part.replace(",", ""))

    def unit(self) -> None:
        """What may follow a number to the end: %, a degree, units."""
        attached = self.peek()[0] == "word"
        while self.peek()[0] != "end":
            kind, part = self.peek()
            word = part.lower()
            if kind == "word":
                known = word in ATTACHED or part in LETTERS
                if (attached and word not in ATTACHED) or not (known or len(part) > 2):
                    raise _UnreadableError
                if word in AFTER or word in FRACTIONS or word in SCALES or word in CONNECT:
                    raise _UnreadableError
            elif part == "^":
                if self.degrees():
                    self.cursor += 1 if self.peek(1)[1] == "\\circ" else 3
                else:
                    raise _UnreadableError
            elif not (kind == "space" or part in ("%", "/", ".", MARK)):
                raise _UnreadableError
            attached = False
            self.cursor += 1


def _bounded(value: Fraction) -> Fraction:
    if value.numerator.bit_length() + value.denominator.bit_length() > BITS:
        raise _UnreadableError
    return value


def _raised(base: Fraction, exponent: Fraction) -> Fraction:
    size = max(base.numerator.bit_length(), base.denominator.bit_length(), 1)
    if exponent.denominator != 1 or abs(exponent) * size > BITS:
        raise _UnreadableError
    return _bounded(base ** int(exponent))
