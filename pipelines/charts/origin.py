"""Where a dataset comes from: files, recipe, models with licence and hash, versions, machines, and what it took."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pipelines.charts.run import OpenRun
from pipelines.charts.texts import valid
from schemas.charts import AttemptRow, InputFile, ModelFile, Origin, StepRow
from schemas.errors import CurationError
from schemas.manifest import LIST

INPUTS = 200
"""Files that are listed, those with most documents."""


def origin(run: OpenRun) -> Origin:
    manifest = run.manifest
    record = manifest.where("runs", run=run.run).to_pylist()[0]
    dataset = next(iter(manifest.where("datasets", run=run.run).to_pylist()), None)
    attempts = _attempts(run)
    seconds = sum(row["seconds"] or 0.0 for row in attempts)
    inputs = _inputs(run)
    steps, estimated = _steps(run)
    told = [row["seconds"] for row in attempts if row["seconds"]]
    scored_here = bool(told) and any(row["scored"] for row in steps)
    size = sum(row["bytes"] for row in inputs)
    return {
        "kind": "origin",
        "note": None,
        "run": run.run,
        "name": valid(record["name"]),
        "created": _time(record["created_at"]),
        "version": _version(),
        "recipe": valid(record["recipe"]),
        "recipe_path": None if record["recipe_path"] is None else valid(record["recipe_path"]),
        "inputs": inputs[:INPUTS],
        "more_inputs": max(0, len(inputs) - INPUTS),
        "models": _models(run),
        "steps": steps,
        "attempts": attempts,
        "seconds": seconds if told else None,
        "estimated": estimated,
        "documents_per_second": run.documents / seconds if scored_here and seconds else None,
        "bytes_per_second": size / seconds if scored_here and seconds else None,
        "dataset": None if dataset is None else valid(str(manifest.store.location(dataset["path"]))),
        "dataset_files": None if dataset is None else dataset["files"],
        "dataset_bytes": None if dataset is None else dataset["bytes"],
    }


def _inputs(run: OpenRun) -> list[InputFile]:
    files: dict[str, InputFile] = {}
    for shard in run.shards.values():
        path, source = valid(shard["path"]), shard["source"]
        entry = files.setdefault(
            path,
            {
                "path": path,
                "source": None if source is None else valid(source),
                "fingerprint": shard["fingerprint"],
                "rows": 0,
                "bytes": 0,
            },
        )
        entry["rows"] += shard["rows"] or 0
        entry["bytes"] += shard["bytes"] or 0
    return sorted(files.values(), key=lambda entry: (-entry["rows"], entry["path"]))


def _models(run: OpenRun) -> list[ModelFile]:
    """Each file once, with the first step that reads it."""
    names = {row["fingerprint"]: row["step"] for row in run.fingerprints}
    files: dict[tuple[str, str, str], ModelFile] = {}
    for row in run.manifest.read("models").to_pylist():
        if row["fingerprint"] in names:
            files.setdefault(
                (row["address"], row["file"], row["sha256"]),
                {
                    "step": names[row["fingerprint"]],
                    "address": valid(row["address"].removeprefix(LIST)),
                    "revision": row["revision"],
                    "file": valid(row["file"]),
                    "sha256": row["sha256"],
                    "bytes": row["bytes"] or 0,
                    "licence": None if row["licence"] is None else valid(row["licence"]),
                },
            )
    return [files[key] for key in sorted(files)]


def _attempts(run: OpenRun) -> list[AttemptRow]:
    ends = {row["attempt"]: row for row in run.manifest.where("ends", run=run.run).to_pylist()}
    rows = sorted(run.manifest.where("attempts", run=run.run).to_pylist(), key=lambda row: row["started_at"])
    return [
        {
            "attempt": row["attempt"],
            "executor": row["executor"],
            "host": row["host"],
            "hardware": row["hardware"],
            "started": _time(row["started_at"]),
            "ended": _time(end["ended_at"]) if (end := ends.get(row["attempt"])) else None,
            "outcome": end["outcome"] if end else None,
            "seconds": end["seconds"] if end else None,
            "scored": end["scored"] if end else None,
        }
        for row in rows
    ]


def _steps(run: OpenRun) -> tuple[list[StepRow], tuple[float, float] | None]:
    """What each step took; and what the plan estimates for all that was scored, at the pace of other runs here: None
    where this workspace had no other that says."""
    scored, seconds = Counter[str](), defaultdict[str, float](float)
    for record in run.scores:
        scored[record["step"]] += record["rows"]
        seconds[record["step"]] += record["seconds"] or 0.0
    paces = _other_paces(run)
    meters = _meters(run)
    rows: list[StepRow] = []
    for row in run.fingerprints:
        name, count = row["step"], scored[row["step"]]
        meter = meters.get(name, {})
        pace = paces.get(row["fingerprint"])
        rows.append(
            {
                "step": name,
                "stage_kind": row["kind"],
                "version": row["version"] or 0,
                "fingerprint": row["fingerprint"],
                "scored": count,
                "seconds": seconds[name] if count else None,
                "documents_per_second": count / seconds[name] if count and seconds[name] else None,
                "tokens_per_second": meter.get("tokens_per_second"),
                "device": meter.get("device") or row["device"],
                "dtype": meter.get("dtype") or row["dtype"],
                "busy": meter.get("busy"),
                "estimated_seconds": None if pace is None or not count else pace * count,
            }
        )
    return rows, _estimate(run, scored, paces)


def _estimate(run: OpenRun, scored: Mapping[str, int], paces: dict[str, float]) -> tuple[float, float] | None:
    from pipelines.planning.cost import cost

    if not any(scored.values()):
        return None
    try:
        plan = run.recorded.plan
    except (CurationError, OSError):
        return None
    if any(scored.get(step.name) and step.fingerprint not in paces for step in plan.steps()):
        return None
    return cost(plan, run.manifest, dict(scored), paces, {}).seconds


def _other_paces(run: OpenRun) -> dict[str, float]:
    """Seconds a document, by fingerprint, of what other runs scored."""
    rows, seconds = Counter[str](), defaultdict[str, float](float)
    wanted = {row["fingerprint"] for row in run.fingerprints}
    for record in run.manifest.read("scores").select(["run", "fingerprint", "rows", "seconds"]).to_pylist():
        if record["run"] != run.run and record["fingerprint"] in wanted:
            rows[record["fingerprint"]] += record["rows"]
            seconds[record["fingerprint"]] += record["seconds"] or 0.0
    return {name: seconds[name] / count for name, count in rows.items() if count}


def _meters(run: OpenRun) -> dict[str, dict[str, Any]]:
    """By step, how its model was used."""
    sums: dict[str, dict[str, Any]] = {}
    for row in run.manifest.where("meters", run=run.run).to_pylist():
        total = sums.setdefault(row["step"], {"tokens": 0, "wall": 0.0, "busy_seconds": 0.0})
        total["tokens"] += row["tokens"]
        total["wall"] += row["wall"]
        total["busy_seconds"] += row["busy"]
        total |= {"device": row["device"], "dtype": row["dtype"]}
    for total in sums.values():
        if total["wall"]:
            total["tokens_per_second"] = total["tokens"] / total["wall"]
            total["busy"] = min(1.0, total["busy_seconds"] / total["wall"])
    return sums


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _version() -> str:
    try:
        return version("curation-engine")
    except PackageNotFoundError:
        return "unknown"
