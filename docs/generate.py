"""Writes docs/reference from the code: recipe keys, stages, rules, views, the command line, Python.

`make docs` runs it before the site is built. What it writes is not kept in git: it is as old as the code.
"""

from __future__ import annotations

import inspect
import re
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))


def main(folder: Path = HERE / "reference") -> None:
    """Write every page into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {
        "recipe": recipe(),
        "stages": stages(),
        "rules": rules(),
        "views": views(),
        "command-line": command_line(),
        "python": python(),
    }
    for name, text in {**pages, "index": index(list(pages))}.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")


def index(pages: list[str]) -> str:
    return f"""# Reference

Made from the code of this version.

- [The recipe](recipe.md): every key, with type and default.
- [Stages](stages.md): every scorer, transform, dedup and selection, with its settings.
- [Rules](rules.md): every quality rule of every profile, with its bound and its source.
- [Views](views.md): every view and its columns.
- [Command line](command-line.md): every command and option.
- [Python](python.md): every public name.
- [Error codes](../errors.md): what each means, and what to do.

```{{toctree}}
:hidden:
{chr(10).join(pages)}
```
"""


# --- recipe and stages -----------------------------------------------------------------------------------------------


def recipe() -> str:
    from schemas.recipe import Errors, Input, Output, Recipe, Resources

    parts = [
        "# The recipe\n\nA YAML file. Unknown keys are refused. How to write one: [by example]"
        "(../how-to/write-a-recipe.md).\n",
        keys(Recipe, own={"stages": "What documents go through, in order: [stages](stages.md)."}),
        _stage_keys(),
    ]
    for name, model in (("input", Input), ("output", Output), ("errors", Errors), ("resources", Resources)):
        parts.append(f"## `{name}`\n\n{_sentence(model)}\n\n{keys(model)}")
    return "\n".join(parts)


def _stage_keys() -> str:
    from pipelines.recipe.describe import common_keys

    rows = [
        [f"`{key.key}`", key.type, "none" if key.default == "null" else _inline(str(key.default)), _inline(key.meaning)]
        for key in common_keys("scorer")
    ]
    begin = (
        "Begins with one of `scorer:`, `transform:`, `dedup:`, `select:` and the kind. Beside the kind's own settings:"
    )
    page = table(["key", "type", "default", "meaning"], rows)
    return f"## A stage\n\n{begin}\n\n{page}\n`turns` is of scorers alone; `resources` are [below](#resources).\n"


def stages() -> str:
    from curation import registry
    from pipelines.recipe.describe import describe
    from schemas.recipe import FAMILIES

    names = {"scorer": "Scorers", "transform": "Transforms", "dedup": "Dedups", "select": "Selections"}
    parts = [
        "# Stages\n\nAll kinds that are installed here, with their settings. Keys that every stage has are on the page "
        "[The recipe](recipe.md#a-stage). `curate describe KIND` prints the "
        "same.\n"
    ]
    for family in FAMILIES:
        parts.append(f"## {names[family]}\n")
        for kind in registry.BUILTIN[family]:
            found = registry.find(family, kind)
            parts.append(f"### `{family}: {kind}`\n\n{_document(found)}\n\n{keys(found.Settings)}")
            [told] = [one for one in describe(kind) if one.family == family]
            columns = ", ".join(f"`{name}` {kind_of}" for name, kind_of in told.columns)
            parts.append((f"Columns by default: {columns}. " if columns else "") + f"{told.alone}\n")
    return "\n".join(parts)


def keys(model: Any, own: dict[str, str] | None = None) -> str:
    """A table of a model's fields: name, type, default, meaning."""
    from pipelines.recipe.describe import keys_of

    rows = [
        [
            f"`{key.key}`",
            f"`{key.type}`{f' {key.bounds}' if key.bounds else ''}",
            "**needed**" if key.default is None else f"`{key.default}`",
            (own or {}).get(key.key) or _inline(key.meaning),
        ]
        for key in keys_of(model)
    ]
    return table(["key", "type", "default", "meaning"], rows) if rows else "No settings.\n"


# --- rules and views -------------------------------------------------------------------------------------------------


def rules() -> str:
    from curation.rules import PROFILES
    from pipelines.results.rules import known_rules

    parts = [
        "# Rules\n\nEach profile of `scorer: rules` and its rules, in the order in which they give reasons. "
        "`threshold` is the key under `thresholds:` in a recipe. A rule without a bound is off. `curate rules` prints "
        "the same.\n"
    ]
    for name in PROFILES:
        rows = [
            [
                f"`{row['threshold']}`",
                "off" if row["default"] is None else f"{row['rejects']} {row['default']:g}",
                f"`{row['measurement']}`",
                f"`{row['reason']}`",
                row["source"] or "",
            ]
            for row in known_rules(name).to_pylist()
        ]
        head = ["threshold", "rejects where", "measurement", "reason", "source"]
        parts.append(f"## `{name}`\n\n{table(head, rows)}")
    return "\n".join(parts)


def views() -> str:
    from curation.manifest.views import ONE_RUN, VIEWS

    parts = [
        "# Views\n\nWhat `curate sql` and `Workspace.sql` may query. [Query with SQL](../how-to/query-with-sql.md) has "
        "an example for each. A view of one run shows the run that `--run` names, or the latest.\n"
    ]
    with tempfile.TemporaryDirectory() as scratch:
        workspace = _small_workspace(Path(scratch))
        for name in VIEWS:
            text = (HERE.parent / "schemas" / "views" / f"{name}.sql").read_text(encoding="utf-8")
            lines = [line.removeprefix("--").strip() for line in text.splitlines() if line.startswith("--")]
            columns = workspace.sql(f"SELECT * FROM {name} LIMIT 0").schema
            rows = [[f"`{field.name}`", f"`{_sql_type(field.type)}`"] for field in columns]
            which = "of one run" if name in ONE_RUN else "of all runs"
            parts.append(f"## `{name}`\n\n*{which}*. {' '.join(lines)}\n\n{table(['column', 'type'], rows)}")
        parts.append(
            "`documents` has one more column for each stage, a struct named after it. Those shown are of a recipe with "
            "`scorer: language` and `dedup: exact`.\n"
        )
    return "\n".join(parts)


def _small_workspace(folder: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipelines.workspace import Workspace

    pq.write_table(pa.table({"text": ["One text in English, and no more than that."]}), folder / "one.parquet")
    workspace = Workspace(folder / "ws")
    stages_ = [{"scorer": "language"}, {"dedup": "exact"}]
    workspace.run({"name": "one", "input": {"path": str(folder / "one.parquet")}, "stages": stages_}, executor="local")
    return workspace


def _sql_type(kind: Any) -> str:
    text = str(kind)
    return "dictionary of text" if text.startswith("dictionary") else text if len(text) < 120 else f"{text[:117]}…"


# --- the command line ------------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, Any]]:
    """Every command of the command line, by the words that call it."""
    import typer.main

    from pipelines.cli.main import app

    def walk(words: str, command: Any) -> Iterator[tuple[str, Any]]:
        members = getattr(command, "commands", None)
        if members is None:
            yield words, command
            return
        for name, member in members.items():
            if not member.hidden:
                yield from walk(f"{words} {name}", member)

    yield from walk("curate", typer.main.get_command(app))


def command_line() -> str:
    from pipelines.cli.usage import examples_of

    parts = [
        "# Command line\n\nstdout is data, stderr is talk. Exit codes: 0 done, 1 ran with failures, 2 bad recipe or "
        "usage (nothing was written), 130 interrupted and resumable.\n"
    ]
    for words, command in commands():
        arguments = [item for item in command.params if item.param_type_name == "argument"]
        usage = " ".join([words, "[OPTIONS]", *(item.metavar or item.name.upper() for item in arguments)])
        parts.append(f"## `{words}`\n\n{_paragraphs(command.help or '')}\n\n```text\n{usage}\n```\n")
        rows = [
            [_names(item), _shown(item), _inline(getattr(item, "help", None) or "")]
            for item in command.params
            if not getattr(item, "hidden", False) and item.name not in ("help", "install_completion")
        ]
        if rows:
            parts.append(table(["", "default", "meaning"], rows))
        if examples_of(command.epilog or ""):
            parts.append("```console\n" + "".join(f"$ {one}\n" for one in examples_of(command.epilog)) + "```\n")
    parts.append(
        "## Environment variables\n\n" + table(["variable", "meaning"], [[f"`{n}`", t] for n, t in VARIABLES.items()])
    )
    return "\n".join(parts)


VARIABLES = {
    "CURATION_WORKSPACE": "The workspace of commands that name none.",
    "CURATION_DEVICE": "`cpu` or `cuda`: where models run. Default: a GPU where driver and torch have one.",
    "CURATION_MODELS": "Folder of pulled models. Default: `~/.cache/curation-engine/models`.",
    "CURATION_MIXED_HARDWARE": "`1`: scores of another class of hardware may stand in one workspace (C036).",
    "CURATION_DRAIN_SECONDS": "How long units that are under way may go on after an interrupt. Default: 30; in jobs 2.",
    "CURATION_SQL_MEMORY": "MB of a query, as `--memory`. Default: 2048.",
    "CURATION_SQL_SECONDS": "Seconds of a query, as `--timeout`. Default: 600.",
    "CURATION_GATE_MEMORY": "MB that evaluating a gate may take (C057). Default: 1024.",
    "CURATION_GATE_SECONDS": "Seconds of a gate for each 10,000 documents (C057). Default: 10.",
    "CURATION_REPORT": "`0`: runs write no report, as `output: {report: false}` says it of one recipe.",
    "CURATION_UI_TOKEN": "Of `curate ui`: the word that whoever asks has to know, as `--token`.",
    "NO_COLOR": "Anything: no colours.",
    "COLUMNS": "Width of tables, where no terminal says it.",
}
"""Those that users set; others pass between the engine's own processes."""


def _names(item: Any) -> str:
    if item.param_type_name == "argument":
        return f"`{(item.metavar or item.name.upper()).strip('[]')}`"
    return ", ".join(f"`{name}`" for name in [*item.opts, *item.secondary_opts])


def _shown(item: Any) -> str:
    default = item.default
    if default is None or callable(default) or item.required:
        return ""
    value = getattr(default, "value", default)
    return "" if value in (False, (), []) else f"`{value}`"


# --- Python ----------------------------------------------------------------------------------------------------------


def python() -> str:
    import curation_engine

    parts = [
        "# Python\n\n`curation_engine` holds every name that other people's code may rely on, with types. Importing it "
        "costs nothing: each name is fetched when it is first asked for.\n"
    ]
    for name in curation_engine.__all__:
        found = getattr(curation_engine, name)
        parts.append(f"## `{name}`\n")
        if not (inspect.isclass(found) or inspect.isroutine(found)):
            parts.append(f"`{found!r}`\n")
            continue
        parts.append(f"```python\n{_signature(name, found)}\n```\n\n{_document(found)}\n")
        if inspect.isclass(found):
            parts += [
                f"```python\n{_signature(member, method, name)}\n```\n\n{_document(method)}\n"
                for member, method in vars(found).items()
                if not member.startswith("_") and (inspect.isroutine(method) or isinstance(method, property))
            ]
    return "\n".join(parts)


def _signature(name: str, found: Any, owner: str = "") -> str:
    dotted = f"{owner}.{name}" if owner else name
    if isinstance(found, property):
        return f"{dotted}"
    try:
        signature = inspect.signature(getattr(found, "__func__", found))
    except (TypeError, ValueError):
        return dotted
    shown = [
        parameter.replace(
            annotation=parameter.annotation
            if parameter.annotation is inspect.Parameter.empty
            else _Plain(inspect.formatannotation(parameter.annotation).strip("'\""))
        )
        for parameter in signature.parameters.values()
        if parameter.name != "self"
    ]
    returned = signature.return_annotation
    if returned is not inspect.Signature.empty:
        returned = _Plain(inspect.formatannotation(returned).strip("'\""))
    if inspect.isclass(found):
        returned = inspect.Signature.empty
    text = f"{dotted}{signature.replace(parameters=shown, return_annotation=returned)}"
    return textwrap.fill(text, 100, subsequent_indent="    ", break_long_words=False)


class _Plain(str):
    """An annotation that is shown as it was written."""

    def __repr__(self) -> str:
        return str(self)


# --- parts -----------------------------------------------------------------------------------------------------------


def table(head: list[str], rows: list[list[str]]) -> str:
    def cell(text: str) -> str:
        return " ".join(str(text).split()).replace("|", "\\|")

    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell(value) for value in line)} |" for line in lines) + "\n"


def _document(found: Any) -> str:
    return _paragraphs(inspect.getdoc(found) or "") if getattr(found, "__doc__", None) else ""


def _sentence(model: Any) -> str:
    return " ".join((model.__doc__ or "").split())


def _inline(text: str) -> str:
    """Plain text as Markdown: what looks like markup outside of `code` stays as it was written."""
    return "`".join(
        part if index % 2 else re.sub(r"([*_<\[])", r"\\\1", part) for index, part in enumerate(text.split("`"))
    )


def _paragraphs(text: str) -> str:
    """A docstring as Markdown: what is indented, or looks like markup, stays as it was written."""
    parts = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith((" ", ">>>")) or re.search(r"^\s{2,}\S", paragraph, re.MULTILINE):
            parts.append("```text\n" + paragraph + "\n```")
        else:
            parts.append(_inline(paragraph))
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
