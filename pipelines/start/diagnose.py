"""What is in some data, ahead of any recipe: facts of a bounded sample, in numbers and in plain words."""

from __future__ import annotations

import shlex
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import orjson
import pyarrow as pa
import yaml

from curation import parquet
from curation.transforms.redact_pii import Type
from pipelines import recipes
from pipelines.planning.describe import SHORT_WORDS, DataDescription, describe_data
from pipelines.planning.drafting import facts, recipe_for
from pipelines.planning.kinds import Kind
from pipelines.start.unseen import gone_afterwards
from pipelines.tables.human import duration
from pipelines.workspace import Workspace
from schemas.errors import CurationError, Finding

if TYPE_CHECKING:
    from pipelines.running.events import Report

SAMPLE = 2000
TIMED = 16
"""Documents that each stage of the shipped recipes is timed on."""
QUANTILES = (0.05, 0.5, 0.95)
OF_TEXTS, OF_PAIRS = ("fineweb", "measure"), ("diverse-10k", "superfilter")
"""Shipped recipes that need nothing but data, by what they are for."""
OPTION, _STAGE = "--benchmark", "stage 'decontaminate': "
_BY_LANGUAGE = """SELECT language.lang AS lang, count(*) AS n FROM documents
    WHERE language IS NOT NULL GROUP BY ALL ORDER BY n DESC, lang"""
_BY_BENCHMARK = """SELECT m.name AS name, count(*) AS n
    FROM (SELECT unnest(decontaminate.benchmarks) AS m FROM documents) GROUP BY ALL ORDER BY name"""
_BY_REASON = """SELECT quality.reason AS reason, count(*) AS n FROM documents
    WHERE NOT quality.pass GROUP BY ALL ORDER BY n DESC, reason"""


@dataclass(frozen=True)
class Concern:
    """One thing that somebody should know, and what to do next."""

    message: str
    next: str | None = None
    """A command."""


@dataclass(frozen=True)
class RecipeCost:
    """What a recipe would take for all rows, on one worker here."""

    recipe: str
    seconds: float | None
    """None where it cannot be told, and `why` says why."""
    why: str = ""
    slowest: str = ""
    """The stage that takes most."""


@dataclass(frozen=True)
class Diagnosis:
    """Facts of data. Shares are of the sampled documents that have a text."""

    description: DataDescription
    sampled: int
    empty: int
    words: dict[str, float]
    """Quantiles of words a document, and the most."""
    languages: dict[str, float]
    rules: float | None
    """Share that passes the rules of Gopher, which are for English; None where nobody asked them."""
    rule_reasons: dict[str, int]
    exact: float
    near: float
    """Share beyond `exact` that has a near-duplicate in the sample."""
    pii: dict[str, float]
    """Share of documents with such, by type."""
    contaminated: dict[str, float]
    """Share of documents that have 13 words in a row of a benchmark, by its name."""
    costs: list[RecipeCost] = field(default_factory=list)
    concerns: list[Concern] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        described = self.description
        head = {
            "schema_version": 1,
            "paths": list(described.paths),
            "files": len(described.files),
            "bytes": described.bytes,
            "rows": described.rows,
            "rows_exact": described.exact_rows,
            "columns": described.columns,
            "kind": described.kind,
            "why": described.why,
            "mapping": described.mapping,
            "unreadable_rows": described.faults,
            "unreadable_files": len(described.sample.unreadable),
        }
        return head | {name: value for name, value in asdict(self).items() if name != "description"}


def diagnose(
    data: str | Path | Iterable[str | Path],
    *,
    sample: int = SAMPLE,
    benchmarks: Iterable[str | Path] = (),
    kind: Kind | None = None,
    costs: bool = True,
    report: Report | None = None,
) -> Diagnosis:
    """Score about `sample` rows by the engine's own stages, in a workspace that is gone afterwards.

    Duplicates are those within the sample: of N documents in M, a pair is seen with the chance (N / M)². `benchmarks`
    are files whose items must not stand in the data. Without `costs` no recipe is timed. `report` is told of the run.
    Raises CurationError as
    `describe_data` does, and C012 for a benchmark that cannot be used.
    """
    sets = _sets(benchmarks)
    description = describe_data(data, kind, sample)
    with tempfile.TemporaryDirectory(prefix="curation-diagnose-") as folder:
        home = Path(folder)
        parquet.write(_table(description), home / "sample.parquet")
        workspace = Workspace(home / "workspace")
        with gone_afterwards(folder), _of_benchmarks():
            result = workspace.run(_measuring(description, home, sets), executor="local", report=report)
            if result.outcome != "done":
                failure = result.failures[0][1]
                raise CurationError(Finding(failure.code, failure.message, failure.hint))
        measured = _measured(description, workspace, result.rows, bool(sets))
        timed = _costs(description, home, workspace) if costs else []
    diagnosis = Diagnosis(description, **measured, costs=timed)
    diagnosis.concerns.extend(_concerns(diagnosis))
    return diagnosis


def _sets(benchmarks: Iterable[str | Path]) -> dict[str, Path]:
    """Files of test items by name: that of the file, of two with one name the path."""
    given = list(dict.fromkeys(map(str, benchmarks)))
    for path in given:
        if not Path(path).exists():
            raise CurationError(Finding("C012", f"{OPTION}: {path} does not exist", "name a file of test items"))
    names = Counter(Path(path).name for path in given)
    return {path if names[Path(path).name] > 1 else Path(path).name: Path(path).absolute() for path in given}


@contextmanager
def _of_benchmarks() -> Iterator[None]:
    """What is wrong with a stage that nobody wrote is told of the option that it was made for."""
    try:
        yield
    except CurationError as failure:
        told = (replace(each, message=each.message.replace(_STAGE, f"{OPTION}: ", 1)) for each in failure.findings)
        raise CurationError(*told) from None


def lines(diagnosis: Diagnosis) -> list[str]:
    """A short page for people."""
    page = [
        f"Kind:      {diagnosis.description.title}, told by {diagnosis.description.why}",
        *facts(diagnosis.description),
    ]
    page += [
        f"Size:      {diagnosis.description.bytes:,} bytes",
        f"Sample:    {diagnosis.sampled:,} documents, {diagnosis.empty:,} of them without a text",
        "Words:     " + ", ".join(f"{name} {value:,.0f}" for name, value in diagnosis.words.items()),
    ]
    if diagnosis.rules is not None:
        worst = ", ".join(f"{name} {count:,}" for name, count in list(diagnosis.rule_reasons.items())[:3])
        page.append(
            f"Rules:     {diagnosis.rules:.1%} pass gopher-quality{f'; most often not by {worst}' if worst else ''}"
        )
    page.append(
        f"Twice:     {diagnosis.exact:.1%} exact duplicates, {diagnosis.near:.1%} near-duplicates, within the sample"
    )
    told = ", ".join(f"{name} {share:.1%}" for name, share in diagnosis.pii.items() if share)
    page.append(f"Personal:  {told or 'no address, number or key was found'}")
    page += [f"Leaked:    {share:.2%} of {name}" for name, share in diagnosis.contaminated.items()]
    for cost in diagnosis.costs:
        took = (
            cost.why
            if cost.seconds is None
            else f"about {duration(round(cost.seconds))} of one worker, {cost.slowest} most"
        )
        page.append(f"Cost:      {cost.recipe}: {took}")
    page.append("")
    for number, concern in enumerate(diagnosis.concerns, 1):
        page.append(f"{number}. {concern.message}")
        if concern.next:
            page.append(f"   {concern.next}")
    return page


# --- the sample as a file ---------------------------------------------------------------------------------------------


def _table(description: DataDescription) -> pa.Table:
    """Sampled rows: `text`, and what a format reads by our names, lists as JSON."""
    columns: dict[str, list[str | None]] = {"text": [*description.texts(blank=True)]}
    for ours, theirs in description.mapping.items():
        if ours not in ("text", "id", "url"):
            columns[ours] = [_cell(row.get(theirs)) for row in description.sample.rows]
    return pa.table({name: pa.array(values, pa.large_string()) for name, values in columns.items()})


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return orjson.dumps(value, default=str).decode()


def _measuring(description: DataDescription, home: Path, benchmarks: dict[str, Path]) -> dict[str, Any]:
    stages: list[dict[str, Any]] = []
    if description.languages is not None:
        stages.append({"scorer": "language"})
    stages += [
        {"scorer": "rules", "id": "quality", "profile": "gopher-quality@datatrove"},
        {"transform": "redact-pii", "id": "pii", "replacement": "none"},
    ]
    if benchmarks:
        against = [{"name": name, "path": str(path)} for name, path in benchmarks.items()]
        stages.append({"scorer": "decontaminate", "against": against})
    stages += [{"dedup": "exact"}, {"dedup": "minhash", "verify": 0.75}]
    return {
        "name": "diagnose",
        "input": {"path": str(home / "sample.parquet")},
        "stages": stages,
        "errors": {"documents": len(description.sample.rows)},
    }


def _measured(description: DataDescription, workspace: Workspace, rows: int, leaked: bool) -> dict[str, Any]:
    def ask(query: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = workspace.sql(query).to_pylist()
        return rows

    [sizes] = ask(
        "SELECT count(quality) AS texts, quantile_cont(quality.words, [0.05, 0.5, 0.95]) AS words, "
        "max(quality.words) AS most, avg(quality.pass::INT) AS pass FROM documents"
    )
    texts = max(1, sizes["texts"])
    dropped = {row["stage"]: row["n"] for row in ask("SELECT stage, count(*) AS n FROM drops GROUP BY ALL")}
    counts = ", ".join(f"count(*) FILTER (pii.{name} > 0) AS {name}" for name in get_args(Type))
    [personal] = ask(f"SELECT {counts} FROM documents")
    languages = ask(_BY_LANGUAGE) if description.languages is not None else []
    met = ask(_BY_BENCHMARK) if leaked else []
    reasons = ask(_BY_REASON)
    prose = "text" in description.mapping and description.median_words >= SHORT_WORDS
    english = description.language == "en" and prose
    quantiles = sizes["words"] or [0.0] * len(QUANTILES)
    return {
        "sampled": rows,
        "empty": dropped.get("input", 0),
        "words": {
            **{f"{share:.0%} below": value for share, value in zip(QUANTILES, quantiles, strict=True)},
            "most": sizes["most"] or 0,
        },
        "languages": {str(row["lang"]): round(row["n"] / texts, 4) for row in languages},
        "rules": round(sizes["pass"], 4) if english and sizes["pass"] is not None else None,
        "rule_reasons": {str(row["reason"]): row["n"] for row in reasons} if english else {},
        "exact": round(dropped.get("exact", 0) / texts, 4),
        "near": round(dropped.get("minhash", 0) / texts, 4),
        "pii": {name: round(count / texts, 4) for name, count in personal.items()},
        "contaminated": {row["name"]: round(row["n"] / texts, 4) for row in met},
    }


# --- costs and concerns -----------------------------------------------------------------------------------------------


def _costs(description: DataDescription, home: Path, workspace: Workspace) -> list[RecipeCost]:
    drafted = yaml.safe_load(recipe_for(description, home))
    pairs = "text" not in description.mapping
    choices = [
        ("init", drafted),
        *((name, yaml.safe_load(recipes.read(name))) for name in (OF_PAIRS if pairs else OF_TEXTS)),
    ]
    return [_cost(name, recipe, description, home, workspace, pairs) for name, recipe in choices]


def _cost(
    name: str, recipe: dict[str, Any], description: DataDescription, home: Path, workspace: Workspace, pairs: bool
) -> RecipeCost:
    columns = {ours: ours for ours in description.mapping if ours not in ("id", "url", "text")} if pairs else {}
    recipe["input"] = {"path": str(home / "sample.parquet"), "columns": columns or {"text": "text"}}
    recipe["stages"] = [stage for stage in recipe["stages"] if stage.get("scorer") != "imported"]
    recipe.pop("output", None)
    try:
        report = workspace.plan(recipe, sample=TIMED, time=True)
    except CurationError as failure:
        first = failure.findings[0]
        return RecipeCost(name, None, f"{first.message}{f'; {first.hint}' if first.hint else ''}")
    each = {stage.step: stage.seconds / stage.at_most for stage in report.stages if stage.seconds and stage.at_most}
    if not each:
        return RecipeCost(name, None, "nothing of it could be timed")
    if description.rows is None:
        return RecipeCost(name, None, "nothing says how many rows there are")
    return RecipeCost(name, sum(each.values()) * description.rows, "", max(each, key=lambda step: each[step]))


def _concerns(diagnosis: Diagnosis) -> list[Concern]:
    data = " ".join(map(shlex.quote, diagnosis.description.paths))
    concerns = []
    if diagnosis.description.sample.unreadable:
        path, why = diagnosis.description.sample.unreadable[0]
        concerns.append(Concern(f"{path} cannot be read: {why}."))
    if diagnosis.description.faults:
        count, most = diagnosis.description.faults, diagnosis.description.sampled
        concerns.append(
            Concern(f"{count:,} of {most:,} rows cannot be read ({diagnosis.description.sample.faults[0]})")
        )
    if diagnosis.empty:
        concerns.append(
            Concern(f"{diagnosis.empty / max(1, diagnosis.sampled):.1%} of the rows have no text; a run drops them.")
        )
    answer = diagnosis.description.mapping.get("output")
    if answer:
        blank = sum(not str(row.get(answer) or "").strip() for row in diagnosis.description.sample.rows)
        if blank:
            message = f"{blank / diagnosis.sampled:.1%} of the rows have nothing in '{answer}'; `hygiene` drops them."
            concerns.append(Concern(message))
    twice = diagnosis.exact + diagnosis.near
    if twice >= 0.02:
        concerns.append(Concern(f"At least {twice:.0%} are there twice, and more beyond the sample: deduplicate."))
    personal = sum(diagnosis.pii.values())
    if personal >= 0.005:
        most_of = max(diagnosis.pii, key=lambda name: diagnosis.pii[name])
        concerns.append(
            Concern(
                f"Personal data: {most_of} in {diagnosis.pii[most_of]:.1%} of the documents; `redact-pii` puts it out."
            )
        )
    if diagnosis.rules is not None and diagnosis.rules < 0.5:
        concerns.append(
            Concern(
                f"The rules of web text would drop {1 - diagnosis.rules:.0%}: look at some before you use them.",
                "curate preview recipe.yaml",
            )
        )
    if diagnosis.description.languages and diagnosis.description.language is None:
        concerns.append(Concern("Languages are mixed: rules for English would drop the others."))
    for name, share in diagnosis.contaminated.items():
        if share:
            concerns.append(Concern(f"{share:.1%} of the documents have text of {name}: `decontaminate` drops them."))
    if diagnosis.description.convert:
        concerns.append(
            Concern(
                "Two answers and votes: make columns chosen and rejected first, in DuckDB.",
                diagnosis.description.convert,
            )
        )
    concerns.append(Concern("A recipe for these data, with comments:", f"curate init {data}"))
    return concerns
