"""Thresholds that move: what other gates would keep, as `curate what-if` has it, while a hand is on the slider."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from curation.gates import Gate
from pipelines.recipe.gates import with_gates
from pipelines.results.resident import Fields, MovedGates, ResidentDecisions, fields_of, gates_of
from pipelines.results.ways import DecidedRun
from pipelines.results.what_if import WhatIf, outcome, placed_gate
from pipelines.ui.documents import documents_by_id
from pipelines.ui.open_runs import OpenRuns
from pipelines.ui.runs import find_run
from pipelines.ui.work import limits
from pipelines.workspace import Workspace
from schemas.errors import CurationError, Finding

RUNS = 2
"""Runs whose decisions stay in memory, those that were asked about last."""
MOST_EXAMPLES = 20
Gates = Mapping[str, str]


class Sliders:
    """Answers about other gates for runs of one workspace; a run's are made one after another."""

    def __init__(self, path: str, open_runs: OpenRuns) -> None:
        self.path = path
        self._open_runs = open_runs
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._lock = threading.Lock()

    def judge(self, workspace: Workspace, name: str, asked: dict[str, Any]) -> dict[str, Any]:
        """{gates: {stage: expression}, examples?: number} → what becomes of the documents, and some that change sides.

        An empty expression is no gate. Raises C004 for a request that is none, C009, C010, C011, C056 for a gate that
        cannot stand there, C032 for a run or stage that is not there, C057 beyond the limits of time and memory.
        """
        gates, count = read_gates(asked), asked.get("examples", 0)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise CurationError(Finding("C004", "examples: expected a whole number"))
        run = find_run(workspace, name)
        begun = time.monotonic()
        with self._lock:
            opened = self._runs.pop(run, None) or _Run(self.path, run)
            self._runs[run] = opened
            while len(self._runs) > RUNS:
                self._runs.popitem(last=False)
        with opened.lock:
            told, moved = opened.judge(gates)
            most = min(count, MOST_EXAMPLES)
            ids = {
                "gained": moved.some_gained(most),
                "lost": moved.some_lost(most),
                "unscored": moved.some_unscored(most),
            }
            memory = moved.decisions.memory()
        answer = _answer(told, moved)
        answer["seconds"] = time.monotonic() - begun
        answer["memory"] = memory
        documents = []
        if wanted := list(dict.fromkeys(doc for docs in ids.values() for doc in docs)):
            with self._open_runs.lend(workspace, run) as open_run:
                documents = documents_by_id(open_run, wanted)
        document_of = {document["doc"]: document for document in documents}
        answer["examples"] = {kind: [document_of[str(doc)] for doc in docs] for kind, docs in ids.items()}
        return answer


def write_recipe(workspace: Workspace, name: str, asked: dict[str, Any]) -> dict[str, str]:
    """{gates: {stage: expression}} → {recipe}: the run's own recipe with these gates, comments kept; nothing is
    written. Raises C009 and C011 for what is no gate, C032 for a stage that is not there, C039 as `with_gates`."""
    gates = {stage: text.strip() or "true" for stage, text in read_gates(asked).items()}
    for text in gates.values():
        Gate.parse(text)
    [record] = workspace.manifest.where("runs", run=find_run(workspace, name)).to_pylist()
    return {"recipe": with_gates(record["recipe"], gates)}


class _Run:
    """One run's decisions, read when they are first asked about, and again as more shards are decided."""

    def __init__(self, path: str, run: str) -> None:
        self.lock = threading.Lock()
        self._workspace = Workspace(path)  # of its own, since the threads change
        self._run = run
        self._decided: DecidedRun | None = None
        self._gates: dict[int, Gate] = {}
        self._decisions: ResidentDecisions | None = None

    def judge(self, gates: Gates) -> tuple[WhatIf, MovedGates]:
        decided = self._current()
        others = _other_gates(decided, self._gates, gates)
        wanted = fields_of(decided, [*self._gates.values(), *others.values()])
        decisions = self._resident(decided, wanted)
        moved = MovedGates(decisions, others)
        return outcome(decided, others, moved.groups, moved.ends), moved

    def _current(self) -> DecidedRun:
        """The run as it is decided by now."""
        manifest = self._workspace.manifest
        keys = [key for key in manifest.keys("decisions") if key.startswith(f"{self._run}-")]
        if self._decided is None or len(keys) != len(self._decided.files):
            self._decided = DecidedRun(manifest, self._run)
            self._gates = gates_of(self._decided)
            self._close()
        return self._decided

    def _resident(self, decided: DecidedRun, wanted: Fields) -> ResidentDecisions:
        if self._decisions is None or not self._decisions.has(wanted):
            before = self._decisions.fields if self._decisions is not None else {}
            self._close()
            fields = {stage: names | before.get(stage, set()) for stage, names in wanted.items()}
            self._decisions = ResidentDecisions(decided, fields, limits())
        return self._decisions

    def _close(self) -> None:
        if self._decisions is not None:
            self._decisions.close()
            self._decisions = None


def read_gates(asked: dict[str, Any]) -> dict[str, str]:
    """Expressions by stage. Raises C004."""
    gates = asked.get("gates")
    if not isinstance(gates, dict) or not all(isinstance(text, str) for text in gates.values()):
        raise CurationError(Finding("C004", "gates: expected an object of expressions by stage"))
    return gates


def _other_gates(decided: DecidedRun, before: dict[int, Gate], gates: Gates) -> dict[int, Gate]:
    """By position, those that are not the run's own, which are `before`."""
    others = {}
    for stage, text in gates.items():
        position, gate = placed_gate(decided, text if text.strip() else "true", stage)
        if position not in before or before[position].canonical != gate.canonical:
            others[position] = gate
    return others


def _answer(told: WhatIf, moved: MovedGates) -> dict[str, Any]:
    stages = told.stages
    documents, unscored = stages[0].rows_in, told.to_score + told.to_decide
    errored = sum(stage.errored for stage in stages)
    return {
        "run": told.run,
        "gates": told.gates,
        "documents": documents,
        "kept": told.kept,
        "dropped": documents - told.kept - errored - unscored,
        "errored": errored,
        "kept_before": told.was,
        "gained": moved.gained(),
        "lost": moved.lost(),
        "unscored": [
            {"stage": stage.stage, "documents": stage.to_score + stage.to_decide, "to_decide": stage.to_decide}
            for stage in stages
            if stage.to_score or stage.to_decide
        ],
        "again": [stage.stage for stage in stages if stage.again],
        "undecided_shards": told.undecided_shards,
        "by_stage": [
            {
                "stage": stage.stage,
                "rows_in": stage.rows_in,
                "rows_out": stage.rows_out,
                "dropped": stage.dropped,
                "errored": stage.errored,
                "unscored": stage.to_score + stage.to_decide,
                "before": stage.was,
                "again": stage.again,
                "gate": stage.keep,
            }
            for stage in stages
        ],
        "note": "; ".join(told.lines()[1:]) or None,
    }
