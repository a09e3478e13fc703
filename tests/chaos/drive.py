"""A run in a process of its own, so that it can be killed: drive.py WORKSPACE RECIPE.json EXECUTOR WORKERS."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pipelines.workspace import Workspace


def main(root: str, recipe: str, executor: str, workers: str) -> int:
    settings = json.loads(Path(recipe).read_text())
    result = Workspace(root).run(settings, executor=executor, workers=int(workers))
    facts = {"run": result.run, "outcome": result.outcome, "scored": result.scored, "steps": dict(result.steps)}
    print(json.dumps({**facts, "failures": [failure.message for _, failure in result.failures]}))
    return int(result.failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
