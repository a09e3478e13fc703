"""What moved the scores of some documents: losses by token, and pieces that a head or a classifier went by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pipelines.charts.bounds import thresholds
from pipelines.charts.run import OpenRun
from pipelines.charts.texts import in_bytes
from pipelines.results.marks import Mark, in_source
from schemas.errors import CurationError

KINDS = ("perplexity", "contrast", "ifd", "fasttext", "embedding-head", "classifier", "dsir")
"""Scorers that say what moved them, or that are quick enough to be asked once for each sentence."""
DOCUMENTS, STAGES, CHARACTERS = 4, 3, 8_000
"""Models are run for it: so many documents of each stage, those nearest to its threshold that are no longer."""
MODEL = 300_000_000
"""Bytes of the largest model that is loaded for it."""
PIECES = 24
"""The weightiest pieces of a text that are marked, where they are not the text in its order."""


def attributed(
    run: OpenRun, rows: Sequence[dict[str, Any]], texts: dict[tuple[str, int], dict[str, Any]]
) -> dict[int, list[Mark]]:
    """Marks by doc_id. What large models would say, or such that are not here, is left out."""
    from pipelines.results.attribution import Scorers

    stages = [row["stage"] for row in run.stages if row["kind"] in KINDS and _bytes(run, row["stage"]) <= MODEL]
    if not stages:
        return {}
    marks: dict[int, list[Mark]] = {}
    scorers = Scorers(run.recorded)
    for stage in stages[:STAGES]:
        short = [row for row in _nearest(run, stage, rows) if _is_short(texts.get((row["path"], row["row"])))]
        for row in [row for row in short if row["doc"] not in marks][:DOCUMENTS]:
            read = texts[row["path"], row["row"]]
            try:
                attribution = scorers.attribute(row["path"], row["row"], stage)
            except (CurationError, OSError):
                break  # its model is gone from here
            if attribution is not None:
                text, before = _as_seen(run, stage, read)
                marks[row["doc"]] = _located(text, before, attribution, stage)
    return marks


def _is_short(read: dict[str, Any] | None) -> bool:
    return read is not None and not read["parts"] and 0 < len(read["text"] or "") <= CHARACTERS


def _bytes(run: OpenRun, stage: str) -> int:
    """Of the models' files behind a stage."""
    steps = {row["fingerprint"] for row in run.fingerprints if row["step"].partition("/")[0] == stage}
    models = run.manifest.read("models").to_pylist()
    return sum({row["sha256"]: row["bytes"] or 0 for row in models if row["fingerprint"] in steps}.values())


def _nearest(run: OpenRun, stage: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Documents that the stage scored, those nearest to a threshold on it first."""
    near = [(f"score {item.name}", item.value) for item in thresholds(run) if item.name.partition(".")[0] == stage]
    name, value = near[0] if near else (f"score {run.score_of.get(stage)}", 0.0)
    scored = [row for row in rows if isinstance(row.get(name), int | float)]
    return sorted(scored, key=lambda row: (abs(row[name] - value), row["doc"]))


def _as_seen(run: OpenRun, stage: str, read: dict[str, Any]) -> tuple[str, Sequence[dict[str, Any]]]:
    """The text that a stage saw, and the edits that made it."""
    before = any(row["family"] == "transform" for row in run.stages[: run.ids.index(stage)])
    if not before or read["edited"] is None:
        return read["text"] or "", ()
    return read["edited"], read["edits"]


def _located(text: str, edits: Sequence[dict[str, Any]], attribution: Any, stage: str) -> list[Mark]:
    """Pieces where they stand in the source."""
    what = "loss" if attribution.in_order and attribution.what.endswith("loss") else "moved"
    ranges = _in_order(text, attribution.pieces) if attribution.in_order else _anywhere(text, attribution.pieces)
    return [
        Mark(in_source(mark.start, edits), in_source(mark.end, edits), what, stage=stage, weight=mark.weight)
        for mark in in_bytes(text, ranges, what, stage)
    ]


def _in_order(text: str, pieces: Sequence[tuple[str, float]]) -> list[tuple[int, int, float | None]]:
    ranges: list[tuple[int, int, float | None]] = []
    position = 0
    folded = text.lower() if len(text.lower()) == len(text) else text
    for piece, weight in pieces:
        start = folded.find(piece, position, position + len(piece) + 64)
        if start < 0:
            start = folded.find(piece.strip().lower(), position, position + len(piece) + 64)
        length = len(piece) if start >= 0 and folded.startswith(piece, start) else len(piece.strip())
        if start >= 0 and length:
            ranges.append((start, start + length, float(weight)))
            position = start + length
    return ranges


def _anywhere(text: str, pieces: Sequence[tuple[str, float]]) -> list[tuple[int, int, float | None]]:
    """Each occurrence of the weightiest words, with what all of them together add."""
    words = [(piece.strip("▁Ġ ").lower(), weight) for piece, weight in pieces]
    weights: dict[str, float] = {}
    for word, weight in words:
        if re.fullmatch(r"\w[\w ]*", word) and len(weights) < PIECES:
            weights.setdefault(word, float(weight))
    if not weights:
        return []
    listed = "|".join(re.escape(word) for word in sorted(weights, key=len, reverse=True))
    found = re.finditer(rf"(?<!\w)(?:{listed})(?!\w)", text, re.IGNORECASE)
    return [(match.start(), match.end(), weights.get(match.group().lower())) for match in found]
