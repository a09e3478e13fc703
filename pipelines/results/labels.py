"""Labels given by hand to a run's documents: how they are kept, and which of them count.

`audit_labels` are good or bad. `audit_marks` came later, in parts of their own: that somebody looked and is unsure, and
that an earlier label or mark was undone. Versions that know no marks read the labels as they were given. Both share one
sequence of numbers; of one document the greatest that was not undone counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from curation.manifest.parts import Manifest, now

Word = Literal["good", "bad", "unsure"]
GOOD: dict[Word, bool | None] = {"good": True, "bad": False, "unsure": None}
LABELS, MARKS = "audit_labels", "audit_marks"
UNSURE, UNDONE = "unsure", "undone"


class Given(NamedTuple):
    """One answer about one document."""

    number: int
    kind: str
    """Of the part: at one number, which two processes may have taken at once, a mark comes after a label."""
    doc_id: int
    good: bool | None
    """None for unsure."""
    note: str | None
    labelled_at: Any


@dataclass(frozen=True)
class Label:
    """What counts of one document."""

    good: bool | None
    """None for unsure."""
    note: str | None
    relabelled: bool
    """Whether it was good and is bad, or the other way, in between."""


def answers(manifest: Manifest, run: str) -> list[Given]:
    """All that count and were not undone, the first first."""
    labels = [
        Given(row["number"], LABELS, row["doc_id"], row["good"], row["note"], row["labelled_at"])
        for row in manifest.where(LABELS, run=run).to_pylist()
    ]
    marks = manifest.where(MARKS, run=run).to_pylist()
    labels += [
        Given(row["number"], MARKS, row["doc_id"], None, row["note"], row["labelled_at"])
        for row in marks
        if row["mark"] == UNSURE
    ]
    undone = {(row["undoes"], row["of"], row["doc_id"]) for row in marks if row["mark"] == UNDONE}
    return sorted(item for item in labels if (item.number, item.kind, item.doc_id) not in undone)


def labels_of(manifest: Manifest, run: str) -> dict[int, Label]:
    """By doc_id."""
    label_of: dict[int, Label] = {}
    for item in answers(manifest, run):
        before = label_of.get(item.doc_id)
        other = before is not None and (before.relabelled or before.good != item.good)
        label_of[item.doc_id] = Label(item.good, item.note, other)
    return label_of


def give(manifest: Manifest, run: str, labels: Iterable[tuple[int, bool | None, str | None]]) -> None:
    """Commit answers: doc_id, good (None for unsure), note. Those that others give meanwhile are kept beside them."""
    moment = now()
    sure, unsure = [], []
    for doc, good, note in labels:
        row = {"run": run, "doc_id": doc, "note": note, "labelled_at": moment}
        if good is None:
            unsure.append(row | {"mark": UNSURE})
        else:
            sure.append(row | {"good": good})
    for kind, rows in ((LABELS, sure), (MARKS, unsure)):
        if rows:
            _commit(manifest, run, kind, rows)


def undo(manifest: Manifest, run: str, doc_id: int | None = None) -> Given | None:
    """Undo the last answer of a run, or of one document of it, so that the one before counts. None where there is none.

    Returns what was undone.
    """
    while True:  # until nobody has answered, or undone, between what is read and what is written
        number = _next_number(manifest, run)
        given = [item for item in answers(manifest, run) if doc_id is None or item.doc_id == doc_id]
        if not given:
            return None
        last = given[-1]
        row = {"run": run, "doc_id": last.doc_id, "mark": UNDONE, "undoes": last.number, "of": last.kind}
        if manifest.commit(MARKS, _key(run, number), [row | {"labelled_at": now(), "number": number}]):
            return last


def _commit(manifest: Manifest, run: str, kind: str, rows: Sequence[dict[str, Any]]) -> None:
    """One part, numbered after all there are: the order is the manifest's, not a clock's. Whoever finds a number taken
    takes the next, so that nothing is lost where several label at once."""
    number = _next_number(manifest, run)
    while not manifest.commit(kind, _key(run, number), [{**row, "number": number} for row in rows]):
        number += 1


def _next_number(manifest: Manifest, run: str) -> int:
    keys = [key for both in (LABELS, MARKS) for key in manifest.keys(both) if key.startswith(f"{run}-")]
    return max((int(key.rpartition("-")[2]) for key in keys), default=0) + 1


def _key(run: str, number: int) -> str:
    return f"{run}-{number:08d}"
