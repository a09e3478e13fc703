"""`curate demo`: real text from this Python environment, to try the engine on."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.options import Quiet
from pipelines.cli.render import counted, put, tell

app = typer.Typer(rich_markup_mode=None)


class Kind(StrEnum):
    web = "web"
    instructions = "instructions"
    topics = "topics"


@app.command(
    epilog="Examples: curate demo web --into corpus; curate demo instructions --into pairs; "
    "curate demo topics --into topics"
)
def demo(
    kind: Annotated[
        Kind,
        typer.Argument(
            help="web: documentation, licences and manuals, with duplicates and debris as in a crawl. "
            "instructions: what a function is to do, and the function. topics: texts with a true label.",
            metavar="KIND",
        ),
    ],
    into: Annotated[Path, typer.Option("--into", help="Folder for the Parquet files.")] = Path("corpus"),
    megabytes: Annotated[float, typer.Option("--megabytes", min=0.1, help="Text of `web`, at most.")] = 4.0,
    quiet: Quiet = False,
) -> None:
    """Write a corpus of real text that this Python environment holds, as Parquet. Downloads nothing.

    The same environment gives the same bytes. Prints the folder.
    """
    if kind is Kind.web:
        from pipelines.corpora import documentation

        found = documentation.build(into, int(megabytes * 1e6))
        facts = f"{counted(found.documents, 'document')}, {found.bytes / 1e6:.1f} MB, of {found.packages:,} packages"
    elif kind is Kind.instructions:
        from pipelines.corpora import functions

        pairs = functions.build(into)
        facts = f"{counted(pairs.pairs, 'pair')} of {pairs.modules:,} modules of the standard library"
    else:
        from pipelines.corpora import topics

        facts = ", ".join(f"{count:,} of '{topic}'" for topic, count in topics.build(into).texts.items())
    if not quiet:
        tell(facts)
    put(str(into))
