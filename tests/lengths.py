"""Which parameters of a test `make test` tries: one stands for its kind there, `make test-all` tries every one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def mostly_long(values: Iterable[Any], short: int = 1) -> list[Any]:
    """All values; all but the first few are marked `long`."""
    several = list(values)
    return [*several[:short], *(_long(value) for value in several[short:])]


def _long(value: Any) -> Any:
    return pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.long)
