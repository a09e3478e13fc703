"""`curate diff`: two runs beside each other."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import WORKSPACE, Folder, Format, OutputFile, OutputFormat, Wide
from pipelines.cli.render import format_of, put_json, put_table, tell, tell_diff, writing_to
from pipelines.cli.talk import open_workspace

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.results.diff import RunDiff

app = typer.Typer(rich_markup_mode=None)


@app.command(
    epilog="Examples: curate diff before-pii; curate diff before-pii latest --examples 10; "
    "curate diff web 41c2 -f json; curate diff before-pii --exit-code"
)
def diff(
    a: Annotated[str, typer.Argument(help="A run, named as for --run.", metavar="RUN")],
    b: Annotated[str | None, typer.Argument(help="The other one. Default: the latest.", metavar="RUN")] = None,
    examples: Annotated[int, typer.Option("--examples", "-n", min=0, help="Documents named of each group.")] = 3,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 where they differ, as git does.")] = False,
    workspace: Folder = WORKSPACE,
    format: OutputFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """Compare two runs: recipe, inputs, funnel, and the documents that changed sides, by stage and reason.

    In other formats than table and json, and in a file, only the groups of documents that changed sides.
    """
    runs = open_workspace(workspace).diff(a, b, examples=examples)
    chosen = format_of(format, output)
    if chosen == "json":
        with writing_to(output) as stream:
            put_json({"schema_version": 1, **runs.as_dict()}, 2, stream)
    elif chosen == "table" and output is None:
        _print(runs, wide)
    else:
        put_table(runs.moved, format, output, wide)
    raise typer.Exit(1 if exit_code and runs.differ else 0)


def _print(runs: RunDiff, wide: bool) -> None:
    _say(f"a  {runs.a.title()}", f"b  {runs.b.title()}")
    if runs.recipe:
        _say("")
        tell_diff(runs.recipe)
    if runs.stages:
        _say("", f"the same settings, but other code, models or files: {', '.join(runs.stages)}")
    _table("inputs", runs.inputs, wide)
    _table("funnel", runs.funnel, wide, "diff")
    _table("documents that changed sides", runs.moved, wide, "changed")
    for row in runs.moved.to_pylist():
        if row["examples"]:
            _say("", f"{row['change']} · {row['stage']} · {row['reason']}", *(f"  {name}" for name in row["examples"]))
    counts = {"that only a read": runs.only_a, "that only b read": runs.only_b}
    counts["that both drop, at different stages"] = runs.elsewhere
    _say(*(f"{documents:,} documents {what}" for what, documents in counts.items() if documents))
    if not runs.differ:
        _say("no difference")


def _table(title: str, table: pa.Table, wide: bool, layout: str | None = None) -> None:
    if table.num_rows:
        _say("", f"{title}:")
        put_table(table, Format.table, wide=wide, layout=layout)


def _say(*lines: str) -> None:
    tell(*lines, stream=sys.stdout)
