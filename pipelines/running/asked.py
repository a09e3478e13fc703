"""What is asked of a run before it begins: a name that can name it, the id that was expected, inputs passed over."""

from __future__ import annotations

import re
from typing import Any

from curation.manifest.runs import LATEST
from pipelines.running.events import Notice, Report
from schemas.errors import CurationError, Finding


def check_label(label: str | None) -> None:
    """Raise C004 for one that would not name a run."""
    like_an_id = r"[0-9a-f]{4,16}"  # --run takes an id's beginning, too
    if label is not None and (
        label == LATEST
        or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", label)
        or re.fullmatch(like_an_id, label)
    ):
        hint = "letters, digits, dots, _ and -, such as before-pii, and not like a run's id"
        raise CurationError(Finding("C004", f"label {label!r}: no name for a run", hint))


def another_run(expected: str, instead: str) -> Finding:
    """C046, for a run whose id is not the one that was expected."""
    return Finding(
        "C046",
        f"run {expected} was asked for, and from here {instead}; nothing was begun",
        "inputs have changed, or this machine sees others, or another workspace: submit again",
    )


def tell_passed_over(resolved: Any, tell: Report) -> None:
    """Say which files of the input's folders are no input, and what else there is to say of them."""
    if resolved.ignored:
        files = "1 file" if resolved.ignored == 1 else f"{resolved.ignored:,} files"
        what = "not Parquet, JSON, CSV or text, or beside the data"
        tell(Notice(f"warning: passed over {files} in the input folders: {what}"))
    for line in resolved.notices:
        tell(Notice(line))
