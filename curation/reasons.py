"""Reasons of drops: as one document is told, and without its values, which is how they are counted.

A gate's reason is `language.lang = 'en' is false: 'de'`, a profile's `alpha_words_ratio 0.741 < 0.8`: thousands of
different ones for one rule. Their rules are `language.lang = 'en' is false` and `alpha_words_ratio < 0.8`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

FALSE = " is false"
_GATE = r"(?s)^(.*? is false): .*$"
_BOUND = r"^(\w+) (?:[-+.0-9e]+|inf|-inf) (<=|>=|<|>) ([-+.0-9e]+)$"
_DECIMALS = 3


class Grounds(NamedTuple):
    """Why documents were rejected, [n] each."""

    reason: NDArray[np.object_]
    """Such as `words 12 < 50`; None where there is no more to say than the column `reason` does."""
    value: NDArray[np.float64]
    bound: NDArray[np.float64]
    """What the value was compared with. NaN in both where nothing was."""


def rules_of(reasons: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Reasons [n] without values; what holds none stays as it is."""
    found = pc.replace_substring_regex(reasons, _GATE, r"\1")
    return pc.replace_substring_regex(found, _BOUND, r"\1 \2 \3")


def rule_of(reason: str) -> str:
    """`rules_of` for one."""
    return str(rules_of(pa.array([reason], pa.string()))[0].as_py())


def rule_sql(reason: str) -> str:
    """`rules_of` in SQL."""
    found = f"regexp_replace({reason}, '{_GATE}', '\\1')"
    return f"regexp_replace({found}, '{_BOUND}', '\\1 \\2 \\3')"


def bounded(name: str, values: NDArray[np.float64], sign: str, bound: float) -> NDArray[np.object_]:
    """`name value sign bound` for each of the values [n], which all lie beyond the bound.

    A value has three decimals where these say the same, else as many as it takes.
    """
    rounded = np.round(values, _DECIMALS)
    beyond = {"<": rounded < bound, ">": rounded > bound, "<=": rounded <= bound, ">=": rounded >= bound}[sign]
    shown = np.where(beyond & ((rounded != 0) | (values == 0)), rounded, values)
    return np.array([f"{name} {_number(value)} {sign} {_number(bound)}" for value in shown.tolist()], dtype=object)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
