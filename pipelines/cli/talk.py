"""What commands say on stderr, and how one that runs for long ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from pipelines.cli.ending import report_end
from pipelines.cli.render import tell
from pipelines.cli.stopping import print_result, until_stopped


def open_workspace(path: str | Path) -> Any:
    from pipelines.workspace import Workspace

    return Workspace(path)


@contextmanager
def told_of_kernels(say: Callable[[str], None] = tell) -> Iterator[Callable[[Any], None]]:
    """Say once, and at once, that kernels are compiled: by this thread within, or in a run that reports to what this
    yields."""
    from curation.progress import UnitProgress, counting
    from pipelines.running.events import Advanced
    from pipelines.running.phases import COMPILING

    told_once = False

    def told(compiling: object) -> None:
        nonlocal told_once
        if compiling and not told_once:
            told_once = True
            say(COMPILING)

    def report(event: Any) -> None:
        told(isinstance(event, Advanced) and event.compiling)

    with counting(UnitProgress(changed=lambda counts: told(counts.compiling))):
        yield report


def run_and_report(path: str, quiet: bool, verbose: bool, start: Any) -> None:
    from pipelines.cli.progress import Progress

    progress = Progress(quiet=quiet, verbose=verbose)
    try:
        with until_stopped(progress):
            progress.prepare("reading the recipe and its inputs")
            workspace = open_workspace(path)
            with told_of_kernels((lambda line: None) if quiet else progress.say):
                result = start(workspace, progress)
    finally:
        progress.close()
    if not quiet or result.failed:
        report_end(result, workspace, path)
    if result.folder is not None:
        print_result(result.folder)
    if result.outcome == "interrupted":
        raise typer.Exit(130)
    raise typer.Exit(1 if result.failed else 0)
