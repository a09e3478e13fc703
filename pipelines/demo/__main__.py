"""`make demo`: curate the documentation that this Python environment holds, and show what came of it."""

from __future__ import annotations

import os
import shutil
import sys
import time
from importlib.resources import files
from pathlib import Path

FOLDER = Path("demo")
LIMIT_BYTES = 40_000_000
"""Of text; the builder's own cap on documents keeps the demo within minutes on two cores."""


def main() -> int:
    """Build the corpus, run the recipe, print the funnel and three commands to try."""
    from pipelines.cli import summary
    from pipelines.demo.corpus import build
    from pipelines.progress import Progress
    from pipelines.render import print_table
    from pipelines.workspace import Workspace

    began = time.monotonic()
    FOLDER.mkdir(exist_ok=True)
    _say("Reading the docstrings, READMEs, licences and manuals of this Python environment ...")
    facts = build(FOLDER / "corpus", LIMIT_BYTES)
    _say(
        f"{facts.documents:,} documents ({facts.bytes / 1e6:.1f} MB of text) of {facts.packages:,} packages"
        f" in {len(facts.rows)} Parquet files"
    )
    for name in ("recipe.yaml", "seeds.jsonl"):
        with (files("pipelines.demo") / name).open("rb") as source, open(FOLDER / name, "wb") as target:
            shutil.copyfileobj(source, target)
    _say("Curating (the first run compiles the text kernels: half a minute, once) ...")
    workspace = Workspace(FOLDER / "workspace")
    progress = Progress()
    try:
        result = workspace.run(FOLDER / "recipe.yaml", executor="local", workers=os.cpu_count() or 1, report=progress)
    finally:
        progress.close()
    for line in summary(result, FOLDER / "workspace"):
        _say(line)
    if result.dataset is None:
        return 1
    sys.stderr.flush()
    print_table(workspace.funnel().drop_columns(["position", "keep"]), "table", sys.stdout)
    curate = (
        f"{Path(sys.executable).parent.relative_to(Path.cwd()) if _inside() else Path(sys.executable).parent}/curate"
    )
    where = FOLDER / "workspace"
    twin = f"{curate} sql \"SELECT doc_id FROM drops WHERE stage = 'minhash' LIMIT 1\" -f csv -w {where} | tail -n 1"
    reasons = "SELECT stage, reason, count(*) AS documents FROM drops GROUP BY ALL ORDER BY documents DESC"
    print(
        f"""
The dataset: {result.dataset.relative_to(Path.cwd())}  ({time.monotonic() - began:.0f} s in all)

Try next:
  {curate} show --kept -n 3 -w {where}
  {curate} explain "$({twin})" -w {where}
  {curate} sql "{reasons}" -w {where}"""
    )
    return 0


def _inside() -> bool:
    return Path(sys.executable).parent.is_relative_to(Path.cwd())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
