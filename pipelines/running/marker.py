"""The file that makes a folder a workspace, and says which versions of the engine can read it."""

from __future__ import annotations

import json
from pathlib import Path

from curation.store import Store, StoreError
from pipelines.nearest import MARKER
from schemas.errors import CurationError, Finding
from schemas.manifest import FIRST_FORMAT, FORMAT_VERSION


def create(store: Store) -> None:
    """Make the workspace, or see that it can be written to. Raises CurationError: C030, R010."""
    try:
        store.prepare()
        if not store.exists(MARKER):
            marker = json.dumps({"format_version": FIRST_FORMAT}) + "\n"
            store.write(MARKER, lambda path: _write_text(path, marker))
    except StoreError as failure:
        raise CurationError(Finding("R010", str(failure), failure.hint)) from failure
    except OSError as failure:
        raise CurationError(
            Finding(
                "C030",
                f"workspace {store.root} cannot be written: {failure.strerror or failure}",
                "choose another with --workspace",
            )
        ) from failure


def raise_format(store: Store, version: int) -> None:
    """See that older versions, which would misread what is written from here on, refuse the workspace."""
    if (_format(store) or FIRST_FORMAT) < version:
        marker = json.dumps({"format_version": version}) + "\n"
        store.write(MARKER, lambda path: _write_text(path, marker))


def check_format(store: Store) -> None:
    """Raise C031 for a workspace of a later format, C030 or R010 where its marker cannot be read."""
    version = _format(store)
    if version is not None and version > FORMAT_VERSION:
        raise CurationError(
            Finding(
                "C031",
                f"workspace {store.root} has format {version}, and this version knows up to {FORMAT_VERSION}",
                "use the version that wrote it, or a newer one; nothing was changed",
            )
        )


def _format(store: Store) -> int | None:
    """None where there is no marker. Raises C030, R010."""
    try:
        return int(json.loads(store.read(MARKER))["format_version"])
    except FileNotFoundError:
        return None
    except StoreError as failure:
        raise CurationError(Finding("R010", str(failure), failure.hint)) from failure
    except (OSError, ValueError, KeyError, TypeError) as failure:
        message = failure.strerror or str(failure) if isinstance(failure, OSError) else None
        why = message or "it is not the marker of a workspace"
        hint = "choose another folder with --workspace; nothing was changed"
        raise CurationError(Finding("C030", f"{store.uri(MARKER)} cannot be read: {why}", hint)) from failure


def _write_text(path: Path, text: str) -> None:
    path.write_text(text)
