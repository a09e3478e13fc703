"""Commands that list what the engine brings: rules, recipes."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.options import (
    OutputFile,
    OutputFormat,
    Wide,
)
from pipelines.cli.render import put_table, put_text

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Examples: curate rules; curate rules gopher-quality@datatrove; curate rules -f csv")
def rules(
    profile: Annotated[
        str | None, typer.Argument(help="A profile of `scorer: rules`. Default: all of them.", metavar="PROFILE")
    ] = None,
    format: OutputFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """The quality rules of each profile: what rejects a document, at what bound, for what reason, from which paper."""
    from pipelines.results.rules import known_rules

    put_table(known_rules(profile), format, output, wide, "rules")


@app.command(epilog="Examples: curate recipes; curate recipes fineweb")
def recipes(
    name: Annotated[str | None, typer.Argument(help="Recipe to print. Default: list them.", metavar="NAME")] = None,
    format: OutputFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """Recipes to begin with: list them, or print one with its comments, to be kept in a file and changed."""
    from pipelines import recipes as shipped

    if name is None:
        put_table(shipped.table(), format, output, wide, "recipes")
    else:
        put_text(shipped.read(name))
