"""The steps of the proof: workspaces made by one commit or another, each in a process of its own, and compared."""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from proof import contents, inputs

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DIGEST = HERE / "digest.json"
WORKSPACES = {
    "exact": (("recipe", "text"), ("weak-to-strong", "labels")),
    "models": (
        ("recipe", "pairs"),
        ("recipe", "preferences"),
        ("recipe", "conversations"),
        ("weak-to-strong", "students"),
    ),
}
"""By workspace, what is run in it."""
OF_MACHINE = {"exact": re.compile(r"weak_to_strong/|datasets/labels/|manifest/parts/weak_"), "models": re.compile("")}
"""Names of files whose bits depend on the machine: what models make, and labels, which are made of exponentials."""
OF_LABELS = ("exact: labels", "exact: supervisors", "exact: weak_to_strong")
SETTLING = 2.2
"""Seconds after which the engine believes a file's stamps."""
SLOWER, TIMES = 1.10, 9
"""How much more CPU `curate --help` may take, of the least of so many times."""
Facts = dict[str, Any]


def write_inputs(folder: Path) -> None:
    """In a process of its own, which is rid of torch again."""
    code = "import sys; from pathlib import Path; from proof.inputs import write; write(Path(sys.argv[1]))"
    environment = {**_environment(ROOT), "PYTHONPATH": str(HERE.parent)}
    subprocess.run([sys.executable, "-P", "-c", code, folder], check=True, env=environment)
    time.sleep(SETTLING)


def work(code: Path, folder: Path, name: str, *, looks: bool = True) -> Facts:
    """Run everything in the workspaces `folder/name/`, with the code of one commit, and say what came of it;
    with `looks` also what help and views show."""
    base = folder / name
    base.mkdir(exist_ok=True)
    runs = [
        (str(base / workspace), kind, str(folder / "given" / f"{recipe}.yaml"))
        for workspace, items in WORKSPACES.items()
        for kind, recipe in items
    ]
    task, facts = base / "task.json", base / "facts.json"
    views = [str(base / workspace) for workspace in WORKSPACES]
    given = {"code": str(code), "runs": runs, "views": views if looks else [], "help": looks, "facts": str(facts)}
    task.write_text(json.dumps(given), encoding="utf-8")
    command = [sys.executable, "-P", str(HERE / "worker.py"), str(task)]
    done = subprocess.run(command, cwd=folder, env=_environment(code), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the code in {code} cannot be proved:\n{done.stderr[-4000:]}")
    found: Facts = json.loads(facts.read_text(encoding="utf-8"))
    found["base"] = str(base)
    return found


def _environment(code: Path) -> dict[str, str]:
    """Nothing of the caller's that a command reads; models on the CPU, in one thread."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CURATION_", "RAY_", "OPENAI_")) and not name.casefold().endswith("_proxy")
    }
    fixed = {"PYTHONPATH": str(code), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    return kept | fixed | {"NO_COLOR": "1", "TERM": "dumb", "CURATION_REPORT": "0"}  # reports tell times


def add_later(folder: Path) -> dict[str, int]:
    """Add a file to inputs; the documents of each, by recipe."""
    for path in inputs.LATER.values():
        os.replace(folder / "later" / path, folder / "given" / path)
    time.sleep(SETTLING)
    return dict(inputs.LATER_ROWS)


# --- what has to hold of one code ------------------------------------------------------------------------------------


def finished(facts: Facts) -> list[str]:
    """What keeps a fresh workspace from being what the proof is about."""
    return [
        f"{recipe} is {run['outcome']}: {'; '.join(run['failures'])}"
        for recipe, run in facts["runs"].items()
        if run["outcome"] != "done" or run["failures"]
    ]


def stamps(base: Path) -> dict[str, tuple[str, int]]:
    """Bytes and time of every file of the workspaces."""
    return {
        path.relative_to(base).as_posix(): (contents.hashed(path.read_bytes()), path.stat().st_mtime_ns)
        for name in WORKSPACES
        for path in (base / name).rglob("*")
        if path.is_file()
    }


def idle(facts: Facts, before: Mapping[str, Any]) -> list[str]:
    """What was done in workspaces in which nothing was to be done."""
    said = [
        f"{recipe} is {run['outcome']}, with {run['scored']} documents scored"
        for recipe, run in facts["runs"].items()
        if run["outcome"] != "nothing-to-do" or run["scored"]
    ]
    changed = contents.apart(before, stamps(Path(facts["base"])))
    # which of several finished runs was asked for last is recorded, and is no work
    return said + [line for line in changed if "/manifest/parts/asked/" not in line]


def grown(facts: Facts, before: Mapping[str, Any], later: Mapping[str, int]) -> list[str]:
    """What was done beside scoring the files that were added: `later` has the documents of each, by recipe."""
    base = Path(facts["base"])
    said = []
    for recipe, run in facts["runs"].items():
        expected = "done" if recipe in later else "nothing-to-do"
        if run["outcome"] != expected or run["failures"]:
            said.append(f"{recipe} is {run['outcome']}, not {expected}: {'; '.join(run['failures'])}")
        said += [
            f"{recipe}: step {step} scored {count} documents, of {later.get(recipe, 0)} that are new"
            for step, count in run["steps"].items()
            if count > later.get(recipe, 0)
        ]
        if recipe in later and run["steps"].get("input") != later[recipe]:
            said.append(f"{recipe}: {run['steps'].get('input')} documents read, of {later[recipe]} that are new")
    after = stamps(base)
    kept = {name: stamp for name, stamp in before.items() if not name.endswith(contents.SNAPSHOT)}
    said += contents.apart(kept, {name: after[name] for name in kept if name in after})
    for name in sorted(after.keys() - before.keys()):
        if "/manifest/parts/scores/" in name:
            said += [
                f"{name}: scores of a file that was there before"
                for row in pq.read_table(base / name).to_pylist()
                if row["file_fingerprint"] not in _new_files(base / name.partition("/")[0], before)
            ]
    return said


def _new_files(workspace: Path, before: Mapping[str, Any]) -> set[str]:
    """Fingerprints of input files that records of files allot a number since."""
    return {
        row["fingerprint"]
        for path in (workspace / "manifest/parts/files").glob("*.parquet")
        if f"{workspace.name}/manifest/parts/files/{path.name}" not in before
        for row in pq.read_table(path).to_pylist()
    }


# --- what has to be alike in two -------------------------------------------------------------------------------------


def unlike(one: Facts, other: Facts) -> dict[str, list[str]]:
    """How two codes' facts and files about the same inputs differ, by what was compared."""
    sides = [(facts, {facts["base"]: "WORKSPACES"}) for facts in (one, other)]
    said: dict[str, list[str]] = {"runs": contents.apart(one["runs"], other["runs"]), "files": [], "help": []}
    for workspace in WORKSPACES:
        pair = [contents.files(Path(facts["base"], workspace), masks) for facts, masks in sides]
        said["files"] += [f"{workspace}/{line}" for line in contents.apart(*pair)]
    for command in contents.apart(one["help"], other["help"]):
        name = command.rsplit(" ", 1)[0]
        texts = (facts["help"].get(name, "").splitlines() for facts, _ in sides)
        lines = [line for line in difflib.unified_diff(*texts, lineterm="", n=0) if line[:2] not in ("--", "++", "@@")]
        said["help"] += [f"`{name} --help`: {line}" for line in lines[:6]]
    said["views"] = contents.apart(*(columns_of(facts) for facts, _ in sides))
    said["rows of views"] = contents.apart(*(rows_of(facts, masks) for facts, masks in sides))
    return {what: lines for what, lines in said.items() if lines}


def columns_of(facts: Facts) -> dict[str, Any]:
    return {
        f"{workspace}: {view}": found["columns"]
        for workspace, views in facts["views"].items()
        for view, found in views.items()
    }


def rows_of(facts: Facts, masks: contents.Masks, workspaces: tuple[str, ...] = tuple(WORKSPACES)) -> dict[str, str]:
    return {
        f"{workspace}: {view}": contents.hashed(contents.rows_of(found["rows"], masks))
        for workspace in workspaces
        for view, found in facts["views"][workspace].items()
    }


def help_seconds(codes: list[Path], times: int = TIMES) -> list[float]:
    """Least CPU seconds of `curate --help` for each code, measured in turns."""
    measured: list[list[float]] = [[] for _ in codes]
    for turn in range(times + 1):
        for code, seconds in zip(codes, measured, strict=True):
            project = tomllib.loads((code / "pyproject.toml").read_text(encoding="utf-8"))
            module, _, name = project["project"]["scripts"]["curate"].partition(":")
            program = f"import sys; from {module} import {name}; sys.argv = ['curate', '--help']; {name}()"
            command = [sys.executable, "-P", "-c", program]
            child = subprocess.Popen(command, env=_environment(code), stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            if turn:  # the first compiles its modules
                seconds.append(usage.ru_utime + usage.ru_stime)
    return [min(seconds) for seconds in measured]


# --- what is kept of today's -----------------------------------------------------------------------------------------


def digest(folder: Path, facts: Facts) -> dict[str, dict[str, str]]:
    """What a fresh workspace, help and views come to on any machine: hashes, of files one a folder."""
    masks = {str(folder): "FOLDER"} | {run["run"]: f"RUN-{recipe}" for recipe, run in facts["runs"].items()}
    made: dict[str, dict[str, str]] = {"help": {}, "views": {}, "rows": rows_of(facts, masks, ("exact",)), "files": {}}
    for view in OF_LABELS:
        del made["rows"][view]
    made["help"] = {command: contents.hashed(text) for command, text in facts["help"].items()}
    made["views"] = {name: contents.hashed(columns) for name, columns in columns_of(facts).items()}
    for workspace in WORKSPACES:
        found = contents.files(Path(facts["base"], workspace), masks, OF_MACHINE[workspace])
        folders: dict[str, dict[str, str]] = {}
        for name, value in found.items():
            folders.setdefault(f"{workspace}/{name}".rpartition("/")[0], {})[name] = value
        made["files"] |= {name: f"{len(inside)} {contents.hashed(inside)}" for name, inside in folders.items()}
    return {what: dict(sorted(found.items())) for what, found in made.items()}


def add_worktree(revision: str, folder: Path) -> Path:
    code = folder / "code"
    subprocess.run(["git", "-C", str(ROOT), "worktree", "add", "-q", "--detach", str(code), revision], check=True)
    return code


def remove_worktree(code: Path) -> None:
    subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(code)], check=True)


def copied(folder: Path, name: str, to: str) -> None:
    for workspace in WORKSPACES:
        shutil.copytree(folder / name / workspace, folder / to / workspace, symlinks=True)
