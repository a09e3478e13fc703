"""Answers that can be checked: does what a response arrives at equal the known answer, and how often over samples?"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from curation.scorers import base
from curation.scorers.model import is_blank
from schemas.documents import EMPTY, ERROR, OK

NOT_SAMPLES = "not a list of texts"


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
    case, white space and punctuation at their ends."""
    marker: str | None = Field(default=None, min_length=1)
    """What stands before an answer, such as "####" in GSM8K; without it, `number` looks for ####, \\boxed{} and "the
    answer is", and then takes the last number."""

    @model_validator(mode="after")
    def _one(self) -> VerifiableSettings:
        if (self.response is None) == (self.samples is None):
            raise ValueError("give either response, one answer a document, or samples, many")
        return self


class Verifiable(base.Scorer):
    """Share of responses whose answer is the known one.

    Fields: `pass_rate` float64 in [0, 1] (of one response 0 or 1), `passed` and `samples` int32, `expected` and `found`
    string, the known answer and the first response's as they were compared, null where none was found. A response that
    states no answer has not passed. Numbers are compared as decimals: 1,000 is 1000.0, 3/4 is 0.75, 50% is 50, and
    currency signs count for nothing.

    A pass rate over samples of a small model says how hard a question is for it: at 0 and at 1 there is nothing to
    learn from it by trial. Status `empty`: no reference, no response, or no answer in the reference. Status `error`:
    samples that are no list of texts.
    """

    kind = "verifiable"
    Settings = VerifiableSettings

    def __init__(self, settings: VerifiableSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self.reads = (settings.reference, settings.response or settings.samples or "")  # type: ignore[misc]
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
        for row, (known, said) in enumerate(zip(reference.to_pylist(), given.to_pylist(), strict=True)):
            expected = self._answer(known)
            responses = self._responses(said) if status[row] == OK else []
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
            columns["message"] = pa.array([NOT_SAMPLES if said == ERROR else None for said in status], pa.string())
        return pa.record_batch(columns)

    def _responses(self, said: str) -> list[str] | None:
        if self.settings.samples is None:
            return [said]
        try:
            found = json.loads(said)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, list) and all(isinstance(item, str) for item in found) else None

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
            return _choice(text)
        return _number(text, marked=marker is not None)


_NUMBER = r"[-−+]?[$€£¥]?\s*[-−+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:\s*/\s*\d[\d,]*)?"
_MARKS = (
    re.compile(r"####\s*([^\n]*)"),
    re.compile(r"\\boxed\{([^{}]*)\}"),
    re.compile(r"(?:final answer|answer)\s*(?:is|:|=)+\s*([^\n]*)", re.IGNORECASE),
)
_CHOICES = (
    re.compile(r"(?:answer|choice|option)\s*(?:is|:|=)*\s*\(?([A-J])\b", re.IGNORECASE),
    re.compile(r"(?:^|[\s(\[])([A-J])(?=[\s).,:\]]|$)"),
)


def _number(text: str, marked: bool) -> str | None:
    """The number that a solution ends with, as a plain decimal."""
    for mark in () if marked else _MARKS:
        for found in reversed(mark.findall(text)):
            numbers = re.findall(_NUMBER, found)
            if numbers:
                return _plain(numbers[0])
    numbers = re.findall(_NUMBER, text)
    return _plain(numbers[0 if marked else -1]) if numbers else None


def _plain(number: str) -> str | None:
    """A number as text without signs of currency, separators and trailing zeros; a fraction as its value."""
    text = re.sub(r"[$€£¥,\s+]", "", number).replace("−", "-")
    top, _, bottom = text.partition("/")
    try:
        value = Decimal(top) / Decimal(bottom) if bottom else Decimal(top)
    except (InvalidOperation, ZeroDivisionError):
        return None
    plain = f"{value.normalize():f}"
    return "0" if plain == "-0" else plain


def _choice(text: str) -> str | None:
    for pattern in _CHOICES:
        found = pattern.findall(text)
        if found:
            return str(found[-1]).upper()
    return None


def _stripped(text: str) -> str:
    return " ".join(text.split()).strip(" .,;:!?\"'()[]`*").casefold()


def _equal(expected: str | None, found: str | None, match: str) -> bool:
    if expected is None or found is None:
        return False
    if match != "number":
        return expected == found
    one, other = Decimal(expected), Decimal(found)
    # A quotient has 28 digits, and what somebody wrote of it fewer.
    return one == other or (one != 0 and abs(one - other) <= abs(one) * Decimal("1e-9"))
