"""The Python API: a workspace, and what can be done in it. The command line is a thin layer over this.

Longer than most files: one method for each thing that can be done, and no more in it than a call.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curation.manifest.parts import Manifest
from curation.paths import require_text
from curation.store import open_store
from pipelines.nearest import MARKER, workspaces_below
from pipelines.running.asked import another_run, check_label, tell_passed_over
from pipelines.running.events import Notice
from pipelines.running.marker import check_format
from schemas.errors import CurationError, Finding, command

if TYPE_CHECKING:
    from curation.scorers.attribution import Attribution
    from pipelines.charts.picture import Chart
    from pipelines.charts.run import OpenRun
    from pipelines.dataset import Dataset
    from pipelines.pages.page import Page
    from pipelines.planning.estimate import PlanReport
    from pipelines.recipe.load import Loaded
    from pipelines.results import audit
    from pipelines.results.diff import RunDiff
    from pipelines.results.explain import Explanation
    from pipelines.results.export import Exported
    from pipelines.results.what_if import WhatIf
    from pipelines.running.events import Report
    from pipelines.running.gc import Usage
    from pipelines.running.result import Result
    from pipelines.running.verify import Verified
    from pipelines.weak_to_strong import result as weak_result
    from pipelines.weak_to_strong import spec as weak_spec
    from pipelines.weak_to_strong.plan import PlannedUnits


class Workspace:
    """A folder that holds scores, decisions, datasets, and the manifest of them all. A recipe is a path or a mapping.

    >>> workspace = Workspace(folder)
    >>> workspace.run(recipe).kept
    3
    >>> workspace.sql("SELECT stage, rows_in, rows_out FROM funnel").to_pylist()[1]
    {'stage': 'same', 'rows_in': 4, 'rows_out': 3}
    """

    def __init__(self, path: str | Path) -> None:
        self.store = open_store(path)
        self.manifest = Manifest(self.store, strict=True)
        check_format(self.store)

    def __repr__(self) -> str:
        return f"Workspace({str(self.store.root)!r})"

    def check(self, recipe: str | Path | Mapping[str, Any] | Loaded, report: Report | None = None) -> Loaded:
        """Read a recipe and everything about it that needs no text. Raises CurationError with all findings.

        `report` is told of what is passed over in the input's folders, and of files that cannot be read.
        """
        from pipelines.planning.resolve import resolve

        loaded = self._load(recipe)
        resolved = resolve(loaded, Manifest(self.store))
        if report is not None:
            tell_passed_over(resolved, report)
            for shard in resolved.plan.shards:
                if shard.error:
                    report(Notice(f"warning: {shard.path} {shard.error}"))
        return loaded

    def plan(
        self, recipe: str | Path | Mapping[str, Any] | Loaded, sample: int | None = None, time: bool = False
    ) -> PlanReport:
        """What a run would do: shards, stages, and how many documents each stage has yet to score.

        `time` runs every stage on a few real documents for the estimate of its seconds.
        """
        from pipelines.planning.estimate import estimate
        from pipelines.planning.inputs import record_inputs
        from pipelines.planning.resolve import resolve

        manifest = Manifest(self.store)
        resolved = resolve(self._load(recipe), manifest, sample)
        if self.exists:
            with suppress(OSError):  # a workspace that may only be read: files are then read again next time
                record_inputs(manifest, resolved.fresh)
        return estimate(resolved, manifest, time)

    def run(
        self,
        recipe: str | Path | Mapping[str, Any] | Loaded,
        *,
        executor: str = "auto",
        address: str | None = None,
        workers: int | None = None,
        sample: int | None = None,
        refit: bool = False,
        expect: str | None = None,
        label: str | None = None,
        force: bool = False,
        report: Report | None = None,
    ) -> Result:
        """Curate. Resumes what was begun, scores only what was never scored, does nothing when nothing is missing.

        `executor`: "local" (threads here), "ray", or "auto": Ray for an address or much input, else local.
        `expect` refuses a run of another id, such as of inputs that have changed since. `label` is a name for the run;
        one that another run has moves to this one. Where another process is at the same run, it is waited for, and its
        result is the result; with `force` both go on, and may score the same documents.
        `report` is told of everything that happens; without it a notebook shows how far the run is.
        Raises CurationError for a recipe or a workspace that cannot be used; what fails later is in the result.
        """
        from curation.flow import system_failure
        from curation.manifest.runs import two_meanings
        from pipelines.pages.report import keep_report
        from pipelines.planning.inputs import record_inputs
        from pipelines.planning.resolve import resolve
        from pipelines.running.executors import executor_maker
        from pipelines.running.fit import fit
        from pipelines.running.in_notebook import notebook_progress
        from pipelines.running.records import record_asked
        from pipelines.running.run import execute

        check_label(label)
        loaded = self._load(recipe)
        shown = notebook_progress() if report is None else None
        tell = report if report is not None else shown or (lambda event: None)  # a list that is told is false at first
        try:
            manifest = Manifest(self.store)
            resolved = resolve(loaded, manifest, sample)
            if expect is not None and (resolved.unfitted or resolved.plan.run != expect):
                came = "has a stage to be fitted first" if resolved.unfitted else f"would be {resolved.plan.run}"
                raise CurationError(another_run(expect, f"the recipe {came}"))
            self.create()
            record_inputs(manifest, resolved.fresh)
            tell_passed_over(resolved, tell)
            todo = resolved.unfitted if not refit else _all_fits(loaded, resolved)
            for item in todo:
                fits_on = executor_maker(executor, address, workers, resolved.plan, tell)
                fit(resolved, item, self.store, fits_on, tell, refit)
                resolved = resolve(loaded, Manifest(self.store), sample)  # a later fit may stand on this one
            if label is not None or manifest.has("datasets", resolved.plan.run):  # else its attempt says so
                before = record_asked(manifest, resolved.plan.run, label)
                if before is not None:
                    tell(Notice(f"label '{label}' was run {before}'s"))
            if (meanings := two_meanings(manifest, resolved.plan.run, loaded.recipe.name, label)) is not None:
                tell(Notice(meanings))
        except OSError as failure:
            found = system_failure(failure)
            raise CurationError(Finding(found.code, found.message, found.hint)) from failure
        runs_on = executor_maker(executor, address, workers, resolved.plan, tell)
        result = execute(resolved.plan, self.store, runs_on, tell, force)
        if result.run != resolved.plan.run:  # inputs were left out
            with suppress(OSError):
                record_asked(Manifest(self.store), result.run, label)
        if resolved.plan.output.report and result.folder is not None:
            keep_report(Manifest(self.store), result.run, result.outcome == "done", lambda text: tell(Notice(text)))
        result.workspace = self
        if shown is not None:
            shown.close(result.outcome)
        return result

    def sql(self, query: str, run: str | None = None) -> pa.Table:
        """The result of one SELECT over the views of `curation.manifest.views`, as an Arrow table.

        >>> Workspace(folder).sql("SELECT row, kept FROM documents WHERE NOT kept").to_pylist()
        [{'row': 2, 'kept': False}]
        """
        from curation.manifest.sql import run_select
        from curation.manifest.views import connect

        self.require()
        with connect(self.manifest, run, query=query) as connection:
            return run_select(connection, query)

    def status(self) -> pa.Table:
        """One row a run: its state (running, done, failed, interrupted, unfinished), counts, shards decided, labels.

        Runs of `curate weak-to-strong` are among them, by `kind`: those that are not done are unfinished.
        """
        from pipelines.running.attempts import running

        runs = self.sql(
            """SELECT run, name, status, rows, kept, dropped, errored,
                      (SELECT count(*) FROM shards s WHERE s.run = r.run) AS shards,
                      (SELECT count(*) FROM shards s WHERE s.run = r.run AND s.decisions IS NOT NULL) AS decided,
                      attempts, last_started_at, dataset, labels, 'run' AS kind FROM runs r
               UNION ALL BY NAME
               SELECT run, name, CASE WHEN p.path IS NULL THEN 'unfinished' ELSE 'done' END AS status, rows,
                      created_at AS last_started_at, p.path AS dataset, 'weak-to-strong' AS kind, a.labels
               FROM _weak_runs LEFT JOIN (SELECT run, any_value(path) AS path FROM _weak_results GROUP BY run) p
               USING (run) LEFT JOIN (SELECT run, string_agg(label, ', ' ORDER BY number) AS labels FROM (
                   SELECT label, arg_max(run, number) AS run, max(number) AS number FROM _asked
                   WHERE label IS NOT NULL GROUP BY label) GROUP BY run) a USING (run) ORDER BY last_started_at"""
        )
        alive = set(running(self.manifest).values())
        states = [
            "running" if run in alive else state
            for run, state in zip(runs.column("run").to_pylist(), runs.column("status").to_pylist(), strict=True)
        ]
        return runs.set_column(runs.schema.get_field_index("status"), "status", pa.array(states, pa.string()))

    def funnel(self, run: str | None = None) -> pa.Table:
        """How many documents came to each stage and left it.

        >>> Workspace(folder).funnel()["rows_out"].to_pylist()
        [4, 3, 3]
        """
        return self.sql("SELECT * FROM funnel", run)

    def histogram(self, measurement: str, run: str | None = None, source: str | None = None) -> Chart:
        """A measurement such as `gopher.words` in bins, with its thresholds; of all sources, or of one.

        >>> Workspace(folder).histogram("language.prob")["documents"]
        3
        """
        from pipelines.charts.histogram import histogram

        return self._chart(run, lambda opened: histogram(opened, measurement, source))

    def scatter(self, x: str, y: str, run: str | None = None) -> Chart:
        """Two measurements against each other."""
        from pipelines.charts.scatter import scatter

        return self._chart(run, lambda opened: scatter(opened, x, y))

    def clusters(self, stage: str, run: str | None = None) -> Chart:
        """What a dedup found: sizes, the largest clusters with what their members have in common, what was near."""
        from pipelines.charts.clusters import clusters

        return self._chart(run, lambda opened: clusters(opened, stage))

    def selection_map(self, stage: str, run: str | None = None) -> Chart:
        """What a selection chose, on a map of its documents' vectors."""
        from pipelines.charts.selection import selection_map

        return self._chart(run, lambda opened: selection_map(opened, stage))

    def shift(self, run: str | None = None) -> Chart:
        """Languages, sources, lengths, domains and words of what came in, and of what was kept."""
        from pipelines.charts.shift import shift

        return self._chart(run, shift)

    def show(
        self,
        *,
        dropped_by: str | None = None,
        kept: bool | None = None,
        count: int = 5,
        run: str | None = None,
        **options: Any,
    ) -> Iterator[dict[str, Any]]:
        """Documents with their text, as it was and as the output has it; options: `pipelines.results.show.show`."""
        from pipelines.results.show import show

        self.require()
        return show(self.manifest, dropped_by=dropped_by, kept=kept, count=count, run=run, **options)

    def what_if(self, *gates: str, stage: str | None = None, run: str | None = None) -> WhatIf:
        """What a run would keep with other gates, each in place of that of the last stage that it reads, or of `stage`.

        >>> Workspace(folder).what_if("language.prob > 0.05").kept
        3
        """
        from pipelines.results.what_if import what_if

        self.require()
        return what_if(self.manifest, gates, stage, run)

    def diff(self, a: str, b: str | None = None, *, examples: int = 3) -> RunDiff:
        """Two runs beside each other, `b` the latest unless it is named: recipe, inputs, funnel, changed documents."""
        from pipelines.results.diff import diff

        self.require()
        return diff(self.manifest, a, b, examples)

    def explain(self, document: str, run: str | None = None) -> list[Explanation]:
        """Why a document was kept or dropped: by doc_id, by the user's id, or by `path#row`. One for each match."""
        from pipelines.results.explain import explain

        self.require()
        return explain(self.manifest, document, run)

    def attribute(self, explanation: Explanation, stage: str) -> Attribution | None:
        """Which pieces of an explained document moved the score that a stage gave it; None where it cannot say."""
        from pipelines.results.attribution import attribute

        return attribute(self.manifest, explanation.run, explanation.path, explanation.row, stage)

    def result(self, run: str | None = None) -> Result:
        """What a finished run came to, by id, its beginning, label or a dataset's name; the latest run by default.

        >>> Workspace(folder).result("example").funnel()["rows_out"]
        [4, 3, 3]
        """
        from pipelines.results.datasets import finished_run

        self.require()
        outcome = finished_run(self.manifest, run)
        outcome.workspace = self
        return outcome

    def report(self, run: str | None = None) -> Page:
        """A run as a page to look at: a notebook shows it, and `html` are the bytes of a file that opens offline."""
        from pipelines.pages.report import report

        self.require()
        return report(self.manifest, run)

    def write_report(self, run: str | None = None, into: str | Path | None = None) -> Path | str:
        """Write a run's report to the file `into`, or as report.html beside its dataset's card; returns where it is."""
        from pipelines.pages.report import write_report

        self.require()
        return write_report(self.manifest, run, None if into is None else Path(into))

    def dataset(self, run: str | None = None) -> Dataset:
        """The dataset of a finished run: the latest, or one by id, its beginning, a label or a dataset's name.

        >>> len(Workspace(folder).dataset("example"))
        3
        """
        from pipelines.results.datasets import find_dataset

        self.require()
        return find_dataset(self.manifest, run)

    def export(self, to: str, into: str | Path, run: str | None = None, **options: Any) -> Exported:
        """Write a finished run's rows as a trainer reads them; its options: `pipelines.results.export.export`."""
        from pipelines.results.export import export

        self.require()
        return export(self.manifest, run, to, Path(into), **options)

    def selections(self, run: str | None = None, stage: str | None = None) -> list[dict[str, Any]]:
        """What each selection of a run chose, beside chance and length: `pipelines.results.selections`."""
        from pipelines.results.selections import reports

        self.require()
        return reports(self.manifest, run, stage)

    def audit_sample(
        self, *, rows: int = 200, into: str | Path | None = None, seed: int = 0, run: str | None = None
    ) -> audit.Sample:
        """Choose documents of a run for labelling by hand, of every stratum, and write them to a new CSV `into`."""
        from pipelines.results.audit import sample

        self.require()
        return sample(self.manifest, run, rows, seed, None if into is None else Path(into))

    def audit_label(
        self, ask: Callable[[dict[str, Any], int], audit.Answer], *, run: str | None = None
    ) -> audit.Report:
        """Ask for each label that is missing: `ask` is given the document and how many are left."""
        from pipelines.results.audit import label

        self.require()
        return label(self.manifest, run, ask)

    def audit_read(self, path: str | Path, run: str | None = None) -> audit.Taken:
        """Take the labels of a file that `audit_sample` wrote; all of them, or with an error none."""
        from pipelines.results.audit import read

        self.require()
        return read(self.manifest, Path(path), run)

    def audit_report(self, run: str | None = None, audit: str | None = None) -> audit.Report:
        """Precision, recall and false drops as the labels of the run's latest sample have them, with intervals."""
        from pipelines.results.audit import report

        self.require()
        return report(self.manifest, run, audit)

    def weak_to_strong_check(self, spec: str | Path | Mapping[str, Any]) -> weak_spec.Loaded:
        """Read a weak-to-strong specification and look at its input. Raises CurationError with all findings."""
        from pipelines.weak_to_strong.plan import resolve

        loaded = _specification(spec)
        resolve(loaded, Manifest(self.store))
        return loaded

    def weak_to_strong_plan(self, spec: str | Path | Mapping[str, Any]) -> tuple[str, list[PlannedUnits]]:
        """Id of the run that a specification makes, and its units of work with how many are done."""
        from pipelines.weak_to_strong.plan import planned_units, resolve

        manifest = Manifest(self.store)
        resolved = resolve(_specification(spec), manifest)
        return resolved.run, planned_units(resolved, manifest)

    def weak_to_strong(
        self,
        spec: str | Path | Mapping[str, Any] | weak_spec.Loaded,
        *,
        workers: int = 2,
        expect: str | None = None,
        label: str | None = None,
        report: Report | None = None,
    ) -> weak_result.Result:
        """Label rows by weak supervisors, teach students, measure the gain: `pipelines.weak_to_strong`.

        Resumes what was begun; a finished run is a no-op. Raises CurationError for what cannot be used; supervisors and
        students that fail later are in the result. `expect` refuses a run of another id, as of inputs that changed.
        `label` is a name for the run; another run that has it loses it.
        """
        from pipelines.running.in_notebook import notebook_progress
        from pipelines.running.records import record_asked
        from pipelines.weak_to_strong.plan import resolve
        from pipelines.weak_to_strong.run import execute
        from workers.local import LocalExecutor

        check_label(label)
        resolved = resolve(_specification(spec), Manifest(self.store))
        if expect is not None and resolved.run != expect:
            raise CurationError(another_run(expect, f"the specification would be {resolved.run}"))
        self.create()
        shown = notebook_progress() if report is None else None
        tell = report if report is not None else shown or (lambda event: None)
        if label is not None and (before := record_asked(Manifest(self.store), resolved.run, label)) is not None:
            tell(Notice(f"label '{label}' was run {before}'s"))
        result = execute(resolved, self.store, lambda: LocalExecutor(workers), tell)
        if shown is not None:
            shown.close(result.outcome)
        return result

    def weak_to_strong_report(self, run: str | None = None) -> dict[str, Any]:
        """What a finished weak-to-strong run found: the latest, or one by id, a prefix of one, or name."""
        from pipelines.weak_to_strong.result import find_report

        self.require()
        return find_report(self.manifest, run)

    def gc(self, dry_run: bool = False) -> Usage:
        """Remove what no commit names, and say what takes how much space."""
        from pipelines.running.gc import sweep

        self.require()
        return sweep(self.store, dry_run)

    def verify(self, dry_run: bool = False, report: Callable[[str], None] | None = None) -> Verified:
        """Compare every file with what is recorded of it; set aside what is damaged, so that it is done again."""
        from pipelines.running.verify import verify

        self.require()
        return verify(self.store, dry_run, report or (lambda what: None))

    def retry(self, run: str | None = None, **options: Any) -> Result:
        """Run the recipe of an earlier run again, as it was then, on its inputs as they are now."""
        from curation.manifest.runs import choose_run
        from pipelines.recipe.load import parse

        self.require()
        manifest = Manifest(self.store)  # what is damaged of the run is mended by it
        chosen = choose_run(manifest, run)
        record = manifest.where("runs", run=chosen).to_pylist()
        if not record:
            manifest.refuse_damaged(chosen)
            start = command("run RECIPE", self.store.root)
            raise CurationError(Finding("C032", "there is no run to retry", f"start one: {start}"))
        path = Path(record[0]["recipe_path"]) if record[0]["recipe_path"] else None
        loaded = parse(record[0]["recipe"], Path(record[0]["recipe_dir"]), path)
        return self.run(loaded, sample=record[0]["sample"], **options)

    @property
    def exists(self) -> bool:
        return self.store.exists(MARKER)

    def _chart(self, run: str | None, draw: Callable[[OpenRun], Any]) -> Chart:
        from pipelines.charts.picture import Chart
        from pipelines.charts.run import OpenRun

        self.require()
        with OpenRun(self.manifest, run) as opened:
            return Chart(draw(opened))

    def require(self) -> None:
        """Raise C030 unless the workspace is there."""
        if not self.exists:
            near = workspaces_below()
            make = f"make one: {command('run RECIPE', self.store.root)}"
            hint = f"there is one here: -w {' or -w '.join(map(shlex.quote, near))}" if near else make
            raise CurationError(Finding("C030", f"{self.store.root} is not a workspace", hint))

    def create(self) -> None:
        """Make the workspace, or see that it can be written to."""
        from pipelines.running.marker import create

        create(self.store)

    def _load(self, recipe: str | Path | Mapping[str, Any] | Loaded) -> Loaded:
        from pipelines.recipe.load import Loaded, load, parse

        if isinstance(recipe, Loaded):
            return recipe
        if isinstance(recipe, Mapping):  # kept as YAML, so that the run can be read and retried
            import yaml

            require_text(Path.cwd(), "the current folder")
            return parse(yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True), Path.cwd())
        return load(recipe)


def _specification(spec: str | Path | Mapping[str, Any] | weak_spec.Loaded) -> weak_spec.Loaded:
    from pipelines.weak_to_strong.spec import Loaded, load, parse

    if isinstance(spec, Loaded):
        return spec
    return parse(spec, Path.cwd()) if isinstance(spec, Mapping) else load(spec)


def _all_fits(loaded: Loaded, resolved: Any) -> list[Any]:
    from pipelines.planning.fits import fits

    return fits(loaded, resolved.plan.columns)
