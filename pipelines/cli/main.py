"""The command line: `curate`. stdout is data, stderr is talk.

Exit codes: 0 done, 1 failures, 2 bad recipe or usage, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from pipelines.cli.render import print_findings, put, tell
from pipelines.cli.stdout import OutputError, output_fault
from pipelines.cli.stopping import Talk
from pipelines.cli.usage import Commands, Root
from pipelines.streams import writable
from schemas.errors import CurationError, Finding

app = Commands(
    Root,
    name="curate",
    epilog="Examples: curate init crawl.parquet; curate check recipe.yaml; curate run recipe.yaml --sample 1000; "
    "curate show --kept; curate run -h",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)


def _print_version(wanted: bool) -> None:
    """As the first line of a report of a fault should have it."""
    if not wanted:
        return
    import platform
    from importlib.metadata import PackageNotFoundError, version

    try:
        number = version("curation-engine")
    except PackageNotFoundError:  # code that was sent to a cluster
        number = "of no release"
    put(f"curate {number} (Python {platform.python_version()}, {platform.system()} {platform.machine()})")
    raise typer.Exit


@app.callback()
def curate(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Curate text for training with small models as filters: score once, decide in SQL, account for every row."""


def main() -> None:
    """Entry point: errors become findings and exit codes."""
    from pipelines.cli.stdout import only_data, or_devnull

    # else pydantic looks through every installed package for plugins of its own
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    sys.stdout, sys.stderr = or_devnull(sys.stdout), or_devnull(sys.stderr)
    sys.stderr = Talk(sys.stderr)
    with only_data():
        code = _main(sys.argv[1:])
    sys.exit(code)


def _main(arguments: list[str]) -> int:
    """The exit code of a command. Nothing leaves here but by a code of docs/errors.md."""
    writable(sys.stdout)
    code = 1
    try:
        app(args=arguments, prog_name="curate")
    except CurationError as failure:
        print_findings(failure.findings)
        code = 1 if failure.findings and failure.findings[0].code.startswith("R") else 2
    except OutputError as failure:
        print_findings([output_fault(failure)])
        code = 1
    except OSError as failure:
        from curation.flow import system_failure

        found = system_failure(failure)
        print_findings([Finding(found.code, found.message, found.hint)])
    except KeyboardInterrupt:
        tell("interrupted")
        code = 130
    except BaseException as failure:
        if isinstance(failure, RuntimeError) and str(failure) == "Query interrupted":  # Ctrl-C, as DuckDB tells it
            tell("interrupted")
            code = 130
        elif isinstance(failure, SystemExit) and _is_the_end(failure):
            code = _exit_code(failure)
        else:
            from pipelines.cli import crash

            print_findings([crash.finding(failure, arguments)])
    if "curation.manifest.parts" in sys.modules:  # else nothing was read, and it brings Arrow
        from curation.manifest.parts import told_damage

        for damage in told_damage():
            tell(f"warning[{damage.code}]: {damage.message}")
    try:
        sys.stdout.flush()
    except OSError:  # the reader has what it wanted, or the terminal was closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _is_the_end(end: SystemExit) -> bool:
    """Whether the command line itself, and not code that it ran, has ended the program, or a reader that has enough."""
    if isinstance(end.__context__, BrokenPipeError):
        return True
    trace = end.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__")).split(".")[0] in ("click", "typer")


def _exit_code(end: SystemExit) -> int:
    before: BaseException | None = end.__context__
    if isinstance(before, BrokenPipeError):  # `curate sql ... | head`: the reader has what it wanted
        return 0
    while before is not None:
        if isinstance(before, KeyboardInterrupt):
            return 130
        before = before.__cause__ or before.__context__
    return end.code if isinstance(end.code, int) else int(end.code is not None)
