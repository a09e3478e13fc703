"""Commands that judge a recipe by labels: audit sample, label, read, report."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.options import (
    WORKSPACE,
    Folder,
    Format,
    OutputFile,
    OutputFormat,
    RunId,
    Wide,
)
from pipelines.cli.render import put_table, tell, tell_text
from pipelines.cli.talk import open_workspace
from schemas.errors import command

if TYPE_CHECKING:
    from pipelines.results.audit import Answer

KEYS: dict[str, Answer] = {"g": "good", "b": "bad", "u": "unsure", "s": "skip", "q": "quit"}

audit_app = typer.Typer(
    help="Is the recipe right? Label a sample by hand: precision, recall, false drops.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@audit_app.command(
    "sample",
    epilog="Examples: curate audit sample -w ws --into audit.csv; "
    "curate audit sample --run 41c2 --rows 400 --seed 1 --into second.csv",
)
def audit_sample(
    workspace: Folder = WORKSPACE,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Documents to label.")] = 200,
    into: Annotated[
        Path | None, typer.Option("--into", help="New CSV. Default: none, for `curate audit label`.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed, other documents.")] = 0,
    run: RunId = None,
    format: OutputFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """Choose documents to label: half of them kept, half dropped, some of each stage and reason.

    The same ones each time. The CSV does not say what became of a document: write good or bad (yes/no, 1/0, keep/drop)
    or unsure into its column `label`, and give it to `curate audit read`.
    """
    import pyarrow as pa

    sampled = open_workspace(workspace).audit_sample(rows=rows, into=into, seed=seed, run=run)
    strata = [
        {"stratum": item.name, "documents": item.size, "sampled": item.sampled, "weight": item.size / item.sampled}
        for item in sampled.strata
    ]
    put_table(pa.Table.from_pylist(strata), format, output, wide, "strata")
    tell(sampled.left_out)
    then = command(f"audit read {shlex.quote(str(into))}" if into else "audit label", workspace)
    tell(f"audit {sampled.audit}; {'when it is labelled' if into else 'next'}: {then}")


@audit_app.command("label", epilog="Examples: curate audit label -w ws; curate audit label --run 41c2")
def audit_label(
    workspace: Folder = WORKSPACE,
    run: RunId = None,
    format: OutputFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """Label the latest sample here: g good, b bad, u unsure, s skip, q quit.

    Answers are kept as they come; it goes on there.
    """
    _report(open_workspace(workspace).audit_label(_ask, run=run), format, output, wide)


@audit_app.command("read", epilog="Examples: curate audit read audit.csv -w ws; curate audit read audit.csv -f json")
def audit_read(
    file: Annotated[Path, typer.Argument(help="CSV of `curate audit sample`, labelled.", metavar="CSV")],
    workspace: Folder = WORKSPACE,
    run: RunId = None,
    format: OutputFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """Take the labels of a CSV, all or none, and print the report. A document labelled anew has its latest label."""
    opened = open_workspace(workspace)
    taken = opened.audit_read(file, run)
    tell(f"{taken.new:,} new labels, {taken.changed:,} changed, {taken.same:,} known; {taken.blank:,} rows without one")
    _report(opened.audit_report(taken.run, taken.audit), format, output, wide)


@audit_app.command("report", epilog="Examples: curate audit report -w ws; curate audit report --run 41c2 -f csv")
def audit_report(
    workspace: Folder = WORKSPACE,
    run: RunId = None,
    format: OutputFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """Precision, recall and false drops by stage and reason, weighted by strata, with 95 % intervals."""
    _report(open_workspace(workspace).audit_report(run), format, output, wide)


def _report(report: Any, format: Format | None, output: Path | None, wide: bool) -> None:
    put_table(report.table(), format, output, wide, "audit")
    for line in report.lines():
        tell(line)


def _ask(document: dict[str, Any], left: int) -> Answer:
    """Show a document on stderr and wait for g, b, u, s or q: a key on a terminal, else a line of stdin."""
    from pipelines.cli.show import put_behind_bar
    from pipelines.results.audit import PARTS

    tell(f"--- {document['path']}#{document['row']}  ({left:,} left)")
    shown = {name: document[name] for name in PARTS if name in document} or {"text": document["text"]}
    for name, text in shown.items():
        if len(shown) > 1:
            tell(f"[{name}]")
        put_behind_bar(text or "", (), 0, False, sys.stderr)
    while True:
        tell_text("[g]ood [b]ad [u]nsure [s]kip [q]uit: ", end="")
        key = typer.getchar() if sys.stdin.isatty() else sys.stdin.readline() or "q"
        tell(key.strip())
        if key[:1].lower() in KEYS:
            return KEYS[key[:1].lower()]
