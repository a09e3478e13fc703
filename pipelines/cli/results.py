"""Commands that ask a run what came of it: sql, show, explain, funnel, stats, selection."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.options import (
    WORKSPACE,
    Folder,
    Format,
    OutputFile,
    OutputFormat,
    RunId,
    TextFormat,
    Wide,
)
from pipelines.cli.render import format_of, put_json, put_markdown, put_table, put_verdicts, tell, writing_to
from pipelines.cli.talk import open_workspace
from schemas.errors import CurationError, Finding

app = typer.Typer(rich_markup_mode=None)


@app.command(
    epilog='Examples: curate sql "SELECT * FROM funnel"; '
    'curate sql "SELECT rule, count(*) FROM drops GROUP BY ALL ORDER BY 2 DESC" -f csv; '
    'echo "DESCRIBE documents" | curate sql -'
)
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT, or - to read it from stdin.", metavar="QUERY")],
    workspace: Folder = WORKSPACE,
    run: RunId = None,
    memory: Annotated[
        float | None,
        typer.Option("--memory", min=1, help="MB that the query and its result may take. Default: 2048."),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.001, help="Seconds that the query may take. Default: 600.")
    ] = None,
    format: OutputFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """Query the workspace in SQL.

    Views: runs, attempts, stages, shards, datasets, models, lineage, scorers, actors, labels, supervisors,
    weak_to_strong; of one run: documents, funnel, drops, errors, duplicate_clusters, duplicate_pairs,
    scores_histogram, distributions, statistics, audits, selections.
    """
    from curation.manifest.limits import Limits, confined
    from curation.manifest.sql import run_select, stream_select
    from curation.manifest.views import connect

    opened = open_workspace(workspace)
    opened.require()
    limits = Limits.of(memory, timeout)
    try:
        text = sys.stdin.buffer.read().decode() if query == "-" else query
        text.encode()  # an argument that is no UTF-8 has lone surrogates
    except UnicodeError:
        raise CurationError(Finding("C033", "the query is not UTF-8 text", "write it as UTF-8")) from None
    with connect(opened.manifest, run, limits, text) as connection, confined(limits):
        select = run_select if format_of(format, output) in ("table", "markdown") else stream_select
        put_table(select(connection, text, limits=limits), format, output, wide)


@app.command(
    epilog="Examples: curate show --kept -n 3; curate show --stage gopher --chars 300; "
    'curate show --reason "words < 50" -n 10; curate show --where "language.prob BETWEEN 0.5 AND 0.7"; '
    'curate show --kept --order-by "ifd.ifd DESC" --columns ifd.ifd,url; curate show -f jsonl'
)
def show(
    workspace: Folder = WORKSPACE,
    kept: Annotated[bool, typer.Option("--kept", help="Only documents that were kept.")] = False,
    dropped_by: Annotated[
        str | None, typer.Option("--dropped-by", "--stage", help="Only documents that this stage dropped.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Only documents dropped for this reason, or one that begins so.")
    ] = None,
    where: Annotated[
        str | None, typer.Option("--where", help="Only documents for which this SQL over the view documents is true.")
    ] = None,
    order_by: Annotated[
        str | None, typer.Option("--order-by", help="The first by this column or expression, perhaps with DESC.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", help="Also these, a,b: stage.column, or columns of the input.")
    ] = None,
    chars: Annotated[
        int | None,
        typer.Option("--chars", min=0, help="Most of a text; 0 for all. Default: 2,000 on a terminal."),
    ] = None,
    marks: Annotated[
        bool, typer.Option("--marks", help="Mark without colours, too: [-out-] {+in+} [found](what).")
    ] = False,
    count: Annotated[int, typer.Option("-n", min=1, help="How many.")] = 5,
    run: RunId = None,
    format: TextFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """Print documents with their text, spread over the run by hash: the same ones each time.

    On a terminal colours show what transforms took out and put in, and what redact-pii and decontaminate found.
    """
    if kept and dropped_by:
        raise CurationError(Finding("C004", "--kept and --dropped-by exclude each other", "leave one of them out"))
    from pipelines.cli.show import print_document
    from pipelines.results.show import as_table

    asked = [name.strip() for name in (columns or "").split(",") if name.strip()]
    documents = open_workspace(workspace).show(
        dropped_by=dropped_by,
        kept=True if kept else None,
        count=count,
        run=run,
        where=where,
        reason=reason,
        order_by=order_by,
        columns=asked,
        details=format is None and output is None,
    )
    rows = list(documents)
    if format is not None or output is not None:
        put_table(as_table(rows, asked, chars), format, output, wide)
        return
    for row in rows:
        print_document(row, asked, chars, marks)
    if not rows:
        tell("no such documents")


@app.command(
    epilog="Examples: curate explain crawl/a.parquet#17; curate explain 4294967313; "
    'curate explain "https://example.org/x"; curate explain crawl/a.parquet#17 --why quality'
)
def explain(
    document: Annotated[str, typer.Argument(help="path#row, doc_id, or the id column's value.", metavar="DOCUMENT")],
    workspace: Folder = WORKSPACE,
    run: RunId = None,
    why: Annotated[
        str | None, typer.Option("--why", help="Also show which pieces of the text moved this stage's score.")
    ] = None,
    count: Annotated[int, typer.Option("-n", min=1, help="With --why: how many pieces.")] = 20,
    format: TextFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """Say why a document was kept or dropped: stage, reason, values, threshold, twin and similarity."""
    import pyarrow as pa

    opened = open_workspace(workspace)
    explanations = opened.explain(document, run)
    if why is not None:
        if output is not None and len(explanations) > 1:
            hint = f"name one by path#row, such as {explanations[0].path}#{explanations[0].row}"
            raise CurationError(Finding("C004", f"{len(explanations)} documents match, for one file", hint))
        for item in explanations:
            rows = _pieces(item, why, opened.attribute(item, why), count)
            if rows is not None:
                put_table(rows, format, output, wide)
        return
    if _put_objects("documents", [item.as_dict() for item in explanations], format, output):
        return
    if format is not None or output is not None:
        rows = [row for item in explanations for row in item.rows()]
        put_table(pa.Table.from_pylist(rows), format, output, wide, "explain")
        return
    for item in explanations:
        put_verdicts(item.lines())
    if len(explanations) > 1:
        tell(f"{len(explanations)} documents match; path#row names one")


def _put_objects(name: str, rows: list[dict[str, Any]], format: Format | None, output: Path | None) -> bool:
    """Where JSON is asked for, write objects that are no rows of a table."""
    chosen = format_of(format, output, "text")
    if chosen not in ("json", "jsonl"):
        return False
    with writing_to(output) as stream:
        if chosen == "json":
            put_json({"schema_version": 1, name: rows}, 2, stream)
        else:
            for row in rows:
                put_json(row, None, stream)
    return True


def _pieces(item: Any, stage: str, attribution: Any, count: int) -> Any:
    """Pieces of one document: those that weigh most, or where the text itself is told in order, all of it."""
    import pyarrow as pa

    if attribution is None:
        tell(f"{item.path}#{item.row}: '{stage}' has no score here that pieces of the text would explain")
        return None
    shown = attribution.pieces if attribution.in_order else attribution.pieces[:count]
    rest = sum(weight for _, weight in attribution.pieces[len(shown) :])
    rows = [{"piece": piece, "weight": weight} for piece, weight in shown]
    if len(shown) < len(attribution.pieces):
        rows.append({"piece": f"({len(attribution.pieces) - len(shown)} more)", "weight": rest})
    how = (
        f"add up to {attribution.what} = {attribution.total:.6g}"
        if attribution.exact
        else f"fall of {attribution.what} without each"
    )
    tell(f"{item.path}#{item.row}, {stage}: {how}")
    return pa.Table.from_pylist(rows)


@app.command(epilog="Examples: curate funnel -w ws; curate funnel --run 41c2 -f csv")
def funnel(
    workspace: Folder = WORKSPACE,
    run: RunId = None,
    format: OutputFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """How many documents came to each stage, and how many left it."""

    put_table(open_workspace(workspace).funnel(run), format, output, wide, "funnel")


@app.command(epilog="Examples: curate stats -w ws; curate stats --stage gopher --by-source; curate stats -f csv")
def stats(
    workspace: Folder = WORKSPACE,
    stage: Annotated[str | None, typer.Option("--stage", help="Only what this stage measured.")] = None,
    by_source: Annotated[
        bool, typer.Option("--by-source", help="A row for each entry of input.path as well; NULL is all of them.")
    ] = False,
    run: RunId = None,
    format: OutputFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """Minimum, maximum, mean, deviation and quantiles of every measurement, over the documents that reached its stage.

    Quantiles come from a sketch and are within 0.8 % of the true value; all else is exact. A narrow terminal leaves out
    columns and names them; --wide shows all.
    """
    from curation.manifest.runs import choose_run

    opened = open_workspace(workspace)
    opened.require()
    run = choose_run(opened.manifest, run)
    columns, conditions = "*", ["true"]
    if not by_source:
        columns = "* EXCLUDE (source)"
        conditions.append("source IS NULL")
    if stage is not None:
        stages = opened.manifest.where("stages", run=run).sort_by("position").column("stage").to_pylist()
        if stage not in stages:
            raise CurationError(Finding("C032", f"run {run} has no stage '{stage}'", f"stages: {', '.join(stages)}"))
        conditions.append(f"stage = '{stage}'")
    if format_of(format, output) in ("table", "markdown"):
        columns += ", field AS measurement" if stage else ", stage || '.' || field AS measurement"
    rows = opened.sql(f"SELECT {columns} FROM statistics WHERE {' AND '.join(conditions)}", run)
    put_table(rows, format, output, wide, "stats")
    if format_of(format, output) in ("table", "markdown"):
        tell("quantiles are within 0.8 %, by a sketch; all else is exact")


@app.command(epilog="Examples: curate selection -w ws; curate selection diverse -w ws; curate selection -f json")
def selection(
    stage: Annotated[str | None, typer.Argument(help="One selection's stage. Default: all.", metavar="STAGE")] = None,
    workspace: Folder = WORKSPACE,
    run: RunId = None,
    format: Annotated[Format | None, typer.Option("--format", "-f", help="json or jsonl. Default: to read.")] = None,
    output: OutputFile = None,
) -> None:
    """What a selection chose: overlap with chance and with the longest, lengths, sources, coverage, examples."""
    from pipelines.results.selections import lines

    chosen = format_of(format, output, "markdown")
    if chosen not in ("json", "jsonl", "markdown"):
        raise CurationError(Finding("C004", f"--format {chosen}: a report is no table", "use json, jsonl or markdown"))
    reports = open_workspace(workspace).selections(run, stage)
    if _put_objects("selections", reports, format, output):
        return
    text = "\n\n".join("\n".join(lines(report)) for report in reports) + "\n"
    with writing_to(output) as stream:
        put_markdown(text, stream)
