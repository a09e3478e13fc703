"""Numbers, sizes and times as people read them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

DIGITS = 4
"""Significant ones of a number that is no count."""


def number(value: float) -> str:
    """Four significant digits: 0.1235, 12.35, 12,346, 1.235e-07."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if value == 0:
        return "0"
    if abs(value) >= 1e15 or abs(value) < 1e-4:
        return f"{value:.{DIGITS}g}"
    text = f"{value:.{DIGITS}g}"
    return f"{value:,.0f}" if abs(float(text)) >= 10 ** (DIGITS - 1) else text


def size(count: float) -> str:
    """Bytes: 812 B, 90.9 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def duration(seconds: float) -> str:
    """0.4 s, 12.3 s, 2 min 05 s, 3 h 20 min; of whole seconds, as an estimate has them, 12 s."""
    if seconds < 59.95:
        return f"{seconds} s" if isinstance(seconds, int) else f"{seconds:.1f} s" if seconds else "0 s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def moment(value: datetime) -> str:
    """Of this year 30 Nov 21:11, of another 30 Nov 2025; by the clock of this machine."""
    there = (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone()
    return f"{there:%d %b %H:%M}" if there.year == datetime.now().astimezone().year else f"{there:%d %b %Y}"


def share(value: float) -> str:
    """0.497 is 49.7 %; what is not all or nothing does not read as if it were."""
    text = f"{value:.1%}"
    if text == "100.0%":
        text = "100%" if value == 1 else ">99.9%"
    elif text == "0.0%":
        text = "0%" if value == 0 else "<0.1%"
    return text
