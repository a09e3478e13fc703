"""What other gates would keep of a run's documents, from what is stored: nothing is scored, no text is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import pyarrow as pa

from curation.gates import Gate, GateError
from curation.manifest.parts import Manifest
from curation.manifest.runs import choose_run
from pipelines.results.ways import DROPPED, FAULTY, KEPT, TO_DECIDE, TO_SCORE, DecidedRun, Group, OtherGates
from schemas.errors import CurationError, Finding, command


@dataclass(frozen=True)
class StageCounts:
    """What would become of the documents at one stage."""

    stage: str
    kind: str
    rows_in: int
    dropped: int
    errored: int
    to_score: int
    """Documents that reach the stage, and have no score of it in the workspace."""
    to_decide: int
    """Documents that would be new to a dataset-wide stage."""
    rows_out: int
    """Documents of which it is known that they go on."""
    was: int
    """`rows_out` of the run itself."""
    again: bool
    """Whether others than in the run reach this dataset-wide stage, or one before it: from there on the counts are
    the run's verdicts, and a run would compute them again."""
    keep: str | None
    """The gate that is asked about, else the run's."""


COUNTS = pa.schema(
    [
        (item.name, {"int": pa.int64(), "bool": pa.bool_()}.get(str(item.type), pa.string()))
        for item in fields(StageCounts)
    ]
)


@dataclass(frozen=True)
class WhatIf:
    """What would become of a run's documents with other gates."""

    run: str
    name: str
    gates: dict[str, str]
    """Those that are asked about, by stage."""
    stages: list[StageCounts]
    undecided_shards: int
    """Shards of the run that are not decided yet, and so are not counted."""
    instead_of: dict[str, str]
    """The run's own gates of those stages, whole: what they ask for is asked for no more."""

    @property
    def kept(self) -> int:
        """Documents of which it is known that every stage keeps them."""
        return self.stages[-1].rows_out

    @property
    def was(self) -> int:
        """Documents that the run keeps."""
        return self.stages[-1].was

    @property
    def to_score(self) -> int:
        return sum(stage.to_score for stage in self.stages)

    @property
    def to_decide(self) -> int:
        return sum(stage.to_decide for stage in self.stages)

    def table(self) -> pa.Table:
        """A row for each stage."""
        return pa.Table.from_pylist([asdict(stage) for stage in self.stages], schema=COUNTS)

    def lines(self) -> list[str]:
        """For people: what it comes to."""
        lines = [f"run {self.run} ({self.name}): {self.was:,} kept; so it would be {self._kept()}"]
        lines += [f"at '{stage}' in place of: {gate}" for stage, gate in self.instead_of.items()]
        lines += [
            f"{stage.to_score:,} would have to be scored by '{stage.stage}' first, and perhaps after it"
            for stage in self.stages
            if stage.to_score
        ]
        changed = self._changed
        if changed is not None and self._none_reaches(changed):
            lines.append(f"no document would reach '{changed.stage}'")
        elif changed is not None:
            new = f", {self.to_decide:,} of them new" if self.to_decide else ""
            lines.append(f"other documents reach '{changed.stage}'{new}: a run computes its choice again")
        if self.undecided_shards:
            lines.append(f"{self.undecided_shards:,} shards of this run are not decided yet, and not counted")
        return lines

    def _kept(self) -> str:
        waiting = self.to_score + self.to_decide
        about = "" if self._changed is None or self._none_reaches(self._changed) else "about "
        return f"{about}{self.kept:,}" + (f" to {self.kept + waiting:,}" if waiting else "")

    @property
    def _changed(self) -> StageCounts | None:
        """The first dataset-wide stage that others than in the run reach."""
        return next((stage for stage in self.stages if stage.again), None)

    def _none_reaches(self, stage: StageCounts) -> bool:
        """Of those that are known, and of those that wait for a score."""
        before = self.stages[: self.stages.index(stage)]
        return not stage.rows_in and not any(earlier.to_score for earlier in before)


def what_if(manifest: Manifest, gates: Sequence[str], stage: str | None = None, run: str | None = None) -> WhatIf:
    """Counts by stage with each of `gates` in place of the gate of the last stage that it reads, or of `stage`.

    Raises CurationError: C009, C010, C011, C056 for a gate that cannot stand there, C032 for a run or a stage that is
    not there.
    """
    if not gates:
        hint = "give one, as in the recipe after keep: language.prob > 0.8"
        raise CurationError(Finding("C004", "what-if without a gate to ask about", hint))
    chosen = choose_run(manifest, run)
    if chosen is None:
        start = command("run RECIPE", manifest.store.root)
        raise CurationError(Finding("C032", "nothing was run here yet", f"start one: {start}"))
    if stage is not None and len(gates) > 1:
        raise CurationError(Finding("C004", "one stage for several gates", "leave --stage out"))
    decided = DecidedRun(manifest, chosen)
    placed: dict[int, Gate] = {}
    for sql in gates:
        position, gate = placed_gate(decided, sql, stage)
        if position in placed:
            raise CurationError(Finding("C004", f"two gates for stage '{decided.ids[position]}'", "join them with AND"))
        placed[position] = gate
    return outcome(decided, placed, *OtherGates(decided, placed).count())


def outcome(decided: DecidedRun, placed: dict[int, Gate], groups: list[Group], ends: Counter[int]) -> WhatIf:
    """What `OtherGates(decided, placed).count()` comes to."""
    name = decided.manifest.where("runs", run=decided.run).column("name")[0].as_py()
    asked = {decided.ids[position]: gate.sql for position, gate in placed.items()}
    waiting = len(decided.shards) - len(decided.decided)
    before = {decided.ids[position]: decided.stages[position]["keep"] for position in placed}
    instead_of = {stage: keep for stage, keep in before.items() if keep and keep != asked[stage]}
    return WhatIf(decided.run, name, asked, _counts(decided, placed, groups, ends), waiting, instead_of)


def _counts(decided: DecidedRun, gates: dict[int, Gate], groups: list[Group], ends: Counter[int]) -> list[StageCounts]:
    reached = decided.reached()
    alive, again, rows = reached[0], False, []
    for position, row in enumerate(decided.stages):
        if not decided.is_scored(position):
            again = again or any(_differ(group, 4 * position) for group in groups)
        dropped, errored, to_score, to_decide = (
            ends[4 * position + how] for how in (DROPPED, FAULTY, TO_SCORE, TO_DECIDE)
        )
        left = alive - dropped - errored - to_score - to_decide
        keep = gates[position].sql if position in gates else row["keep"]
        counts = (alive, dropped, errored, to_score, to_decide, left, reached[position + 1])
        rows.append(StageCounts(row["stage"], row["kind"], *counts, again, keep))
        alive = left
    return rows


def _differ(group: Group, first: int) -> bool:
    """Whether documents reach the stage whose ends begin with `first` in one of two ways only, or may do so."""
    waits = 0 <= group.way < first and group.way % 4 == TO_SCORE
    return waits or (group.end == KEPT or group.end >= first) != (group.way == KEPT or group.way >= first)


def placed_gate(decided: DecidedRun, sql: str, stage: str | None) -> tuple[int, Gate]:
    """A gate, and the position of the stage behind which it is to stand: the last that it reads, or `stage`.

    Raises CurationError as `what_if` does.
    """
    try:
        gate = Gate.parse(sql)
        position = _position(decided, gate, stage)
        columns = {name: list(schema) for name, schema in zip(decided.ids, decided.columns, strict=True)}
        later = decided.ids[position + 1 :]
        gate.check({name: columns[name] for name in columns if name not in later}, later)
    except GateError as error:
        findings = []
        for finding, span in zip(error.findings, error.spans, strict=True):
            carets = f"{sql}\n{' ' * span[0]}{'^' * max(1, span[1] - span[0])}" if span and "\n" not in sql else None
            findings.append(Finding(finding.code, finding.message, finding.hint, excerpt=carets))
        raise CurationError(*findings) from None
    return position, gate


def _position(decided: DecidedRun, gate: Gate, stage: str | None) -> int:
    gated = decided.ids[1:]
    listed = f"stages: {', '.join(gated)}"
    if stage is not None:
        if stage not in gated:
            raise CurationError(Finding("C032", f"run {decided.run} has no stage '{stage}' with a gate", listed))
        return decided.ids.index(stage)
    positions = {name.casefold(): position for position, name in enumerate(decided.ids)}
    if any(name.casefold() not in positions for name in gate.stages):
        return len(decided.ids) - 1  # which stages there are, the check says
    position = max((positions[name.casefold()] for name in gate.stages), default=0)
    if not position:
        hint = f"say whose it is with --stage; {listed}"
        raise CurationError(Finding("C004", f"'{gate.sql}' reads no stage that has a gate", hint))
    return position
