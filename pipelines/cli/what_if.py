"""`curate what-if`: what another gate would keep, from stored scores."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.options import WORKSPACE, Folder, OutputFile, OutputFormat, RunId, Wide
from pipelines.cli.render import put_table, tell
from pipelines.cli.talk import open_workspace

app = typer.Typer(rich_markup_mode=None)


@app.command(
    "what-if",
    epilog='Examples: curate what-if "language.prob > 0.8"; curate what-if "gopher.words >= 20" --run before-pii; '
    'curate what-if true --stage gopher; curate what-if "language.prob > 0.8" "gopher.words >= 20" -f json',
)
def what_if(
    gates: Annotated[
        list[str],
        typer.Argument(help="A gate, in place of that of the last stage that it reads. Repeatable.", metavar="GATE"),
    ],
    stage: Annotated[str | None, typer.Option("--stage", help="The stage whose gate it is to be.")] = None,
    workspace: Folder = WORKSPACE,
    run: RunId = None,
    format: OutputFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """What another gate would keep and drop, and how many documents would have to be scored first.

    From stored scores, in about a second; scores nothing. What a dedup or a selection behind it would say of other
    documents is not foretold: their counts are those of the run, and it is said that a run computes them again.
    """
    answer = open_workspace(workspace).what_if(*gates, stage=stage, run=run)
    put_table(answer.table(), format, output, wide, "what-if")
    tell(*answer.lines())
