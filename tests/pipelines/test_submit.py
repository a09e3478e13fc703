"""`curate submit` and `curate jobs` against a real cluster of two nodes with token authentication, and without one."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest
from cluster import RayCluster, cut_once, two_nodes
from projects import ROOT, Project

from pipelines.cli.main import _main
from pipelines.recipe import bundle
from pipelines.recipe.load import load
from pipelines.submit import Options, command, environment_of
from pipelines.workspace import Workspace
from schemas.errors import CurationError


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with two_nodes(num_cpus=1) as started:
        yield started


def error(done: subprocess.CompletedProcess[str]) -> str:
    """The one finding that a command ended with."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error[")]
    return line


def until(true: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


# --- on the cluster, in this order: one run, from its first submission to its end -------------------------------


@pytest.mark.long
def test_a_run_on_a_cluster_is_seen_refused_twice_stopped_and_resumed(
    cluster: RayCluster, project: Project, held: Callable[[Path], Any]
) -> None:
    there = {**cluster.environment, "RAY_API_SERVER_ADDRESS": cluster.http}
    submit = ("submit", "recipes/tiny.yaml", "-w", "ws", "--code", "code", "--workers", 2)

    first = project(*submit, **there)
    assert first.returncode == 0, first.stderr
    [job] = first.stdout.split()
    run = job.removesuffix("-attempt-1")
    assert f"run {run}: 80 documents in 4 shards" in first.stderr
    assert "MB: the engine, tiny.yaml, ../lists/words.txt, my_scorers" in first.stderr

    # it works, and SQL sees it
    until(lambda: held(project.folder / "ws").rows()["words"] == 40)
    assert project.sql("SELECT run, rows, dataset FROM runs") == [{"run": run, "rows": 80, "dataset": None}]
    assert Workspace(project.folder / "ws").status().column("status").to_pylist() == ["running"]

    # a second job of this run on this workspace is refused
    again = project(*submit, **there)
    assert error(again) == f"error[C046]: run {run} is running already, as {job}"
    assert "sending" not in again.stderr

    # who stops following leaves it alone
    follower = subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", "jobs", "logs", run[:6], "--follow"],
        cwd=project.folder,
        env={**os.environ, **there, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout is not None
    assert any(f"run {run}: 80 documents in 4 shards" in line for line in follower.stdout)
    follower.send_signal(signal.SIGINT)
    _, said = follower.communicate(timeout=240)
    assert follower.returncode == 130
    assert said.splitlines()[1:] == [
        f"{job} goes on",
        f"follow: curate jobs logs {job} --address {cluster.http} --follow",
        f"stop:   curate jobs stop {job} --address {cluster.http}",
    ]

    stopped = project("jobs", "stop", run[:6], **there)
    assert stopped.returncode == 0
    assert stopped.stderr.startswith(f"{job}: stopped\nresume: curate submit ")

    # resumed by the command that it says, followed to the end
    project.hold.unlink()
    resume = shlex.split(stopped.stderr.splitlines()[1].removeprefix("resume: curate "))
    second = project(*resume, "--follow", **there)
    assert (second.returncode, second.stdout) == (0, f"{run}-attempt-2\n"), second.stderr
    assert f"run {run}: 80 documents in 4 shards" in second.stderr
    assert "kept 28 of 80 documents, 52 dropped; scored " in second.stderr
    outcomes = project.sql("SELECT outcome, scored FROM attempts ORDER BY started_at")
    # what was scored before it was stopped is recorded as such, and only what was missing is scored after
    assert outcomes == [{"outcome": "interrupted", "scored": 40}, {"outcome": "done", "scored": 40}]
    assert held(project.folder / "ws").rows()["words"] == 80

    # the same run, and the same bytes, as in one thread here
    bundle.take_code(project.folder / "code", project.folder / "installed")
    paths = os.pathsep.join([str(ROOT), str(project.folder / "installed" / "bundle")])
    local = project("run", "recipes/tiny.yaml", "-w", "local", "--executor", "local", PYTHONPATH=paths)
    assert f"run {run}: 80 documents" in local.stderr
    assert held(project.folder / "ws").everything(run) == held(project.folder / "local").everything(run)

    # finished: nothing is submitted, and nobody has to be there for it
    finished = project(*submit, **{**there, "RAY_API_SERVER_ADDRESS": "http://127.0.0.1:1"})
    assert finished.returncode == 0
    assert finished.stderr.startswith("Nothing to do: run ")
    assert "kept 28 of 80 documents" in finished.stderr
    assert finished.stdout.strip() == str(project.folder / "ws" / "datasets" / "tiny" / run)

    listed = project("jobs", "list", "-f", "csv", **there)
    rows = list(csv.DictReader(io.StringIO(listed.stdout)))
    assert [(row["job"], row["run"], row["name"], row["status"]) for row in rows] == [
        (f"{run}-attempt-2", run, "tiny", "SUCCEEDED"),
        (f"{run}-attempt-1", run, "tiny", "STOPPED"),
    ]
    assert all(float(row["seconds"]) > 0 for row in rows)
    log = project("jobs", "logs", run, **there)
    assert "kept 28 of 80 documents, 52 dropped; scored " in log.stdout  # of the latest attempt


def test_a_run_that_has_to_be_fitted_first_is_named_by_its_log_and_a_failed_one_ends_with_its_exit_code(
    cluster: RayCluster, project: Project
) -> None:
    submit = ("submit", "recipes/fitted.yaml", "-w", "other", "--code", "code/src/my_scorers", "--follow")
    with cut_once(cluster.http, b"Running entrypoint") as address:  # a broken connection is taken up where it was
        done = project(*submit, "--quiet", "--address", address, **cluster.environment)
    [record] = project.sql("SELECT run FROM runs", "other")
    assert re.fullmatch(r"fitted-[0-9a-f]{8}-attempt-1\n", done.stdout)
    assert done.returncode == 1
    failure = "failed[R004]: 4 documents errored, and the recipe allows 0"
    lines = done.stderr.splitlines()
    assert lines.count(failure) == 1
    assert sum("Running entrypoint" in line for line in lines) == 1
    assert f"--run {record['run']} -w" in done.stderr
    assert lines[-2:][0] == f"{done.stdout.strip()}: failed, {failure}"
    assert lines[-1].startswith("resume: curate submit ")
    listed = json.loads(project("jobs", "list", "-f", "json", "--address", cluster.http, **cluster.environment).stdout)
    assert (listed["rows"][0]["status"], listed["rows"][0]["message"]) == ("FAILED", failure)


@pytest.mark.long
def test_nobody_without_the_token_gets_in(cluster: RayCluster, project: Project) -> None:
    with pytest.raises(HTTPError) as refused:
        urlopen(f"{cluster.http}/api/jobs/", timeout=10)
    assert refused.value.code == 401
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": ""}
    listing = ("jobs", "list", "--address", cluster.http)
    for environment, said in (
        ({**token, "RAY_AUTH_TOKEN": "0" * 64}, "refuses the token"),
        ({"RAY_AUTH_MODE": "disabled"}, "asks for a token, and RAY_AUTH_MODE is disabled"),
    ):
        done = project(*listing, **environment)
        assert error(done) == f"error[C045]: {cluster.http} {said}"
        assert "RAY_AUTH_MODE=token" in done.stderr
        assert "RAY_AUTH_TOKEN_PATH" in done.stderr


@pytest.mark.long
@pytest.mark.parametrize("command", ["plan", pytest.param("run", marks=pytest.mark.slow)])
def test_a_cluster_is_not_joined_without_its_token(
    command: str, cluster: RayCluster, project: Project, tmp_path: Path
) -> None:
    (tmp_path / "none.yaml").write_text(f"name: none\ninput: {{path: {json.dumps(str(project.folder / 'data'))}}}\n")
    address = (cluster.folder / "ray_current_cluster").read_text().strip()
    given = (command, tmp_path / "none.yaml", "-w", tmp_path / "ws", "--address", address)
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "", "RAY_AUTH_TOKEN_PATH": "", "HOME": str(tmp_path)}
    done = project(*given, **token)
    assert error(done) == (
        f"error[C035]: Ray cluster at {address} was not joined: it asks for a token, and there is none here"
    )
    assert "RAY_AUTH_TOKEN" in done.stderr
    if command == "run":
        done = project(*given, **{**token, "RAY_AUTH_TOKEN": "0" * 64})  # Ray itself says no more than that it waited
        assert error(done).startswith(f"error[C035]: Ray cluster at {address} ")
        assert "RAY_AUTH_TOKEN" in done.stderr


@pytest.mark.long
def test_a_job_that_is_not_there_is_one_finding(cluster: RayCluster, project: Project) -> None:
    done = project("jobs", "stop", "nobody", "--address", cluster.http, **cluster.environment)
    assert error(done) == f"error[C046]: there is no job 'nobody' on {cluster.http}"


def test_the_jobs_server_listens_on_loopback_only(cluster: RayCluster) -> None:
    """Ray's other ports listen on all interfaces, and the token is their guard."""
    port = int(cluster.http.rpartition(":")[2])
    listening = [
        connection.laddr
        for process in cluster.processes()
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert [address.ip for address in listening if address.port == port] == ["127.0.0.1"]
    assert any(address.ip in ("::", "0.0.0.0") for address in listening)


# --- without a cluster -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("auto", "http://HEAD:8265"),
        ("10.0.0.1:6379", "http://10.0.0.1:8265"),
        ("ray://head:10001", "http://head:8265"),
        ("head", "http://head:8265"),
    ],
)
def test_an_address_of_another_kind_says_which_one_is_meant(
    address: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(["submit", "no-such-recipe.yaml", "--address", address]) == 2
    said = capsys.readouterr().err
    assert f"error[C045]: {address} is not the address of a jobs server" in said
    assert hint in said


def test_no_address_and_one_that_is_not_http_name_no_cluster(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert _main(["jobs", "list"]) == 2
    assert "error[C045]: no cluster is named" in capsys.readouterr().err


def test_a_head_that_is_not_there_and_requests_that_anybody_could_make(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert _main(["jobs", "list", "--address", "http://head.invalid:8265"]) == 2
    warning, finding, *_ = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: RAY_AUTH_MODE=disabled, so whoever reaches http://head.invalid:8265 can ")
    assert finding.startswith("error[C045]: http://head.invalid:8265 did not answer: ")
    assert _main(["jobs", "list", "--address", "http://127.0.0.1:1"]) == 2
    finding, *_ = capsys.readouterr().err.splitlines()
    assert finding == "error[C045]: http://127.0.0.1:1 did not answer: [Errno 111] Connection refused"


def test_all_findings_of_a_recipe_come_before_the_cluster_is_asked(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.folder)
    recipe = Path("recipes", "wrong.yaml")
    recipe.write_text("name: wrong\ninput: {path: nothing/*.parquet}\nstages: [{scorer: wrods}, {select: topp}]\n")
    assert _main(["submit", str(recipe), "-w", "unborn", "--address", "http://127.0.0.1:1"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line[:11] for line in said if line.startswith("error")] == ["error[C006]"] * 2
    assert not Path("unborn").exists()


def test_a_job_that_would_be_another_run_says_so_and_begins_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = project.folder / "recipes" / "none.yaml"
    recipe.write_text("name: none\ninput: {path: ../data/*.parquet}\n")
    made = bundle.make(load(recipe), project.folder / "sent", ())
    monkeypatch.chdir(made.folder)
    given = ["run", made.recipe, "--sent-from", str(recipe), "--expect", "0" * 16, "-w", str(project.folder / "unborn")]
    assert _main(given) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error[C046]: run {'0' * 16} was asked for, and from here the recipe would be ")
    assert not (project.folder / "unborn").exists()


def test_variables_that_a_job_is_given_hold_no_credentials() -> None:
    mine = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "t",
        "RAY_AUTH_TOKEN_PATH": "t",
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9000",
        "AWS_REGION": "eu-central-1",
        "CURATION_DEVICE": "cpu",
        "CURATION_JUDGE_API_KEY": "k",
        "CURATION_WORKSPACE": "ws",
        "PATH": "/bin",
    }
    always = {"RAY_AUTH_MODE": "token", "CURATION_DEVICE": "cpu", "AWS_REGION": "eu-central-1"}
    drain = {"CURATION_DRAIN_SECONDS": "2", "RAY_JOB_STOP_WAIT_TIME_S": "10"}
    assert environment_of(mine) == {**always, **drain, "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9000"}
    given = ("AWS_ENDPOINT_URL_S3=", "MORE=a=b", "CURATION_DRAIN_SECONDS=20.5")
    longer = {"CURATION_DRAIN_SECONDS": "20.5", "RAY_JOB_STOP_WAIT_TIME_S": "29"}
    assert environment_of(mine, given) == {**always, **longer, "MORE": "a=b"}
    for wrong in ("AWS_SECRET_ACCESS_KEY=s", "MORE", "=x", "AWS_ENDPOINT_URL=http://me:mine@store"):
        with pytest.raises(CurationError, match="C046"):
            environment_of(mine, (wrong,))


def test_the_shell_takes_no_name_apart_and_an_interpreter_is_found(tmp_path: Path) -> None:
    """Run as the head would: `python` on its path, and on loopback this interpreter where it exists."""
    (tmp_path / "python").write_text('#!/bin/sh\nprintf "%s\\n" "$0" "$@"\n')
    (tmp_path / "python").chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    odd = '/data/it\'s $HOME; a "folder"'
    options = Options(workspace=odd, sample=5, refit=True, workers=3, quiet=True)
    line = command("files/r.yaml", Path(odd, "r.yaml"), "41c2", odd, "http://head:8265", options)
    said = subprocess.run(line, shell=True, env=path, capture_output=True, text=True, check=True).stdout.splitlines()
    words = ["-P", "-m", "pipelines.cli", "run", "files/r.yaml", "--sent-from", f"{odd}/r.yaml", "--expect", "41c2"]
    words += ["--workspace", odd, "--executor", "ray", "--address", "auto", "--workers", "3", "--sample", "5"]
    assert said == [str(tmp_path / "python"), *words, "--refit", "--quiet"]
    line = command("files/r.yaml", Path("/r.yaml"), None, "/ws", "http://127.0.0.1:8265", Options("/ws"))
    assert sys.executable in line
    elsewhere = line.replace(sys.executable, "/no/such/python")
    said = subprocess.run(elsewhere, shell=True, env=path, capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[0] == str(tmp_path / "python")
