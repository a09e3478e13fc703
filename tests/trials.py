"""Trials by number, which is the seed of each, and its name for pytest."""

from collections.abc import Iterable
from typing import Any

import pytest


def seeds(short: Iterable[int], long: Iterable[int]) -> Any:
    """Those of every run of the tests, and those of the slow ones."""
    return pytest.mark.parametrize("seed", [*short, *(pytest.param(seed, marks=pytest.mark.slow) for seed in long)])
