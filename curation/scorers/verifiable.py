"""Answers that can be checked: does what a response arrives at equal the known answer, and how often over samples?"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from curation.scorers import base
from curation.scorers.model import is_blank
from curation.sources.json_values import loads
from curation.text import choices, numbers, numerals
from schemas.documents import EMPTY, ERROR, OK

NOT_SAMPLES = "not a list of texts"
QUOTIENT_DIGITS = 9
"""From so many digits on, a decimal is the quotient that it was cut or rounded from."""


class VerifiableSettings(base.Settings):
    """What is compared with what, and how."""

    reference: str = "answer"
    """Mapped input column that holds the known answer, or a worked solution that ends with it."""
    response: str | None = None
    """Mapped input column of the response that is checked."""
    samples: str | None = None
    """Mapped input column of many responses: a list of texts, or the JSON of one."""
    match: Literal["number", "choice", "exact"] = "number"
    """`number`: the final numbers are equal. `choice`: the final letters A to J are. `exact`: the texts are, but for
    case, white space and punctuation at their ends that says nothing."""
    marker: str | None = Field(default=None, min_length=1)
    """What stands before an answer, such as "####" in GSM8K; without it, \\boxed{}, #### and "the answer is" are
    looked for, and then the last number is taken."""

    @model_validator(mode="after")
    def _one(self) -> VerifiableSettings:
        if (self.response is None) == (self.samples is None):
            raise ValueError("give either response, one answer a document, or samples, many")
        return self


class Verifiable(base.Scorer):
    """Share of responses whose answer is the known one.

    Fields: `pass_rate` float64 in [0, 1] (of one response 0 or 1), `passed` and `samples` int32, `expected` and `found`
    string, the known answer and the first response's as they were compared, null where none was found. A response that
    states no answer has not passed, and what cannot be read whole is no answer: of "3-5", "(1, 2)" or "5x" no part is
    taken. Numbers are compared exactly: 1,000 is 1000.0, \\frac{3}{4} is 0.75, 1 1/2 is 1.5, 50% is 50; units and
    currency signs count for nothing. A quotient without an end, 1/3, equals its decimal of nine digits or more. Letters
    are those that are meant as answers, (B), **B**, "it is B"; one of several is none.

    A pass rate over samples of a small model says how hard a question is for it: at 0 and at 1 there is nothing to
    learn from it by trial. Status `empty`: no reference, no response, or no answer in the reference. Status `error`:
    samples that are no list of texts.
    """

    kind = "verifiable"
    version = 2
    Settings = VerifiableSettings

    def __init__(self, settings: VerifiableSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self.reads = (settings.reference, settings.response or settings.samples or "")
        if len(set(self.reads)) < 2:
            raise ValueError("the reference and what is checked are one column")

    @property
    def fields(self) -> list[pa.Field]:
        return [
            pa.field("pass_rate", pa.float64()),
            pa.field("passed", pa.int32()),
            pa.field("samples", pa.int32()),
            pa.field("expected", pa.string()),
            pa.field("found", pa.string()),
        ]

    @property
    def contract(self) -> base.Contract:
        return base.Contract("pass_rate", 1, "prob")

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        reference, given = (batch.column(name) for name in self.reads)
        status = np.where(is_blank(reference) | is_blank(given), EMPTY, OK).astype(object)
        rows: list[tuple[int, int, str | None, str | None]] = []
        # A loop over rows: answers are found by regular expressions, one text at a time.
        for row, (reference_text, given_text) in enumerate(zip(reference.to_pylist(), given.to_pylist(), strict=True)):
            expected = self._answer(reference_text)
            responses = self._responses(given_text) if status[row] == OK else []
            if responses is None:
                status[row] = ERROR
            elif status[row] == OK and (expected is None or not responses):
                status[row] = EMPTY
            found = [self._answer(response) for response in responses or []]
            right = sum(_equal(expected, answer, self.settings.match) for answer in found)
            rows.append((right, len(found), expected, found[0] if found else None))
        missing = status != OK
        passed, count = (np.array([row[place] for row in rows], dtype=np.int32) for place in (0, 1))
        columns = {
            "pass_rate": pa.array(passed / np.maximum(count, 1), pa.float64(), mask=missing),
            "passed": pa.array(passed, pa.int32(), mask=missing),
            "samples": pa.array(count, pa.int32(), mask=missing),
            "expected": pa.array(np.array([row[2] for row in rows], dtype=object), pa.string(), mask=missing),
            "found": pa.array(np.array([row[3] for row in rows], dtype=object), pa.string(), mask=missing),
        }
        if missing.any():
            columns["status"] = pa.array(status, pa.string())
            columns["message"] = pa.array(
                [NOT_SAMPLES if given_text == ERROR else None for given_text in status], pa.string()
            )
        return pa.record_batch(columns)

    def _responses(self, response: str) -> list[str] | None:
        if self.settings.samples is None:
            return [response]
        try:
            parsed = loads(response)[0]  # half a surrogate pair would fail every row of the batch
        except ValueError:
            return None
        return parsed if isinstance(parsed, list) and all(isinstance(item, str) for item in parsed) else None

    def _answer(self, text: str) -> str | None:
        marker, match = self.settings.marker, self.settings.match
        if marker is not None:
            _, there, tail = text.rpartition(marker)
            if not there:
                return None
            text = tail
        if match == "exact":
            return _stripped(text) or None
        if match == "choice":
            return _choice(text, marked=marker is not None)
        return _number(text, marked=marker is not None)


_CUE = re.compile(
    r"answer\b[*_\"') ]{0,4}(?: ?(?:to|of|for|in) [^.\n?!:=]{1,80}?)?"
    r"(?::|=|(?:is|was|equals|(?:would|should|must|will) be)\b(?!['’]))"
    r"(?:[*_ \n]{0,4}(?::|=|thus|therefore|is|equal to))*",
    re.IGNORECASE,
)
_CHOICE_CUE = re.compile(
    r"(?:answer|choice|option)\b[*_\"') ]{0,4}(?: ?(?:to|of|for|in) [^.\n?!:=]{1,80}?)?"
    r"(?::|=|(?:is|was|(?:would|should|must|will) be)\b(?!['’]))(?:[*_ \n]{0,4}(?::|=|thus|therefore|is))*",
    re.IGNORECASE,
)
_TRIED = 5
"""Cues before the last that are looked at, where what follows a later one holds no answer."""


_JOINS_BEFORE = re.compile(r"(?:[0-9^_/\-−]|\\(?:sqrt|frac|pm|log|ln)\s?\{?|\}\{)$")
_JOINS_AFTER = re.compile(r"[\^_!/0-9]|\\(?:sqrt|frac|pi|times|cdot|pm)(?![A-Za-z])")
"""At a box these say that it is part of something else: -\\boxed{3}, \\boxed{6}^2."""


def _lines(text: str) -> str:
    """White space as one space or one line's end; each pass takes time in proportion to the text."""
    return "\n".join(line for line in (" ".join(_kept(line)) for line in text.splitlines()) if line)


def _kept(line: str) -> list[str]:
    # Not the spaces that part thousands, which `split` would take for others.
    return [part for part in re.split(r"[ \t\r\f\v]+", line) if part]


def _boxed(text: str) -> str | None:
    """What the last \\boxed{} holds that holds anything; None without one, and "" where it is not closed."""
    end = len(text)
    for _ in range(_TRIED):
        start = max(text.rfind("\\boxed", 0, end), text.rfind("\\fbox", 0, end))
        if start < 0:
            return None
        begin = start + len("\\boxed" if text.startswith("\\boxed", start) else "\\fbox")
        body = text[begin : begin + numerals.LONGEST].lstrip()
        if not body.startswith("{"):
            return body.split(maxsplit=1)[0] if body else ""
        held = _braced(body)
        if held is None or _JOINS_BEFORE.search(text, max(0, start - 20), start):
            return ""
        if held.strip():
            after = begin + text[begin:].index("{") + len(held) + 2
            return "" if _JOINS_AFTER.match(text, after) else held
        end = start
    return None


def _braced(body: str) -> str | None:
    """What stands between the brace that a text begins with and the one that closes it."""
    depth, escaped = 0, False
    for index, char in enumerate(body):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in "{}":
            depth += 1 if char == "{" else -1
            if depth == 0:
                return body[1:index]
    return None


def _number(text: str, marked: bool) -> str | None:
    """The number that a solution ends with: as a decimal, or as a fraction where no decimal is exact."""
    value = _value(_lines(numerals.spelled(text)), marked)
    return None if value is None else numerals.plain(value)


def _value(text: str, marked: bool) -> Fraction | None:
    boxed = _boxed(text)
    if boxed is not None:
        return numerals.read(boxed)
    if marked:
        return numbers.stated(text)[1]
    _, mark, line = text.rpartition("####")
    leading, value = numbers.leads(line) if mark else (False, None)
    if leading:
        return value
    for cue in list(_CUE.finditer(text))[: -_TRIED - 1 : -1]:
        leading, value = numbers.stated(text[cue.end() : cue.end() + numerals.LONGEST + 1])
        if leading:
            return value
    return numbers.last(text)


def _choice(text: str, marked: bool) -> str | None:
    text = _lines(text)
    boxed = _boxed(text)
    if boxed is not None:
        return choices.whole(boxed)
    if marked:
        return choices.stated(text)[1]
    for cue in list(_CHOICE_CUE.finditer(text))[: -_TRIED - 1 : -1]:
        there, letter = choices.stated(text[cue.end() : cue.end() + choices.LONGEST])
        if there:
            return letter
    return choices.last(text)


_PAIRS = {"(": ")", "[": "]", '"': '"', "'": "'", "`": "`", "*": "*", "“": "”", "‘": "’"}


def _stripped(text: str) -> str:
    """A text without what sets it off. "(0, 1)" keeps its brackets, ".5" and "5!" their signs: they mean something."""
    text = " ".join(unicodedata.normalize("NFC", text).split())
    for _ in range(6):
        end = text.rstrip(" .,;:?" if re.search(r"[0-9)\]][ .,;:?]*!+[ .,;:?!]*$", text[-20:]) else " .,;:!?")
        end = end.lstrip(" ,;:!?¿¡")
        if len(end) > 2 and _PAIRS.get(end[0]) == end[-1] and (end[0] not in "([" or end[1:-1].isalpha()):
            end = end[1:-1]
        if end == text:
            break
        text = end
    return text.casefold() if re.search(r"\w", text) else text.strip(" .,;:!?\"'()[]`*")


def _equal(expected: str | None, actual: str | None, match: str) -> bool:
    if expected is None or actual is None:
        return False
    if expected == actual:
        return True
    if match != "number" or ("/" in expected) == ("/" in actual):
        return False
    fraction, decimal = (expected, actual) if "/" in expected else (actual, expected)
    digits = decimal.lstrip("-0.").replace(".", "")
    if "." not in decimal or len(digits) < QUOTIENT_DIGITS:
        return False
    places = len(decimal.partition(".")[2])
    return abs(Fraction(fraction) - Fraction(decimal)) < Fraction(1, 10**places)
