"""The proof that a change changed nothing: workspaces with every kind of stage, by two commits, compared.

    python tests/proof compare --since REV    this code against a commit, which gets a git worktree for the while
    python tests/proof compare --code PATH    the same against a checkout that is there already
    python tests/proof make FOLDER [--code PATH]    only the workspaces FOLDER/made/exact and FOLDER/made/models
    python tests/proof record                 keep today's digest, which tests/proof/test_proof.py compares with

`compare` says for each of these whether it holds, and ends with 1 where one does not:

    fresh      both commits make the same workspaces, file by file, from nothing; the same run ids and counts
    idle       this code has nothing to do in the workspaces of the other: no attempt, no file changed
    grown      with a file added to the input it scores that file alone, and writes what the other writes then
    help       `--help` of all commands is the same text
    views      the views have the same columns, and the same rows
    import     `curate --help` takes at most a tenth more CPU than the other's

Times, hosts, processes, attempts and stamps of files are left out of records and views; all other files are compared
byte by byte. A commit whose kernels were never compiled at its place spends a minute or two on that first.

The test has no older commit at hand, so it compares with `digest.json`, which holds on any machine: of the workspace
`models`, and of weak labels, it has names and shapes only, since their last bits depend on the machine, and run
ids stand in it by name, since they depend on the folder. Where a change is meant, raise the `version` behind it, say so
in CHANGELOG.md, and record the digest anew in the same commit: its diff shows which folders, views and commands change.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

sys.path[:0] = [str(path) for path in Path(__file__).resolve().parents[1:3]]

from proof import proving  # noqa: E402 - tests/ is no package, and this may be run from anywhere

SHOWN = 12
"""Lines of one comparison that are shown."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tests/proof", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make")
    make.add_argument("folder", type=Path)
    make.add_argument("--code", type=Path, default=proving.ROOT)
    compare = commands.add_parser("compare")
    which = compare.add_mutually_exclusive_group(required=True)
    which.add_argument("--since", metavar="REV")
    which.add_argument("--code", type=Path, metavar="PATH")
    compare.add_argument("--keep", type=Path, metavar="FOLDER", help="a new folder that stays, to look into")
    commands.add_parser("record")
    given = parser.parse_args()
    with _folder(getattr(given, "keep", None) or getattr(given, "folder", None)) as folder:
        if given.command == "make":
            proving.write_inputs(folder)
            said = proving.finished(proving.work(given.code.resolve(), folder, "made"))
            print(*said, sep="\n", end="\n" if said else "")
            return int(bool(said))
        if given.command == "record":
            return _record(folder)
        if given.code is not None:
            return _compare(given.code.resolve(), folder)
        code = proving.add_worktree(given.since, folder)
        try:
            return _compare(code, folder)
        finally:
            proving.remove_worktree(code)


@contextmanager
def _folder(stays: Path | None) -> Iterator[Path]:
    if stays is not None:
        stays.mkdir(parents=True)
        yield stays.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="curation-proof-") as folder:
        yield Path(folder).resolve()


def _record(folder: Path) -> int:
    proving.write_inputs(folder)
    facts = proving.work(proving.ROOT, folder, "made")
    said = proving.finished(facts)
    if said:
        print(*said, sep="\n")
        return 1
    text = json.dumps(proving.digest(folder, facts), indent=1) + "\n"
    proving.DIGEST.write_text(text, encoding="utf-8")
    return 0


def _compare(code: Path, folder: Path) -> int:
    proving.write_inputs(folder)
    theirs, ours = (proving.work(one, folder, name) for one, name in ((code, "theirs"), (proving.ROOT, "ours")))
    failed = _say("every run is done", proving.finished(theirs) + proving.finished(ours))
    unlike = proving.unlike(theirs, ours)
    failed += _say("fresh", unlike.get("runs", []) + unlike.get("files", []))
    failed += _say("help", unlike.get("help", []))
    failed += _say("views", unlike.get("views", []) + unlike.get("rows of views", []))
    proving.copied(folder, "theirs", "again")
    before = proving.stamps(folder / "again")
    again = proving.work(proving.ROOT, folder, "again")
    read = proving.unlike({**theirs, "runs": {}}, {**again, "runs": {}})
    failed += _say("idle", proving.idle(again, before) + [f"{what}: {line}" for what in read for line in read[what]])
    later = proving.add_later(folder)
    theirs, again = (proving.work(one, folder, name) for one, name in ((code, "theirs"), (proving.ROOT, "again")))
    unlike = proving.unlike(theirs, again)
    alone = proving.grown(again, before, later)
    failed += _say("grown", alone + [f"{what}: {line}" for what in unlike for line in unlike[what]])
    seconds = proving.help_seconds([code, proving.ROOT])
    ratio = seconds[1] / seconds[0]
    print(f"`curate --help`: {seconds[0]:.3f} s of CPU there, {seconds[1]:.3f} s here, ratio {ratio:.2f}")
    failed += _say("import", [f"it takes {ratio:.2f} of the other's CPU"] if ratio > proving.SLOWER else [])
    used = getrusage(RUSAGE_CHILDREN)
    print(f"{used.ru_utime + used.ru_stime:.0f} s of CPU in all")
    return int(failed > 0)


def _say(what: str, lines: list[str]) -> int:
    print(f"{what}: {'holds' if not lines else 'DOES NOT HOLD'}", flush=True)
    for line in lines[:SHOWN]:
        print(f"  {line}")
    if len(lines) > SHOWN:
        print(f"  and {len(lines) - SHOWN} more")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
