"""`curate weak-to-strong`: check, plan, run, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.jobs import submit_specification
from pipelines.cli.options import WORKSPACE, Folder, Format, Label, OutputFile, OutputFormat, Quiet, Wide
from pipelines.cli.render import counted, format_of, put_json, put_table, put_verdicts, tell, writing_to
from pipelines.cli.stopping import print_result, until_stopped
from pipelines.cli.talk import open_workspace
from schemas.errors import CurationError, Finding

app = typer.Typer(
    help="Labels from weak supervisors, students that learn from them, and what was gained.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
SpecPath = Annotated[Path, typer.Argument(help="Specification, a YAML file.", metavar="SPEC")]


@app.command(epilog="Example: curate weak-to-strong check spec.yaml")
def check(spec: SpecPath, workspace: Folder = WORKSPACE) -> None:
    """Check a specification against its input. All findings at once; writes nothing."""
    loaded = open_workspace(workspace).weak_to_strong_check(spec)
    found = f"{counted(len(loaded.supervisors), 'supervisor')}, {counted(len(loaded.students), 'student')}"
    tell(f"{spec}: {found}, no findings")


@app.command(
    epilog="Examples: curate weak-to-strong plan spec.yaml -w ws; curate weak-to-strong plan spec.yaml -f json"
)
def plan(
    spec: SpecPath,
    workspace: Folder = WORKSPACE,
    format: OutputFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """Say what a run would do: its units of work, and how many of them this run has done. Runs nothing."""
    import pyarrow as pa

    run, units = open_workspace(workspace).weak_to_strong_plan(spec)
    tell(f"run {run}")
    rows = [{"kind": u.kind, "name": u.name, "what": u.what, "units": u.units, "done": u.done} for u in units]
    put_table(pa.Table.from_pylist(rows), format, output, wide)


@app.command(
    epilog="Examples: curate weak-to-strong run spec.yaml -w ws; curate weak-to-strong run spec.yaml --label two-judges"
)
def run(
    spec: SpecPath,
    workspace: Folder = WORKSPACE,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Units of work at a time; networks run singly.")] = 2,
    label: Label = None,
    sent_from: Annotated[Path | None, typer.Option("--sent-from", hidden=True)] = None,
    expect: Annotated[str | None, typer.Option("--expect", hidden=True)] = None,
    quiet: Quiet = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="A line for each unit, and tracebacks.")] = False,
) -> None:
    """Label, teach, measure. Resumes by itself; a finished run is a no-op. Prints the folder of labels and report.

    Exit code 1 where a supervisor or a student was left out. A gap that is not identifiable is no failure.
    """
    from curation.report.weak_to_strong import lines
    from pipelines.cli.progress import Progress
    from pipelines.weak_to_strong.spec import unpacked

    given = spec if sent_from is None else unpacked(spec, sent_from)  # by `curate weak-to-strong submit`
    progress = Progress(quiet=quiet, verbose=verbose)
    try:
        with until_stopped(progress):
            progress.prepare("reading the specification and its inputs")
            options = {"workers": workers, "expect": expect, "label": label}
            result = open_workspace(workspace).weak_to_strong(given, report=progress, **options)
    finally:
        progress.close()
    if not quiet and result.report is not None:
        tell(*lines(result.report))
    if result.folder is None:
        for _, failure in result.failures:
            tell(f"failed[{failure.code}]: {failure.message}")
            if failure.hint:
                tell(f"hint: {failure.hint}")
    if not quiet:
        tell(f"{result.outcome} · run {result.run} · {result.seconds:.1f} s")
    if result.folder is not None:
        if not quiet:
            tell(f"report, whole: {result.folder}/report.html")
        print_result(result.folder)
    if result.outcome == "interrupted":
        raise typer.Exit(130)
    raise typer.Exit(1 if result.failed else 0)


app.command(
    "submit",
    epilog="Example: curate weak-to-strong submit spec.yaml -w s3://bucket/ws --address http://HEAD:8265 --follow",
)(submit_specification)


@app.command(epilog="Examples: curate weak-to-strong report -w ws; curate weak-to-strong report --run 41c2 -f json")
def report(
    workspace: Folder = WORKSPACE,
    run: Annotated[
        str | None, typer.Option("--run", help="Label, name, run id or its beginning, or latest, which is the default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All of it, as JSON.")] = False,
    format: Annotated[Format | None, typer.Option("--format", "-f", help="json. Default: to read.")] = None,
    output: OutputFile = None,
) -> None:
    """Print what a finished run found; report.html in its folder shows it whole."""
    from curation.report.weak_to_strong import lines

    chosen = "json" if as_json else format_of(format, output, "table")
    if chosen not in ("json", "table"):
        raise CurationError(Finding("C004", f"--format {chosen}: a report is no table", "use json, or a .txt file"))
    findings = open_workspace(workspace).weak_to_strong_report(run)
    with writing_to(output) as stream:
        if chosen == "json":
            put_json(findings, 2, stream)
        else:
            put_verdicts(lines(findings), stream, fit=output is None)
