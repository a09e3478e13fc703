"""Streams that a person or a program reads: what they can hold, and values as JSON has them. Imports nothing heavy, so
that a command's first word is quick."""

from __future__ import annotations

import base64
import io
import math
import os
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TextIO


def coloured(stream: TextIO) -> bool:
    """Whether a stream is to have colours."""
    # https://no-color.org: present and not empty, whatever its value.
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def writable(stream: TextIO) -> None:
    """A terminal or pipe that is not UTF-8 gets what it cannot hold in escapes, and no exception."""
    if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
        stream.reconfigure(errors="backslashreplace")


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    match value:
        case bool() | int() | str() | None:
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return (int(value) if value == value.to_integral_value() else float(value)) if value.is_finite() else None
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
    return str(value)
