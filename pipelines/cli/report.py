"""`curate report`: a run as a page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli import spared
from pipelines.cli.options import WORKSPACE, Folder
from pipelines.cli.render import put
from pipelines.cli.spared import refuse_spared
from pipelines.cli.talk import open_workspace

app = typer.Typer(rich_markup_mode=None)


def _spared(context: typer.Context, into: Path | None) -> Path | None:
    spared.asked = context.params
    return into


@app.command(epilog="Examples: curate report; curate report web -w ws; curate report 41c2 --into /tmp/look.html")
def report(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="Label, dataset's name, run id or its beginning. Default: the latest run.",
        ),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            "--into",
            callback=_spared,
            help="Write to this file, over what is there. Default: report.html beside the dataset's card.",
        ),
    ] = None,
    workspace: Folder = WORKSPACE,
) -> None:
    """Write a run's report, one HTML file to open in a browser, and print where it is.

    Funnel, measurements with their gates, documents, duplicates, selections, and what changed from input to output.
    `run` writes it, too, unless the recipe says `output: {report: false}`. It needs no network and sends nothing.
    """
    opened = open_workspace(workspace)
    if into is not None:
        refuse_spared(into, into.resolve(), "into")
    put(str(opened.write_report(run, into)))
