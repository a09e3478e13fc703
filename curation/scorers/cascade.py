"""A cheap scorer decides what it can answer for; only the uncertain middle goes to the expensive one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curation.models.locate import sha256
from curation.scorers import alone, base, members
from curation.scorers.base import HEAD
from curation.scorers.cascade_gate import DROP, ESCALATE, KEEP, TwoSidedGate, calibrate, frontier
from curation.scorers.members import Member
from curation.text.arrow import buffers
from curation.text.hashing import hash_spans
from schemas.documents import OK

NAMES = {KEEP: "keep", ESCALATE: "escalate", DROP: "drop"}
AUDIT_SEED, HALF_SEED = 0x617564, 0x68616C


class CascadeSettings(base.Settings):
    """Two scorers, where the expensive one's cut lies, and how often the cheap one may decide otherwise."""

    cheap: Member
    """Scores every document."""
    expensive: Member
    """Scores those that the cheap one leaves open, the calibration sample and the audit slice."""
    cut: float
    """The expensive score keeps a document from here on (up to here, where lower is better)."""
    wrong_keeps: float = Field(default=0.05, gt=0, lt=1)
    """Bound on P(expensive drops | kept by the cheap score)."""
    wrong_drops: float = Field(default=0.05, gt=0, lt=1)
    """Bound on P(expensive keeps | dropped by the cheap score)."""
    delta: float = Field(default=0.05, gt=0, lt=1)
    """Probability, over calibration samples, that not both bounds hold."""
    sample: int = Field(default=2000, ge=100)
    """Pool rows that both scorers read for calibration."""
    audit: float = Field(default=0.01, ge=0, lt=1)
    """Share of documents, chosen by hash of the text, that are always escalated, to see whether the bounds still hold.
    """


class Route(base.Scorer):
    """Where the gate sends a document. The part of a cascade that decides which documents the expensive scorer reads.

    Fields: `route` string, keep, escalate or drop; `audit` bool; `escalate` bool, route or audit says so; `cheap`
    float64. Before the gate is fitted everything is escalated.
    """

    kind = "cascade-route"
    Settings = CascadeSettings

    def __init__(self, settings: CascadeSettings, context: base.Context, cheap: base.Scorer) -> None:
        super().__init__(settings, context)
        self._cheap = cheap
        self._sign = members.sign(settings.cheap, cheap)
        self._gate: TwoSidedGate | None = None

    @property
    def fields(self) -> list[pa.Field]:
        return [
            pa.field("route", pa.string()),
            pa.field("audit", pa.bool_()),
            pa.field("escalate", pa.bool_()),
            pa.field("cheap", pa.float64()),
        ]

    def requires(self) -> dict[str, base.Scorer]:
        return {"cheap": self._cheap}

    def identity(self) -> dict[str, Any]:
        return {"gate": None if self.context.artifact is None else sha256(self.context.artifact / HEAD)}

    def load(self) -> None:
        if self._gate is None and self.context.artifact is not None:
            from safetensors.numpy import load_file

            low, high = load_file(self.context.artifact / HEAD)["gate"].tolist()
            self._gate = TwoSidedGate(low, high)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.load()
        cheap = members.values(batch.column("cheap"), self.settings.cheap.field)
        route = (self._gate or TwoSidedGate()).route(self._sign * cheap)
        audit = _hashes(batch.column("text"), AUDIT_SEED) < np.uint64(self.settings.audit * 2.0**64)
        return pa.record_batch(
            {
                "route": pa.array([NAMES[int(place)] for place in route], pa.string()),
                "audit": pa.array(audit),
                "escalate": pa.array(audit | (route == ESCALATE)),
                "cheap": pa.array(cheap, mask=np.isnan(cheap)),
            }
        )


class Cascade(base.Scorer):
    """Whether the expensive score would keep a document, by the cheap score where its calibrated gate allows it.

    Fields: `pass` bool; `decided` string, who said so: `cheap` or `expensive`; `route` string, what the gate says of
    the cheap score: keep, escalate or drop; `audit` bool, escalated whatever the route; `cheap` and `expensive`
    float64, null where that scorer did not read the document. A document that the expensive scorer read is decided by
    its score, in the audit slice too. Without a score from it, the status is its status.

    The bounds, how the gate is found and what is promised: `curation.scorers.cascade_gate`. They hold for documents
    drawn like the calibration sample, and error is defined against `cut`: ranking by a column of a cascade means
    nothing, for documents were scored by different scorers. Do the bounds still hold? Of a stage c with the cut 3:

        SELECT c.route, count(*), avg((c.expensive >= 3)::INT) FROM documents WHERE c.audit GROUP BY 1

    The card has the bounds, the recall of expensive keeps, the cost with calibration and audit, and the frontier.
    """

    kind = "cascade"
    Settings = CascadeSettings
    default_keep = "{id}.pass"
    fits_on_survivors = True

    def __init__(self, settings: CascadeSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self.sample_rows = settings.sample
        self._cheap = members.build(settings.cheap, context)
        self._expensive = members.build(settings.expensive, context)
        self._sign = members.sign(settings.expensive, self._expensive)
        self._route = Route(settings, context, self._cheap)

    @property
    def fields(self) -> list[pa.Field]:
        return [
            pa.field("pass", pa.bool_()),
            pa.field("decided", pa.string()),
            pa.field("route", pa.string()),
            pa.field("audit", pa.bool_()),
            pa.field("cheap", pa.float64()),
            pa.field("expensive", pa.float64()),
        ]

    @property
    def incomparable(self) -> tuple[str, ...]:
        return ("pass", "cheap", "expensive")

    @property
    def contract(self) -> base.Contract:
        return base.Contract("pass", 1, "ordinal")

    def requires(self) -> dict[str, base.Scorer]:
        return {"route": self._route, "expensive": self._expensive}

    def only_where(self) -> dict[str, tuple[str, str]]:
        return {"expensive": ("route", "escalate")}

    def identity(self) -> dict[str, Any]:
        return self._route.identity()

    def models(self) -> list[dict[str, Any]]:
        """The gate; the scorers list their own."""
        return self.fitted_models()

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        route = batch.column("route")
        gate = pc.struct_field(route, "route")
        asked = pc.struct_field(route, "escalate").to_numpy(zero_copy_only=False).astype(bool)
        # A stored score of another stage may be there for a document that this one did not ask about.
        expensive = np.where(asked, members.values(batch.column("expensive"), self.settings.expensive.field), np.nan)
        missing = asked & np.isnan(expensive)
        keeps = self._keeps(expensive) | (~asked & pc.equal(gate, "keep").to_numpy(zero_copy_only=False))
        columns = {
            "pass": pa.array(keeps, mask=missing),
            "decided": pa.array(np.where(asked, "expensive", "cheap").tolist(), pa.string(), mask=missing),
            "route": gate,
            "audit": pc.struct_field(route, "audit"),
            "cheap": pc.struct_field(route, "cheap"),
            "expensive": pa.array(expensive, mask=np.isnan(expensive)),
        }
        if missing.any():
            columns = {name: pc.if_else(pa.array(missing), None, column) for name, column in columns.items()}
            columns["status"] = pc.if_else(pa.array(missing), members.without_value(batch.column("expensive")), OK)
        return pa.record_batch(columns)

    def fit_identity(self) -> dict[str, Any]:
        return {
            "cheap": members.describe(self.settings.cheap, self._cheap),
            "expensive": members.describe(self.settings.expensive, self._expensive),
            **self.settings.model_dump(exclude={"cheap", "expensive", "audit"}),
        }

    def fit(self, pool: pa.RecordBatch) -> base.Artifact:
        """Choose the gate on the pool's sample, scored by both. Raises ValueError where there are no documents.

        A document that the expensive scorer cannot score counts as one that it drops; repeated texts count once.
        """
        pool = _distinct(pool)
        if not pool.num_rows:
            raise ValueError("the pool's sample: no documents to calibrate on")
        cheap = members.values(alone.run(self._cheap, pool).to_struct_array(), self.settings.cheap.field)
        expensive = members.values(alone.run(self._expensive, pool).to_struct_array(), self.settings.expensive.field)
        cheap = members.sign(self.settings.cheap, self._cheap) * cheap
        keeps = self._keeps(expensive)
        first = _hashes(pool.column("text"), HALF_SEED) < np.uint64(1 << 63)
        gate = calibrate(
            cheap,
            keeps,
            first,
            wrong_keeps=self.settings.wrong_keeps,
            wrong_drops=self.settings.wrong_drops,
            delta=self.settings.delta,
        )
        points = frontier(cheap, keeps, first, delta=self.settings.delta)
        card = {
            "calibration": gate.describe(self.settings.audit),
            "bounds": {"wrong_keeps": self.settings.wrong_keeps, "wrong_drops": self.settings.wrong_drops},
            "delta": self.settings.delta,
            "expensive_keeps": float(keeps.mean()),
            "frontier": [{"error": error, **point.describe(self.settings.audit)} for error, point in points],
            "cheap_orientation": members.sign(self.settings.cheap, self._cheap),
        }
        return base.Artifact({"gate": np.array([gate.gate.low, gate.gate.high])}, card)

    def _keeps(self, expensive: np.ndarray) -> np.ndarray:
        """bool [n]: at or beyond the cut; NaN is not."""
        return np.asarray(self._sign * expensive >= self._sign * self.settings.cut)


def _hashes(text: pa.Array, seed: int) -> np.ndarray:
    """XXH64 of each text, uint64 [n]."""
    offsets, data = buffers(text)
    return np.asarray(hash_spans(data, offsets[:-1], offsets[1:], seed))


def _distinct(pool: pa.RecordBatch) -> pa.RecordBatch:
    """Rows of the pool, the first of each text."""
    first = {text: row for row, text in reversed(list(enumerate(pool.column("text").to_pylist())))}
    return pool.take(pa.array(sorted(first.values()), pa.int64()))
