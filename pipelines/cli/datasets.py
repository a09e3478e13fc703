"""`curate path`: where a run's dataset is, and how it is loaded."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.options import WORKSPACE, Folder
from pipelines.cli.render import put
from pipelines.cli.talk import open_workspace

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Examples: curate path; curate path web; curate path web --how")
def path(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="A dataset's name, for its latest; a label, a run's id or its beginning. Default: the latest run.",
        ),
    ] = None,
    workspace: Folder = WORKSPACE,
    how: Annotated[bool, typer.Option("--how", help="Print how pandas and others load it, a line for each.")] = False,
) -> None:
    """Print the folder of a finished run's dataset: README.md, and data/train-*.parquet."""
    dataset = open_workspace(workspace).dataset(run)
    for line in dataset.loading_lines().values() if how else [str(dataset.path)]:
        put(line)
