"""Arguments and options that commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.stdout import Format as Format


class Runner(StrEnum):
    auto = "auto"
    local = "local"
    ray = "ray"


STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def _file(context: typer.Context, output: Path | None) -> Path | None:
    """`-` is stdout, as everywhere, and so are its other names: to whatever else leads there code of others writes."""
    if output is None or str(output) in STDOUT:
        return None
    from pipelines.cli import spared

    spared.asked = context.params
    return output


def _workspace(context: typer.Context, named: str) -> str:
    """The workspace that is meant: as named by -w or the environment, else the default."""
    from pipelines.nearest import default_workspace, lies_outside

    if named or context.resilient_parsing:
        return named
    written = context.params.get("recipe") or context.params.get("spec")
    if not isinstance(written, Path):
        return default_workspace()
    chosen, own = default_workspace(written), default_workspace()
    if chosen != own and lies_outside(written, chosen) and not context.params.get("quiet"):
        from pipelines.cli.render import tell

        tell(f"workspace: {chosen}, which {written} names; -w names another")
    return chosen


RecipePath = Annotated[Path, typer.Argument(help="Recipe, a YAML file.", metavar="RECIPE")]
Folder = Annotated[
    str,
    typer.Option(
        "--workspace",
        "-w",
        envvar="CURATION_WORKSPACE",
        callback=_workspace,
        show_default=False,
        help="Folder that holds scores and datasets, or s3://BUCKET/PREFIX. Default: `workspace:` of the recipe, else "
        "the nearest one upward from here, else ./workspace.",
    ),
]
RunId = Annotated[
    str | None,
    typer.Option("--run", help="Label, dataset's name, run id or its beginning, or latest, which is the default."),
]
Label = Annotated[
    str | None,
    typer.Option(
        "--label",
        help="A name for the run, for --run, where it goes before a dataset's name; another run that has it loses it.",
    ),
]
OutputFormat = Annotated[
    Format | None,
    typer.Option(
        "--format",
        "-f",
        help="table (the default) is for people: a terminal, or COLUMNS, decides how much of it fits, and into a pipe "
        "or file goes all of it. Numbers are rounded in table and markdown only.",
    ),
]
TextFormat = Annotated[Format | None, typer.Option("--format", "-f", help="Default: text to read.")]
OutputFile = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        callback=_file,
        help="Write to this file, over what is there; its ending says the format: .csv, .json, .jsonl, .md, .parquet, "
        ".txt. Never over an input, a recipe or a workspace's file. - is stdout.",
        metavar="FILE",
    ),
]
Wide = Annotated[bool, typer.Option("--wide", help="In tables, leave out no column, no row and no part of a text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but failures.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="A line for each unit of work, and tracebacks.")]
Executor = Annotated[
    Runner, typer.Option("--executor", help="local: threads here. auto: Ray for large inputs or an address.")
]
Address = Annotated[str | None, typer.Option("--address", help="A running Ray cluster, host:port or auto.")]
Force = Annotated[
    bool, typer.Option("--force", help="Begin, though another process is at this run. Default: wait for that one.")
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Units of work at a time. Default: this machine's cores.")
]
WORKSPACE = ""
"""Default of `Folder`, for which the nearest one is taken."""
