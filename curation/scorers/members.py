"""Scorers inside a scorer: declared as a stage is, shared with every stage that scores the same."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, ValidationError

from curation import registry
from curation.scorers.base import Context, Scorer
from curation.scorers.construct import construct
from schemas.documents import EMPTY, ERROR, OK


class Member(BaseModel):
    """A scorer, the column of it that counts, and its own settings beside them: `{scorer: …, field: score, model: …}`.

    With the settings of another stage it is that stage's score, computed once.
    """

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    scorer: str
    """As after `scorer:` in a stage; one that needs no fitting."""
    field: str
    """Which of its columns, a number."""
    better: Literal["higher", "lower"] | None = None
    """Which values are the better ones; default: what the scorer says of itself, else the higher ones."""


def build(member: Member, context: Context) -> Scorer:
    """The member's scorer. Raises ValueError: unknown scorer, field or settings, or one that has to be fitted."""
    scorer = make(member, context)
    check(member, scorer)
    return scorer


def make(member: Member, context: Context) -> Scorer:
    """The member's scorer, whatever its field. Raises ValueError as `build`."""
    try:
        cls = registry.find("scorer", member.scorer)
    except KeyError:
        known = ", ".join(registry.kinds("scorer"))
        raise ValueError(f"unknown scorer '{member.scorer}'; known: {known}") from None
    try:
        settings = cls.Settings.model_validate(member.model_extra or {})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "settings"
        raise ValueError(f"{member.scorer}: {place}: {first['msg']}") from None
    scorer: Scorer = construct(cls, settings, context)
    if scorer.fitted:
        raise ValueError(f"{member.scorer} has to be fitted, and a scorer inside another cannot be")
    return scorer


def check(member: Member, scorer: Scorer) -> None:
    """Raise ValueError where the member's field is no number of the scorer's that can be compared."""
    types = {item.name: item.type for item in scorer.fields}
    if member.field not in types:
        raise ValueError(f"{member.scorer} has no column '{member.field}'; it has {', '.join(types)}")
    if member.field in scorer.incomparable:
        raise ValueError(f"{member.scorer}.{member.field} comes from different scorers for different documents")
    kind = types[member.field]
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise ValueError(f"{member.scorer}.{member.field} is {kind}, not a number")


def sign(member: Member, scorer: Scorer) -> int:
    """+1 where higher is better, -1 where lower is."""
    if member.better is None:
        return -1 if (member.field, -1) == (scorer.contract.score, scorer.contract.orientation) else 1
    return 1 if member.better == "higher" else -1


def values(scores: pa.StructArray, name: str) -> np.ndarray:
    """One column of a requirement's struct as float64 [n], NaN where there is none."""
    column = pc.struct_field(scores, name).cast(pa.float64())
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def without_value(scores: pa.StructArray) -> pa.Array:
    """[n] statuses of a requirement where it has no finite score: its own, and `error` where that says ok."""
    if scores.type.get_field_index("status") < 0:
        return pa.repeat(pa.scalar(EMPTY), len(scores))
    status = pc.fill_null(pc.struct_field(scores, "status"), EMPTY)
    return pc.if_else(pc.equal(status, OK), ERROR, status)


def describe(member: Member, scorer: Scorer) -> dict[str, Any]:
    """What a fit that used the member depends on, as plain JSON."""
    return {
        "kind": scorer.kind,
        "version": scorer.version,
        "settings": scorer.settings.model_dump(mode="json"),
        "identity": scorer.identity(),
        "requires": {name: describe(member, other) for name, other in scorer.requires().items()},
        "field": member.field,
        "sign": sign(member, scorer),
    }
