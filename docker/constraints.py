"""Write constraints.txt: what this environment has of all that the project needs, pinned. Run by `make constraints`.

First what `pip install curation-engine[s3]` brings, and setuptools, which builds it: all that the images install. Then
what development and the documentation site need beside it. Local versions are left out, so that one file serves the
CPU build of torch and the CUDA build, whose libraries torch pins itself.
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

HERE = Path(__file__).resolve().parent
HEAD = "# Made by `make constraints` with Python {}.{}: what demo, tests and images install. Not to be edited.\n"
DEVELOPMENT = "# --- for development alone: not in the images\n"


def asked() -> tuple[list[str], list[str]]:
    """Requirements of pyproject.toml: those that the images install, and those of development."""
    file = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    project, extras = file["project"], file["project"]["optional-dependencies"]
    images = [*file["build-system"]["requires"], *project["dependencies"], *extras["s3"]]
    development = [*extras["dev"], *extras["docs"]]
    return images, [text for text in development if Requirement(text).name != project["name"]]


def closure(requirements: list[str]) -> dict[str, str]:
    """Versions by name of everything that the requirements need on this machine."""
    found: dict[str, str] = {}
    waiting = [Requirement(text) for text in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        wanted = waiting.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        here = distribution(name)
        found[name] = Version(here.version).public
        for text in here.requires or []:
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                waiting.append(needed)
    return found


def lines(pins: dict[str, str]) -> str:
    return "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))


if __name__ == "__main__":
    images, development = (closure(requirements) for requirements in asked())
    more = {name: version for name, version in development.items() if name not in images}
    text = HEAD.format(*sys.version_info) + lines(images) + DEVELOPMENT + lines(more)
    (HERE / "constraints.txt").write_text(text, encoding="utf-8")
    print(f"constraints.txt: {len(images)} packages, and {len(more)} for development")
