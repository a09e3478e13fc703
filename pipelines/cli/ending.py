"""The last lines of a run: its funnel, what came of it in plain words, and what to do next."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TextIO

from pipelines.cli.render import counted, tell
from pipelines.streams import coloured
from schemas.errors import command

NEXT = 3
"""Commands that are offered."""
GREEN, RED, YELLOW, RESET = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[0m"


def report_end(result: Any, workspace: Any, path: str) -> None:
    """On stderr. `path` is the workspace as the user named it, so that the commands can be pasted."""
    stream = sys.stderr
    funnel = None
    if result.outcome in ("done", "nothing-to-do") and result.rows:
        from pipelines.cli.layouts import LAYOUTS
        from pipelines.tables import print_table

        funnel = workspace.funnel(result.run)
        print_table(funnel, "table", stream, LAYOUTS["funnel"])
        tell("", stream=stream)
    for line in summary(result, path):
        _tell(line, stream)
    if funnel is not None:
        chosen = "select" in workspace.manifest.where("stages", run=result.run).column("family").to_pylist()
        commands = next_commands(result, funnel.to_pylist(), chosen, path)
        tell("next:", *(f"  {line}" for line in commands), stream=stream)
        if result.report_file is not None:
            tell(f"report: {result.report_file}", stream=stream)


def _tell(line: str, stream: TextIO) -> None:
    """A sentence, folded between words where it is wider than the terminal; what has a command is one line, however
    long."""
    from pipelines.tables import sentences

    lead, colon, _ = line.partition(": ")
    copied = colon and lead.strip() in ("what failed", "try again", "resume", "hint")
    pieces = [line] if copied else sentences(line, stream, "  ")
    word = line.split(" ", 1)[0].rstrip(".")
    colour = {"Done": GREEN, "Nothing": GREEN, "Failed": RED, "Interrupted": YELLOW}.get(word, "")
    if colour and coloured(stream):
        stream.write(f"{colour}{word}{RESET}")
        pieces[0] = pieces[0][len(word) :]
    tell(*pieces, stream=stream)


def summary(result: Any, workspace: Path | str) -> list[str]:
    """What came of a run, and what to do about failures."""
    from pipelines.tables.human import duration

    kept = f"kept {result.kept:,} of {counted(result.rows, 'document')}"
    if result.outcome == "nothing-to-do":
        return [f"Nothing to do: run {result.run} is finished, and {kept}"]
    lines = _failures(result)
    scored = _scored(result)
    after = duration(result.seconds)
    if result.outcome == "done":
        errored = f", {result.errored:,} errored" if result.errored else ""
        lines.append(f"Done in {after}: {kept}, {result.dropped:,} dropped{errored}; {scored}")
    elif result.outcome == "interrupted":
        lines.append(f"Interrupted after {after}: {scored}; what is stored stays")
    else:
        failed = counted(len(result.failures), "failure")
        lines.append(f"Failed after {after}: {failed}; {scored}; what is stored stays")
    if result.duplicate_ids:
        lines.append(f"warning: {result.duplicate_ids:,} documents carry an id that an earlier document has")
    if result.outcome == "failed":
        errors = command(f'sql "SELECT * FROM errors" --run {result.run}', workspace)
        lines += [f"what failed: {errors}", f"try again:   {command(f'retry {result.run}', workspace)}"]
    if result.outcome == "interrupted":
        lines.append(f"resume:      {command(f'retry {result.run}', workspace)}")
    return lines


def _failures(result: Any) -> list[str]:
    """Each failure once, with how often it was met; one fault of a stage fails many inputs, whose names stand in the
    message of each."""
    lines = []
    told: dict[tuple[str, str, str | None], list[str]] = {}
    for path, failure in result.failures:
        message = failure.message.replace(path, "…") if path else failure.message
        told.setdefault((failure.code, message, failure.hint), []).append(failure.message)
    for (code, message, hint), messages in list(told.items())[:20]:
        count = len(messages)
        lines.append(f"failed[{code}]: {messages[0] if count == 1 else f'{message} ({count:,} times)'}")
        if hint:
            lines.append(f"hint: {hint}")
    return lines


def _scored(result: Any) -> str:
    """`scored 742 documents by 2 stages`; where they did not score as many, what the busiest has done: which documents
    several of them scored is not known here."""
    by_stage: dict[str, int] = {}
    for step, count in result.steps.items():
        stage = step.partition("/")[0]
        if count:
            by_stage[stage] = max(by_stage.get(stage, 0), count)
    read = by_stage.pop("input", 0)
    if not by_stage:
        return f"read {counted(read, 'document')}, scored none" if read else "nothing had to be scored"
    documents = counted(min(max(by_stage.values()), result.rows or sys.maxsize), "document")
    if len(set(by_stage.values())) > 1:
        return f"scored up to {documents} by each of {len(by_stage):,} stages"
    return f"scored {documents} by {counted(len(by_stage), 'stage')}"


def next_commands(result: Any, funnel: list[dict[str, Any]], chosen: bool, workspace: Path | str) -> list[str]:
    """What a person asks next of a finished run, most pressing first; `chosen`: it has a selection."""
    most = max(funnel, key=lambda row: row["dropped"])
    questions = [
        (result.errored, 'sql "SELECT path, row, stage, message FROM errors LIMIT 10"'),
        (most["dropped"], f"show --dropped-by {most['stage']} -n 3"),
        (result.dropped, 'sql "SELECT rule, count(*) FROM drops GROUP BY ALL ORDER BY 2 DESC"'),
        (chosen, "selection"),
        (result.kept, "show --kept -n 3"),
        (True, "stats"),
        (True, "funnel"),
    ]
    return [command(words, workspace) for wanted, words in questions if wanted][:NEXT]
