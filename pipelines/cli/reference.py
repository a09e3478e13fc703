"""Commands that say what is written elsewhere, too: describe, schema, error."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import Format, OutputFile, OutputFormat, TextFormat, Wide
from pipelines.cli.render import format_of, put, put_json, put_markdown, put_table, tell, writing_to

if TYPE_CHECKING:
    from pipelines.recipe.describe import Described

app = typer.Typer(rich_markup_mode=None)


@app.command(
    epilog="Examples: curate describe; curate describe minhash; curate describe rules profile=fineweb-paper; "
    "curate describe language -f json"
)
def describe(
    kind: Annotated[
        str | None, typer.Argument(help="What follows scorer:, transform:, dedup: or select:. Default: list them.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Argument(help="For keys without a default, so that the columns are known.", metavar="KEY=VALUE"),
    ] = None,
    format: TextFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """What a stage does, its keys with type, default and meaning, its columns, and its gate where none is written."""
    from pipelines.recipe import describe as described

    if kind is None:
        put_table(described.kinds(), format, output, wide, "kinds")
        return
    stages = described.describe(kind, _settings(settings or []))
    chosen = format_of(format, output, "text")
    if chosen == "json":
        with writing_to(output) as stream:
            put_json({"schema_version": 1, "stages": [asdict(stage) for stage in stages]}, 2, stream)
    elif chosen == "text":
        for stage in stages:
            _print(stage)
    else:
        import pyarrow as pa

        put_table(pa.Table.from_pylist([asdict(key) for stage in stages for key in stage.keys]), format, output, wide)


def _settings(given: list[str]) -> dict[str, object]:
    import yaml

    return {name: yaml.safe_load(value) for name, _, value in (item.partition("=") for item in given)}


def _print(stage: Described) -> None:
    import pyarrow as pa

    put_markdown(f"# {stage.family}: {stage.kind}\n\n{stage.text}\n\n## Keys\n")
    keys = [
        {**asdict(key), "type": f"{key.type} {key.bounds}".strip(), "default": key.default or "needed"}
        for key in stage.keys
    ]
    put_table(pa.Table.from_pylist(keys), Format.table, layout="keys")
    put_markdown("\n## Columns\n")
    identity = stage.kind.replace("-", "_")
    if stage.columns:
        rows = [{"column": f"{identity}.{name}", "type": kind} for name, kind in stage.columns]
        put_table(pa.Table.from_pylist(rows), Format.table)
    else:
        put(f"{stage.lacks}: curate describe {stage.kind} KEY=VALUE … lists them")
    put_markdown(f"\n{stage.alone}\n")


@app.command(epilog="Examples: curate schema --output curation.schema.json; curate schema")
def schema(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file for it.", metavar="FILE")] = None,
) -> None:
    """JSON Schema of recipes, for editors: completes and checks keys, with every stage that is installed here."""
    from pipelines.recipe.schema import json_schema

    with writing_to(output) as stream:
        put_json(json_schema(), 2, stream)
    if output is not None:
        tell("first line of a recipe, for VS Code's YAML extension and others:")
        put(f"# yaml-language-server: $schema={output}")


@app.command(epilog="Examples: curate error C013; curate error; curate error -f csv")
def error(
    code: Annotated[str | None, typer.Argument(help="Such as C013. Default: list them.", metavar="CODE")] = None,
    format: OutputFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """What an error code means: what happened, an example, what to do about it."""
    from pipelines.results.error_texts import codes, explained

    if code is None:
        put_table(codes(), format, output, wide)
    else:
        put_markdown(explained(code))
