"""The report of a run: every chart of it on one page, in a file that opens offline."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from curation.manifest.parts import Manifest
from curation.manifest.runs import choose_run
from curation.report.card import REPORT
from pipelines.pages.page import Page
from pipelines.pages.plain import plain
from schemas.errors import CurationError, Finding, command


def report(manifest: Manifest, run: str | None = None, attributions: bool = True) -> Page:
    """The page of a run by id, its beginning, a label or a dataset's name; of the latest run. Raises C032 for none.

    With `attributions` small models are run on some documents, to say what moved their scores.
    """
    from pipelines.charts.report import report_data

    data = report_data(manifest, run, attributions)
    return Page(data, f"{data['name']}: report of run {data['run']}", plain(data))


def write_report(
    manifest: Manifest, run: str | None = None, into: Path | None = None, attributions: bool = True
) -> Path | str:
    """Write a run's report to the file `into`, or beside its dataset's card; returns its path or URL.

    Raises C032 for a run that is not there, or without `into` one that has no dataset; C004 where `into` cannot be
    written.
    """
    if into is not None:
        page = report(manifest, run, attributions)
        try:
            _replace(into.resolve(), page.html)
        except OSError as failure:
            hint = "name a file in a folder that can be written to"
            raise CurationError(Finding("C004", f"--into {into}: {failure.strerror or failure}", hint)) from None
        return into
    chosen = choose_run(manifest, run)
    name = None if chosen is None else _name(manifest, chosen)
    if name is None:
        if chosen is None:
            raise CurationError(
                Finding("C032", "there is no run yet", f"start one: {command('run RECIPE', manifest.store.root)}")
            )
        what = f"run {chosen} has no dataset, beside which its report would lie"
        raise CurationError(Finding("C032", what, "name a file: --into report.html"))
    html = report(manifest, chosen, attributions).html
    manifest.store.write(name, lambda path: path.write_bytes(html))
    return manifest.store.location(name)


def _replace(path: Path, content: bytes) -> None:
    """Write a file that is there only once it is whole; a pipe or a device is written as it is."""
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def keep_report(manifest: Manifest, run: str, new: bool, tell: Callable[[str], None]) -> Path | str | None:
    """Write the report of a run that has ended, unless it is there and nothing is `new`, or CURATION_REPORT is 0.

    Without attributions, for which models would be loaded once more.

    Returns where it is; None where none was written. The dataset is there by now, so that nothing that goes wrong here
    is more than a warning.
    """
    if os.environ.get("CURATION_REPORT") == "0":
        return None
    try:
        name = _name(manifest, run)
        if name is None or (not new and manifest.store.exists(name)):
            return None if name is None else manifest.store.location(name)
        return write_report(manifest, run, attributions=False)
    except Exception as failure:
        told = isinstance(failure, CurationError) and failure.findings
        why = told[0].message if told else f"{type(failure).__name__}: {failure}"
        again = command(f"report {run}", manifest.store.root)
        with suppress(OSError):
            tell(f"warning: the report was not written: {why}; try again: {again}")
        return None


def _name(manifest: Manifest, run: str) -> str | None:
    """Where a run's report lies in the workspace; None where it has no dataset."""
    paths = manifest.where("datasets", run=run).column("path").to_pylist()
    return f"{paths[0]}/{REPORT}" if paths and manifest.store.exists(paths[0]) else None
