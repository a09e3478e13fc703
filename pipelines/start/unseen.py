"""What is said of recipes and workspaces that nobody sees, since they are gone when it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from schemas.errors import CurationError, Finding


def visible(finding: Finding, folder: str) -> Finding:
    """A finding that leads nowhere into a folder that will be gone."""
    if finding.hint and folder in finding.hint:
        finding = replace(finding, hint=None)
    if finding.file is None or finding.file.startswith(folder):
        finding = replace(finding, file=None, line=None, excerpt=None)
    return finding


@contextmanager
def gone_afterwards(folder: str) -> Iterator[None]:
    """Whatever is refused inside is told by `visible` findings."""
    try:
        yield
    except CurationError as failure:
        raise CurationError(*(visible(finding, folder) for finding in failure.findings)) from failure.__cause__
