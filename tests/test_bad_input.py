"""Every kind of bad input is one clear error or a counted status, and nothing else is harmed."""

import gzip
import importlib
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from curation import registry
from curation.manifest.parts import Manifest
from curation.scorers.base import Scorer, Settings
from curation.store import open_store
from pipelines import Workspace
from pipelines.recipe.load import load
from schemas.errors import CODES, CurationError

SECRET = "swordfish"
"""Stands in every document, and must stand in no message."""
RULES = {"scorer": "rules", "profile": "gopher-quality@datatrove"}
TOP = {"select": "top", "by": "rules.words", "fraction": 1.0}


def text(number, words=60):
    return f"{SECRET} the and " + " ".join(f"w{(number * 31 + at * 7) % 997}" for at in range(words))


def write(path, first=0, rows=20, **columns):
    made = {"text": [text(n) for n in range(first, first + rows)], "n": list(range(first, first + rows))}
    pq.write_table(pa.table(made | columns), path)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe(paths="*.parquet", stages=(RULES,), **rest):
    return {"name": "bad", "input": {"path": paths, **rest.pop("input", {})}, "stages": list(stages), **rest}


def run(place, *args, workspace="ws", **rest):
    return Workspace(place / workspace).run(recipe(*args, **rest), executor="local", workers=2)


def refused(place, *args, **rest):
    """The findings of a recipe that is refused, by `check` and by `run` alike, before any score is made."""
    with pytest.raises(CurationError) as checked:
        Workspace(place / "ws").check(recipe(*args, **rest))
    with pytest.raises(CurationError) as caught:
        run(place, *args, **rest)
    assert [finding.message for finding in caught.value.findings] == [f.message for f in checked.value.findings]
    assert not (place / "ws" / "scores").exists()
    for finding in caught.value.findings:
        plain(finding.code, finding.message, finding.hint)
    return caught.value.findings


def only(findings):
    assert len(findings) == 1, findings
    return findings[0]


def plain(code, message, hint):
    """The rules that all messages follow."""
    assert code in CODES
    assert "\n" not in message
    assert "Traceback" not in message
    assert SECRET not in message + (hint or "")
    assert not message.endswith(".")


def failure(result, code):
    """The one failure of a run that failed."""
    assert result.outcome == "failed"
    assert result.dataset is None
    ((path, found),) = result.failures
    plain(found.code, found.message, found.hint)
    assert found.code == code
    return path, found


def sql(place, query, workspace="ws"):
    return Workspace(place / workspace).sql(query).to_pylist()


def dataset(result):
    return pa.concat_tables([pq.read_table(path) for path in sorted(result.dataset.glob("part-*.parquet"))])


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def named_files(place, workspace="ws"):
    """Data files that the manifest's parts name, relative to the workspace."""
    manifest = Manifest(open_store(place / workspace))
    found = []
    for kind in ("scores", "entrants", "pairs", "groups", "decisions"):
        for row in manifest.read(kind).to_pylist():
            found += [row[column] for column in ("data", "members", "links") if row.get(column)]
    return found


# --- the recipe --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "C001"),
        (b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "C001"),
        (b"name: x\x00y", "C002"),
        (b"", "C002"),
        (b"- scorer: rules\n", "C002"),
        (b"just text", "C002"),
        (b"name: a\nname: b\ninput: {path: x}\n", "C002"),
        (b"name: a\n\tinput: x\n", "C002"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_whole(place, content, code):
    path = place / "recipe.yaml"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(CurationError) as caught:
        Workspace(place / "ws").run(path)
    finding = only(caught.value.findings)
    plain(finding.code, finding.message, finding.hint)
    assert finding.code == code
    assert finding.file == str(path)
    assert not (place / "ws").exists(), "a recipe that cannot be used makes no workspace"


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"inputs": {}}, "C003", "inputs"),
        ({"stages": [RULES | {"profil": "x"}]}, "C003", "profil"),
        ({"stages": [RULES | {"thresholds": 5}]}, "C004", "thresholds"),
        ({"stages": [{"select": "top", "by": "rules.words", "fraction": 1.5}]}, "C004", "fraction"),
        ({"errors": {"documents": "many"}}, "C004", "errors.documents"),
        ({"stages": [{"scorer": "rulez"}]}, "C006", "rulez"),
        ({"stages": [RULES, RULES]}, "C007", "'rules'"),
        ({"stages": [RULES | {"id": "text"}]}, "C008", "'text'"),
        ({"stages": [RULES | {"keep": "rules.words >"}]}, "C009", "rules"),
        ({"stages": [RULES | {"keep": "rules.wurds > 1"}]}, "C010", "wurds"),
        ({"stages": [RULES | {"keep": "later.words > 1"}, RULES | {"id": "later"}]}, "C010", "later"),
        ({"stages": [RULES | {"keep": "rules.words > avg(rules.words)"}]}, "C011", "avg"),
        ({"stages": [RULES | {"keep": "row_number() over (order by rules.words) < 9"}]}, "C011", "window function"),
        ({"stages": [RULES | {"keep": "rules.words > (select 1)"}]}, "C011", "quer"),
        ({"stages": [RULES | {"keep": "rules.words > random() * 9"}]}, "C011", "random"),
        ({"stages": [RULES | {"profile": "gopher@nobody"}]}, "C012", "gopher@nobody"),
        ({"stages": [RULES, {"select": "top", "by": "rules.word", "count": 1}]}, "C014", "rules.word"),
        ({"stages": [RULES, {"select": "top", "by": "rules.reason", "count": 1}]}, "C014", "string"),
        (
            {"stages": [RULES, {"select": "top", "by": "id", "count": 1}], "input": {"columns": {"id": "n"}}},
            "C014",
            "'id'",
        ),
        ({"output": {"columns": ["text", "rules.wurds"]}}, "C025", "rules.wurds"),
        ({"stages": [RULES, {"dedup": "exact"}], "output": {"columns": ["exact.status"]}}, "C025", "exact.status"),
        ({"output": {"columns": ["text", "m"]}}, "C025", "'m'"),
        ({"output": {"columns": []}}, "C025", "empty"),
        ({"output": {"columns": ["n", "n.words"]}, "stages": [RULES | {"id": "n"}]}, "C058", "n"),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_refused_with_its_code(place, change, code, says):
    write(place / "a.parquet")
    given = recipe() | {key: value for key, value in change.items() if key != "input"}
    given["input"] = given["input"] | change.get("input", {})
    (place / "r.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
    with pytest.raises(CurationError) as caught:
        Workspace(place / "ws").run(place / "r.yaml")
    finding = only(caught.value.findings)
    plain(finding.code, finding.message, finding.hint)
    assert finding.code == code
    assert says in finding.message
    assert (finding.file, finding.line is not None) == (str(place / "r.yaml"), True)
    assert finding.excerpt
    assert not (place / "ws" / "scores").exists()


def test_everything_wrong_with_input_and_output_is_said_at_once(place):
    write(place / "a.parquet")
    findings = refused(place, input={"columns": {"text": "body", "id": "key"}}, output={"columns": ["text", "link"]})
    assert [finding.code for finding in findings] == ["C021", "C021", "C025"]


# --- which files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "code", "says"),
    [
        ("absent.parquet", "C020", "'absent.parquet' matches no file"),
        ("*.jsonl", "C020", "'*.jsonl' matches no file"),
        (["a.parquet", "./a.parquet"], "C024", "a.parquet"),
    ],
)
def test_input_that_is_not_there_is_refused_by_name(place, paths, code, says):
    write(place / "a.parquet")
    finding = only(refused(place, paths))
    assert finding.code == code
    assert says in finding.message


def test_a_missing_text_column_names_the_file_and_what_is_there(place):
    write(place / "a.parquet")
    write(place / "b.parquet")
    pq.write_table(pa.table({"body": ["x"], "n": [1]}), place / "c.parquet")
    finding = only(refused(place))
    assert finding.code == "C021"
    assert "'text'" in finding.message
    assert str(place / "c.parquet") in finding.message
    assert "a.parquet" not in finding.message
    assert "body, n" in finding.hint
    finding = only(refused(place, ["a.parquet", "b.parquet"], input={"columns": {"text": "content"}}))
    assert "'content' (for text) is missing in" in finding.message
    assert "1 file more" in finding.message
    assert "text, n" in finding.hint


@pytest.mark.parametrize(
    ("columns", "mapped"),
    [
        ({"text": [1, 2]}, {}),
        ({"text": [["a"], ["b"]]}, {}),
        ({"text": ["a", "b"], "key": [["a"], ["b"]]}, {"id": "key"}),
        ({"text": ["a", "b"], "key": [{"a": 1}, None]}, {"id": "key"}),
    ],
)
def test_a_column_that_cannot_be_what_it_is_mapped_to_is_refused(place, columns, mapped):
    pq.write_table(pa.table(columns), place / "a.parquet")
    finding = only(refused(place, input={"columns": mapped}))
    assert finding.code == "C022"


# --- files that cannot be read -----------------------------------------------------------------------------------


def damage(path):
    """Spoil a data page and leave the footer as it is."""
    data = bytearray(path.read_bytes())
    data[200:240] = b"\x55" * 40
    path.write_bytes(data)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


def empty(path):
    path.write_bytes(b"")


def pack_badly(path):
    path.with_suffix(".jsonl.gz").write_bytes(gzip.compress(json.dumps({"text": text(1)}).encode() * 99)[:-9])
    path.unlink()


@pytest.mark.parametrize("spoil", [damage, truncate, empty, pack_badly])
@pytest.mark.parametrize("stages", [[RULES], [RULES, {"dedup": "exact"}, TOP]], ids=["no barrier", "barriers"])
def test_an_unreadable_file_stops_the_run_after_the_others_were_scored(place, spoil, stages):
    for number, name in enumerate("abc"):
        write(place / f"{name}.parquet", number * 20)
    spoil(place / "b.parquet")
    paths = ["a.parquet", "b.*", "c.parquet"]
    result = run(place, paths, stages)
    path, found = failure(result, "R001")
    assert Path(path).stem.startswith("b")
    assert path in found.message
    scored = {row["row_start"] for row in Manifest(open_store(place / "ws")).read("scores").to_pylist()}
    assert scored == {0}
    assert result.scored == 40
    (error,) = sql(place, "SELECT kind, path, code, message FROM errors WHERE kind = 'shard'")
    assert (error["path"], error["code"], error["message"]) == (path, "R001", found.message)
    assert sql(place, "SELECT status FROM runs") == [{"status": "failed"}]
    assert sql(place, "SELECT * FROM datasets") == []
    # mended, only what is missing is done
    for leftover in place.glob("b.*"):
        leftover.unlink()
    write(place / "b.parquet", 20)
    again = run(place, paths, stages)
    assert (again.outcome, again.scored, again.kept) == ("done", 20, 60)
    assert files(again.dataset) == files(run(place, paths, stages, workspace="fresh").dataset)


@pytest.mark.parametrize("spoil", [damage, truncate, empty])
@pytest.mark.parametrize("stages", [[RULES], [RULES, {"dedup": "exact"}, TOP]], ids=["no barrier", "barriers"])
def test_skip_makes_the_dataset_without_the_shard_and_the_card_names_it(place, spoil, stages):
    for number, name in enumerate("abc"):
        write(place / f"{name}.parquet", number * 20)
    spoil(place / "b.parquet")
    result = run(place, stages=stages, on_bad_shard="skip")
    assert (result.outcome, result.kept) == ("done", 40)
    assert dataset(result).column("n").to_pylist() == [*range(20), *range(40, 60)]
    card = (result.dataset / "README.md").read_text()
    left_out = card.split("## Left out")[1].split("##")[0]
    assert str(place / "b.parquet") in left_out
    assert "a.parquet" not in left_out
    assert sql(place, "SELECT skipped_shards FROM datasets") == [{"skipped_shards": 1}]
    assert run(place, stages=stages, on_bad_shard="skip").outcome == "nothing-to-do"


def test_nothing_readable_at_all_is_a_failure_even_with_skip(place):
    empty(place / "a.parquet")
    empty(place / "b.parquet")
    result = run(place, on_bad_shard="skip")
    assert result.outcome == "failed"
    assert {found.code for _, found in result.failures} == {"R001"}


# --- documents ---------------------------------------------------------------------------------------------------


def test_null_empty_and_blank_texts_are_drops_with_a_reason_and_a_huge_one_is_a_document(place):
    huge = " ".join(text(n) for n in range(36_000))
    assert len(huge) > 10_000_000
    texts = [text(1), None, "", " \t\n", "\u2003\u00a0\u0085", huge, text(2)]
    pq.write_table(pa.table({"text": texts}), place / "a.parquet")
    result = run(place)
    assert (result.outcome, result.kept, result.dropped, result.errored) == ("done", 3, 4, 0)
    drops = sql(place, "SELECT row, stage, reason FROM drops ORDER BY row")
    assert [row["reason"] for row in drops] == ["null_text", "empty_text", "empty_text", "empty_text"]
    assert {row["stage"] for row in drops} == {"input"}
    assert dataset(result).column("text").to_pylist() == [text(1), huge, text(2)]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.string(), pa.large_string()], ids=str)
def test_invalid_utf8_is_an_errored_document_within_the_budget_or_a_failed_run(place, kind):
    raw = [text(1).encode(), b"\xff\xfe" + SECRET.encode(), text(2).encode(), b"cut \xe2\x82"]
    large = kind in (pa.large_binary(), pa.large_string())
    column = pa.array(raw, pa.large_binary() if large else pa.binary())
    column = column if kind in (pa.binary(), pa.large_binary()) else column.view(kind)
    pq.write_table(pa.table({"text": column, "n": [0, 1, 2, 3]}), place / "a.parquet")
    result = run(place, errors={"documents": 1})
    _, found = failure(result, "R004")
    assert "2 documents errored" in found.message
    assert (result.kept, result.errored) == (2, 2)
    errors = sql(place, "SELECT kind, row, stage, message FROM errors WHERE kind = 'document' ORDER BY row")
    assert [(row["row"], row["stage"], row["message"]) for row in errors] == [
        (1, "input", "invalid_utf8"),
        (3, "input", "invalid_utf8"),
    ]
    allowed = run(place, errors={"documents": 2})
    assert (allowed.outcome, allowed.scored) == ("done", 0)
    assert dataset(allowed).column("n").to_pylist() == [0, 2]


def test_malformed_lines_are_counted_one_by_one(place):
    lines = [
        json.dumps({"text": text(1), "n": 1}),
        '{"text": "' + SECRET,
        "",
        json.dumps([SECRET]),
        json.dumps({"text": {"nested": SECRET}, "n": 2}),
        json.dumps({"n": 3}),
        json.dumps({"text": text(2), "n": "later a string", "new": {"a": [1]}}),
    ]
    (place / "a.jsonl").write_text("\n".join(lines))
    result = run(place, "a.jsonl", errors={"documents": 3})
    assert (result.outcome, result.rows, result.kept, result.dropped, result.errored) == ("done", 6, 2, 1, 3)
    errors = sql(place, "SELECT row, message FROM errors ORDER BY row")
    assert [(row["row"], row["message"]) for row in errors] == [
        (1, "line is not valid JSON"),
        (2, "line is not a JSON object"),
        (3, "column 'text' is not of type text"),
    ]
    written = dataset(result)
    assert written.column("n").to_pylist() == ["1", "later a string"], "no value is lost because its type came late"
    assert written.column("new").to_pylist() == [None, '{"a":[1]}']
    assert written.column("text").to_pylist() == [text(1), text(2)]


def test_a_file_of_malformed_lines_alone_is_errored_documents_too(place):
    write(place / "a.parquet")
    (place / "b.jsonl").write_text("no json\nat all\n")
    result = run(place, ["a.parquet", "b.jsonl"])
    failure(result, "R004")
    assert (result.kept, result.errored) == (20, 2)


@pytest.mark.parametrize(
    ("ids", "duplicates"),
    [
        (pa.array(["a", "b", "a", "a", None, None]), 2),
        (pa.array([1, 2, 1, 3, None, 2**62], pa.int64()), 1),
        (pa.array([1, 2, 1, 3, None, 2**63], pa.uint64()), 1),
        (pa.array([b"a", b"\xff", b"\xfe", None, b"b", b"c"]), 1),
        (pa.array(["a", "b", "a", "a", None, None]).dictionary_encode(), 2),
    ],
    ids=["string", "int64", "uint64", "binary", "dictionary"],
)
def test_duplicate_null_and_odd_ids_are_counted_and_never_in_the_way(place, ids, duplicates):
    write(place / "a.parquet", rows=6, key=ids)
    result = run(place, input={"columns": {"id": "key"}})
    assert (result.outcome, result.kept, result.duplicate_ids) == ("done", 6, duplicates)
    assert sql(place, "SELECT duplicate_ids FROM datasets") == [{"duplicate_ids": duplicates}]
    assert (
        f"{duplicates:,} documents carry an id that an earlier document has"
        in (result.dataset / "README.md").read_text()
    )
    assert run(place, input={"columns": {"id": "key"}}).duplicate_ids == duplicates
    written = dataset(result).column("key").to_pylist()
    assert written == ids.to_pylist()


# --- selections at their ends ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "kept"),
    [
        ({"fraction": 0.0}, 0),
        ({"fraction": 1.0}, 20),
        ({"count": 0}, 0),
        ({"count": 10**9}, 20),
        ({"fraction": 0.29}, 5),
    ],
)
def test_a_selection_takes_nothing_everything_and_no_more_than_there_is(place, budget, kept):
    write(place / "a.parquet")
    result = run(place, stages=[RULES, {"select": "top", "by": "rules.words", **budget}])
    assert (result.outcome, result.kept, result.dropped) == ("done", kept, 20 - kept)
    assert dataset(result).num_rows == kept


# --- sources that change -----------------------------------------------------------------------------------------


def test_new_content_is_scored_and_the_old_scores_stay(place):
    write(place / "a.parquet")
    write(place / "b.parquet", 20)
    first = run(place)
    before = {name: (place / "ws" / name).read_bytes() for name in named_files(place)}
    write(place / "b.parquet", 100)
    second = run(place)
    assert (first.scored, second.scored) == (40, 20)
    assert dataset(second).column("n").to_pylist() == [*range(20), *range(100, 120)]
    assert {name: (place / "ws" / name).read_bytes() for name in before} == before
    assert dataset(first).column("n").to_pylist() == list(range(40)), "the earlier dataset is as it was"
    write(place / "b.parquet", 20)
    assert run(place).outcome == "nothing-to-do", "the old content is the old run"


def test_a_touched_file_is_the_same_file(place):
    write(place / "a.parquet")
    first = run(place)
    os.utime(place / "a.parquet", ns=(10**18, 10**18))
    second = run(place)
    assert (second.outcome, second.scored, second.run) == ("nothing-to-do", 0, first.run)


class MeddleSettings(Settings):
    path: str


class Meddle(Scorer):
    """Changes a source file while it scores the first batch."""

    kind = "meddle"
    Settings = MeddleSettings
    fields: ClassVar = [pa.field("length", pa.int64())]
    armed: ClassVar[list[bool]] = []

    def score(self, batch):
        if self.armed:
            self.armed.clear()
            path = Path(self.settings.path)
            if path.stem == "gone":
                path.unlink()
            else:
                write(path, 500)
        lengths = pa.array([len(value.as_py()) for value in batch.column("text")], pa.int64())
        return pa.RecordBatch.from_arrays([lengths], schema=pa.schema(self.fields))


@pytest.fixture
def meddle(monkeypatch):
    # imported anew by its name: the class that the registry finds is the one whose flag is raised
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or importlib.import_module(__name__))
    monkeypatch.setitem(registry.BUILTIN["scorer"], "meddle", f"{__name__}:Meddle")
    return registry.find("scorer", "meddle").armed.append


@pytest.mark.parametrize("name", ["b.parquet", "gone.parquet"])
@pytest.mark.parametrize("barrier", [False, True])
def test_a_file_that_changes_during_the_run_is_r002_and_its_new_content_counts_next_time(place, meddle, name, barrier):
    write(place / "a.parquet")
    write(place / name, 20)
    # without a barrier it changes under the pass that reads it; with one, between two passes
    stages = [{"scorer": "meddle", "path": str(place / name)}]
    if barrier:
        stages = [RULES, TOP, {"scorer": "meddle", "path": str(place / name)}]
    meddle(True)
    result = Workspace(place / "ws").run(recipe(stages=stages), executor="local", workers=1)
    path, found = failure(result, "R002")
    assert path == str(place / name)
    assert "run again" in found.hint
    assert sql(place, "SELECT path, code FROM errors WHERE kind = 'shard'") == [{"path": path, "code": "R002"}]
    again = run(place, stages=stages)
    assert again.outcome == "done"
    assert dataset(again).column("n").to_pylist() == [*range(20), *(range(500, 520) if name == "b.parquet" else ())]


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
        ('{"format_version": 2}', "C031"),
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


@pytest.mark.parametrize(("point", "hit"), POINTS)
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
    assert files(again.dataset) == files(run(place, stages=FULL, workspace="fresh").dataset)


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
            same = {p.name: p.read_bytes() for p in again.dataset.iterdir()}
            expected = {p.name: p.read_bytes() for p in Path(sys.argv[1]).iterdir()}
            outcomes.append([kib, sorted(set(codes)), growing, same == expected])
        print(json.dumps(outcomes))
        """,
        reference.dataset,
    )
    seen = set()
    for kib, codes, growing, same in outcomes:
        assert codes in ([], ["R005"], ["C030"]), (kib, codes)
        assert growing == [], kib
        assert same, kib
        seen.update(codes)
    assert "R005" in seen
    assert outcomes[-1][1] == [], "the largest disk was large enough"


def test_every_message_code_has_a_page():
    pages = (Path(__file__).parents[1] / "docs" / "errors.md").read_text()
    for code, title in CODES.items():
        assert f"### {code} {title}\n" in pages


def test_the_recipe_loader_is_what_check_uses(place):
    write(place / "a.parquet")
    (place / "r.yaml").write_text(yaml.safe_dump(recipe()))
    assert Workspace(place / "ws").check(place / "r.yaml").recipe == load(place / "r.yaml").recipe
