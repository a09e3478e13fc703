"""What commands say on stderr, and how one that runs for long ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from pipelines.cli.render import tell
from pipelines.cli.stopping import print_result, until_stopped
from schemas.errors import command


def open_workspace(path: str | Path) -> Any:
    from pipelines.workspace import Workspace

    return Workspace(path)


def run_and_report(path: str, quiet: bool, verbose: bool, start: Any) -> None:
    from pipelines.cli.progress import Progress

    progress = Progress(quiet=quiet, verbose=verbose)
    try:
        with until_stopped(progress.say):
            result = start(open_workspace(path), progress)
    finally:
        progress.close()
    if not quiet or result.failed:
        for line in summary(result, path):
            tell(line)
    if result.folder is not None:
        print_result(result.folder)
    if result.outcome == "interrupted":
        raise typer.Exit(130)
    raise typer.Exit(1 if result.failed else 0)


def summary(result: Any, workspace: Path | str) -> list[str]:
    """The last lines of a run: what came of it, and what to do about failures."""
    tail = f"run {result.run} · {result.seconds:.1f} s"
    if result.outcome == "nothing-to-do":
        return [f"Nothing to do: {result.rows:,} → {result.kept:,} documents · {tail}"]
    lines = []
    told: dict[tuple[str, str, str | None], list[str]] = {}
    for path, failure in result.failures:
        # one fault of a stage fails many inputs, whose names stand in the message of each
        message = failure.message.replace(path, "…") if path else failure.message
        told.setdefault((failure.code, message, failure.hint), []).append(failure.message)
    for (code, message, hint), messages in list(told.items())[:20]:
        count = len(messages)
        lines.append(f"failed[{code}]: {messages[0] if count == 1 else f'{message} ({count:,} times)'}")
        if hint:
            lines.append(f"hint: {hint}")
    counts = f"{result.rows:,} → {result.kept:,} documents · dropped={result.dropped:,} errored={result.errored:,}"
    word = {"done": "Done", "failed": "Failed", "interrupted": "Interrupted"}[result.outcome]
    lines.append(f"{word}. {counts} · SCORED={result.scored:,} FAIL={len(result.failures)} · {tail}")
    if result.duplicate_ids:
        lines.append(f"warning: {result.duplicate_ids:,} documents carry an id that an earlier document has")
    if result.outcome == "failed":
        errors = command(f'sql "SELECT * FROM errors" --run {result.run}', workspace)
        lines += [f"what failed: {errors}", f"try again:   {command(f'retry {result.run}', workspace)}"]
    if result.outcome == "interrupted":
        lines.append(f"resume:      {command(f'retry {result.run}', workspace)}")
    return lines


def human_bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
