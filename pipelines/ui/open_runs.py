"""Runs that stay open between requests, so that a chart costs its query and not the reading of records and recipes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from curation.manifest.limits import Watch
from pipelines.ui.runs import find_run
from pipelines.ui.work import limits
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.charts.run import OpenRun

IDLE = 4
"""Runs that wait open for the next request, all runs together."""


class OpenRuns:
    """Lends open runs of one workspace, each to one thread at a time."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._idle: list[OpenRun] = []
        self._lock = threading.Lock()

    @contextmanager
    def lend(self, workspace: Workspace, name: str) -> Iterator[OpenRun]:
        """The run that a name means, as it is decided by now. Raises CurationError C032, R011, C057."""
        run = find_run(workspace, name)
        decided = sum(1 for key in workspace.manifest.keys("decisions") if key.startswith(f"{run}-"))
        opened = self._take(run, decided) or self._open(run)
        opened.watch = Watch(opened.connection, limits())
        try:
            yield opened
        except BaseException:
            opened.connection.close()
            raise
        with self._lock:
            self._idle.append(opened)
            oldest = self._idle.pop(0) if len(self._idle) > IDLE else None
        if oldest is not None:
            oldest.connection.close()

    def _take(self, run: str, decided: int) -> OpenRun | None:
        with self._lock:
            for number, opened in enumerate(self._idle):
                if opened.run == run and len(opened.files) == decided:
                    return self._idle.pop(number)
        return None

    def _open(self, run: str) -> OpenRun:
        from pipelines.charts.run import OpenRun

        return OpenRun(Workspace(self.path).manifest, run)  # of its own, since no manifest is for two threads
