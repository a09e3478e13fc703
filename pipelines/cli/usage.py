"""How help looks: commands in groups, whole sentences over the whole width, examples that can be copied."""

from __future__ import annotations

import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

GROUPS = {
    "Data": "init auto diagnose check plan preview run retry export path",
    "Look": "status funnel show explain what-if diff stats selection sql audit",
    "Models": "models train-scorer weak-to-strong",
    "Cluster": "submit jobs",
    "Workspace": "verify gc",
    "Reference": "recipes demo describe rules schema error",
}
"""Commands by what they are for, in the order of the page."""
SETTINGS = {"help_option_names": ["--help", "-h"], "max_content_width": 1_000}
"""Of every command: the help's names, the one first that errors name, and as wide as the terminal is."""
_EXAMPLE = re.compile(r"""(?:'[^']*'|"[^"]*"|[^;'"])+""")
_LONGEST = 1_000
"""Characters of a sentence that says what a command does: it is wrapped, never cut."""


def examples_of(epilog: str) -> list[str]:
    """The commands of `Examples: a; b "x; y"; echo z | c`; none of an epilog of another kind."""
    label, _, text = epilog.partition(":")
    if label not in ("Example", "Examples"):
        return []
    return [example.strip() for example in _EXAMPLE.findall(text) if example.strip()]


class _Page:
    """What a command's page and a group's have in common."""

    epilog: str | None
    options_metavar: str | None

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Examples on a line each, however long: a command that is wrapped cannot be copied."""
        examples = examples_of(self.epilog or "")
        if not examples:
            super().format_epilog(ctx, formatter)  # type: ignore[misc]
            return
        with formatter.section("Example" if len(examples) == 1 else "Examples"):
            formatter.write("".join(f"{'':>{formatter.current_indent}}{example}\n" for example in examples))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`[OPTIONS] RECIPE [STAGE]`: in brackets what may be left out, as everywhere."""
        pieces = [self.options_metavar] if self.options_metavar else []
        for parameter in self.get_params(ctx):  # type: ignore[attr-defined]
            if parameter.param_type_name == "argument":
                name = parameter.metavar or parameter.name.upper()
                many = "..." if parameter.nargs != 1 else ""
                pieces.append(f"{name}{many}" if parameter.required else f"[{name}]{many}")
        return pieces


class Command(_Page, TyperCommand):
    """A command with such a page."""


class Group(_Page, TyperGroup):
    """A group with such a page: what it can do first, its options after."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [*super().collect_usage_pieces(ctx), self.subcommand_metavar]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        self.format_commands(ctx, formatter)
        TyperCommand.format_options(self, ctx, formatter)  # type: ignore[arg-type]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands by GROUPS where they are several groups', else in one list."""
        sentences = {
            name: command.get_short_help_str(_LONGEST)
            for name in self.list_commands(ctx)
            if (command := self.get_command(ctx, name)) is not None and not command.hidden
        }
        width = max(map(len, sentences), default=0)
        for title, names in grouped(list(sentences)).items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{width}}", sentences[name]) for name in names])


def grouped(names: list[str]) -> dict[str, list[str]]:
    """Commands by the title that they stand under. Those below another command are in no group of their own."""
    titles = {name: title for title, listed in GROUPS.items() for name in listed.split()}
    if not {"run", "sql"} <= set(names):
        return {"Commands": names}
    groups = {title: [name for name in listed.split() if name in names] for title, listed in GROUPS.items()}
    groups["More"] = [name for name in names if name not in titles]
    return {title: members for title, members in groups.items() if members}


class Commands(typer.Typer):
    """Typer's, with such pages for all commands that are added to it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=Group, context_settings=SETTINGS, rich_markup_mode=None, **settings)

    def add_typer(self, typer_instance: typer.Typer, **settings: Any) -> None:
        for command in typer_instance.registered_commands:
            command.cls = Command
        super().add_typer(typer_instance, cls=Group, **settings)
