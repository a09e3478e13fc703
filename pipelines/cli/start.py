"""Commands for data without a recipe: init, auto, diagnose, preview."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from curation.escape import terminal
from pipelines.cli.options import WORKSPACE, Executor, Folder, Force, Quiet, RecipePath, Runner, Verbose, Workers
from pipelines.cli.render import counted, put, put_json, put_text, tell
from pipelines.cli.talk import open_workspace, run_and_report, told_of_kernels
from schemas.errors import command

app = typer.Typer(rich_markup_mode=None)

Data = Annotated[
    list[str],
    typer.Argument(help="Files, folders or patterns: Parquet, JSON, JSON lines, CSV, TSV, text.", metavar="DATA"),
]
KindOption = Annotated[
    str | None,
    typer.Option(
        "--kind",
        help="web, text, instructions, chats, preferences, labels or verifiable. Default: told from the data.",
    ),
]


class Shape(StrEnum):
    text = "text"
    json = "json"


Overwrite = Annotated[bool, typer.Option("--force", help="Write over a recipe that is there.")]
Anew = Annotated[bool, typer.Option("--anew", help="Write the recipe anew, over the one in INTO.")]


@app.command(
    epilog="Examples: curate init data.parquet; curate init crawl/ --into web.yaml; curate init data.csv --into -"
)
def init(
    data: Data,
    into: Annotated[str, typer.Option("--into", help="Recipe to write; - for stdout.")] = "recipe.yaml",
    kind: KindOption = None,
    force: Overwrite = False,
) -> None:
    """Look at data and write a commented recipe that runs on it: columns, kind of data, stages, gates."""
    from pipelines.planning.describe import describe_data
    from pipelines.planning.drafting import facts, recipe_for
    from pipelines.start.auto import refuse_existing, write_recipe

    if into != "-" and not any(str(path).lower().endswith((".yaml", ".yml")) for path in data):  # no data: told below
        refuse_existing(Path(into), force)
    with told_of_kernels():
        description = describe_data(data, kind)  # type: ignore[arg-type]
        text = recipe_for(description, None if into == "-" else Path(into).parent)
    tell(*_folded([f"Kind:      {description.title}, told by {description.why}.", *facts(description)], sys.stderr))
    if description.convert:
        tell("To make them, in DuckDB, and see first that the votes mean that:", f"  {description.convert}")
    if into == "-":
        put_text(text)
        return
    recipe = write_recipe(description, Path(into), force, text=text)
    name = shlex.quote(str(recipe))
    runs = (command(words, "workspace") for words in (f"run {name} --sample 200", f"run {name}"))
    tell(f"next: curate check {name}", *(f"      {line}" for line in runs))
    put(str(recipe))


@app.command(
    epilog="Examples: curate auto data.parquet --into curated; curate auto crawl/ --into curated --sample 1000; "
    "curate auto data.csv --into curated --dry-run"
)
def auto(
    data: Data,
    into: Annotated[Path, typer.Option("--into", help="Folder for recipe, dataset and, without -w, workspace.")],
    workspace: Annotated[
        str | None,
        typer.Option(
            "--workspace", "-w", envvar="CURATION_WORKSPACE", help="Folder that holds scores. Default: INTO/workspace."
        ),
    ] = None,
    kind: KindOption = None,
    sample: Annotated[int | None, typer.Option("--sample", min=1, help="Curate N documents chosen by hash.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the recipe alone; write nothing.")] = False,
    anew: Anew = False,
    force: Force = False,
    executor: Executor = Runner.auto,
    workers: Workers = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Curate in one step: tell the kind of data, write the recipe, run it. The recipe is yours to change afterwards.

    INTO gets recipe.yaml, dataset/ (copies of the workspace's Parquet files, and their card) and workspace/. The same
    command again runs the recipe as it is then, and replaces the dataset.
    """
    from pipelines.planning.describe import describe_data
    from pipelines.planning.drafting import recipe_for
    from pipelines.start.auto import WORKSPACE
    from pipelines.start.auto import auto as curate

    if dry_run:
        with told_of_kernels():
            described = describe_data(data, kind)  # type: ignore[arg-type]
            text = recipe_for(described, into, workspace=workspace or WORKSPACE)
        put_text(text)
        return
    room = workspace or str(into / WORKSPACE)

    def start(opened: Any, report: Any) -> Any:
        options = {"executor": executor.value, "workers": workers, "force": force, "report": report}
        return curate(data, into, kind, workspace=opened, sample=sample, anew=anew, **options)  # type: ignore[arg-type]

    run_and_report(room, quiet, verbose, start)


@app.command(
    epilog="Examples: curate preview recipe.yaml; curate preview recipe.yaml --rows 1000 --documents 4 -f json"
)
def preview(
    recipe: RecipePath,
    workspace: Folder = WORKSPACE,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Documents to curate, chosen by hash.")] = 200,
    documents: Annotated[int, typer.Option("--documents", min=0, help="Documents to show of each stage.")] = 10,
    chars: Annotated[int, typer.Option("--chars", min=1, help="Characters of each text.")] = 200,
    format: Annotated[Shape, typer.Option("--format", "-f", help="text, or json.")] = Shape.text,
    quiet: Quiet = False,
) -> None:
    """Run a recipe on a few documents and show what each stage did to ten of them. Keeps nothing.

    Of the workspace only what is recorded of input files is read, so that large ones are not hashed again.
    """
    from pipelines.cli.progress import Progress
    from pipelines.cli.stopping import until_stopped
    from pipelines.start.preview import preview as curate

    progress = Progress(quiet=quiet, keeps=False)
    try:
        with until_stopped(progress), told_of_kernels((lambda line: None) if quiet else progress.say):
            seen = curate(recipe, rows, documents, chars, progress, open_workspace(workspace))
    finally:
        progress.close()
    if format is Shape.json:
        put_json(seen.as_dict(), indent=2)
    else:
        put(*_previewed(seen))
    for _, failure in seen.result.failures[:20]:
        tell(f"failed[{failure.code}]: {failure.message}", *([f"hint: {failure.hint}"] if failure.hint else []))
    tell(f"{counted(seen.result.rows, 'document')} looked at, {seen.result.kept:,} kept; nothing was stored")
    if seen.result.outcome != "done":
        raise typer.Exit(130 if seen.result.outcome == "interrupted" else 1)


@app.command(
    epilog="Examples: curate diagnose data.parquet; curate diagnose crawl/ --sample 5000 -f json; "
    "curate diagnose pairs.jsonl --benchmark gsm8k_test.parquet"
)
def diagnose(
    data: Data,
    sample: Annotated[int, typer.Option("--sample", min=1, help="About so many rows are looked at.")] = 2000,
    benchmark: Annotated[
        list[Path] | None,
        typer.Option("--benchmark", help="File of test items that must not be in the data; again for more."),
    ] = None,
    kind: KindOption = None,
    costs: Annotated[bool, typer.Option("--costs/--no-costs", help="Time the shipped recipes on a few rows.")] = True,
    format: Annotated[Shape, typer.Option("--format", "-f", help="text, or json.")] = Shape.text,
) -> None:
    """Say what is in data before any run: sizes, languages, duplicates, odd rows, personal data, leaks, costs.

    Looks at a bounded sample, whatever the size of the data; duplicates are those within it. Keeps nothing.
    """
    from pipelines.start.diagnose import diagnose as examine
    from pipelines.start.diagnose import lines

    with told_of_kernels() as report:
        options = {"sample": sample, "benchmarks": benchmark or [], "kind": kind, "costs": costs}
        diagnosis = examine(data, report=report, **options)  # type: ignore[arg-type]
    if format is Shape.json:
        put_json(diagnosis.as_dict(), indent=2)
    else:
        put(*_folded(lines(diagnosis), sys.stdout))


def _previewed(seen: Any) -> Iterator[str]:
    """Each stage and its documents: a line of verdict and values, and one of text, as wide as the terminal."""
    from pipelines.tables import width_of
    from pipelines.tables.width import cut, steady

    width = width_of(sys.stdout)

    def fitting(line: str) -> str:
        return terminal(line) if width is None else cut(steady(terminal(line)), width)

    yield "+ goes on   - dropped here   ! errored"
    for number, stage in enumerate(seen.stages):
        if not number and stage.rows_in == stage.rows_out:
            continue  # the input, of which every row can be read
        gate = f"  keep: {stage.keep}" if stage.keep else ""
        yield fitting(f"{number}. {stage.stage} ({stage.kind})  {stage.rows_in:,} -> {stage.rows_out:,}{gate}")
        for item in stage.documents:
            sign = {"kept": "+", "dropped": "-"}.get(item.verdict, "!")
            shown = {name: value for name, value in item.values.items() if (name, value) not in _TOLD}
            values = "  ".join(f"{name}={_short(value)}" for name, value in shown.items())
            why = item.reason or values or "no values"
            yield fitting(f"   {sign} {Path(item.document).name}  {why}")
            if item.reason and values:
                yield fitting(f"     {values}")
            yield fitting(f"     {' '.join(item.text.split())}")
        yield ""


_TOLD = [("status", "ok"), ("pass", True), ("pass", False), ("duplicate", True), ("duplicate", False)]
"""Values that the sign before a document says."""


def _folded(page: list[str], stream: TextIO) -> Iterator[str]:
    """Lines of `Name:  facts` as wide as the terminal; a command stays whole, so that it can be copied."""
    from pipelines.tables import sentences

    for line in page:
        indent = " " * (3 if line[:1].isdigit() else 11)
        yield from [terminal(line)] if line.startswith("   ") else sentences(terminal(line), stream, indent)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return f"[{len(value):,}]"
    return str(value)
