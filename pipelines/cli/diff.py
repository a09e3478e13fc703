"""`curate diff`: two runs beside each other."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import WORKSPACE, Folder, Format, OutputFormat
from pipelines.cli.render import put_json, tell, tell_diff
from pipelines.cli.talk import open_workspace
from pipelines.tables import print_table

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
    format: OutputFormat = Format.table,
) -> None:
    """Compare two runs: recipe, inputs, funnel, and the documents that changed sides, by stage and reason.

    In jsonl and csv: only the groups of documents that changed sides.
    """
    runs = open_workspace(workspace).diff(a, b, examples=examples)
    if format is Format.json:
        put_json({"schema_version": 1, **runs.as_dict()}, indent=2)
    elif format is Format.table:
        _print(runs)
    else:
        print_table(runs.moved, format)
    raise typer.Exit(1 if exit_code and runs.differ else 0)


def _print(runs: RunDiff) -> None:
    _say(f"a  {runs.a.title()}", f"b  {runs.b.title()}")
    if runs.recipe:
        _say("")
        tell_diff(runs.recipe)
    if runs.stages:
        _say("", f"the same settings, but other code, models or files: {', '.join(runs.stages)}")
    _table("inputs", runs.inputs)
    _table("funnel", runs.funnel)
    _table("documents that changed sides", runs.moved.drop_columns(["examples"]))
    for row in runs.moved.to_pylist():
        if row["examples"]:
            _say("", f"{row['change']} · {row['stage']} · {row['reason']}", *(f"  {name}" for name in row["examples"]))
    counts = {"that only a read": runs.only_a, "that only b read": runs.only_b}
    counts["that both drop, at different stages"] = runs.elsewhere
    _say(*(f"{documents:,} documents {what}" for what, documents in counts.items() if documents))
    if not runs.differ:
        _say("no difference")


def _table(title: str, table: pa.Table) -> None:
    if table.num_rows:
        _say("", f"{title}:")
        print_table(table, Format.table)


def _say(*lines: str) -> None:
    tell(*lines, stream=sys.stdout)
