"""What comes before the engine: see that its packages are its own, then start the command line. Imports no other.

Four of the engine's packages have names that many projects have, too. Where a script's folder, `PYTHONPATH` or a
notebook's folder holds another `schemas`, Python would take that one, and fail somewhere inside the engine. So each
package asks, before it imports another, whether that one is ours; only this package's name is nobody else's.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("schemas", "curation", "workers", "pipelines", "curation_engine", "curation_engine_start")
"""All top-level packages of the engine."""
COMMAND_LINE = "pipelines.cli.main"
MARK = "curation-engine"
"""What `py.typed` says in a package of ours. By the folder it could not be told: a cluster unpacks each of them into
another one."""


class HiddenError(ImportError):
    """Code C047: another module has the name of one of our packages, and comes first."""


def refuse_others(*names: str) -> None:
    """Raise HiddenError where Python would import something else than our packages of these names."""
    for name in names:
        path = _path(name)
        if path is not None and not _is_ours(path):
            raise HiddenError(
                f"C047: {path} hides the curation engine's package '{name}': "
                "rename it, or keep its folder off Python's path",
                name=name,
                path=str(path),
            )


def _path(name: str) -> Path | None:
    """Folder of a package, or file of a module, that an import would take; None where there is none."""
    module = sys.modules.get(name)
    spec = find_spec(name) if module is None else module.__spec__
    folders = list(spec.submodule_search_locations or ()) if spec is not None else getattr(module, "__path__", [])
    origin = spec.origin if spec is not None else getattr(module, "__file__", None)
    path = folders[0] if folders else origin
    return None if path is None else Path(path)


def _is_ours(path: Path) -> bool:
    try:
        return (path / "py.typed").read_text(encoding="utf-8").strip() == MARK
    except (OSError, UnicodeDecodeError):
        return False


def main() -> None:
    """`curate`."""
    try:
        command_line = import_module(COMMAND_LINE)
    except HiddenError as failure:
        code, _, said = str(failure).partition(": ")
        print(f"error[{code}]: {said}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    command_line.main()
