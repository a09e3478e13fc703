"""How help looks: commands in groups, whole sentences over the whole width, examples that can be copied."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

GROUPS: dict[str, dict[str, str]] = {
    "Data": {
        "init": "start",
        "auto": "start",
        "diagnose": "start",
        "check": "runs",
        "plan": "runs",
        "preview": "start",
        "run": "runs",
        "retry": "runs",
        "export": "upkeep",
        "path": "datasets",
    },
    "Look": {
        "ui": "ui",
        "status": "runs",
        "funnel": "results",
        "show": "results",
        "explain": "results",
        "what-if": "what_if",
        "diff": "diff",
        "stats": "results",
        "report": "report",
        "selection": "results",
        "sql": "results",
        "audit": "audit:audit_app",
    },
    "Models": {"models": "models:models_app", "train-scorer": "models", "weak-to-strong": "weak_to_strong:app"},
    "Cluster": {"submit": "runs", "jobs": "jobs:app"},
    "Workspace": {"verify": "upkeep", "gc": "upkeep"},
    "Reference": {
        "recipes": "shipped",
        "demo": "demo",
        "describe": "reference",
        "rules": "shipped",
        "schema": "reference",
        "error": "reference",
    },
}
"""Commands by what they are for, in the order of the page, and the module of `pipelines.cli` that each is in, one of
its `app`; with a colon, the group of commands that is there."""
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
    """What a command's page and a group's have in common, and how both take their values."""

    epilog: str | None
    options_metavar: str | None

    def get_params(self, ctx: Any) -> Any:
        parameters = super().get_params(ctx)  # type: ignore[misc]
        for parameter in parameters:
            of_typer = getattr(parameter, "get_runtime_param", None)
            if of_typer is not None and not isinstance(of_typer, partial):
                parameter.get_runtime_param = partial(_Conversion, parameter, of_typer)
        return parameters

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
        for parameter in self.get_params(ctx):
            if parameter.param_type_name == "argument":
                name = parameter.metavar or parameter.name.upper()
                many = "..." if parameter.nargs != 1 else ""
                pieces.append(f"{name}{many}" if parameter.required else f"[{name}]{many}")
        return pieces


class Command(_Page, TyperCommand):
    """A command with such a page."""


class _Conversion:
    """Of a parameter's value to its type. Typer asks pydantic, a tenth of a second: where there is nothing to convert,
    it is not asked."""

    def __init__(self, parameter: Any, of_typer: Callable[[], Any]) -> None:
        self.single = parameter.nargs == 1 and not parameter.multiple
        self.is_text = parameter.type_descriptor.annotation is str
        self.of_typer = of_typer

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        if self.single and (value is None or (self.is_text and isinstance(value, str) and value.isascii())):
            return value
        return self.of_typer().coerce(value, param=param, ctx=ctx)


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


class Root(Group):
    """All commands by GROUPS. Whoever asks for one does not wait for the others."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands()  # type: ignore[assignment]


class _Commands(Mapping[str, Any]):
    """Those of GROUPS by name, each made with its module's others when it is asked for."""

    def __init__(self) -> None:
        self._homes = {name: home for homes in GROUPS.values() for name, home in homes.items()}
        self._commands: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._commands:
            module, _, group = self._homes[name].partition(":")
            commands = Commands()
            instance = getattr(import_module(f"pipelines.cli.{module}"), group or "app")
            commands.add_typer(instance, name=name if group else None)
            self._commands.update(get_group(commands).commands)
        return self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)


def grouped(names: list[str]) -> dict[str, list[str]]:
    """Commands by the title that they stand under. Those below another command are in no group of their own."""
    if not {"run", "sql"} <= set(names):
        return {"Commands": names}
    groups = {title: [name for name in homes if name in names] for title, homes in GROUPS.items()}
    return {title: members for title, members in groups.items() if members}


class Commands(typer.Typer):
    """Typer's, with such pages for all commands that are added to it."""

    def __init__(self, cls: type[TyperGroup] = Group, **settings: Any) -> None:
        super().__init__(cls=cls, context_settings=SETTINGS, rich_markup_mode=None, **settings)

    def add_typer(self, typer_instance: typer.Typer, **settings: Any) -> None:
        for command in typer_instance.registered_commands:
            command.cls = Command
        super().add_typer(typer_instance, cls=Group, **settings)
