"""Which parameters of a test the shorter suites try: a few stand for their kind, the longer suite tries them all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def mostly_long(values: Iterable[Any], short: int = 1) -> list[Any]:
    """All values; all but the first few are marked `long`."""
    return _marked(values, short, pytest.mark.long)


def mostly_slow(values: Iterable[Any], short: int = 1) -> list[Any]:
    """All values; all but the first few are marked `slow`."""
    return _marked(values, short, pytest.mark.slow)


def _marked(values: Iterable[Any], short: int, mark: pytest.MarkDecorator) -> list[Any]:
    several = list(values)
    others = (value if isinstance(value, tuple) else (value,) for value in several[short:])
    return [*several[:short], *(pytest.param(*value, marks=mark) for value in others)]
