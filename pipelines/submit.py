"""A recipe, or a weak-to-strong specification → a job on a Ray cluster, under the id that the run has here."""

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
from typing import Any
from urllib.parse import urlsplit

from curation import registry
from curation.paths import expanded
from curation.plan import fingerprint
from curation.store import is_url
from pipelines.planning.inputs import record_inputs
from pipelines.planning.resolve import resolve
from pipelines.recipe import bundle as bundles
from pipelines.recipe.companions import unasked
from pipelines.recipe.load import load
from pipelines.running.asked import check_label
from pipelines.running.records import record_asked
from pipelines.running.result import finished
from pipelines.weak_to_strong import plan as weak_plan
from pipelines.weak_to_strong import result as weak_result
from pipelines.weak_to_strong import spec as weak_spec
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
    label: str | None = None


@dataclass(frozen=True)
class Submitted:
    """What came of it: a job, or the result of a run that needs none; of a dry run, what would be sent."""

    run: str
    job: str | None = None
    result: Any = None
    """Of `pipelines.running.result`, or of a specification of `pipelines.weak_to_strong.result`."""
    files: tuple[bundles.Sent, ...] = ()


def submit(recipe: Path, address: str | None, options: Options, say: Callable[[str], None]) -> Submitted:
    """Check a recipe here, and start a job that curates it on the cluster whose jobs server is at `address`, which only
    a dry run can do without.

    Raises CurationError for everything that is wrong with the recipe, and for a cluster that does not take the job;
    nothing has been sent then.
    """
    check_label(options.label)
    address = checked(address or "") if not options.dry_run else ""
    location = _shared(options.workspace)
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
                record_asked(workspace.manifest, plan.run, options.label)
                return Submitted(plan.run, result=done)
            run = plan.run
            shards = f"{len(plan.shards):,} shard{'' if len(plan.shards) == 1 else 's'}"
            say(f"run {run}: {plan.rows:,} documents in {shards}")
        else:
            run = f"{plan.name}-{fingerprint([plan.run, options.refit])[:8]}"
            say(f"run to be named once it is fitted, by the job's log: {plan.rows:,} documents")
        entrypoint = command(bundle.recipe, sent_from, expected, location, address, options)
        # recorded, so that the job need not read the inputs again to know them
        prepare = lambda: record_inputs(workspace.manifest, resolved.fresh)  # noqa: E731
        resume = _again(("submit",), sent_from, location, address, options)
        job = _Job(run, plan.name, location, sent_from, bundle, entrypoint, environment, resume)
        return _send(job, address, options.dry_run, say, prepare)


def submit_specification(spec: Path, address: str | None, options: Options, say: Callable[[str], None]) -> Submitted:
    """The same of a weak-to-strong specification. Its job is one process on the cluster's head."""
    address = checked(address or "") if not options.dry_run else ""
    location, sent_from = _shared(options.workspace), spec.resolve()
    workspace = Workspace(location)
    environment = environment_of(os.environ, options.environment)
    loaded = weak_spec.load(spec)
    _refuse_models_beside(loaded)
    resolved = weak_plan.resolve(loaded, workspace.manifest)
    done = None if options.dry_run else weak_result.finished(resolved.run, workspace.manifest)
    if done is not None:
        return Submitted(resolved.run, result=done)
    say(f"run {resolved.run}: {resolved.input.rows:,} rows in {len(resolved.input.shards):,} shards")
    with TemporaryDirectory(prefix="curate-") as folder:
        bundle = bundles.pack(spec, loaded.base, (), Path(folder), ())
        words = ["weak-to-strong", "run", bundle.recipe, "--sent-from", str(sent_from), "--expect", resolved.run]
        words += ["--workspace", location]
        words += ["--workers", str(options.workers)] if options.workers is not None else []
        words += ["--quiet"] if options.quiet else []
        entrypoint = _on_head(words, address, options.python)
        resume = _again(("weak-to-strong", "submit"), sent_from, location, address, options)
        job = _Job(resolved.run, loaded.spec.name, location, sent_from, bundle, entrypoint, environment, resume)
        return _send(job, address, options.dry_run, say, lambda: None)


def _shared(workspace: str) -> str:
    """A workspace as the job will find it, too."""
    return workspace if is_url(workspace) else os.path.abspath(workspace)


def _refuse_models_beside(loaded: weak_spec.Loaded) -> None:
    """Raise C046 for models named from the specification's folder: a published student names its encoder, and what
    travels with a job is gone after it."""
    findings = [
        Finding(
            "C046",
            f"{member.title}: {model} counts from the folder of the specification, which stays here",
            "name it by an absolute path that the cluster's head has, or as package: or hub:",
        )
        for member in loaded.members
        if (model := str(getattr(member.settings, "model", ""))).startswith("path:")
        and not os.path.isabs(expanded(model.removeprefix("path:")))
    ]
    if findings:
        raise CurationError(*findings)


@dataclass(frozen=True)
class _Job:
    """A run that is to be sent."""

    run: str
    name: str
    workspace: str
    sent_from: Path
    bundle: bundles.Bundle
    entrypoint: str
    environment: Mapping[str, str]
    resume: str


def _send(job: _Job, address: str, dry_run: bool, say: Callable[[str], None], prepare: Callable[[], None]) -> Submitted:
    """Start the next attempt at a run. `prepare` is called once the workspace is there."""
    bundle = job.bundle
    if dry_run:
        say(f"would send {bundle.bytes / 1e6:,.1f} MB in {len(bundle.files):,} files and folders; nothing was sent")
        return Submitted(job.run, files=bundle.files)
    jobs = Jobs(address)
    jobs.same_version()
    earlier = _earlier(jobs, job.run, job.workspace)
    what = ", ".join(["the engine", job.sent_from.name, *bundle.companions, *bundle.code])
    say(f"sending {bundle.bytes / 1e6:,.1f} MB: {what}")
    Workspace(job.workspace).create()
    prepare()
    facts = {
        "run": job.run,
        "name": job.name,
        "recipe": str(job.sent_from),
        "workspace": job.workspace,
        "engine": engine(),
        "submitter": _submitter(),
        "resume": job.resume,
    }
    while True:
        attempt = f"{job.run}-attempt-{next_number(job.run, earlier)}"
        if jobs.submit(
            Submission(attempt, job.entrypoint, bundle.folder, bundle.modules, dict(job.environment), facts)
        ):
            return Submitted(job.run, attempt)
        earlier = _earlier(jobs, job.run, job.workspace)  # somebody else was quicker


def command(recipe: str, sent_from: Path, expected: str | None, workspace: str, address: str, options: Options) -> str:
    """The line of shell that the head runs in the unpacked bundle."""
    words = ["run", recipe, "--sent-from", str(sent_from)]
    words += ["--expect", expected] if expected is not None else []
    words += ["--workspace", workspace, "--executor", "ray", "--address", "auto"]
    words += ["--workers", str(options.workers)] if options.workers is not None else []
    words += ["--sample", str(options.sample)] if options.sample is not None else []
    words += ["--refit"] if options.refit else []
    words += ["--label", options.label] if options.label is not None else []
    words += ["--quiet"] if options.quiet else []
    return _on_head(words, address, options.python)


def _on_head(words: list[str], address: str, python: str | None) -> str:
    """What the head runs, of the engine's commands."""
    line = shlex.join(["-P", "-m", "pipelines.cli", *words])
    if python is not None or not on_loopback(address):
        return f"exec {shlex.quote(python or 'python')} {line}"
    # what answers on loopback may be this machine, whose `ray start` need not have an interpreter on its path, or
    # the port of a container, which has no such file
    return f'p={shlex.quote(sys.executable)}; [ -x "$p" ] || p=python; exec "$p" {line}'


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


def _again(command: tuple[str, ...], recipe: Path, workspace: str, address: str, options: Options) -> str:
    """The command that submits the same run again."""
    words = ["curate", *command, str(recipe), "--workspace", workspace, "--address", address]
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
