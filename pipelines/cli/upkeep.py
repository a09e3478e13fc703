"""Commands for a workspace's files: export, gc, verify."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.options import (
    WORKSPACE,
    Folder,
    OutputFile,
    OutputFormat,
    Quiet,
    Wide,
)
from pipelines.cli.render import put, put_table, tell
from pipelines.cli.talk import open_workspace
from schemas.errors import CurationError, Finding, command

app = typer.Typer(rich_markup_mode=None)
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


@app.command(
    epilog="Examples: curate export --to trl --into sft -w ws; "
    "curate export 41c2 --to axolotl --into sft --test-rows 500; "
    "curate export --to trl-preference --into dpo --seed 1 --test-share 0"
)
def export(
    to: Annotated[str, typer.Option("--to", help="trl, trl-preference, axolotl or llama-factory.")],
    into: Annotated[Path, typer.Option("--into", help="New folder for the files.")],
    run: Annotated[
        str | None,
        typer.Argument(help="Label, dataset's name, run id or its beginning. Default: the latest.", metavar="RUN"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the order and of the test split.")] = 0,
    test_share: Annotated[
        float | None,
        typer.Option("--test-share", min=0, max=0.9, help="Part to hold out, about. Default: 0.05; 0 for none."),
    ] = None,
    test_rows: Annotated[
        int | None, typer.Option("--test-rows", min=0, help="Rows to hold out, at most, in place of a share.")
    ] = None,
    workspace: Folder = WORKSPACE,
    quiet: Quiet = False,
) -> None:
    """Write a finished run's instruction or preference rows as a trainer reads them; prints the folder.

    Rows are shuffled, and near-duplicate questions stay on one side of the test split. Rows that the trainer's form
    cannot hold are left out and counted by reason.
    """
    say = (lambda line: None) if quiet else tell
    done = open_workspace(workspace).export(
        to, into, run, seed=seed, test_share=test_share, test_rows=test_rows, say=say
    )
    say(f"{done.rows:,} rows: " + ", ".join(f"{count:,} to {name}" for name, count in done.written.items()))
    for reason, count in done.refused.items():
        say(f"left out: {count:,} rows, {reason}")
    put(str(done.folder))


@app.command(epilog="Examples: curate gc -w ws --dry-run; curate gc -w ws")
def gc(
    workspace: Folder = WORKSPACE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    format: OutputFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """Remove leftovers of killed attempts and what finished runs need no more; show disk use."""
    import pyarrow as pa

    from pipelines.tables.human import size

    opened = open_workspace(workspace)
    try:
        usage = opened.gc(dry_run)
    except OSError as failure:
        if failure.errno not in READ_ONLY:
            raise
        message = f"workspace {opened.store.root} cannot be written: {failure.strerror}"
        hint = f"what would go: {command('gc --dry-run', opened.store.root)}"
        raise CurationError(Finding("C030", message, hint)) from None
    rows = [
        {"folder": name, "files": usage.files[name], "bytes": number} for name, number in sorted(usage.bytes.items())
    ]
    put_table(pa.Table.from_pylist(rows), format, output, wide, "disk")
    done = "would remove" if dry_run else "removed"
    tell(f"{done} {usage.swept_files:,} leftover files, {size(usage.swept_bytes)}")
    for place in usage.damaged:
        tell(f"{place} is damaged; {'would be set aside' if dry_run else 'it is set aside'}")
    for name in usage.forgotten:
        tell(f"the dataset of run {name} is gone from disk; {'would forget it' if dry_run else 'it can be run again'}")


@app.command(epilog="Examples: curate verify -w ws; curate verify -w ws --dry-run; curate verify -f csv")
def verify(
    workspace: Folder = WORKSPACE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is damaged.")] = False,
    quiet: Quiet = False,
    format: OutputFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """Compare every file of a workspace and its datasets with what is recorded. Exit code 1 where one is damaged.

    What is damaged is moved below damaged/ in the workspace and counts as not done: the next run does it again.
    """
    import pyarrow as pa

    opened = open_workspace(workspace)
    unwritable = False

    def say(what: str) -> None:
        if not quiet:
            tell(f"verifying {what}")

    try:
        verified = opened.verify(dry_run, say)
    except OSError as failure:
        if dry_run or failure.errno not in READ_ONLY:
            raise
        unwritable = True
        verified = opened.verify(True, say)
    rows = [{"file": item.location, "code": item.code, "what": item.why} for item in verified.damaged]
    kinds = pa.schema([("file", pa.string()), ("code", pa.string()), ("what", pa.string())])
    put_table(pa.Table.from_pylist(rows, kinds), format, output, wide, "damage")
    what = f"{verified.files:,} files verified, {len(verified.damaged):,} damaged or gone"
    moved = verified.damaged and not dry_run and not unwritable
    tell(f"{what}, {verified.set_aside:,} set aside in damaged/" if moved else what)
    if unwritable:
        again = command("verify", opened.store.root)
        tell(f"nothing was set aside: workspace {opened.store.root} cannot be written; where it can: {again}")
    elif verified.damaged:
        tell("next: run their recipes again: what is missing and still needed is done again")
    if verified.damaged:
        raise typer.Exit(1)
