"""`make demo`: curate the documentation that this Python environment holds, and show what came of it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

FOLDER = Path("demo")
LIMIT_BYTES = 40_000_000
"""Of text; the builder's own cap on documents keeps the demo within minutes on two cores."""


def main() -> int:
    """Build the corpus, run the recipe, print the funnel and three commands to try."""
    from pipelines.cli.layouts import LAYOUTS
    from pipelines.cli.render import tell_text
    from pipelines.corpora.documentation import build
    from pipelines.demo.terminal import command, lay_out, run, say, shown
    from pipelines.tables import print_table
    from pipelines.workspace import Workspace

    began = time.monotonic()
    FOLDER.mkdir(exist_ok=True)
    say("Reading the docstrings, READMEs, licences and manuals of this Python environment ...")
    facts = build(FOLDER / "corpus", LIMIT_BYTES)
    say(
        f"{facts.documents:,} documents ({facts.bytes / 1e6:.1f} MB of text) of {facts.packages:,} packages"
        f" in {len(facts.rows)} Parquet files"
    )
    lay_out("pipelines.demo", ["recipe.yaml", "seeds.jsonl"], FOLDER)
    say("Curating (the first run compiles the text kernels: half a minute, once) ...")
    workspace = Workspace(FOLDER / "workspace")
    result = run(workspace, FOLDER / "recipe.yaml")
    if result.folder is None:
        return 1
    sys.stderr.flush()
    print_table(workspace.funnel(), "table", sys.stdout, LAYOUTS["funnel"])
    curate, where = command(), FOLDER / "workspace"
    twin = f"{curate} sql \"SELECT doc_id FROM drops WHERE stage = 'minhash' LIMIT 1\" -f csv -w {where} | tail -n 1"
    reasons = "SELECT stage, rule AS reason, count(*) AS documents FROM drops GROUP BY ALL ORDER BY documents DESC"
    tell_text(
        f"""
The dataset: {shown(result.folder)}  ({time.monotonic() - began:.0f} s in all)

Try next:
  {curate} show --kept -n 3 -w {where}
  {curate} explain "$({twin})" -w {where}
  {curate} sql "{reasons}" -w {where}""",
        sys.stdout,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
