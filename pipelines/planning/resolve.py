"""Recipe and inputs → plan: which files, which shards, which fingerprints. Reads no text, opens no model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curation.flow.units import content_of
from curation.formats.columns import Columns
from curation.manifest.parts import Manifest
from curation.models.locate import ModelError
from curation.models.pull import models_folder
from curation.plan import BULKY, Plan, StagePlan, Step, fingerprint
from curation.plugins import contained
from curation.registry import blames
from curation.scorers import input as input_step
from curation.scorers.base import HEAD, Context, Scorer, Transform
from curation.selection.base import Selection
from curation.sources import Shard, SourceFile, column_types, cut_shards, find, hash_rows, inspect, stamp
from curation.sources.column_types import still_typed
from curation.sources.files import Stamp
from curation.sources.jsonl import NESTED, PARTS, STRICT
from curation.sources.shapes import common, plain
from curation.sources.streams import MAX_DOCUMENT_BYTES
from curation.sources.texts import nested, stringlike, usable
from curation.store import Store, StoreError, local_copy
from curation.store.seal import CHANGED, GONE
from pipelines.recipe.document import excerpt_of
from pipelines.recipe.load import PLUGIN_HINT, Loaded, parse, raised, turns_of
from schemas.documents import INPUT, TEXT
from schemas.errors import CurationError, Finding
from schemas.recipe import Input


@dataclass(frozen=True)
class Unfitted:
    """A stage that has to be fitted before the plan is whole."""

    position: int
    """In the recipe, from 0."""
    stage: str
    key: str
    sample_rows: int


@dataclass(frozen=True)
class Resolved:
    plan: Plan
    unfitted: tuple[Unfitted, ...]
    ignored: int
    """Files passed over because nothing reads their format."""
    fresh: tuple[SourceFile, ...]
    """Files that had to be read to be known."""
    notices: tuple[str, ...] = ()
    """Lines about what was passed over in the input's folders, and why."""


def resolve(loaded: Loaded, manifest: Manifest, sample: int | None = None) -> Resolved:
    """Resolve a checked recipe. Writes nothing: `remember` keeps what was learned by reading files.

    Raises CurationError with every finding about the inputs and output columns, and R010 for a store.
    """
    try:
        return _resolve(loaded, manifest, sample)
    except StoreError as failure:
        raise CurationError(Finding("R010", str(failure), failure.hint)) from failure


def _resolve(loaded: Loaded, manifest: Manifest, sample: int | None) -> Resolved:
    recipe = loaded.recipe
    patterns, sources = sources_of(recipe.input)
    found = find(patterns, loaded.home or loaded.base, sources, manifest.store.uri("").rstrip("/"))
    line = loaded.line("input", "path")
    if found.findings:
        raise CurationError(*(_at(loaded, line, finding) for finding in found.findings))
    limit = recipe.input.max_document_bytes
    files, fresh = _inspect(found.files, manifest, limit)
    available = Columns.of(recipe.input.columns)
    mapping = available.mapping
    unified, broken = _unify(files)
    columns = recipe.output.columns
    if columns is None:  # every source column under its own name, whatever else has been mapped to that name
        columns = list(unified)
        origins = {name: name for name in unified}
    else:
        origins = {name: mapping.get(name, name) for name in columns if mapping.get(name, name) in unified}
        if not unified:  # no line can be read: each column may be there, and is null
            own = {stage.id for stage in recipe.stages}
            origins = {name: mapping.get(name, name) for name in columns if name.partition(".")[0] not in own}
    stages, unfitted = _stages(loaded, manifest, available)
    steps = [step for stage in stages for step in stage.steps]
    numbers = {name for step in steps for name in step.numbers}
    reads = {"text", *(name for step in steps for name in step.reads if name not in step.numbers)}
    known = set(available.names)
    texts = set(available.sources((reads & known) - {"id"}))
    measured = set(available.sources(numbers & known))
    parts = {mapping[name] for name in available.parts}
    apart = {name for name in broken if name in parts and _readable_apart(files, name, available)}
    used = (texts | measured) - apart | set(origins.values()) | ({mapping["id"]} if "id" in mapping else set())
    findings = _check_input(loaded, files, available, unified, reads, numbers)
    findings += _check_output(loaded, columns, mapping, unified, origins)
    line = loaded.line("input", "path")
    findings += [_at(loaded, line, finding) for name, finding in broken.items() if name in used]
    if findings:
        raise CurationError(*findings)
    own = {mapping["text"]} if "text" in mapping else set()
    named = {mapping["id"]} if "id" in mapping else set()
    seen = unified | dict.fromkeys(apart, TEXT)
    alone = {name for name in measured - texts - named if stringlike(seen.get(name, pa.null()))}
    reading = _schema(seen | dict.fromkeys(alone, pa.float64()), texts | measured | named, own, texts, available)
    writing = _schema(unified, set(origins.values()), own)
    shards = cut_shards(list(files), recipe.input.shard_bytes, limit)
    chosen = None if sample is None else _sample(shards, sample)
    settings: dict[str, Any] = {
        "name": recipe.name,
        "stages": [[stage.fingerprint, stage.id, stage.keep] for stage in stages],
        "shards": [[s.path, s.fingerprint, s.row_start, s.rows, s.error] for s in shards],
        "mapping": sorted(mapping.items()),
        "columns": [[name, origins.get(name)] for name in columns],
        "output": recipe.output.model_dump(),
        "errors": recipe.errors.model_dump(),
        "on_bad_shard": recipe.on_bad_shard,
        "sample": sample,
    }
    if len(patterns) > 1:  # another way to divide the input is another run: each source has statistics of its own
        settings["sources"] = [shard.source for shard in shards]
    plan = Plan(
        run=fingerprint(settings)[:16],
        name=recipe.name if sample is None else f"{recipe.name}-sample",
        source=loaded.source,
        recipe_path=str(loaded.path or ""),
        recipe_dir=str(loaded.home or loaded.base),
        columns=available,
        output=recipe.output,
        errors=recipe.errors,
        on_bad_shard=recipe.on_bad_shard,
        stages=tuple(stages),
        shards=tuple(shards),
        reading=reading,
        writing=writing,
        output_columns=tuple(columns),
        origins=origins,
        sample=chosen,
    )
    return Resolved(plan, tuple(unfitted), found.ignored, fresh, tuple(found.notices))


def sources_of(given: Input) -> tuple[list[str], list[str]]:
    """Patterns, and the names of their sources: the patterns themselves unless the recipe names them."""
    if isinstance(given.path, dict):
        return list(given.path.values()), list(given.path)
    patterns = [given.path] if isinstance(given.path, str) else list(given.path)
    return patterns, patterns


def resolve_recorded(manifest: Manifest, run: str) -> Plan:
    """The plan of a recorded run, from its recipe. Raises R002 where an input file is no longer what it was."""
    record = manifest.where("runs", run=run).to_pylist()[0]
    loaded = parse(record["recipe"], Path(record["recipe_dir"]))
    plan = resolve(loaded, manifest, record["sample"]).plan
    was = {row["path"]: row["fingerprint"] for row in manifest.where("shards", run=run).to_pylist()}
    for shard in plan.shards:
        if was.get(shard.path) not in (None, shard.fingerprint):
            raise CurationError(
                Finding("R002", f"{shard.path} changed after run {run}", "its text can no longer be shown", shard.path)
            )
    return plan


def _inspect(
    found: dict[str, str], manifest: Manifest, max_document_bytes: int = MAX_DOCUMENT_BYTES
) -> tuple[tuple[SourceFile, ...], tuple[SourceFile, ...]]:
    """Every file, and those among them that had to be read, because they were not seen as they are now.

    `found` gives the source of each path.
    """
    seen: dict[tuple[str, Stamp], dict[str, Any]] = {}
    for record in manifest.read("seen").to_pylist():
        if record["settled"]:
            there = Stamp(*(record[name] for name in Stamp._fields))  # of an earlier version without the last two
            seen[record["path"], there] = record
    fresh: list[SourceFile] = []
    result: list[SourceFile] = []
    for path, source in found.items():
        try:
            record = seen.get((path, stamp(path)))
        except StoreError:
            raise
        except OSError:
            record = None
        schema = pa.ipc.read_schema(pa.py_buffer(record["columns"])) if record and record["columns"] else None
        if record is None or not still_typed(record["format"], schema, max_document_bytes):
            file = inspect(path, max_document_bytes)
            fresh.append(file)
        else:
            file = SourceFile(
                path,
                record["size"],
                record["mtime_ns"],
                record["fingerprint"],
                record["format"],
                record["rows"],
                tuple((group["rows"], group["bytes"]) for group in record["groups"]),
                schema,
                record["error"],
                ctime_ns=record["ctime_ns"],
                inode=record["inode"],
                prints=record["prints"],
            )
        result.append(replace(file, source=source))
    return tuple(result), tuple(fresh)


def remember(manifest: Manifest, resolved: Resolved) -> None:
    """Keep what was learned by reading files, so that the next plan need not."""
    rows = [
        {
            "path": file.path,
            "size": file.size,
            "mtime_ns": file.mtime_ns,
            "ctime_ns": file.ctime_ns,
            "inode": file.inode,
            "prints": file.prints,
            "settled": file.settled,
            "fingerprint": file.fingerprint,
            "format": file.format,
            "rows": file.rows,
            "groups": [{"rows": rows, "bytes": size} for rows, size in file.groups],
            "columns": file.schema.serialize().to_pybytes() if file.schema is not None else None,
            "error": file.error,
        }
        for file in resolved.fresh
    ]
    if rows:
        names = ("path", "fingerprint", "mtime_ns", "ctime_ns", "inode", "settled")
        named = [[row[name] for name in names] for row in rows]
        manifest.commit("seen", fingerprint(named), rows)


def _unify(files: tuple[SourceFile, ...]) -> tuple[dict[str, pa.DataType], dict[str, Finding]]:
    """One type for each column over all files, and findings by name for those that have none.

    Files without rows have no say.
    """
    kinds: dict[str, pa.DataType] = {}
    where: dict[str, tuple[SourceFile, pa.Field]] = {}
    broken: dict[str, Finding] = {}
    texts: set[str] = set()
    long: set[str] = set()
    for file in [file for file in files if file.rows] or files:
        for field in file.schema or ():
            kind = plain(field.type)
            before = kinds.setdefault(field.name, kind)
            shared = common(before, kind)
            if not column_types.is_number(field):
                texts.add(field.name)
            if column_types.first_line(field, "long") is not None:
                long.add(field.name)
            if field.name not in texts and (
                (shared is None and (stringlike(before) or stringlike(kind)))
                or (field.name in long and shared is not None and pa.types.is_floating(shared))
            ):
                shared = TEXT  # numbers that no type holds both of keep their digits
            if shared is None:
                if field.name not in broken:
                    other, first = where[field.name]
                    message = f"column '{field.name}' is {_said(other, first, before)} and {_said(file, field, kind)}"
                    hint = "convert one of them, or leave the column out of output.columns"
                    broken[field.name] = Finding("C023", message, hint)
                continue
            if field.name not in where or shared != before:
                where[field.name] = file, field
            kinds[field.name] = shared
    return {name: pa.string() if pa.types.is_null(kind) else kind for name, kind in kinds.items()}, broken


def _said(file: SourceFile, field: pa.Field, kind: pa.DataType) -> str:
    """A column's type in a file, and the line with the first value of that kind."""
    line = column_types.first_line(field, "str", "list") if stringlike(kind) else None
    return f"{kind} in {file.path}" + (f" (line {line})" if line else "")


def _readable_apart(files: tuple[SourceFile, ...], name: str, available: Columns) -> bool:
    """Whether a column can be read from each file in that file's own type, since only the format reads it."""
    kinds = [plain(file.schema.field(name).type) for file in files if file.schema and name in file.schema.names]
    part = next(part for part in available.parts if available.mapping[part] == name)
    return all(pa.types.is_null(kind) or _readable(available, part, kind) for kind in kinds)


def _check_input(
    loaded: Loaded,
    files: tuple[SourceFile, ...],
    available: Columns,
    unified: dict[str, pa.DataType],
    reads: set[str],
    numbers: set[str],
) -> list[Finding]:
    """Mapped columns that are missing, or not of a type that can be read as what they are mapped to."""
    findings = []
    # A file of malformed lines alone has no columns: its documents are counted as errored.
    filled = [file for file in files if file.schema and file.rows]
    names = {file.path: set(file.schema.names) for file in filled}  # type: ignore[union-attr]
    for name in sorted((reads | numbers) - set(available.names)):
        message = f"no input column is mapped to '{name}', which a stage reads"
        findings.append(_at(loaded, loaded.line("input"), Finding("C021", message, "add it to input.columns")))
    for name, source in available.mapping.items():
        line = loaded.line("input", "columns", name) or loaded.line("input", "columns") or loaded.line("input")
        lacking = [file for file in filled if source not in names[file.path]]
        finding = None
        if lacking and (name in {*reads, *numbers, *available.parts} or len(lacking) == len(filled)):
            more = f" and {_files(len(lacking) - 1)} more" if len(lacking) > 1 else ""
            there = ", ".join(lacking[0].schema.names)  # type: ignore[union-attr]
            message = f"input column '{source}' (for {name}) is missing in {lacking[0].path}{more}"
            finding = Finding("C021", message, f"columns there: {there}; map one with `columns: {{{name}: ...}}`")
        elif source in unified and name in available.parts and not _readable(available, name, unified[source]):
            message = f"input column '{source}' (for {name}) is {unified[source]}, which cannot be read as {name}"
            finding = Finding("C022", message, f"map input.columns.{name} to a column that holds {name}")
        elif source in unified and name in reads - {"id"} and not _texts(name, unified[source]):
            message = f"input column '{source}' (for {name}) is {unified[source]}, not text"
            finding = Finding("C022", message, f"map input.columns.{name} to a string column")
        elif (
            source in unified
            and name in numbers
            and not column_types.numeric(unified[source])
            and not _all_numerals(filled, source)
        ):
            message = (
                f"input column '{source}' (for {name}) is {unified[source]}, not numbers{_first_text(filled, source)}"
            )
            finding = Finding("C022", message, f"map input.columns.{name} to a column of numbers or booleans")
        elif source in unified and name == "id" and not input_step.nameable(unified[source]):
            message = f"input column '{source}' (for id) is {unified[source]}, which names nothing"
            finding = Finding("C022", message, "map input.columns.id to a column of strings or numbers")
        if finding is not None:
            findings.append(_at(loaded, line, finding))
    return findings


def _all_numerals(files: list[SourceFile], source: str) -> bool:
    """Whether a column of texts holds numbers alone, some too long for a number's type."""
    fields = [file.schema.field(source) for file in files if file.schema and source in file.schema.names]
    return all(column_types.is_number(field) for field in fields)


def _first_text(files: list[SourceFile], source: str) -> str:
    """Where a column of JSON or CSV has its first value that is no number."""
    for file in files:
        if file.schema and source in file.schema.names:
            line = column_types.first_line(file.schema.field(source), "str", "list")
            if line is not None:
                return f": the first text is in line {line} of {file.path}"
    return ""


def _texts(name: str, kind: pa.DataType) -> bool:
    """Whether a column can be read as what it is mapped to: lists and objects as JSON, but not as `text`."""
    return usable(kind) or (name != "text" and nested(kind))


def _readable(available: Columns, name: str, kind: pa.DataType) -> bool:
    """Whether a column can be a part of the format: lists only where it has any."""
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return usable(kind) or (available.kind != "instruction" and listed)


def _files(count: int) -> str:
    return f"{count:,} file{'s' if count != 1 else ''}"


def _check_output(
    loaded: Loaded,
    columns: list[str],
    mapping: dict[str, str],
    unified: dict[str, pa.DataType],
    origins: dict[str, str],
) -> list[Finding]:
    if not unified:  # no file can be read, and that is said elsewhere
        return []
    findings = []
    stages = {stage.id for stage in loaded.recipe.stages}
    ambiguous = list(_ambiguous(loaded, columns, mapping, unified)) if loaded.recipe.output.columns else []
    doubtful = {column for _, column, _ in ambiguous}
    for place, column, told in ambiguous:
        line = loaded.line("output", "columns", place) or loaded.line("output", "columns")
        hint = "give the stage another `id:`, map the column to a name of its own in input.columns, or leave one out"
        findings.append(_at(loaded, line, Finding("C058", f"output column '{column}' has two meanings: {told}", hint)))
    if not columns:
        finding = Finding("C025", "output.columns is empty", "without `columns`, all source columns are written")
        findings.append(_at(loaded, loaded.line("output", "columns"), finding))
    for place, column in enumerate(columns):
        stage = column.partition(".")[0]
        line = loaded.line("output", "columns", place) or loaded.line("output", "columns")
        if column not in mapping and column not in unified and stage not in stages:
            known = sorted({*unified, *mapping, *stages})
            near = get_close_matches(column, known, 1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            hint += f"columns of the input: {', '.join(unified)}; of stages: {', '.join(sorted(stages)) or 'none'}"
            message = f"output column '{column}' is neither a column of the input nor of a stage"
            findings.append(_at(loaded, line, Finding("C025", message, hint)))
        elif column not in origins and stage in origins and stage not in doubtful:
            message = f"output columns '{stage}' of the input and '{column}' of a stage have one name"
            findings.append(_at(loaded, line, Finding("C025", message, "give the stage another `id:`")))
    return findings


def _ambiguous(
    loaded: Loaded, columns: list[str], mapping: dict[str, str], unified: dict[str, pa.DataType]
) -> Iterator[tuple[int, str, str]]:
    """Place, name and both meanings of output columns that could be either of two, or differ in case only.

    A mapped name comes before a column of the input that is called so.
    """
    made: dict[str, str] = {}
    for stage, built in zip(loaded.recipe.stages, loaded.stages, strict=True):
        made[stage.id.casefold()] = f"stage '{stage.id}'"
        names = ["status", *(field.name for field in built.fields)]
        made.update({f"{stage.id}.{name}".casefold(): f"'{name}' of stage '{stage.id}'" for name in names})
    theirs: dict[str, str] = {}
    for name in unified:
        theirs.setdefault(name.casefold(), name)
    earlier: dict[str, str] = {}
    for place, column in enumerate(columns):
        folded = column.casefold()
        meanings = []
        if column in mapping and mapping[column] in unified:
            meanings.append(f"column '{mapping[column]}' of the input, mapped to '{column}'")
        elif folded in theirs:
            meanings.append(f"column '{theirs[folded]}' of the input")
        if folded in made:
            meanings.append(made[folded])
        if len(meanings) > 1:
            yield place, column, " and ".join(meanings[:2])
        elif earlier.get(folded, column) != column:
            yield place, column, f"'{earlier[folded]}' differs in case only"
        earlier.setdefault(folded, column)


def _at(loaded: Loaded, line: int | None, finding: Finding) -> Finding:
    excerpt = None
    if line is not None:
        lines = loaded.source.splitlines()
        excerpt = excerpt_of(finding.code, lines[line - 1]) if line <= len(lines) else None
    return replace(finding, file=str(loaded.path) if loaded.path else None, line=line, excerpt=excerpt)


def _schema(
    unified: dict[str, pa.DataType],
    names: set[str],
    own: set[str],
    texts: set[str] | None = None,
    available: Columns | None = None,
) -> pa.Schema:
    """Source columns as they will be read: documents' `own` text and other `texts` as what stages see, the others in
    the type that all files share, as are lists that `available` has a format for."""
    parts = {available.mapping[name] for name in available.parts} if available else set()

    def field(name: str) -> pa.Field:
        if name in own:
            return pa.field(name, TEXT, metadata=STRICT)
        if name in parts:
            kind = unified.get(name, TEXT)
            return pa.field(name, kind if nested(kind) else TEXT, metadata=PARTS)
        if texts is not None and name in texts:
            return pa.field(name, TEXT, metadata=NESTED)
        return pa.field(name, unified.get(name, pa.string()))

    return pa.schema([field(name) for name in sorted(names)])


def _stages(loaded: Loaded, manifest: Manifest, available: Columns) -> tuple[list[StagePlan], list[Unfitted]]:
    shown = input_step.SHOWN_OF_ANSWERS if available.has_answers else input_step.SHOWN
    has = [available.identity("output")] if available.has_answers else []
    first = Step(
        name=INPUT,
        family=INPUT,
        kind=INPUT,
        settings={},
        path=(),
        fingerprint=fingerprint(
            [INPUT, input_step.VERSION, {k: available.identity(k) for k in ("text", "id")}, *has, *_limit(loaded)]
        ),
        fields=(input_step.ID, *shown),
        reads=(),
    )
    stages = [StagePlan(0, INPUT, INPUT, INPUT, input_step.VERSION, {}, None, first.fingerprint, (first,), shown)]
    unfitted: list[Unfitted] = []
    upstream: list[str] = []
    base = str(loaded.base)
    findings: list[Finding] = []
    for place, (declared, chosen, gate) in enumerate(
        zip(loaded.recipe.stages, loaded.stages, loaded.gates, strict=True)
    ):
        unusable = _unusable(loaded, place, chosen)
        if unusable is not None:
            findings.append(unusable)
            continue
        settings = chosen.settings.model_dump(mode="json")
        artifact = None
        shape = turns_of(available, declared.turns)
        if isinstance(chosen, Scorer) and _is_fitted(chosen):
            key = fit_key(
                loaded.recipe.name, declared.id, chosen, available, [*upstream, *_learns_from(loaded, place, available)]
            )
            artifact = latest_fit(manifest, key)
            if artifact is None:
                unfitted.append(Unfitted(place, declared.id, key, chosen.sample_rows))
            else:
                chosen = type(chosen)(chosen.settings, Context(loaded.base, local_copy(artifact), turns=shape))
        content = content_of(chosen)
        answers = _answers_folder(manifest.store)
        common = (declared.family, declared.kind, settings, base, artifact, answers, shape, content)
        steps: list[Step] = []
        if isinstance(chosen, Scorer):
            own = _steps(declared.id, chosen, (), common, available, upstream, steps)
            identity = own.fingerprint
            if isinstance(chosen, Transform):
                upstream = [*upstream, identity]
        else:
            for name, required in chosen.requires().items():
                _steps(f"{declared.id}/{name}", required, (name,), common, available, upstream, steps)
            more = [chosen.identity()] if isinstance(chosen, Selection) and chosen.identity() else []
            made = [step.fingerprint for step in steps]
            identity = fingerprint([declared.family, declared.kind, chosen.version, settings, made, *more])
        asked = declared.resources
        stages.append(
            StagePlan(
                position=place + 1,
                id=declared.id,
                family=declared.family,
                kind=declared.kind,
                version=chosen.version,
                settings=settings,
                keep=gate.sql if gate else None,
                fingerprint=identity,
                steps=tuple(replace(step, resources=asked) if step.heavy else step for step in steps),
                fields=tuple(field for field in chosen.fields if field.name not in BULKY),
                columns=() if isinstance(chosen, Scorer) else tuple(chosen.columns),
                recipe_dir=base,
                resources=asked,
                content=content,
            )
        )
    if findings:
        raise CurationError(*findings)
    return stages, unfitted


def _limit(loaded: Loaded) -> list[int]:
    """The largest document that is read, where it is not the usual one."""
    given = loaded.recipe.input.max_document_bytes
    return [] if given == MAX_DOCUMENT_BYTES else [given]


def _unusable(loaded: Loaded, place: int, chosen: Any) -> Finding | None:
    """What is wrong with a stage's model; None where it can be used. Models are looked for when they are asked for."""
    try:
        with contained():
            waiting = [chosen]
            while waiting:
                asked = waiting.pop()
                if isinstance(asked, Scorer):
                    asked.identity()
                waiting += asked.requires().values()
    except ModelError as error:
        line = loaded.line("stages", place, "model") or loaded.line("stages", place)
        message = f"stage '{loaded.recipe.stages[place].id}': {' '.join(str(error).split())}"
        return _at(loaded, line, Finding("C013", message, error.hint or None))
    except Exception as error:
        if isinstance(error, CurationError) or not blames(error):
            raise
        message = f"stage '{loaded.recipe.stages[place].id}': {raised(error)}"
        return _at(loaded, loaded.line("stages", place), Finding("C054", message, PLUGIN_HINT))
    return None


def _steps(
    name: str,
    scorer: Scorer,
    path: tuple[str, ...],
    common: tuple[str, str, dict[str, Any], str, str | None, str, str | None, str],
    available: Columns,
    upstream: list[str],
    steps: list[Step],
    only: tuple[str, str] | None = None,
) -> Step:
    """The scorer's step behind those that it requires."""
    requires: dict[str, str] = {}
    for column, required in scorer.requires().items():
        where, flag = scorer.only_where().get(column, (None, ""))
        needed = only if where is None else (requires[where], flag)
        own = (f"{name}/{column}", required, (*path, column))
        requires[column] = _steps(*own, common, available, upstream, steps, needed).fingerprint
    family, kind, settings, base, artifact, cache, turns, content = common
    step = Step(
        name=name,
        family=family,
        kind=kind,
        settings=settings,
        path=path,
        fingerprint=step_fingerprint(scorer, available, upstream, requires),
        fields=tuple(scorer.fields),
        requires=requires,
        only=only,
        reads=scorer.reads,
        numbers=scorer.numbers,
        heavy=scorer.heavy,
        actor=_actor(scorer) if scorer.heavy else "",
        device=scorer.device,
        edits=isinstance(scorer, Transform),
        recipe_dir=base,
        artifact=artifact,
        cache=cache,
        turns=turns,
        content=content,
    )
    steps.append(step)
    return step


def step_fingerprint(scorer: Scorer, available: Columns, upstream: list[str], requires: dict[str, str]) -> str:
    """Everything that decides a score beside the document: kind, version, settings, models, inputs, edits before."""
    return fingerprint(
        [
            scorer.kind,
            scorer.version,
            scorer.settings.model_dump(mode="json", exclude=set(scorer.operational)),
            [[name, available.identity(name)] for name in scorer.reads],
            upstream if "text" in scorer.reads else [],
            scorer.identity(),
            sorted(requires.items()),
        ]
    )


def _actor(scorer: Scorer) -> str:
    """What decides what a model does with prepared documents, whichever columns those were."""
    settings = scorer.settings.model_dump(mode="json")
    return fingerprint([scorer.kind, scorer.version, settings, scorer.identity()])


def _is_fitted(scorer: Scorer) -> bool:
    return type(scorer).fit is not Scorer.fit


def fits(loaded: Loaded, available: Columns) -> list[Unfitted]:
    """Every stage of the recipe that is fitted, whether it has been or not."""
    found = []
    upstream: list[str] = []
    for place, (declared, chosen) in enumerate(zip(loaded.recipe.stages, loaded.stages, strict=True)):
        if isinstance(chosen, Transform):
            upstream = [*upstream, step_fingerprint(chosen, available, upstream, {})]
        elif isinstance(chosen, Scorer) and _is_fitted(chosen):
            key = fit_key(
                loaded.recipe.name, declared.id, chosen, available, [*upstream, *_learns_from(loaded, place, available)]
            )
            found.append(Unfitted(place, declared.id, key, chosen.sample_rows))
    return found


def _learns_from(loaded: Loaded, place: int, available: Columns) -> list[str]:
    """What a fit depends on beside the text as it stands: columns that it reads, and gates that choose its rows."""
    scorer = loaded.stages[place]
    named = []
    columns = {name: available.identity(name) for name in scorer.all_reads()} if scorer.requires() else {}
    if columns.keys() - {"text"}:
        named.append(fingerprint(columns))
    if scorer.fits_on_survivors:
        earlier = zip(loaded.recipe.stages[:place], loaded.stages[:place], loaded.gates[:place], strict=True)
        gates = [[d.id, d.kind, s.settings.model_dump(mode="json"), gate.sql] for d, s, gate in earlier if gate]
        named.append(fingerprint(gates))
    return named


def _answers_folder(store: Store) -> str:
    """Where answers of services are kept: in the workspace, or for one on an object store with this user's caches."""
    if not store.far:
        return store.uri("cache")
    return str(models_folder().parent / "answers" / fingerprint([store.uri("")])[:16])


def fit_key(name: str, stage: str, scorer: Scorer, available: Columns, upstream: list[str]) -> str:
    """Names a fit, whatever the inputs are now: it stays pinned in the workspace until `--refit`."""
    text = available.identity("text")
    return fingerprint([name, stage, scorer.kind, scorer.version, scorer.fit_identity(), text, upstream])


def head_differs(store: Store, folder: str, sha256: str | None = None) -> str | None:
    """What is wrong with a fitted head: its folder's name ends in the beginning of its SHA-256."""
    try:
        found = hashlib.sha256(store.read(f"{folder}/{HEAD}")).hexdigest()
    except FileNotFoundError:
        return GONE
    return None if found == (sha256 or found) and found.startswith(folder.rpartition("-")[2]) else CHANGED


def latest_fit(manifest: Manifest, key: str) -> str | None:
    """Folder of the newest fit under this key, as a path or URL, or None: also where it is damaged or gone."""
    records = [record for record in manifest.read("fits").to_pylist() if record["fit"] == key]
    if not records:
        return None
    newest = max(records, key=lambda record: record["generation"])
    if head_differs(manifest.store, newest["artifact"], newest["sha256"]):
        return None
    return manifest.store.uri(newest["artifact"])


def _sample(shards: list[Shard], count: int) -> dict[int, tuple[int, ...]]:
    """`count` documents by hash of (file fingerprint, row): the same ones whatever else is in the input."""
    best = np.zeros(0, dtype=[("hash", "<u8"), ("shard", "<i8"), ("row", "<i8")])
    for shard in shards:
        if shard.error:
            continue
        here = np.zeros(shard.rows, dtype=best.dtype)
        here["row"] = np.arange(shard.rows)
        here["shard"] = shard.index
        here["hash"] = hash_rows(shard, here["row"])
        best = np.concatenate([best, here])
        if len(best) > count:
            best = best[np.argsort(best, order=("hash", "shard", "row"))[:count]]
    return {
        shard.index: tuple(int(row) for row in np.sort(best["row"][best["shard"] == shard.index]))
        for shard in shards
        if not shard.error
    }
