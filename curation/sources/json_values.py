"""JSON as people's files have it: every number as it is written, and nothing lost for the sake of a field that nobody
reads. orjson reads what it can; this reads the rest: NaN and Infinity, numbers beyond a float's range, integers beyond
64 bits, halves of surrogate pairs, nesting of any depth, bytes that are no UTF-8."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import orjson

LOSSY = 2.0**63
"""A float of at least this size may be an integer that orjson could not hold."""
_EXPONENT = re.compile(rb"[:,\[]-?\d+(?:\.\d+)?e\+?\d\d")
_DIGITS = bytes(48 if 48 <= code < 58 else code if code == 101 else 32 for code in range(256))
"""To `bytes.translate`: any digit is 0, e is e, all else a blank."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"[ \t\n\r]*")
_MARK = re.compile(r'["{}\[\]]')
CLOSING = {"{": "}", "[": "]"}


class Raw(str):
    """A list or an object, as JSON."""


class Numeral(str):
    """A number that no 64-bit integer or finite float is, as it is written."""


class BrokenText(str):
    """A text of which some bytes are no UTF-8."""


def members(line: bytes) -> dict[str, Any]:
    """Names and values of a JSON object: texts, `Numeral` and other numbers, booleans, None, `Raw`.

    Of two values by one name the last counts. Raises ValueError for what is no JSON, TypeError for JSON that is no
    object.
    """
    try:
        text, kind = line.decode(), str
    except UnicodeDecodeError:
        text, kind = line.decode(errors="surrogateescape"), BrokenText
    cursor = _after(text, 0)
    if text[cursor : cursor + 1] != "{":
        _scan(text, cursor, whole=True)
        raise TypeError
    values: dict[str, Any] = {}
    cursor = _after(text, cursor + 1)
    if text[cursor : cursor + 1] == "}":
        _end(text, cursor + 1)
        return values
    while True:
        if text[cursor : cursor + 1] != '"':
            raise ValueError("a name was expected")
        name, cursor = json.decoder.scanstring(text, cursor + 1, True)  # type: ignore[attr-defined]
        cursor = _after(text, cursor)
        if text[cursor : cursor + 1] != ":":
            raise ValueError("a colon was expected")
        begin = _after(text, cursor + 1)
        value, cursor = _scan(text, begin)
        if value is _NESTED:
            value = Raw(replaced(text[begin:cursor])[0])
        elif kind is BrokenText and type(value) is str and _SURROGATE.search(value):
            value = BrokenText(value)
        values[replaced(name)[0]] = value
        cursor = _after(text, cursor)
        mark = text[cursor : cursor + 1]
        if mark == "}":
            _end(text, cursor + 1)
            return values
        if mark != ",":
            raise ValueError("a comma was expected")
        cursor = _after(text, cursor + 1)


def loads(text: str | bytes) -> tuple[Any, int]:
    """Any JSON value, NaN and infinite numbers as floats, and how many halves of surrogate pairs in it are U+FFFD now.

    Raises ValueError for what is no JSON, or nested a thousand deep.
    """
    try:
        return orjson.loads(text), 0
    except orjson.JSONDecodeError:
        pass
    try:
        value = json.loads(text, parse_int=_whole_or_float)
    except RecursionError:
        raise ValueError("nested too deep") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    count = 0

    def clean(value: Any) -> Any:
        nonlocal count
        if isinstance(value, str):
            value, more = replaced(value)
            count += more
            return value
        if isinstance(value, dict):
            return {clean(key): clean(item) for key, item in value.items()}
        return [clean(item) for item in value] if isinstance(value, list) else value

    return clean(value), count


def replaced(text: str) -> tuple[str, int]:
    """A text with U+FFFD in place of halves of surrogate pairs, and how many those were."""
    return _SURROGATE.subn("�", text) if _SURROGATE.search(text) else (text, 0)


def is_lossy(dumped: bytes) -> bool:
    """Whether JSON that orjson wrote may hold an integer that it had read as a float."""
    return b"0e" in dumped.translate(_DIGITS) and _EXPONENT.search(dumped) is not None


def prints_alike(numeral: str) -> bool:
    """Whether the float nearest to an integer is written with the same digits: then no other integer is taken for it
    that is written so."""
    value = float(numeral)
    if not math.isfinite(value):
        return False
    digits, _, exponent = f"{value!r}".partition("e")
    whole, _, rest = digits.removeprefix("-").partition(".")
    rest = "" if rest == "0" else rest
    shift = int(exponent or 0) - len(rest)
    shown = (whole + rest + "0" * shift).lstrip("0") if shift >= 0 else None
    return shown == (numeral.removeprefix("-").lstrip("0") or "")


def _integer(numeral: str) -> int | Numeral:
    if len(numeral) < 19:
        return int(numeral)
    return int(numeral) if len(numeral) <= 20 and -(2**63) <= int(numeral) < 2**63 else Numeral(numeral)


def _float(numeral: str) -> float | Numeral:
    value = float(numeral)
    return value if math.isfinite(value) else Numeral(numeral)


def _whole_or_float(numeral: str) -> int | float:
    """What orjson makes of an integer."""
    return int(numeral) if len(numeral) <= 20 and -(2**63) <= int(numeral) < 2**64 else float(numeral)


_scan_once = json.JSONDecoder(parse_int=_integer, parse_float=_float).scan_once  # type: ignore[attr-defined]
_NESTED = object()


def _scan(text: str, cursor: int, whole: bool = False) -> tuple[Any, int]:
    """The value at a place, `_NESTED` for lists and objects, and where it ends."""
    try:
        value, end = _scan_once(text, cursor)
    except StopIteration:
        raise ValueError("a value was expected") from None
    except RecursionError:
        value, end = _NESTED, _closed(text, cursor)
    if whole:
        _end(text, end)
    return _NESTED if isinstance(value, list | dict) else value, end


def _closed(text: str, cursor: int) -> int:
    """Where a list or an object ends that is nested too deep to be read."""
    awaited: list[str] = []
    while True:
        match = _MARK.search(text, cursor)
        if match is None:
            raise ValueError("not closed")
        mark, cursor = match.group(), match.end()
        if mark == '"':
            _, cursor = json.decoder.scanstring(text, cursor, True)  # type: ignore[attr-defined]
        elif mark in CLOSING:
            awaited.append(CLOSING[mark])
        elif awaited.pop() != mark:
            raise ValueError("closed by another mark")
        if not awaited:
            return cursor


def _after(text: str, place: int) -> int:
    """The first place that is no white space."""
    found = _SPACE.match(text, place)
    assert found is not None
    return found.end()


def _end(text: str, place: int) -> None:
    if _after(text, place) != len(text):
        raise ValueError("something stands behind the value")
