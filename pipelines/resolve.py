"""Recipe and inputs → plan: which files, which shards, which fingerprints. Reads no text, opens no model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curation.dedup.base import Dedup
from curation.manifest.parts import Manifest
from curation.plan import Plan, StagePlan, Step, fingerprint
from curation.scorers import input as input_step
from curation.scorers.base import Context, Scorer, Transform
from curation.sources import Shard, SourceFile, cut_shards, find_files, inspect
from curation.sources.texts import usable
from pipelines.recipe import Loaded, parse
from schemas.documents import INPUT, TEXT
from schemas.errors import CurationError, Finding


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
    files: tuple[SourceFile, ...]
    unfitted: tuple[Unfitted, ...]
    ignored: int
    """Files passed over because nothing reads their format."""


def resolve(
    loaded: Loaded, manifest: Manifest, sample: int | None = None, remember: bool = True, skip: Iterable[int] = ()
) -> Resolved:
    """Resolve a checked recipe. With `remember`, what was learned by reading files is kept for the next plan.

    Raises CurationError with every finding about the inputs and output columns.
    """
    recipe = loaded.recipe
    patterns = [recipe.input.path] if isinstance(recipe.input.path, str) else list(recipe.input.path)
    paths, findings, ignored = find_files(patterns, loaded.base)
    line = loaded.line("input", "path")
    if findings:
        raise CurationError(*(_at(loaded, line, finding) for finding in findings))
    files = tuple(_inspect(paths, manifest, remember))
    mapping = {"text": "text", **recipe.input.columns}
    unified, findings = _unify(files)
    columns = recipe.output.columns
    stage_ids = {stage.id for stage in recipe.stages}
    if columns is None:
        columns = list(unified)
    findings += _check_columns(loaded, files, mapping, unified, columns, stage_ids)
    stages, unfitted = _stages(loaded, manifest, mapping)
    needed = {mapping[name] for stage in stages for step in stage.steps for name in step.reads}
    findings += [
        Finding("C021", f"no input column is mapped to '{name}', which a stage reads", "add it to input.columns")
        for name in sorted({name for stage in stages for step in stage.steps for name in step.reads} - mapping.keys())
    ]
    if findings:
        raise CurationError(*findings)
    reading = _schema(mapping, unified, needed | {mapping[name] for name in ("text", "id") if name in mapping})
    sources = {mapping.get(name, name) for name in columns if mapping.get(name, name) in unified}
    writing = _schema(mapping, unified, sources)
    shards = cut_shards(list(files), recipe.input.shard_bytes)
    chosen = None if sample is None else _sample(shards, sample)
    settings = {
        "name": recipe.name,
        "stages": [[stage.fingerprint, stage.id, stage.keep] for stage in stages],
        "shards": [[s.path, s.fingerprint, s.row_start, s.rows, s.error] for s in shards],
        "mapping": sorted(mapping.items()),
        "columns": columns,
        "output": recipe.output.model_dump(),
        "errors": recipe.errors.model_dump(),
        "on_bad_shard": recipe.on_bad_shard,
        "sample": sample,
    }
    plan = Plan(
        run=fingerprint(settings)[:16],
        name=recipe.name if sample is None else f"{recipe.name}-sample",
        source=loaded.source,
        recipe_path=str(loaded.path or ""),
        recipe_dir=str(loaded.base),
        input=recipe.input.model_copy(update={"columns": mapping}),
        output=recipe.output,
        errors=recipe.errors,
        on_bad_shard=recipe.on_bad_shard,
        stages=tuple(stages),
        shards=tuple(shards),
        reading=reading,
        writing=writing,
        output_columns=tuple(columns),
        sample=chosen,
    )
    skipped = {shard.index: "set aside" for shard in shards if shard.index in set(skip)}
    return Resolved(plan.without(skipped) if skipped else plan, files, tuple(unfitted), ignored)


def resolve_recorded(manifest: Manifest, run: str) -> Plan:
    """The plan of a recorded run, from its recipe. Raises R002 where an input file is no longer what it was."""
    record = manifest.where("runs", run=run).to_pylist()[0]
    loaded = parse(record["recipe"], Path(record["recipe_dir"]))
    plan = resolve(loaded, manifest, record["sample"], remember=False).plan
    was = {row["path"]: row["fingerprint"] for row in manifest.where("shards", run=run).to_pylist()}
    for shard in plan.shards:
        if was.get(shard.path) not in (None, shard.fingerprint):
            raise CurationError(
                Finding("R002", f"{shard.path} changed after run {run}", "its text can no longer be shown", shard.path)
            )
    return plan


def _inspect(paths: list[str], manifest: Manifest, remember: bool) -> Iterable[SourceFile]:
    """Every file, read only if it was not seen as it is now."""
    seen: dict[tuple[str, int, int], dict[str, Any]] = {}
    for record in manifest.read("seen").to_pylist():
        if record["settled"]:
            seen[(record["path"], record["size"], record["mtime_ns"])] = record
    fresh: list[SourceFile] = []
    result: list[SourceFile] = []
    for path in paths:
        try:
            now = Path(path).stat()
            record = seen.get((path, now.st_size, now.st_mtime_ns))
        except OSError:
            record = None
        if record is None:
            file = inspect(path)
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
                pa.ipc.read_schema(pa.py_buffer(record["columns"])) if record["columns"] else None,
                record["error"],
            )
        result.append(file)
    if remember and fresh:
        rows = [
            {
                "path": file.path,
                "size": file.size,
                "mtime_ns": file.mtime_ns,
                "settled": file.settled,
                "fingerprint": file.fingerprint,
                "format": file.format,
                "rows": file.rows,
                "groups": [{"rows": rows, "bytes": size} for rows, size in file.groups],
                "columns": file.schema.serialize().to_pybytes() if file.schema is not None else None,
                "error": file.error,
            }
            for file in fresh
        ]
        manifest.commit(
            "seen", fingerprint([[r["path"], r["fingerprint"], r["mtime_ns"], r["settled"]] for r in rows]), rows
        )
    return result


def _unify(files: tuple[SourceFile, ...]) -> tuple[dict[str, pa.DataType], list[Finding]]:
    """One type for each column over all files; findings for those that have none, by name."""
    kinds: dict[str, pa.DataType] = {}
    where: dict[str, str] = {}
    broken: dict[str, Finding] = {}
    for file in files:
        for field in file.schema or ():
            kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            if field.name not in kinds:
                kinds[field.name], where[field.name] = kind, file.path
                continue
            common = _common(kinds[field.name], kind)
            if common is None:
                broken.setdefault(
                    field.name,
                    Finding(
                        "C023",
                        f"column '{field.name}' is {kinds[field.name]} in {where[field.name]} and {kind} in {file.path}",
                        "convert one of them, or leave the column out of output.columns",
                    ),
                )
            else:
                kinds[field.name] = common
    return kinds, list(broken.values())


def _common(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if _stringlike(one) and _stringlike(other):
        return pa.large_string() if pa.types.is_large_string(one) or pa.types.is_large_string(other) else pa.string()
    if _binary(one) and _binary(other):
        return pa.large_binary()
    if (usable(one) and usable(other)) and (_binary(one) or _binary(other)):
        return pa.large_binary()
    numbers = [kind for kind in (one, other) if pa.types.is_integer(kind) or pa.types.is_floating(kind)]
    if len(numbers) == 2:
        if all(pa.types.is_integer(kind) for kind in numbers):
            return pa.int64()
        return pa.float64()
    return None


def _stringlike(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _check_columns(
    loaded: Loaded,
    files: tuple[SourceFile, ...],
    mapping: dict[str, str],
    unified: dict[str, pa.DataType],
    columns: list[str],
    stages: set[str],
) -> list[Finding]:
    findings = []
    line = loaded.line("input", "columns")
    readable = [file for file in files if file.schema is not None and not file.error]
    known = ", ".join(sorted(unified)) or "none"
    for name, source in mapping.items():
        if source in unified:
            lacking = [file.path for file in readable if source not in file.schema.names]  # type: ignore[union-attr]
            if name == "text" and lacking:
                findings.append(
                    _at(
                        loaded,
                        line,
                        Finding(
                            "C021",
                            f"text column '{source}' is missing in {lacking[0]}"
                            + (f" and {len(lacking) - 1} more files" if len(lacking) > 1 else ""),
                            "map input.columns.text to a column that every file has",
                        ),
                    )
                )
            if name == "text" and not usable(unified[source]):
                findings.append(
                    _at(
                        loaded,
                        line,
                        Finding(
                            "C022",
                            f"text column '{source}' is {unified[source]}, not text",
                            "map input.columns.text to a string column",
                        ),
                    )
                )
        elif readable:
            findings.append(
                _at(
                    loaded,
                    line,
                    Finding("C021", f"input column '{source}' (for {name}) is in no file", f"columns there: {known}"),
                )
            )
    if readable:
        line = loaded.line("output", "columns")
        for column in columns:
            head = column.partition(".")[0]
            if column not in mapping and column not in unified and head not in stages:
                findings.append(
                    _at(
                        loaded,
                        line,
                        Finding(
                            "C025",
                            f"output column '{column}' is neither a column of the input nor of a stage",
                            f"columns of the input: {known}; of stages: {', '.join(sorted(stages)) or 'none'}",
                        ),
                    )
                )
    return findings


def _at(loaded: Loaded, line: int | None, finding: Finding) -> Finding:
    excerpt = None
    if line is not None:
        lines = loaded.source.splitlines()
        excerpt = lines[line - 1] if line <= len(lines) else None
    return replace(finding, file=str(loaded.path) if loaded.path else None, line=line, excerpt=excerpt)


def _schema(mapping: dict[str, str], unified: dict[str, pa.DataType], names: set[str]) -> pa.Schema:
    text = mapping["text"]
    return pa.schema(
        [pa.field(name, TEXT if name == text else unified.get(name, pa.string())) for name in sorted(names)]
    )


def _stages(loaded: Loaded, manifest: Manifest, mapping: dict[str, str]) -> tuple[list[StagePlan], list[Unfitted]]:
    first = Step(
        name=INPUT,
        family=INPUT,
        kind=INPUT,
        settings={},
        path=(),
        fingerprint=fingerprint([INPUT, input_step.VERSION, {k: mapping.get(k) for k in ("text", "id")}]),
        fields=input_step.FIELDS,
        reads=(),
    )
    shown = tuple(item for item in input_step.FIELDS if item.name != "id")
    stages = [StagePlan(0, INPUT, INPUT, INPUT, input_step.VERSION, {}, None, first.fingerprint, (first,), shown)]
    unfitted: list[Unfitted] = []
    upstream: list[str] = []
    base = str(loaded.base)
    for place, (declared, chosen, gate) in enumerate(
        zip(loaded.recipe.stages, loaded.stages, loaded.gates, strict=True)
    ):
        settings = chosen.settings.model_dump(mode="json")
        artifact = None
        if isinstance(chosen, Scorer) and _is_fitted(chosen):
            key = fit_key(loaded.recipe.name, declared.id, chosen, mapping, upstream)
            artifact = latest_fit(manifest, key)
            if artifact is None:
                unfitted.append(Unfitted(place, declared.id, key, chosen.sample_rows))
            else:
                chosen = type(chosen)(chosen.settings, Context(loaded.base, Path(artifact)))
        common = (declared.family, declared.kind, settings, base, artifact)
        steps: list[Step] = []
        if isinstance(chosen, Scorer):
            own = _steps(declared.id, chosen, (), common, mapping, upstream, steps)
            identity = own.fingerprint
            if isinstance(chosen, Transform):
                upstream = [*upstream, identity]
        else:
            for name, required in chosen.requires().items():
                _steps(f"{declared.id}/{name}", required, (name,), common, mapping, upstream, steps)
            identity = fingerprint(
                [declared.family, declared.kind, chosen.version, settings, [step.fingerprint for step in steps]]
            )
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
                steps=tuple(steps),
                fields=tuple(chosen.fields),
                columns=() if isinstance(chosen, Scorer | Dedup) else tuple(chosen.columns),
                recipe_dir=base,
            )
        )
    return stages, unfitted


def _steps(
    name: str,
    scorer: Scorer,
    path: tuple[str, ...],
    common: tuple[str, str, dict[str, Any], str, str | None],
    mapping: dict[str, str],
    upstream: list[str],
    steps: list[Step],
) -> Step:
    """The scorer's step behind those that it requires."""
    requires = {
        column: _steps(f"{name}/{column}", required, (*path, column), common, mapping, upstream, steps).fingerprint
        for column, required in scorer.requires().items()
    }
    family, kind, settings, base, artifact = common
    step = Step(
        name=name,
        family=family,
        kind=kind,
        settings=settings,
        path=path,
        fingerprint=step_fingerprint(scorer, mapping, upstream, requires),
        fields=tuple(scorer.fields),
        requires=requires,
        reads=scorer.reads,
        heavy=scorer.heavy,
        edits=isinstance(scorer, Transform),
        recipe_dir=base,
        artifact=artifact,
    )
    steps.append(step)
    return step


def step_fingerprint(scorer: Scorer, mapping: dict[str, str], upstream: list[str], requires: dict[str, str]) -> str:
    """Everything that decides a score beside the document: kind, version, settings, models, inputs, edits before."""
    return fingerprint(
        [
            scorer.kind,
            scorer.version,
            scorer.settings.model_dump(mode="json"),
            [[name, mapping.get(name)] for name in scorer.reads],
            upstream,
            scorer.identity(),
            sorted(requires.items()),
        ]
    )


def _is_fitted(scorer: Scorer) -> bool:
    return type(scorer).fit is not Scorer.fit


def fits(loaded: Loaded, mapping: dict[str, str]) -> list[Unfitted]:
    """Every stage of the recipe that is fitted, whether it has been or not."""
    found = []
    upstream: list[str] = []
    for place, (declared, chosen) in enumerate(zip(loaded.recipe.stages, loaded.stages, strict=True)):
        if isinstance(chosen, Transform):
            upstream = [*upstream, step_fingerprint(chosen, mapping, upstream, {})]
        elif isinstance(chosen, Scorer) and _is_fitted(chosen):
            key = fit_key(loaded.recipe.name, declared.id, chosen, mapping, upstream)
            found.append(Unfitted(place, declared.id, key, chosen.sample_rows))
    return found


def fit_key(name: str, stage: str, scorer: Scorer, mapping: dict[str, str], upstream: list[str]) -> str:
    """Names a fit, whatever the inputs are now: it stays pinned in the workspace until `--refit`."""
    return fingerprint([name, stage, scorer.kind, scorer.version, scorer.fit_identity(), mapping["text"], upstream])


def latest_fit(manifest: Manifest, key: str) -> str | None:
    """Folder of the newest fit under this key, absolute, or None."""
    records = [record for record in manifest.read("fits").to_pylist() if record["fit"] == key]
    if not records:
        return None
    return str(manifest.store.path(max(records, key=lambda record: record["generation"])["artifact"]))


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


def hash_rows(shard: Shard, rows: np.ndarray) -> np.ndarray:
    """A hash uint64 for each row of a shard, of its file's content and its place in the file (splitmix64)."""
    state = np.uint64(int(shard.fingerprint[:16], 16)) + (
        np.uint64(shard.row_start) + rows.astype(np.uint64)
    ) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
