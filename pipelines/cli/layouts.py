"""What commands show of their results to people: which columns, under which header, and what goes first where there is
no room. Programs read all columns, by the names that they have in SQL."""

from __future__ import annotations

from pipelines.tables import Layout, Show

LAYOUTS: dict[str, Layout] = {
    "plan": (
        Show("stage", most=32),
        Show("to score", form="count"),
        Show("at most", form="count", rank=2, unlike="to score"),
        Show("stored", form="count", rank=1),
        Show("estimate (s)", "one worker", "seconds"),
        Show("runs in", rank=3),
        Show("because", "why", rank=4, optional=True),
    ),
    "funnel": (
        Show("stage", most=32),
        Show("rows_in", "in", "count"),
        Show("rows_out", "kept", "count"),
        Show("dropped", form="count"),
        Show("errored", form="count", optional=True),
        Show("share_left", "left", "share"),
        Show("loss", form="share", rank=1, optional=True),
        Show("keep", "gate", rank=2, optional=True),
    ),
    "status": (
        Show("name", most=32),
        Show("run", most=16),
        Show("status"),
        Show("rows", "documents", "count"),
        Show("kept", form="count"),
        Show("dropped", form="count", rank=2),
        Show("errored", form="count", rank=1, optional=True),
        Show("last_started_at", "started", "moment"),
        Show("dataset", form="path", rank=3),
    ),
    "stats": (
        Show("measurement", most=40),
        Show("source", optional=True),
        Show("min", rank=2),
        Show("p05", "5%", rank=1),
        Show("p25", "25%", rank=4),
        Show("p50", "median"),
        Show("p75", "75%", rank=4),
        Show("p95", "95%", rank=1),
        Show("max", rank=2),
        Show("mean", rank=3),
        Show("documents", form="count", rank=5),
        Show("nulls", form="count", rank=6, optional=True),
    ),
    "models": (
        Show("address", form="path"),
        Show("file", form="path", rank=2),
        Show("bytes", "size", "bytes"),
        Show("licence", rank=1),
        Show("used_by", "used by", optional=True),
        Show("where", rank=3),
    ),
    "jobs": (
        Show("name", most=32),
        Show("job", most=48),
        Show("status"),
        Show("started", form="moment"),
        Show("seconds", "took", "seconds"),
        Show("message", form="wrap", rank=1, optional=True),
    ),
    "recipes": (Show("recipe"), Show("what", form="wrap")),
    "rules": (
        Show("profile"),
        Show("threshold"),
        Show("rejects", "rejects at"),
        Show("default", form="number"),
        Show("source", "from", rank=1),
        Show("reason", rank=2),
    ),
    "explain": (
        Show("stage"),
        Show("verdict"),
        Show("reason", optional=True),
        Show("values", rank=1),
    ),
    "disk": (Show("folder", form="path"), Show("files", form="count"), Show("bytes", "size", "bytes")),
    "damage": (Show("file", form="path"), Show("code"), Show("what", form="wrap")),
    "strata": (
        Show("stratum"),
        Show("documents", form="count"),
        Show("sampled", form="count"),
        Show("weight", form="number"),
    ),
    "audit": (
        Show("measure"),
        Show("stage", optional=True),
        Show("reason", optional=True, rank=1),
        Show("estimate", form="number"),
        Show("low", form="number"),
        Show("high", form="number"),
        Show("good", form="count", rank=2),
        Show("labelled", form="count", rank=2),
        Show("documents", form="count", rank=3),
    ),
}
"""By the command that prints it."""
