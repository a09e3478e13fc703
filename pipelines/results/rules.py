"""Quality rules at hand, as a table: for `curate rules`."""

from __future__ import annotations

import pyarrow as pa

from curation.rules import PROFILES, resolve
from schemas.errors import CurationError, Finding

SCHEMA = pa.schema(
    [
        pa.field("profile", pa.string()),
        pa.field("threshold", pa.string()),
        pa.field("default", pa.float64()),
        pa.field("measurement", pa.string()),
        pa.field("rejects", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("source", pa.string()),
    ]
)


def known_rules(profile: str | None = None) -> pa.Table:
    """One row for each rule of one profile, or of all, in the order in which they give reasons.

    `threshold` is its key under `thresholds:` in a recipe; a `default` of null is a rule that is off. Raises C032 for
    a profile that is not there.
    """
    try:
        chosen = [resolve(profile)] if profile else [resolve(name) for name in PROFILES]
    except ValueError as failure:
        raise CurationError(Finding("C032", str(failure))) from failure
    signs = {("min", False): "<", ("min", True): "<=", ("max", False): ">", ("max", True): ">="}
    rows = [
        {
            "profile": item.name,
            "threshold": rule.name,
            "default": rule.default,
            "measurement": rule.column,
            "rejects": signs[rule.bound, rule.on_bound],
            "reason": rule.reason,
            "source": rule.paper,
        }
        for item in chosen
        for rule in item.rules
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)
