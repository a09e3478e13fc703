"""What commands say on stderr, and how one that runs for long ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from pipelines.cli.ending import report_end
from pipelines.cli.stopping import print_result, until_stopped


def open_workspace(path: str | Path) -> Any:
    from pipelines.workspace import Workspace

    return Workspace(path)


def run_and_report(path: str, quiet: bool, verbose: bool, start: Any) -> None:
    from pipelines.cli.progress import Progress

    progress = Progress(quiet=quiet, verbose=verbose)
    try:
        with until_stopped(progress):
            progress.prepare("reading the recipe and its inputs")
            workspace = open_workspace(path)
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
