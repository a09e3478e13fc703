"""Recipe and inputs → plan: which files, which shards, which fingerprints. Reads no text, opens no model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.formats.columns import Columns
from curation.manifest.parts import Manifest
from curation.plan import Plan, fingerprint
from curation.sources import SourceFile, cut_shards, find
from curation.sources.texts import stringlike
from curation.store import StoreError
from pipelines.planning.columns import at_line, check_input, readable_apart, schema_of
from pipelines.planning.fits import Unfitted
from pipelines.planning.inputs import inspect_files, sampled_rows, sources_of, unify
from pipelines.planning.outputs import output_columns
from pipelines.planning.steps import stage_plans
from pipelines.recipe.load import Loaded, parse
from schemas.documents import TEXT
from schemas.errors import CurationError, Finding


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
    """Resolve a checked recipe. Writes nothing: `record_inputs` keeps what was learned by reading files.

    Raises CurationError with every finding about the inputs and output columns, and R010 for a store.
    """
    try:
        return _resolve(loaded, manifest, sample)
    except StoreError as failure:
        raise CurationError(Finding("R010", str(failure), failure.hint)) from failure


def _resolve(loaded: Loaded, manifest: Manifest, sample: int | None) -> Resolved:
    recipe = loaded.recipe
    patterns, sources = sources_of(recipe.input)
    listing = find(patterns, loaded.home or loaded.base, sources, manifest.store.uri("").rstrip("/"))
    line = loaded.line("input", "path")
    if listing.findings:
        raise CurationError(*(at_line(loaded, line, finding) for finding in listing.findings))
    limit = recipe.input.max_document_bytes
    files, fresh = inspect_files(listing.files, manifest, limit, recipe.input.txt)
    available = Columns.of(recipe.input.columns)
    mapping = available.mapping
    unified, broken = unify(files)
    columns, of_output = output_columns(loaded, mapping, unified)
    written = {column.origin for column in columns if column.origin is not None}
    stages, unfitted = stage_plans(loaded, manifest, available)
    steps = [step for stage in stages for step in stage.steps]
    numbers = {name for step in steps for name in step.numbers}
    reads = {"text", *(name for step in steps for name in step.reads if name not in step.numbers)}
    known = set(available.names)
    texts = set(available.sources((reads & known) - {"id"}))
    measured = set(available.sources(numbers & known))
    parts = {mapping[name] for name in available.parts}
    apart = {name for name in broken if name in parts and readable_apart(files, name, available)}
    used = (texts | measured) - apart | written | ({mapping["id"]} if "id" in mapping else set())
    findings = check_input(loaded, files, available, unified, reads, numbers)
    findings += of_output
    line = loaded.line("input", "path")
    findings += [at_line(loaded, line, finding) for name, finding in broken.items() if name in used]
    if findings:
        raise CurationError(*findings)
    document_texts = {mapping["text"]} if "text" in mapping else set()
    named = {mapping["id"]} if "id" in mapping else set()
    seen = unified | dict.fromkeys(apart, TEXT)
    alone = {name for name in measured - texts - named if stringlike(seen.get(name, pa.null()))}
    reading = schema_of(
        seen | dict.fromkeys(alone, pa.float64()), texts | measured | named, document_texts, texts, available
    )
    writing = schema_of(unified, written, document_texts)
    shards = cut_shards(list(files), recipe.input.shard_bytes, limit)
    chosen = None if sample is None else sampled_rows(shards, sample)
    settings: dict[str, Any] = {
        "name": recipe.name,
        "stages": [[stage.fingerprint, stage.id, stage.keep] for stage in stages],
        "shards": [[s.path, s.fingerprint, s.row_start, s.rows, s.error] for s in shards],
        "mapping": sorted(mapping.items()),
        "columns": [column.identity for column in columns],
        "output": recipe.output.model_dump(exclude={"report"}),
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
        output_columns=columns,
        sample=chosen,
    )
    return Resolved(plan, tuple(unfitted), listing.ignored, fresh, tuple(listing.notices))


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
