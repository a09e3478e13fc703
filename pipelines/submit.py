"""A recipe → a job on a Ray cluster that curates it, under the id that the run has here."""

from __future__ import annotations

import getpass
import os
import shlex
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import invalidate_caches, metadata
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from curation import registry
from curation.plan import fingerprint
from curation.store import is_url
from pipelines.planning.inputs import record_inputs
from pipelines.planning.resolve import resolve
from pipelines.recipe import bundle as bundles
from pipelines.recipe.companions import unasked
from pipelines.recipe.load import load
from pipelines.running.result import Result, finished
from pipelines.workspace import Workspace
from schemas.errors import CurationError, Finding
from workers.jobs import Job, Jobs, Submission, checked, on_loopback

DRAIN_SECONDS = "CURATION_DRAIN_SECONDS"
"""Within which a driver that is told to stop commits what is in flight."""
GRACE_SECONDS = 8
"""How long after that Ray kills it."""
STORE = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION")
_SECRET = ("KEY", "SECRET", "TOKEN", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "AUTHORIZATION")


@dataclass(frozen=True)
class Options:
    """How the job is to run; what `curate run` calls by the same names is handed on to it."""

    workspace: str
    sample: int | None = None
    refit: bool = False
    workers: int | None = None
    python: str | None = None
    """Interpreter on the head. Default: for a cluster on this machine the one here, else `python`."""
    code: tuple[Path, ...] = ()
    environment: tuple[str, ...] = ()
    """NAME=VALUE for the job; NAME= leaves a variable to the cluster that would be handed on."""
    quiet: bool = False
    dry_run: bool = False
    """Only say what would be sent."""


@dataclass(frozen=True)
class Submitted:
    """What came of it: a job, or the result of a run that needs none; of a dry run, what would be sent."""

    run: str
    job: str | None = None
    result: Result | None = None
    files: tuple[bundles.Sent, ...] = ()


def submit(recipe: Path, address: str | None, options: Options, say: Callable[[str], None]) -> Submitted:
    """Check a recipe here, and start a job that curates it on the cluster whose jobs server is at `address`, which only
    a dry run can do without.

    Raises CurationError for everything that is wrong with the recipe, and for a cluster that does not take the job;
    nothing has been sent then.
    """
    address = checked(address or "") if not options.dry_run else ""
    location = options.workspace if is_url(options.workspace) else os.path.abspath(options.workspace)
    workspace = Workspace(location)
    environment = environment_of(os.environ, options.environment)
    with TemporaryDirectory(prefix="curate-") as folder, _own_code(options.code, Path(folder)) as code:
        loaded = load(recipe)
        bundle = bundles.make(loaded, Path(folder), code)
        for name in unasked(loaded):
            say(f"not sent: {name} is a file beside the recipe, and the stage does not ask for it when it is checked")
        sent_from = recipe.resolve()
        resolved = resolve(
            bundles.unpacked(bundle.folder / bundle.recipe, sent_from), workspace.manifest, options.sample
        )
        plan = resolved.plan
        expected = None if resolved.unfitted or options.refit else plan.run
        if expected is not None:
            done = None if options.dry_run else finished(workspace.manifest, plan.run)
            if done is not None:
                return Submitted(plan.run, result=done)
            run = plan.run
            shards = f"{len(plan.shards):,} shard{'' if len(plan.shards) == 1 else 's'}"
            say(f"run {run}: {plan.rows:,} documents in {shards}")
        else:
            run = f"{plan.name}-{fingerprint([plan.run, options.refit])[:8]}"
            say(f"run to be named once it is fitted, by the job's log: {plan.rows:,} documents")
        if options.dry_run:
            say(f"would send {bundle.bytes / 1e6:,.1f} MB in {len(bundle.files):,} files and folders; nothing was sent")
            return Submitted(run, files=bundle.files)
        jobs = Jobs(address)
        jobs.same_version()
        earlier = _earlier(jobs, run, location)
        what = ", ".join(["the engine", recipe.name, *bundle.companions, *bundle.code])
        say(f"sending {bundle.bytes / 1e6:,.1f} MB: {what}")
        workspace.create()
        record_inputs(workspace.manifest, resolved.fresh)  # so that the job need not read the inputs again to know them
        facts = {
            "run": run,
            "name": plan.name,
            "recipe": str(sent_from),
            "workspace": location,
            "engine": engine(),
            "submitter": _submitter(),
            "resume": _again(sent_from, location, address, options),
        }
        entrypoint = command(bundle.recipe, sent_from, expected, location, address, options)
        while True:
            job = f"{run}-attempt-{next_number(run, earlier)}"
            if jobs.submit(Submission(job, entrypoint, bundle.folder, bundle.modules, environment, facts)):
                return Submitted(run, job)
            earlier = _earlier(jobs, run, location)  # somebody else was quicker


def command(recipe: str, sent_from: Path, expected: str | None, workspace: str, address: str, options: Options) -> str:
    """The line of shell that the head runs in the unpacked bundle."""
    words = ["-P", "-m", "pipelines.cli", "run", recipe, "--sent-from", str(sent_from)]
    words += ["--expect", expected] if expected is not None else []
    words += ["--workspace", workspace, "--executor", "ray", "--address", "auto"]
    words += ["--workers", str(options.workers)] if options.workers is not None else []
    words += ["--sample", str(options.sample)] if options.sample is not None else []
    words += ["--refit"] if options.refit else []
    words += ["--quiet"] if options.quiet else []
    if options.python is not None or not on_loopback(address):
        return f"exec {shlex.quote(options.python or 'python')} {shlex.join(words)}"
    # what answers on loopback may be this machine, whose `ray start` need not have an interpreter on its path, or
    # the port of a container, which has no such file
    return f'p={shlex.quote(sys.executable)}; [ -x "$p" ] || p=python; exec "$p" {shlex.join(words)}'


def environment_of(environment: Mapping[str, str], given: tuple[str, ...] = ()) -> dict[str, str]:
    """Variables of the job: how to authenticate, where a store is, what CURATION_ ones are set; never credentials."""
    chosen = {name: environment[name] for name in (*STORE, "RAY_AUTH_MODE") if environment.get(name)}
    chosen |= {name: value for name, value in environment.items() if name.startswith("CURATION_") and not _secret(name)}
    chosen.pop("CURATION_WORKSPACE", None)  # said by an option
    for entry in given:
        name, equals, value = entry.partition("=")
        if not equals or not name or _secret(name) or _has_password(value):
            hint = "write NAME=VALUE; credentials belong to the cluster, which shows a job's variables to its users"
            raise CurationError(Finding("C046", f"--env {name}: not a variable that a job is given", hint))
        chosen[name] = value
    chosen = {name: value for name, value in chosen.items() if value}
    for name in sorted(chosen):
        if _has_password(chosen[name]):
            raise CurationError(Finding("C046", f"{name} holds credentials", "they belong to the cluster"))
    chosen.setdefault(DRAIN_SECONDS, "2")
    try:
        drain = ceil(float(chosen[DRAIN_SECONDS]))
    except ValueError:
        raise CurationError(Finding("C046", f"{DRAIN_SECONDS}={chosen[DRAIN_SECONDS]} is not a number")) from None
    return {**chosen, "RAY_JOB_STOP_WAIT_TIME_S": str(drain + GRACE_SECONDS)}


def _secret(name: str) -> bool:
    return any(word in name.upper() for word in _SECRET)


def _has_password(value: str) -> bool:
    """Whether a URL holds credentials, or what cannot be read as one may."""
    try:
        return "@" in urlsplit(value).netloc
    except ValueError:
        return "@" in value


def next_number(run: str, earlier: list[Job]) -> int:
    numbers = [job.id.removeprefix(f"{run}-attempt-") for job in earlier]
    return 1 + max((int(number) for number in numbers if number.isdigit()), default=0)


def engine() -> str:
    """This engine's version."""
    try:
        return metadata.version("curation-engine")
    except metadata.PackageNotFoundError:
        return "unknown"


@contextmanager
def _own_code(paths: tuple[Path, ...], folder: Path) -> Iterator[tuple[str, ...]]:
    """Modules of the user's own in the bundle, from which they are imported here, too, to check the recipe."""
    modules = tuple(name for path in paths for name in bundles.take_code(path, folder))
    where = str(folder / "bundle")
    sys.path.insert(0, where)
    _forget(modules)
    try:
        yield modules
    finally:
        sys.path.remove(where)
        _forget(modules)


def _forget(modules: tuple[str, ...]) -> None:
    """Let go of modules of these names, so that the next import is of what is on the path then."""
    for name in [name for name in sys.modules if name.partition(".")[0] in modules]:
        del sys.modules[name]
    if modules:
        registry.find.cache_clear()
        invalidate_caches()


def _earlier(jobs: Jobs, run: str, workspace: str) -> list[Job]:
    """Attempts at a run. Raises C046 while one is under way in this workspace."""
    sent_jobs = [job for job in jobs.list() if job.metadata.get("run") == run]
    for job in sent_jobs:
        if job.under_way and job.metadata.get("workspace") == workspace:
            hint = f"follow it: curate jobs logs {job.id} --follow --address {jobs.address}"
            raise CurationError(Finding("C046", f"run {run} is {job.status.lower()} already, as {job.id}", hint))
    return sent_jobs


def _again(recipe: Path, workspace: str, address: str, options: Options) -> str:
    """The command that submits the same run again."""
    words = ["curate", "submit", str(recipe), "--workspace", workspace, "--address", address]
    words += ["--sample", str(options.sample)] if options.sample is not None else []
    words += ["--workers", str(options.workers)] if options.workers is not None else []
    words += ["--python", options.python] if options.python is not None else []
    words += [word for path in options.code for word in ("--code", str(path.resolve()))]
    words += [word for entry in options.environment for word in ("--env", entry)]
    return shlex.join(words)


def _submitter() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
