"""An audit of a real run: the same sample each time, outcomes hidden, labels back by any way, and weights right."""

from __future__ import annotations

import csv
import io
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli.main import _main
from pipelines.results.audit import Answer
from pipelines.results.audit_csv import CHARACTERS
from pipelines.workspace import Workspace
from schemas.errors import CurationError

Row = dict[str, str]
ROWS = 120
COLUMNS = ["audit", "doc_id", "path", "row", "label", "note", "left_out", "text"]


def rows_of(path: Path) -> list[Row]:
    with open(path, encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def write(path: Path, rows: list[Row], delimiter: str = ",", encoding: str = "utf-8-sig", end: str = "\n") -> Path:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(stream.getvalue().encode(encoding, errors="replace"))
    return path


def is_good(row: Row) -> bool:
    """Somebody who likes long texts."""
    return len(row["text"].split()) > 75


@pytest.fixture
def workspace(mine: Any) -> Workspace:
    return mine[1].workspace  # type: ignore[no-any-return]


@pytest.fixture
def sampled(workspace: Workspace, tmp_path: Path) -> Path:
    workspace.audit_sample(rows=ROWS, into=tmp_path / "audit.csv")
    return tmp_path / "audit.csv"


@pytest.fixture
def labelled(sampled: Path, tmp_path: Path) -> Path:
    rows = [{**row, "label": "good" if is_good(row) else "bad"} for row in rows_of(sampled)]
    return write(tmp_path / "labelled.csv", rows)


# --- the sample ----------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_the_same_documents_whatever_the_order_of_files_the_workers_and_the_shards(
    corpus: Path, light: Callable[..., Any], tmp_path: Path
) -> None:
    found = []
    for number, (workers, shard_bytes) in enumerate([(1, 20_000), (2, 10**6)]):
        crawl = Path(shutil.copytree(corpus, tmp_path / str(number) / "crawl"))
        if number:
            (crawl / "a.parquet").rename(crawl / "z.parquet")
            (crawl / "g.parquet").rename(crawl / "b.parquet")
        settings = light(crawl)
        settings["stages"] = settings["stages"][:3]  # a dedup keeps the first
        settings["input"]["shard_bytes"] = shard_bytes
        settings["output"] = {}
        workspace = Workspace(tmp_path / str(number) / "ws")
        assert workspace.run(settings, executor="local", workers=workers).outcome == "done"
        workspace.audit_sample(rows=80)
        workspace.audit_sample(rows=80, seed=1)
        files = {row["path"]: row["fingerprint"] for row in workspace.manifest.read("seen").to_pylist()}
        shown = workspace.sql("SELECT right(audit, 1) AS seed, path, row, kept FROM audits").to_pylist()
        found.append([(row["seed"], files[row["path"]], row["row"], row["kept"]) for row in shown])
    assert found[0] == found[1]
    by_seed = [{row[1:3] for row in found[0] if row[0] == seed} for seed in "01"]
    assert len(by_seed[0]) == len(by_seed[1]) == 80
    assert len(by_seed[0] & by_seed[1]) < 60


def test_sampling_again_commits_nothing_and_gives_the_same_file(
    workspace: Workspace, sampled: Path, tmp_path: Path
) -> None:
    workspace.audit_sample(rows=ROWS, into=tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == sampled.read_bytes()
    assert len(workspace.manifest.keys("audits")) == 1


def test_strata_are_all_but_errors_blanks_and_copies_and_their_sizes_are_true(workspace: Workspace) -> None:
    made = workspace.audit_sample(rows=ROWS)
    counts = Counter(
        (row["outcome"], row["dropped_by"]) for row in workspace.sql("SELECT * FROM documents").to_pylist()
    )
    assert made.errored == sum(size for (outcome, _), size in counts.items() if outcome == "errored") > 0
    assert made.blank == counts.pop(("dropped", "input")) > 0
    assert made.copies == counts.pop(("dropped", "exact")) + counts.pop(("dropped", "minhash")) > 0
    sizes: Counter[tuple[str, str | None]] = Counter()
    for stratum in made.strata:
        sizes["kept" if stratum.stage is None else "dropped", stratum.stage] += stratum.size
        assert min(5, stratum.size) <= stratum.sampled <= stratum.size
    assert sizes == {key: size for key, size in counts.items() if key[0] != "errored"}
    assert sum(stratum.sampled for stratum in made.strata) == ROWS
    assert made.strata[0].sampled == ROWS // 2
    there = workspace.sql(
        "SELECT dropped_by, stratum_reason, any_value(stratum_sampled) AS sampled, count(*) AS n, sum(weight) AS size "
        "FROM audits WHERE stratum_reason IS NULL OR stratum_reason = rule GROUP BY ALL"
    ).to_pylist()
    assert {(row["dropped_by"], row["stratum_reason"], row["n"], round(row["size"])) for row in there} == {
        (stratum.stage, stratum.reason, stratum.sampled, stratum.size) for stratum in made.strata
    }


def test_the_file_has_no_column_that_tells_what_became_of_a_document(sampled: Path) -> None:
    rows = rows_of(sampled)
    assert list(rows[0]) == COLUMNS
    assert {(row["label"], row["note"], row["left_out"]) for row in rows} == {("", "", "0")}
    assert not {"kept", "dropped"} & {cell for row in rows for cell in row.values()}


def test_texts_are_those_that_the_output_has(mine: Any, sampled: Path) -> None:
    run, held = mine
    output = {}
    for part in (held.root / f"datasets/manual/{run}/data").glob("*.parquet"):
        table = pq.read_table(part)
        output |= dict(zip(table.column("id").to_pylist(), table.column("text").to_pylist(), strict=True))
    documents = held.workspace.sql("SELECT doc_id, id FROM documents").to_pylist()
    ids = {row["doc_id"]: row["id"] for row in documents}
    compared = [row for row in rows_of(sampled) if ids[int(row["doc_id"])] in output]
    assert len(compared) == ROWS // 2
    for row in compared:
        assert row["text"] == output[ids[int(row["doc_id"])]]


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Workspace]:
    """`small(texts, stages, columns)`: a finished run of them."""

    def make(columns: dict[str, list[Any]], stages: list[Any], mapped: dict[str, str] | None = None) -> Workspace:
        pq.write_table(pa.table(columns), tmp_path / "in.parquet")
        recipe = {"name": "s", "input": {"path": str(tmp_path / "in.parquet"), "columns": mapped or {}}}
        workspace = Workspace(tmp_path / "ws")
        assert workspace.run({**recipe, "stages": stages}, executor="local", workers=1).outcome == "done"
        return workspace

    return make


def test_the_order_does_not_tell_either(small: Any, tmp_path: Path) -> None:
    """In the order by which they are chosen, those of which few are taken would come first."""
    texts = ["two words" if place % 200 else "one" for place in range(2000)]
    stage = {"scorer": "rules", "id": "r", "profile": "gopher-quality@datatrove", "keep": "r.words > 1"}
    workspace = small({"text": texts}, [stage])
    workspace.audit_sample(rows=40, into=tmp_path / "a.csv")
    places = [place for place, row in enumerate(rows_of(tmp_path / "a.csv")) if row["text"] == "one"]
    assert len(places) == 10
    assert min(places) < 10 < 20 < max(places)


LINES = "The first line of it ends with a full stop here.\nShare on your page\n" + "And so does this line of it.\n" * 4


def test_a_document_that_was_dropped_early_is_shown_as_the_output_would_have_it(small: Any, tmp_path: Path) -> None:
    stages = [
        {"scorer": "rules", "id": "r", "profile": "gopher-quality@datatrove", "keep": "r.words > 1000"},
        {"transform": "remove-lines", "profile": "c4@datatrove"},
        {"transform": "redact-pii"},
    ]
    texts = [LINES, f"{LINES}Write to jo@example.org about it all.", "Nothing that stays", LINES.replace("it", "that")]
    workspace = small({"text": texts}, stages)
    workspace.audit_sample(into=tmp_path / "a.csv")
    shown = {int(row["row"]): row["text"] for row in rows_of(tmp_path / "a.csv")}
    assert all("Share on" not in text and "jo@" not in text for text in shown.values())
    assert [len(shown[row]) > 100 for row in range(4)] == [True, True, False, True]


def test_long_texts_are_cut_and_formulas_are_no_formulas(small: Any, tmp_path: Path) -> None:
    texts = [
        "é" * (CHARACTERS + 7),
        '=HYPERLINK("http://x")',
        "- item, with a comma",
        'two\r\nlines and "quotes"',
        "a\rb",
    ]
    workspace = small({"text": texts}, [{"scorer": "rules", "profile": "fineweb-paper"}])
    workspace.audit_sample(into=tmp_path / "a.csv")
    shown = {int(row["row"]): row for row in rows_of(tmp_path / "a.csv")}
    assert (shown[0]["text"], shown[0]["left_out"]) == ("é" * CHARACTERS, "7")
    assert [shown[row]["text"] for row in range(1, 5)] == [f"'{texts[1]}", f"'{texts[2]}", texts[3], texts[4]]
    assert {shown[row]["left_out"] for row in range(1, 5)} == {"0"}


def test_instruction_rows_show_prompt_and_output(small: Any, tmp_path: Path) -> None:
    columns = {"q": ["What is it?", "And now?"], "a": ["It is a boat.", "Now it sails."]}
    mapped = {"instruction": "q", "output": "a"}
    workspace = small(columns, [{"scorer": "rules", "profile": "fineweb-paper"}], mapped)
    workspace.audit_sample(into=tmp_path / "a.csv")
    rows = sorted(rows_of(tmp_path / "a.csv"), key=lambda row: row["row"])
    assert [(row["prompt"], row["output"]) for row in rows] == list(zip(*columns.values(), strict=True))
    assert rows[0]["text"] == "What is it?\n\nIt is a boat."


# --- labels --------------------------------------------------------------------------------------------------------


def test_labels_come_back_and_weigh_as_their_strata_do(workspace: Workspace, labelled: Path) -> None:
    taken = workspace.audit_read(labelled)
    assert (taken.new, taken.changed, taken.same, taken.blank) == (ROWS, 0, 0, 0)
    good = {int(row["doc_id"]) for row in rows_of(labelled) if row["label"] == "good"}
    shown = workspace.sql("SELECT doc_id, good, kept, weight FROM audits").to_pylist()
    assert {row["doc_id"] for row in shown if row["good"]} == good
    wanted = {
        kept: sum(row["weight"] for row in shown if row["good"] and row["kept"] is kept) for kept in (True, False)
    }
    of = {kept: sum(row["weight"] for row in shown if row["kept"] is kept) for kept in (True, False)}
    found = {row["measure"]: row for row in reversed(workspace.audit_report().table().to_pylist())}
    assert found["precision"]["estimate"] == pytest.approx(wanted[True] / of[True])
    assert found["recall"]["estimate"] == pytest.approx(wanted[True] / (wanted[True] + wanted[False]))
    assert found["false drops"]["estimate"] == pytest.approx(wanted[False] / of[False])
    assert found["recall"]["low"] < found["recall"]["estimate"] < found["recall"]["high"] < 1


def test_with_every_document_labelled_the_report_is_the_truth(workspace: Workspace, tmp_path: Path) -> None:
    workspace.audit_sample(rows=1000, into=tmp_path / "all.csv")
    rows = rows_of(tmp_path / "all.csv")
    workspace.audit_read(write(tmp_path / "in.csv", [{**row, "label": "01"[is_good(row)]} for row in rows]))
    kept = set(workspace.sql("SELECT doc_id FROM documents WHERE kept").column(0).to_pylist())
    assert kept < {int(row["doc_id"]) for row in rows}
    good = {int(row["doc_id"]) for row in rows if is_good(row)}
    precision, recall, false_drops, *rest = workspace.audit_report().measures
    assert precision.low == precision.estimate == precision.high == len(good & kept) / len(kept)
    assert recall.low == recall.estimate == recall.high == len(good & kept) / len(good)
    assert false_drops.good == len(good - kept) == sum(item.good for item in rest if item.reason is not None)


@pytest.mark.parametrize("way", ["semicolons", "excel", "pandas"])
def test_a_file_that_went_through_a_spreadsheet_says_the_same(
    way: str, workspace: Workspace, labelled: Path, tmp_path: Path
) -> None:
    rows = rows_of(labelled)
    if way == "semicolons":
        changed = write(tmp_path / "c.csv", rows, ";", end="\r\n")
    elif way == "excel":  # long numbers as it shows them, empty rows behind, no UTF-8
        rows = [{**row, "doc_id": f"{int(row['doc_id']):.5E}", "label": row["label"].upper()} for row in rows]
        changed = write(tmp_path / "c.csv", [*rows, dict.fromkeys(rows[0], "")], encoding="cp1252", end="\r\n")
    else:
        ends = {"good": "1.0", "bad": "0.0"}
        rows = [{**row, "doc_id": f"{row['doc_id']}.0", "label": ends[row["label"]]} for row in rows]
        changed = write(tmp_path / "c.csv", rows[::-1], encoding="utf-8")
    assert workspace.audit_read(changed).new == ROWS
    report = workspace.audit_report()
    assert workspace.audit_read(labelled).same == ROWS
    assert workspace.audit_report() == report


def test_wrong_labels_are_refused_at_their_lines_and_nothing_is_taken(workspace: Workspace, labelled: Path) -> None:
    rows = rows_of(labelled)
    rows[0]["text"] = "three\nlines\nof text"
    rows[1] |= {"label": "maybe", "text": "two\nlines"}
    rows[2] |= {"doc_id": "17", "text": "one"}
    rows[3]["label"] = "ok"
    rows.append({**rows[4], "label": "good" if rows[4]["label"] == "bad" else "bad"})
    with pytest.raises(CurationError) as failure:
        workspace.audit_read(write(labelled, rows))
    unread, unknown, twice = failure.value.findings
    assert {finding.code for finding in failure.value.findings} == {"C041"}
    assert (unread.message, unread.line) == ("is no label: 'maybe' in line 5, 'ok' in line 8", 5)
    assert (unknown.message, unknown.line) == ("was not sampled for this audit: '17' in line 7", 7)
    lines = labelled.read_text(encoding="utf-8-sig").split("\n")
    assert lines[(twice.line or 0) - 1].startswith(f"{rows[4]['audit']},{rows[4]['doc_id']},")
    assert workspace.sql("SELECT * FROM audits WHERE good IS NOT NULL").num_rows == 0


@pytest.mark.long
def test_a_file_of_another_run_or_workspace_is_refused(
    workspace: Workspace, labelled: Path, light: Callable[..., Any], tmp_path: Path
) -> None:
    first = workspace.audit_report().sample.run
    other = workspace.run(light(language=0.9), executor="local", workers=1)
    assert other.outcome == "done"
    with pytest.raises(CurationError, match=f"is of run {first}, not of {other.run}"):
        workspace.audit_read(labelled, other.run)
    rows = [{**row, "audit": row["audit"].replace(first, other.run)} for row in rows_of(labelled)]
    with pytest.raises(CurationError, match="not of one audit here"):
        workspace.audit_read(write(tmp_path / "forged.csv", rows))
    with pytest.raises(CurationError, match="has no column audit, label"):
        workspace.audit_read(write(tmp_path / "text.csv", [{"doc_id": "1", "text": "x"}]))
    with pytest.raises(CurationError, match="has no audit") as failure:
        workspace.audit_report()  # the latest run has none
    assert failure.value.findings[0].code == "C032"
    assert workspace.audit_read(labelled).run == first


def test_of_a_document_labelled_twice_the_latest_label_counts(
    workspace: Workspace, labelled: Path, tmp_path: Path
) -> None:
    workspace.audit_read(labelled)
    assert workspace.audit_read(labelled).same == ROWS
    assert len(workspace.manifest.keys("audit_labels")) == 1
    rows = [{**row, "label": ""} for row in rows_of(labelled)]
    for row in rows[:3]:
        row |= {"label": "no" if is_good(row) else "yes", "note": "on second thoughts"}
    taken = workspace.audit_read(write(tmp_path / "second.csv", rows))
    assert (taken.new, taken.changed, taken.same, taken.blank) == (0, 3, 0, ROWS - 3)
    report = workspace.audit_report()
    assert report.relabelled == 3
    assert any("3 were labelled otherwise" in line for line in report.lines())
    shown = workspace.sql("SELECT doc_id, good, note FROM audits WHERE relabelled").to_pylist()
    assert {(row["doc_id"], row["good"], row["note"]) for row in shown} == {
        (int(row["doc_id"]), not is_good(row), "on second thoughts") for row in rows[:3]
    }
    assert sum(item.labelled for item in report.sample.strata) == ROWS


def test_strata_without_labels_are_named_and_recall_has_bounds(workspace: Workspace, labelled: Path) -> None:
    early = workspace.sql("SELECT doc_id FROM audits WHERE dropped_by = 'language'").column(0).to_pylist()
    rows = [row for row in rows_of(labelled) if int(row["doc_id"]) not in early]
    workspace.audit_read(write(labelled, rows))
    report = workspace.audit_report()
    recall = report.measures[1]
    assert recall.estimate is None
    assert recall.low < recall.least < recall.most < recall.high
    said = "\n".join(report.lines())
    assert "no label yet in language: " in said
    assert f"recall may be anything from {recall.least:.3f} to {recall.most:.3f}" in said
    assert report.measures[0].estimate is not None


def test_labels_go_on_where_they_stopped_and_carry_over_to_a_larger_sample(workspace: Workspace) -> None:
    workspace.audit_sample(rows=60)
    asked: list[dict[str, Any]] = []

    def ask(document: dict[str, Any], left: int) -> Answer:
        asked.append(document)
        assert left == 61 - len(asked)
        return ("good", "bad", "skip")[len(asked) % 3] if len(asked) < 10 else "quit"  # type: ignore[return-value]

    report = workspace.audit_label(ask)
    assert len(asked) == 10
    assert set(asked[0]) == {"doc_id", "path", "row", "text"}
    assert sum(item.labelled for item in report.sample.strata) == 6
    again: list[int] = []
    workspace.audit_label(lambda document, left: again.append(document["doc_id"]) or "skip")  # type: ignore[func-returns-value]
    labelled = {document["doc_id"] for place, document in enumerate(asked[:9], 1) if place % 3 != 2}
    assert len(again) == 60 - 6
    assert not labelled & set(again)
    workspace.audit_sample(rows=ROWS)
    assert workspace.audit_report().sample.audit.endswith(f"-{ROWS}-0")
    assert sum(item.labelled for item in workspace.audit_report().sample.strata) > 0


# --- refusals ------------------------------------------------------------------------------------------------------


def test_a_file_that_is_there_is_never_written_over(workspace: Workspace, sampled: Path) -> None:
    before = sampled.read_bytes()
    with pytest.raises(CurationError) as failure:
        workspace.audit_sample(rows=ROWS, into=sampled)
    assert failure.value.findings[0].code == "C037"
    assert sampled.read_bytes() == before


def test_too_few_rows_and_an_undecided_run_are_refused(workspace: Workspace) -> None:
    with pytest.raises(CurationError, match="10 rows are too few"):
        workspace.audit_sample(rows=10)
    for kind in ("decisions", "sketches", "written", "datasets", "ends"):  # as after a kill while it decided
        for key in workspace.manifest.keys(kind)[:1]:
            workspace.store.remove(f"manifest/parts/{kind}/{key}.parquet")
    with pytest.raises(CurationError, match="not decided to its end") as failure:
        Workspace(workspace.store.root).audit_sample(rows=ROWS)
    assert failure.value.findings[0].code == "C041"


# --- the command line ----------------------------------------------------------------------------------------------


def test_the_command_line_samples_asks_reads_and_reports(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, path = str(workspace.store.root), tmp_path / "audit.csv"

    def curate(*arguments: str) -> tuple[list[Row], str]:
        capsys.readouterr()
        assert _main(["audit", *arguments, "-w", root, "-f", "csv"]) == 0
        said = capsys.readouterr()
        return list(csv.DictReader(io.StringIO(said.out))), said.err

    strata, said = curate("sample", "--rows", str(ROWS), "--into", str(path))
    assert sum(int(row["sampled"]) for row in strata) == ROWS
    assert f"curate audit read {path} -w {root}" in said
    monkeypatch.setattr(sys, "stdin", io.StringIO("g\nx\nB\ns\nq\n"))
    _, said = curate("label")
    assert said.count("[g]ood") == 5  # one key was none
    assert f"2 of {ROWS} sampled documents have a label" in said
    assert "dropped" not in said.split("audit ")[0]
    rows = [{**row, "label": "keep" if is_good(row) else "drop"} for row in rows_of(path)]
    measures, said = curate("read", str(write(path, rows)))
    assert [row["measure"] for row in measures[:3]] == ["precision", "recall", "false drops"]
    assert "new labels" in said
    assert curate("report")[0] == measures
    assert 0 < float(measures[1]["low"]) < float(measures[1]["estimate"]) < float(measures[1]["high"]) < 1
