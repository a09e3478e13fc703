"""All nine checks of one scorer or transform."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from curation.scorers.base import Context, Scorer, Transform
from curation.testing import checks, runs
from curation.testing.elsewhere import check_elsewhere
from curation.testing.rows import Document, build


def check_scorer(
    cls: type[Scorer],
    settings: BaseModel | Mapping[str, Any],
    documents: Sequence[Document],
    *,
    context: Context | None = None,
    pool: Sequence[Document] | None = None,
    oracle: Callable[[Document], float | str] | None = None,
    better: tuple[Sequence[Document], Sequence[Document]] | None = None,
    long: tuple[Mapping[str, Any], Document, int] | None = None,
    workspace: Callable[[Path], Any] | None = None,
) -> tuple[str, ...]:
    """Check a scorer or a transform, and return the names of the checks that were made.

    C1   No neighbour and no order of a batch changes a bit.
    C2   Nor does a long neighbour, beside which others would be padded.
    C3   Whatever comes gets a status or a score: blank, huge and odd texts, numbers that are none.
    C4   Another object and another process say the same; in runs other shards, workers and half-done work, too.
    C5   The score is what `oracle` makes of a document: a number, or a status where there is none.
    C6   `better[0]` score better than `better[1]`, in the direction that the contract declares.
    C7   What is not read is reported: `long` is settings to be changed, a document too long for them, and how many
         tokens are then read.
    C8   Equal documents score equally, so the order of the input decides between them.
    C9   The best of all shards are those of one stable sort.

    `settings` as in a recipe, or an object of `cls.Settings`. `documents` are some dozens that the scorer can read, as
    different as may be. `pool` is what a fitted scorer learns from; default: the documents. `context` says to which
    folder paths in the settings are relative. With the class `Workspace` as `workspace`, C4, C8 and C9 are asked of
    runs as well; the scorer must then be registered under its kind.

    C5 is made where there is an oracle. An orientation needs `better` and a field `truncated` needs `long`: where the
    contract declares them and they are missing here, that is what the AssertionError says.
    """
    context = context or Context(Path.cwd())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        scorer = build(cls, settings, context, documents if pool is None else pool, folder)
        checks.check_contract(scorer)
        checks.check_neighbours(scorer, documents)
        checks.check_degenerate(scorer, documents[0])
        checks.check_repeated(scorer, documents)
        check_elsewhere(scorer, documents)
        if oracle is not None:
            checks.check_oracle(scorer, documents, [oracle(document) for document in documents])
        checks.check_orientation(scorer, better)
        if long is None:
            checks.check_truncation(scorer, None)
        else:
            changed, document, tokens = long
            limited = {**scorer.settings.model_dump(), **changed}
            checks.check_truncation(
                build(cls, limited, context, pool or documents, folder), (document, documents[0], tokens)
            )
        checks.check_cut(scorer, documents)
        if isinstance(scorer, Transform):
            checks.check_edits(scorer, documents)
        if workspace is not None:
            family = "transform" if isinstance(scorer, Transform) else "scorer"
            keep = {} if scorer.default_keep is None else {"keep": "true"}
            stage = {family: scorer.kind, "id": "checked", **scorer.settings.model_dump(exclude_unset=True), **keep}
            with chdir(context.recipe_dir):
                if not scorer.sample_rows:  # what is learned depends on the pool, and so on the input's files
                    runs.check_runs(workspace, folder, [stage], documents)
                if scorer.contract.score is not None and scorer.contract.orientation:
                    runs.check_cut_of_runs(workspace, folder, stage, scorer.contract, documents)
    return tuple(
        name for name in (["C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9"]) if oracle is not None or name != "C5"
    )
