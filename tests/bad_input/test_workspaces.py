"""Workspaces where there can be none, that may only be read, and on a full disk."""

import json
import subprocess
import sys
import textwrap

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from bad_inputs import RULES, TOP, files, named_files, only, plain, recipe, run, write
from lengths import mostly_long

from pipelines import Workspace
from schemas.errors import CurationError

# --- workspaces --------------------------------------------------------------------------------------------------


def test_a_workspace_below_a_file_is_refused(place):
    write(place / "a.parquet")
    (place / "file").write_text("a file")
    with pytest.raises(CurationError) as caught:
        run(place, workspace="file/ws")
    finding = only(caught.value.findings)
    plain(finding.code, finding.message, finding.hint)
    assert (finding.code, "file/ws" in finding.message) == ("C030", True)
    with pytest.raises(CurationError, match="C030"):
        run(place, workspace="file")
    assert (place / "file").read_text() == "a file"


@pytest.mark.parametrize(
    ("marker", "code"),
    [
        ('{"format_version": 3}', "C031"),
        ('{"format_version": 99, "more": true}', "C031"),
        ("", "C030"),
        ("garbage", "C030"),
        ("[]", "C030"),
        ("{}", "C030"),
        ('{"format_version": "new"}', "C030"),
        ('{"format_version": null}', "C030"),
        (b"\xff\xfe\x00", "C030"),
    ],
)
def test_a_workspace_that_this_version_does_not_know_is_left_alone(place, marker, code):
    write(place / "a.parquet")
    run(place)
    (place / "ws" / "workspace.json").write_bytes(marker if isinstance(marker, bytes) else marker.encode())
    before = files(place / "ws")
    for act in (
        lambda: run(place),
        lambda: Workspace(place / "ws").sql("SELECT 1"),
        lambda: Workspace(place / "ws").check(recipe()),
    ):
        with pytest.raises(CurationError) as caught:
            act()
        finding = only(caught.value.findings)
        plain(finding.code, finding.message, finding.hint)
        assert finding.code == code
    assert files(place / "ws") == before


def unshared(script, *arguments):
    """Run Python in a mount namespace of its own; skips where that is not permitted."""
    probe = "mount -t tmpfs tmpfs /mnt"
    allowed = subprocess.run(["unshare", "-m", "sh", "-c", probe], capture_output=True, text=True, check=False)
    if allowed.returncode:
        pytest.skip(f"mounts are not permitted here: {allowed.stderr.strip()[:100]}")
    program = textwrap.dedent(script)
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.long
def test_a_read_only_workspace_is_refused(place):
    write(place / "a.parquet")
    (place / "ws").mkdir()
    (place / "r.yaml").write_text(yaml.safe_dump(recipe()))
    findings = unshared(
        """
        import json, subprocess, sys
        from pipelines import Workspace
        from schemas.errors import CurationError
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "ws"], check=True)
        try:
            Workspace("ws").run("r.yaml", executor="local")
        except CurationError as error:
            print(json.dumps([[f.code, f.message] for f in error.findings]))
        """
    )
    assert [code for code, _ in findings] == ["C030"]
    assert "Read-only file system" in findings[0][1]


# --- a full disk -------------------------------------------------------------------------------------------------


POINTS = [
    *(("before-rename", hit) for hit in (1, 3, 6, 9)),
    *(("before-part", hit) for hit in (1, 2, 5, 9, 14)),
    *(("after-data", hit) for hit in (1, 5)),
    *((point, 1) for point in ("in-group", "in-decide", "in-write", "before-publish")),
]
FULL = [RULES, {"dedup": "exact"}, TOP]


@pytest.mark.parametrize(("point", "hit"), mostly_long(POINTS, 2))
def test_no_space_left_is_one_r005_and_the_next_run_gives_the_same_dataset(place, monkeypatch, point, hit):
    write(place / "a.parquet")
    write(place / "b.parquet", 20)
    (place / "hits").mkdir()
    spec = {"point": point, "hit": hit, "error": "ENOSPC", "dir": str(place / "hits")}
    workspace = Workspace(place / "ws")
    workspace.create()
    monkeypatch.setenv("CURATION_FAILPOINTS", json.dumps(spec))
    codes = attempt(workspace, FULL)
    monkeypatch.delenv("CURATION_FAILPOINTS")
    assert (place / "hits" / f"hit-{hit}").exists(), "a run passes this point often enough"
    assert codes == ["R005"]
    assert all(pq.ParquetFile(place / "ws" / name) for name in named_files(place))
    again = run(place, stages=FULL)
    assert again.outcome in ("done", "nothing-to-do")
    assert files(again.folder) == files(run(place, stages=FULL, workspace="fresh").folder)


def attempt(workspace, stages):
    """Codes of what an attempt came to: of its failures, or of the error that it raised."""
    try:
        result = workspace.run(recipe(stages=stages), executor="local", workers=1)
    except CurationError as error:
        found = error.findings
    else:
        found = [item for _, item in result.failures]
    for item in found:
        plain(item.code, item.message, item.hint)
    return [item.code for item in found]


@pytest.mark.slow
def test_a_disk_that_is_really_full_harms_nothing(place):
    import random

    chance = random.Random(7)
    for number in range(3):
        texts = ["the and " + " ".join(f"{chance.getrandbits(40):x}" for _ in range(60)) for _ in range(200)]
        pq.write_table(pa.table({"text": texts}), place / f"{number}.parquet")
    (place / "r.yaml").write_text(yaml.safe_dump(recipe(stages=FULL)))
    reference = Workspace(place / "fresh").run(place / "r.yaml", executor="local", workers=1)
    outcomes = unshared(
        """
        import json, subprocess, sys
        from pathlib import Path
        import pyarrow.parquet as pq
        from curation.manifest.parts import Manifest
        from curation.store import open_store
        from pipelines import Workspace
        from schemas.errors import CurationError

        outcomes = []
        for kib in [*range(40, 1000, 120), 4000]:
            root = Path(f"ws-{kib}")
            root.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", root], check=True)
            try:
                result = Workspace(root).run("r.yaml", executor="local", workers=1)
                codes = [failure.code for _, failure in result.failures]
            except CurationError as error:
                codes = [finding.code for finding in error.findings]
            manifest = Manifest(open_store(root))
            for kind in ("scores", "entrants", "groups", "decisions"):
                for row in manifest.read(kind).to_pylist():
                    for column in ("data", "members", "links"):
                        if row.get(column):
                            pq.read_table(root / row[column], partitioning=None)
            growing = [str(path) for path in root.rglob(".tmp-*") if path.is_file()]
            subprocess.run(["mount", "-o", "remount,size=64m", root], check=True)
            again = Workspace(root).run("r.yaml", executor="local", workers=1)
            same = {p.name: p.read_bytes() for p in again.folder.iterdir()}
            expected = {p.name: p.read_bytes() for p in Path(sys.argv[1]).iterdir()}
            outcomes.append([kib, sorted(set(codes)), growing, same == expected])
        print(json.dumps(outcomes))
        """,
        reference.folder,
    )
    seen = set()
    for kib, codes, growing, same in outcomes:
        assert codes in ([], ["R005"], ["C030"]), (kib, codes)
        assert growing == [], kib
        assert same, kib
        seen.update(codes)
    assert "R005" in seen
    assert outcomes[-1][1] == [], "the largest disk was large enough"
