"""Commands that make runs: check, plan, run, submit, retry, and status."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.jobs import submit
from pipelines.cli.options import (
    WORKSPACE,
    Address,
    Executor,
    Folder,
    Force,
    Label,
    OutputFile,
    OutputFormat,
    Quiet,
    RecipePath,
    Runner,
    Verbose,
    Wide,
    Workers,
)
from pipelines.cli.render import counted, format_of, put_table, tell
from pipelines.cli.talk import open_workspace, run_and_report

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: curate check recipe.yaml")
def check(recipe: RecipePath, workspace: Folder = WORKSPACE) -> None:
    """Check a recipe against its inputs. All findings at once; writes nothing."""
    from pipelines.cli.progress import Progress

    loaded = open_workspace(workspace).check(recipe, Progress(quiet=False, verbose=False))
    tell(f"{recipe}: {counted(len(loaded.recipe.stages), 'stage')}, no findings", *loaded.without_keep())


@app.command(epilog="Examples: curate plan recipe.yaml -w ws; curate plan recipe.yaml --time --address auto")
def plan(
    recipe: RecipePath,
    workspace: Folder = WORKSPACE,
    sample: Annotated[int | None, typer.Option("--sample", min=1, help="Plan for N documents chosen by hash.")] = None,
    time: Annotated[
        bool, typer.Option("--time", help="Time every stage on a few real documents for the estimate.")
    ] = False,
    address: Annotated[
        str | None, typer.Option("--address", help="Also see that this Ray cluster has room for it: host:port or auto.")
    ] = None,
    format: OutputFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """Say what a run would do: stages, placement, documents stored and still to score. Runs nothing."""
    import pyarrow as pa

    from pipelines.tables.human import size as size_of

    report = open_workspace(workspace).plan(recipe, sample, time)
    if report.finished:
        tell(f"run {report.run} is finished: running it again would do nothing")
    else:
        name = report.run or "(named once it is fitted)"
        size = f"{counted(report.rows, 'document')}, {size_of(report.bytes)}"
        tell(f"run {name}: {size} in {counted(report.shards, 'shard')}")
    for stage in report.to_fit:
        tell(f"stage '{stage}' will be fitted first, on its seeds and a sample of the pool")
    for line in report.notices:
        tell(line)
    for path, why in report.bad_shards:
        tell(f"warning: {path} {why}")
    if address is not None:
        from workers.on_ray import RayExecutor

        executor = RayExecutor(address)
        try:
            tell(f"cluster at {address}: {executor.room(report.plan.passes)}")
        finally:
            executor.close()
    rows = [
        {
            "stage": item.step,
            "kind": item.kind,
            "runs in": item.runs_in,
            "stored": item.stored,
            "to score": item.to_score,
            "at most": item.at_most,
            "estimate (s)": None if item.seconds is None else round(item.seconds, 2),
            "because": item.why or None,
        }
        for item in report.stages
    ]
    if format_of(format, output) in ("table", "markdown"):
        for row, item in zip(rows, report.stages, strict=True):
            exact, most = f"{item.to_score:,}", f"{item.at_most:,}"
            row["documents to score"] = exact if exact == most else f"{exact} to {most}"
    put_table(pa.Table.from_pylist(rows), format, output, wide, "plan")
    tell(*report.cost_lines())


@app.command(
    epilog="Examples: curate run recipe.yaml -w ws; curate run recipe.yaml --sample 1000; "
    "curate run recipe.yaml --label before-pii; curate run recipe.yaml --executor ray --workers 16; "
    "curate run recipe.yaml --address auto"
)
def run(
    recipe: RecipePath,
    workspace: Folder = WORKSPACE,
    executor: Executor = Runner.auto,
    address: Address = None,
    workers: Workers = None,
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, help="Curate N documents chosen by hash, as a run of its own.")
    ] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="Fit trained stages anew instead of using what is pinned.")
    ] = False,
    label: Label = None,
    force: Force = False,
    sent_from: Annotated[Path | None, typer.Option("--sent-from", hidden=True)] = None,
    expect: Annotated[str | None, typer.Option("--expect", hidden=True)] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Curate: score, decide, write the dataset.

    Resumes by itself, scores only what was never scored, does nothing when nothing is missing.
    """
    given: Any = recipe
    if sent_from is not None:  # by `curate submit`
        from pipelines.recipe.bundle import unpacked

        given = unpacked(recipe, sent_from)
    options = {"executor": executor.value, "address": address, "workers": workers, "sample": sample, "refit": refit}
    options |= {"label": label, "force": force}
    run_and_report(workspace, quiet, verbose, lambda ws, report: ws.run(given, report=report, expect=expect, **options))


app.command(
    epilog="Examples: curate submit recipe.yaml -w /shared/ws --address http://HEAD:8265; "
    "curate submit recipe.yaml -w s3://bucket/ws --follow; curate submit recipe.yaml --code my_scorers/"
)(submit)


@app.command(epilog="Examples: curate retry -w ws; curate retry 41c2 --executor ray")
def retry(
    run: Annotated[
        str | None, typer.Argument(help="Run to retry, named as for --run. Default: the latest.", metavar="RUN")
    ] = None,
    workspace: Folder = WORKSPACE,
    executor: Executor = Runner.auto,
    address: Address = None,
    workers: Workers = None,
    force: Force = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run an earlier run's recipe again: what failed is tried again, what is committed stays."""
    options = {"executor": executor.value, "address": address, "workers": workers, "force": force}
    run_and_report(workspace, quiet, verbose, lambda ws, report: ws.retry(run, report=report, **options))


@app.command(epilog="Examples: curate status -w ws; curate status -f json")
def status(
    workspace: Folder = WORKSPACE,
    format: OutputFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """List runs: running, done, failed or unfinished, and how far each is."""

    put_table(open_workspace(workspace).status(), format, output, wide, "status")
