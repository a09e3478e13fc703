"""Credentials in addresses are refused, and shown nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curation.credentials import has_credentials, masked
from pipelines.cli.main import _main

SECRET = "hunter2/Secret+1"
HELD = [
    f"s3://KEY:{SECRET}@bucket/x", f"s3://KEY:{SECRET}@bucket/a@b/x", "s3://hunter2@bucket/x", f"http://u:{SECRET}@h:80/v1",
    f"s3://bucket/x?secret_access_key={SECRET}", f"s3://bucket/x?versionId=1&X-Amz-Signature={SECRET}",
]  # fmt: skip
FREE = [
    "s3://bucket/x", "s3://bucket/a@b/x", "http://host:8000/v1", "http://host:8000/a@b", "hdfs://host:9000/me@home/x",
    "s3://bucket/part-?.parquet", "s3://bucket/x?versionId=1", "mail me@example.org: s3://bucket/x",
]  # fmt: skip


def test_credentials_are_known_with_slashes_in_them_and_hidden_at_equal_width() -> None:
    for url in HELD:
        assert has_credentials(url), url
        shown = masked(f"path: '{url}'  # why")
        assert "hunter2" not in shown
        assert "Secret" not in shown
        assert len(shown) == len(f"path: '{url}'  # why")
    for url in FREE:
        assert not has_credentials(url), url
        assert masked(url) == url


@pytest.mark.parametrize("url", [url for url in HELD if url.startswith("s3")])
@pytest.mark.parametrize("command", ["check", "plan", "run"])
def test_no_command_shows_those_of_an_input(
    command: str, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"name: x\ninput:\n  path: ['{url}']\n")
    assert _main([command, str(recipe), "-w", str(tmp_path / "ws")]) == 2
    said = capsys.readouterr()
    assert "C042" in said.err
    assert "hunter2" not in said.err + said.out


def test_nor_does_a_finding_about_something_else_in_the_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "r.yaml"
    stage = {"scorer": "llm-judge", "url": f"ftp://u:{SECRET}@h/v1", "modle": "m", "prompt": "{text}"}
    recipe.write_text(json.dumps({"name": "x", "input": {"path": "in.jsonl"}, "stages": [stage]}))
    assert _main(["check", str(recipe), "-w", str(tmp_path / "ws")]) == 2
    said = capsys.readouterr().err
    assert "C003" in said
    assert "C004" in said
    assert "hunter2" not in said


def test_nor_a_workspace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for url in HELD[:3]:
        assert _main(["status", "-w", url]) == 2
    said = capsys.readouterr()
    assert "C042" in said.err
    assert "hunter2" not in said.err + said.out
