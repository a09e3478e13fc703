"""`curate submit`, and `curate jobs`: list, logs, stop."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.options import WORKSPACE, Folder, Label, OutputFile, OutputFormat, Wide
from pipelines.cli.render import put, put_log, put_table, tell
from schemas.errors import CurationError, Finding

app = typer.Typer(
    help="Jobs that `curate submit` started on a Ray cluster.", no_args_is_help=True, rich_markup_mode=None
)
STOP_SECONDS = 60.0
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="The head's dashboard, http://HEAD:8265. Default: RAY_API_SERVER_ADDRESS, or RAY_ADDRESS if that is http.",
    ),
]
JobName = Annotated[
    str, typer.Argument(help="Submission id, run id, or the beginning of one: then the latest attempt.", metavar="JOB")
]


Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Units of work at a time. Default: as `curate run` has it.")
]
Follow = Annotated[
    bool, typer.Option("--follow", "-F", help="Print the job's log until it ends, and exit with its exit code.")
]
Python = Annotated[
    str | None,
    typer.Option(
        "--python",
        help="Interpreter on the head. Default: `python` there, or on this very machine the one of this command.",
    ),
]
Variables = Annotated[
    list[str] | None,
    typer.Option("--env", help="NAME=VALUE for the job; NAME= leaves it to the cluster. Repeatable."),
]


def submit(
    recipe: Annotated[Path, typer.Argument(help="Recipe, a YAML file.", metavar="RECIPE")],
    workspace: Folder = WORKSPACE,
    address: Address = None,
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, help="Curate N documents chosen by hash, as a run of its own.")
    ] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="Fit trained stages anew instead of using what is pinned.")
    ] = False,
    label: Label = None,
    workers: Workers = None,
    follow: Follow = False,
    python: Python = None,
    code: Annotated[
        list[Path] | None,
        typer.Option(
            "--code",
            help="Send scorers of your own, too: a project with pyproject.toml that names them in "
            '[project.entry-points."curation.scorers"], or one module of it. Repeatable.',
        ),
    ] = None,
    env: Variables = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the recipe and list the files that would be sent. Sends nothing.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but failures.")] = False,
) -> None:
    """Curate on a Ray cluster, by its Jobs API. Prints the submission id.

    The recipe is checked here first. Then it is sent with the files beside it that stages name by relative paths, and
    with this engine's own code, so the cluster needs the packages that it stands on, but not this version of it. Inputs
    and workspace are not sent: they lie on an object store, or on a disk that is mounted at the same place everywhere.
    What else a stage names by absolute path has to be there, too.

    Sent are the files that a stage asks for when it is checked, of a model's folder what decides what it computes, and
    of --code Python files and what its pyproject.toml declares as package data; never a hidden file, nor one to which a
    link leads out of what is sent. --dry-run lists them.

    The job is RUN-attempt-N, and has the run id that `curate run` has here; it stops if it comes to another. Where a
    stage has to be fitted first the run id is not known before: then it is NAME-HASH-attempt-N, and the job's log says
    the run id. Submitting again resumes: what is committed is never done again, a finished run submits nothing, and a
    run that has a job under way on the same workspace is refused.

    The job is given RAY_AUTH_MODE, AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3 and AWS_REGION as they are set here, and all
    CURATION_ variables; --env changes them. Credentials are never sent: keys of a store or a service, and Ray's token,
    belong into the environment of the cluster. Who has the cluster's token can read a job's variables.

    Ctrl-C while following leaves the job alone, and exits with 130, as does a job that was stopped.
    """
    from pipelines.cli.ending import summary
    from pipelines.submit import Options
    from pipelines.submit import submit as start

    where = _where(address) if not dry_run else ""
    say = _say if not quiet else (lambda text: None)
    sent = tuple(code or ()), tuple(env or ())
    options = Options(workspace, sample, refit, workers, python, *sent, quiet, dry_run, label)
    submission = start(recipe, where, options, say)
    if submission.result is not None:
        for line in summary(submission.result, workspace):
            say(line)
        put(str(submission.result.folder))
        return
    _submitted(submission, where, dry_run, follow, say)


def submit_specification(
    spec: Annotated[Path, typer.Argument(help="Specification, a YAML file.", metavar="SPEC")],
    workspace: Folder = WORKSPACE,
    address: Address = None,
    workers: Workers = None,
    follow: Follow = False,
    python: Python = None,
    env: Variables = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the specification and list the files that would be sent.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but failures.")] = False,
) -> None:
    """Run it on a Ray cluster's head, by its Jobs API. Prints the submission id.

    The job is one process there, on the head's own cores and GPUs: all rows are held in its memory. It has the run id
    that `curate weak-to-strong run` has here, and everything that `curate submit --help` says of jobs holds: what is
    sent, which variables it is given, how it is followed, stopped and resumed. Models are named as package: or hub:, or
    by absolute paths that the head has.
    """
    from pipelines.submit import Options
    from pipelines.submit import submit_specification as start

    where = _where(address) if not dry_run else ""
    say = _say if not quiet else (lambda text: None)
    options = Options(
        workspace, workers=workers, python=python, environment=tuple(env or ()), quiet=quiet, dry_run=dry_run
    )
    submission = start(spec, where, options, say)
    if submission.result is not None:
        say(f"nothing to do: run {submission.run} is finished")
        put(str(submission.result.folder))
        return
    _submitted(submission, where, dry_run, follow, say)


def _submitted(submission: Any, where: str, dry_run: bool, follow: bool, say: Callable[[str], None]) -> None:
    """Say what was sent, and perhaps follow it."""
    if dry_run:
        import pyarrow as pa

        rows = [{"file": file.path, "bytes": file.bytes, "because": file.what} for file in submission.files]
        put_table(pa.Table.from_pylist(rows), None)
        return
    put(submission.job)
    if follow:
        raise typer.Exit(_follow(_jobs(where), submission.job, sys.stderr))
    say(f"follow: {_command('logs', submission.job, where)} --follow")
    say(f"stop:   {_command('stop', submission.job, where)}")


@app.command("list", epilog="Examples: curate jobs list --address http://HEAD:8265; curate jobs list -f json")
def list_jobs(
    address: Address = None,
    format: OutputFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """Jobs on the cluster, the latest first."""
    import pyarrow as pa

    rows = [
        {
            "job": job.id,
            "run": job.metadata["run"],
            "name": job.metadata["name"],
            "status": job.status,
            "started": job.started,
            "seconds": job.seconds,
            "message": job.message,
        }
        for job in _ours(_jobs(_where(address)))
    ]
    types = {"started": pa.timestamp("ms", "UTC"), "seconds": pa.float64()}
    names = ("job", "run", "name", "status", "started", "seconds", "message")
    schema = pa.schema([(name, types.get(name, pa.string())) for name in names])
    put_table(pa.Table.from_pylist(rows, schema), format, output, wide, "jobs")


@app.command(epilog="Examples: curate jobs logs 41c2; curate jobs logs 41c2 --follow")
def logs(
    job: JobName,
    address: Address = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-F", help="Go on until the job ends, and exit with its exit code.")
    ] = False,
) -> None:
    """Print what a job's driver has written, to stdout."""
    jobs = _jobs(_where(address))
    chosen = _find(jobs, job)
    if follow:
        raise typer.Exit(_follow(jobs, chosen.id, sys.stdout))
    put_log(jobs.logs(chosen.id), sys.stdout)


@app.command(epilog="Examples: curate jobs stop 41c2; curate jobs stop 41c2 --no-wait")
def stop(
    job: JobName,
    address: Address = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has stopped.")] = True,
) -> None:
    """Stop a job: it commits what is in flight, and ends. Says how to resume it."""
    jobs = _jobs(_where(address))
    current = _find(jobs, job)
    if current.under_way:
        jobs.stop(current.id)
        current = jobs.wait(current.id, STOP_SECONDS) if wait else jobs.get(current.id)
    state = current.status.lower()
    _say(f"{current.id}: {'stopping' if current.under_way else state}")
    if current.status == "SUCCEEDED":
        return
    if current.metadata.get("resume"):
        _say(f"resume: {current.metadata['resume']}")
    if current.under_way and wait:
        raise typer.Exit(1)


def _follow(jobs: Any, job: str, stream: Any) -> int:
    """Print a job's log until it ends; returns the exit code."""

    def write(text: str) -> None:
        put_log(text, stream)

    try:
        ended = jobs.follow(job, write)
    except KeyboardInterrupt:
        _say("", f"{job} goes on")
        _say(f"follow: {_command('logs', job, jobs.address)} --follow")
        _say(f"stop:   {_command('stop', job, jobs.address)}")
        return 130
    if ended.status != "SUCCEEDED":
        _say(f"{job}: {ended.status.lower()}{f', {ended.message}' if ended.message else ''}")
        if ended.exit_code in (126, 127):
            _say("hint: name the cluster's interpreter by its path: --python PATH")
        if ended.metadata.get("resume"):
            _say(f"resume: {ended.metadata['resume']}")
    return int(ended.code)


def _find(jobs: Any, name: str) -> Any:
    """A job by its id, or the latest attempt at a run by the run's id; of both a beginning will do."""
    from workers.jobs import no_such_job

    ours = _ours(jobs)
    exact = [job for job in ours if job.id == name]
    matching = exact or [job for job in ours if job.metadata["run"].startswith(name) or job.id.startswith(name)]
    if not matching:
        raise CurationError(no_such_job(name, jobs.address))
    runs = {job.metadata["run"] for job in matching}
    if len(runs) > 1 and name not in runs:
        raise CurationError(Finding("C046", f"'{name}' begins the ids of {len(runs)} runs", ", ".join(sorted(runs))))
    return next(job for job in matching if len(runs) == 1 or job.metadata["run"] == name)


def _ours(jobs: Any) -> list[Any]:
    return [job for job in jobs.list() if {"run", "name", "engine"} <= set(job.metadata)]


def _jobs(address: str) -> Any:
    from workers.jobs import Jobs

    return Jobs(address)


def _where(address: str | None) -> str:
    """The cluster's address; a warning where anybody could ask the same of it."""
    from workers.jobs import checked, on_loopback

    if address is None:
        address = os.environ.get("RAY_API_SERVER_ADDRESS") or os.environ.get("RAY_ADDRESS", "")
        if not address.startswith(("http://", "https://")):
            hint = "name it: --address http://HEAD:8265, or in RAY_API_SERVER_ADDRESS"
            raise CurationError(Finding("C045", "no cluster is named", hint))
    address = checked(address)
    if os.environ["RAY_AUTH_MODE"] == "disabled" and not on_loopback(address):
        _say(f"warning: RAY_AUTH_MODE=disabled, so whoever reaches {address} can run commands on that cluster")
    return address


def _command(what: str, job: str, address: str) -> str:
    return f"curate jobs {what} {job} --address {shlex.quote(address)}"


def _say(*lines: str) -> None:
    tell(*lines)
