"""How many documents, bytes and tokens came to each stage and left it, at what cost, and why documents ended there."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from curation.store.scan import quoted
from pipelines.charts.run import OpenRun, identifier
from schemas.charts import Funnel, FunnelRow, Reason

REASONS = 20
"""Rules that are listed of each stage."""


class Cost(NamedTuple):
    """What the scoring of one stage took for this run."""

    scored: int
    seconds: float | None
    """Of all workers together; None where nothing was scored."""


class Sizes(NamedTuple):
    """By stage and `output`, what came there."""

    bytes: dict[str, int]
    tokens: dict[str, int]
    tokens_of: str | None


def funnel(run: OpenRun) -> Funnel:
    left = run.reached()
    sizes = _sizes(run)
    ended: Counter[tuple[str, str]] = Counter()
    rules: dict[str, Counter[str]] = {}
    lost: dict[str, tuple[int, float]] = {}
    for record in run.decided:
        for entry in record["tally"]:
            if entry["stage"] is None:
                continue
            ended[entry["stage"], entry["outcome"]] += entry["rows"]
            rules.setdefault(entry["stage"], Counter())[entry["reason"] or entry["outcome"]] += entry["rows"]
        for entry in record["lost"] or ():
            duplicates, loss = lost.get(entry["stage"], (0, 0.0))
            lost[entry["stage"]] = duplicates + entry["rows"], loss + entry["loss"]
    rows: list[FunnelRow] = []
    for position, stage in enumerate(run.stages):
        name, cost = stage["stage"], cost_of(run, stage)
        after = run.ids[position + 1] if position + 1 < len(run.ids) else "output"
        of = lost.get(name)
        reasons = sorted(rules.get(name, {}).items(), key=lambda item: (-item[1], item[0]))
        rows.append(
            FunnelRow(
                stage=name,
                stage_kind=stage["kind"],
                family=stage["family"],
                keep=stage["keep"],
                rows_in=left[position],
                dropped=ended[name, "dropped"],
                errored=ended[name, "errored"],
                rows_out=left[position + 1],
                bytes_in=sizes.bytes.get(name),
                bytes_out=sizes.bytes.get(after),
                tokens_in=sizes.tokens.get(name),
                tokens_out=sizes.tokens.get(after),
                seconds=cost.seconds,
                scored=cost.scored,
                documents_per_second=cost.scored / cost.seconds if cost.seconds else None,
                loss=of[1] / of[0] if of and of[0] else None,
                reasons=[Reason(rule=rule, documents=count) for rule, count in reasons[:REASONS]],
                more_reasons=max(0, len(reasons) - REASONS),
            )
        )
    kept, size, tokens = left[-1], sizes.bytes.get("output"), sizes.tokens.get("output")
    rows.append(
        FunnelRow(
            stage="output", stage_kind="output", family="output", keep=None,
            rows_in=kept, dropped=0, errored=0, rows_out=kept,
            bytes_in=size, bytes_out=size, tokens_in=tokens, tokens_out=tokens,
            seconds=None, scored=0, documents_per_second=None, loss=None, reasons=[], more_reasons=0,
        )
    )  # fmt: skip
    return {"kind": "funnel", "note": _note(run), "rows": rows, "tokens_of": sizes.tokens_of}


def cost_of(run: OpenRun, stage: dict[str, Any]) -> Cost:
    """Of one stage: its scores, and where it decides among all documents, that."""
    name, scored, seconds = stage["stage"], 0, 0.0
    for record in run.scores:
        if record["step"] == name:
            scored += record["rows"]
        if record["step"] == name or record["step"].startswith(f"{name}/"):
            seconds += record["seconds"] or 0.0
    group = run.groups.get(name)
    if group is not None and group["attempt"] in run.attempts:
        scored, seconds = scored or group["entrants"], seconds + (group["seconds"] or 0.0)
    return Cost(scored, seconds if scored or seconds else None)


def _sizes(run: OpenRun) -> Sizes:
    """Bytes are those of texts as they were read. Tokens are counted by the first stage that stores how many it read;
    what came to stages before it has none."""
    names = [*run.ids, "output"]
    counting = [(n, name, run.token_fields[name]) for n, name in enumerate(run.ids) if name in run.token_fields]
    counted = counting[0] if counting else None
    tokens = "NULL::BIGINT" if counted is None else f"d.{identifier(counted[1])}.{identifier(counted[2])}"
    position = " ".join(f"WHEN {quoted(name)} THEN {number}" for number, name in enumerate(run.ids))
    end = f"CASE d.dropped_by {position} ELSE {len(run.ids)} END"
    size = "d.input.bytes" if run.ids[0] == "input" and "bytes" in run.columns[0].names else "NULL::BIGINT"
    query = f"""SELECT {end} AS ended, sum({size})::BIGINT, sum({tokens})::BIGINT
                FROM {run.decisions} GROUP BY ended"""
    of = {ended: tuple(rest) for ended, *rest in run.rows(query)}
    by_name = dict(enumerate(names))
    sized = any(row[0] is not None for row in of.values())

    def upwards(column: int, first: int) -> dict[str, int]:
        """What came to each stage: what ended there, and later."""
        return {
            by_name[n]: sum(int(row[column] or 0) for ended, row in of.items() if ended >= n)
            for n in range(first, len(names))
        }

    return Sizes(
        upwards(0, 0) if sized else {},
        {} if counted is None else upwards(1, counted[0]),
        None if counted is None else f"{counted[1]}.{counted[2]}",
    )


def _note(run: OpenRun) -> str | None:
    shards, decided = len(run.shards), len(run.decided)
    if decided < shards:
        return f"{decided:,} of {shards:,} shards are decided; the others are not counted yet."
    return None
