"""Every view answers, on whatever state the workspace is in, and the counts of all of them add up."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from reviews import FUNCTIONS, reviews, specification, write

from curation.manifest.parts import Manifest, now
from curation.manifest.runs import choose_run
from curation.manifest.views import EVERY_LABEL, EVERY_RUN, ONE_RUN, VIEWS, connect, needed
from pipelines.running.records import next_number, record_asked
from pipelines.workspace import Workspace
from schemas.errors import CurationError

QUERIES = {
    "runs": "SELECT run, name, status, rows, kept, attempts FROM runs WHERE status = 'done'",
    "attempts": "SELECT attempt, executor, outcome, scored, seconds FROM attempts WHERE ended_at > started_at",
    "stages": "SELECT position, stage, kind, keep, version FROM stages ORDER BY position",
    "shards": "SELECT path, row_start, rows, kept / rows AS share FROM shards ORDER BY share DESC",
    "funnel": "SELECT stage, rows_in, dropped, rows_out, share_left FROM funnel",
    "documents": "SELECT path, row, tutorial.prob, gopher.words FROM documents WHERE kept ORDER BY tutorial.prob DESC",
    "drops": "SELECT stage, rule, count(*) AS n, avg(score) AS mean FROM drops GROUP BY ALL ORDER BY n DESC",
    "errors": "SELECT kind, path, row, message FROM errors",
    "datasets": "SELECT name, path, files, rows, bytes FROM datasets",
    "models": "SELECT address, file, sha256, licence FROM models WHERE length(sha256) = 64",
    "scorers": "SELECT step, score, orientation, scale, model, weights FROM scorers WHERE orientation = 1",
    "actors": "SELECT step, tokens_per_second, padding_share, busy_share, flop_utilisation FROM actors",
    "lineage": "SELECT kind, name, fingerprint, rows FROM lineage WHERE fingerprint IS NOT NULL",
    "duplicate_clusters": "SELECT cluster, count(*) AS size FROM duplicate_clusters GROUP BY ALL ORDER BY size DESC",
    "duplicate_pairs": "SELECT stage, a, b, similarity FROM duplicate_pairs ORDER BY similarity",
    "scores_histogram": "SELECT field, bin_from, documents, kept FROM scores_histogram WHERE stage = 'tutorial'",
    "distributions": "SELECT bin_from, bin_to, documents FROM distributions WHERE field = 'prob' AND source IS NULL",
    "selections": "SELECT stage, selected, overlap_random, overlap_longest, spearman_length FROM selections",
    "statistics": "SELECT stage, field, mean, p05, p50, p95 FROM statistics WHERE source IS NULL",
    "supervisors": "SELECT supervisor, kind, status, votes, accuracy FROM supervisors WHERE accuracy > 0.5",
    "weak_to_strong": "SELECT name, student, weak, identifiable, reason FROM weak_to_strong",
    "labels": "SELECT path, hard_label, confidence, votes FROM labels WHERE hard_label IS NOT NULL ORDER BY confidence",
    "audits": "SELECT kept, dropped_by, good, sum(weight) AS documents FROM audits GROUP BY ALL ORDER BY ALL",
}


@pytest.fixture(scope="module")
def sql(undisturbed: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[dict[str, Any]]]:
    workspace = Workspace(
        shutil.copytree(undisturbed[1].root, tmp_path_factory.mktemp("audited") / "ws", symlinks=True)
    )
    workspace.audit_sample(rows=100)
    rows = write(workspace.store.path("reviews.parquet"), reviews(120))
    assert workspace.weak_to_strong(specification(rows, supervisors=[FUNCTIONS], seeds=1)).outcome == "done"
    return lambda query: workspace.sql(query).to_pylist()  # type: ignore[no-any-return]


def test_every_view_has_a_query_here() -> None:
    assert set(QUERIES) == set(VIEWS)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_answers_a_useful_query(view: str, sql: Any) -> None:
    rows = sql(QUERIES[view])
    assert rows
    assert all(any(value is not None for value in row.values()) for row in rows)


def test_counts_add_up_over_all_views(sql: Any, undisturbed: Any) -> None:
    run, held = undisturbed
    [whole] = sql("SELECT rows, kept, dropped, errored FROM runs")
    assert whole["rows"] == whole["kept"] + whole["dropped"] + whole["errored"]

    def count(what: str) -> int:
        return int(sql(f"SELECT count(*) AS n FROM {what}")[0]["n"])

    assert count("documents") == whole["rows"]
    assert count("documents WHERE kept") == whole["kept"] == sql("SELECT rows FROM datasets")[0]["rows"]
    assert count("drops") == whole["dropped"]
    assert count("errors WHERE kind = 'document'") == whole["errored"]
    [shards] = sql(
        "SELECT sum(rows) AS rows, sum(kept) AS kept, sum(dropped) AS dropped, sum(errored) AS errored FROM shards"
    )
    assert {name: int(value) for name, value in shards.items()} == whole
    assert count("(SELECT DISTINCT doc_id FROM documents)") == whole["rows"]
    [inputs] = sql("SELECT sum(rows) AS rows FROM lineage WHERE kind = 'input'")
    assert inputs["rows"] == whole["rows"]
    held.balance(run)


def test_the_funnel_hands_on_what_it_does_not_end(sql: Any) -> None:
    funnel = sql("SELECT * FROM funnel")
    [whole] = sql("SELECT rows, kept FROM runs")
    assert funnel[0]["rows_in"] == whole["rows"]
    assert funnel[-1]["rows_out"] == whole["kept"]
    for stage, following in pairwise(funnel):
        assert stage["rows_out"] == following["rows_in"]
    ended = Counter(row["dropped_by"] for row in sql("SELECT dropped_by FROM documents WHERE NOT kept"))
    for stage in funnel:
        assert stage["rows_in"] == stage["dropped"] + stage["errored"] + stage["rows_out"]
        assert stage["dropped"] + stage["errored"] == ended[stage["stage"]]
        assert stage["share_left"] == pytest.approx(stage["rows_out"] / whole["rows"], abs=1e-4)


@pytest.mark.long
def test_histograms_count_every_document_that_has_the_value(sql: Any) -> None:
    bins = sql(
        "SELECT stage, field, sum(documents) AS documents, sum(kept) AS kept, count(*) AS bins "
        "FROM scores_histogram GROUP BY ALL"
    )
    assert len(bins) > 10
    names = [f'"{item["stage"]}"."{item["field"]}"' for item in bins]
    counts = (f"[count({name}), count({name}) FILTER (kept)] AS n{place}" for place, name in enumerate(names))
    [there] = sql(f"SELECT {', '.join(counts)} FROM documents")
    for place, item in enumerate(bins):
        assert [int(item["documents"]), int(item["kept"])] == there[f"n{place}"]
        assert item["bins"] <= 20
    outside = "SELECT * FROM scores_histogram WHERE bin_from > bin_to OR bin NOT BETWEEN 0 AND 19 OR kept > documents"
    assert sql(outside) == []


@pytest.mark.long
def test_clusters_pairs_and_drops_tell_one_story(sql: Any) -> None:
    clusters = sql("SELECT * FROM duplicate_clusters")
    for stage in ("exact", "minhash"):
        members = [row for row in clusters if row["stage"] == stage]
        keepers = {row["cluster"] for row in members}
        assert keepers == {row["doc_id"] for row in members if row["keeper"]}
        sizes = Counter(row["cluster"] for row in members)
        assert all(sizes[row["cluster"]] == row["cluster_size"] >= 2 for row in members)
        dropped = {row["doc_id"]: row for row in sql(f"SELECT * FROM drops WHERE stage = '{stage}'")}
        assert set(dropped) == {row["doc_id"] for row in members if not row["keeper"]}
        for row in members:
            if not row["keeper"]:
                one = dropped[row["doc_id"]]
                assert (one["twin"], one["similarity"]) == (row["cluster"], row["similarity"])
                assert (one["link"], one["link_similarity"]) == (row["link"], row["link_similarity"])
        pairs = sql(f"SELECT * FROM duplicate_pairs WHERE stage = '{stage}'")
        cluster = {row["doc_id"]: row["cluster"] for row in members}
        assert all(cluster[row["a"]] == cluster[row["b"]] for row in pairs)
        if stage == "minhash":
            assert pairs
            assert all(row["similarity"] >= 0.7 for row in pairs)


def test_lineage_names_files_stages_and_models_with_their_hashes(sql: Any) -> None:
    rows = sql("SELECT * FROM lineage")
    assert Counter(row["kind"] for row in rows)["input"] == 7
    models = {row["fingerprint"] for row in rows if row["kind"] == "model"}
    assert models == {row["sha256"] for row in sql("SELECT sha256 FROM models")}
    assert {row["name"] for row in rows if row["kind"] == "stage"} == {
        row["stage"] for row in sql("SELECT stage FROM stages")
    }


# --- workspaces that are not finished --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("empty"))
    workspace.create()
    return workspace


@pytest.mark.parametrize("view", VIEWS)
def test_an_empty_workspace_has_every_view_and_no_rows(view: str, empty: Workspace) -> None:
    assert empty.sql(f"SELECT * FROM {view}").num_rows == 0
    columns = {row["column_name"] for row in empty.sql(f"DESCRIBE {view}").to_pylist()}
    assert columns


@pytest.mark.long
def test_views_have_the_same_columns_before_and_after(empty: Workspace, undisturbed: Any) -> None:
    for view in VIEWS:
        before, after = (
            space.sql(f"SELECT * FROM {view} LIMIT 0").schema for space in (empty, undisturbed[1].workspace)
        )
        stages = {"input", "language", "gopher", "remove_lines", "exact", "minhash", "tutorial", "top"}
        assert set(after.names) - set(before.names) == (stages if view == "documents" else set())
        assert all(before.field(name).type == after.field(name).type for name in before.names), view


@pytest.fixture(scope="module")
def begun(undisturbed: Any, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A run that is announced and has scores, but no group, no decision and no dataset."""
    root = Path(shutil.copytree(undisturbed[1].root, tmp_path_factory.mktemp("begun") / "ws", symlinks=True))
    for kind in ("groups", "barriers", "decisions", "written", "datasets", "ends"):
        shutil.rmtree(root / "manifest/parts" / kind)
    return Workspace(root)


@pytest.mark.parametrize("view", ONE_RUN)
def test_a_run_that_has_not_decided_yet_has_no_rows_but_all_columns(
    view: str, begun: Workspace, undisturbed: Any
) -> None:
    shown = begun.sql(f"SELECT * FROM {view}")
    assert shown.num_rows == 0
    assert shown.schema.names == undisturbed[1].workspace.sql(f"SELECT * FROM {view} LIMIT 0").schema.names


@pytest.mark.long
def test_a_run_that_has_not_decided_yet_is_listed(begun: Workspace) -> None:
    assert begun.sql("SELECT status, kept FROM runs").to_pylist() == [{"status": "unfinished", "kept": None}]
    [state] = begun.status().to_pylist()
    assert (state["status"], state["decided"]) == ("running", 0)  # the attempt of this very process has no end
    assert begun.sql("SELECT outcome FROM attempts").to_pylist() == [{"outcome": None}]
    assert begun.sql("SELECT kept FROM shards WHERE kept IS NOT NULL").num_rows == 0


@pytest.mark.parametrize("name", ["a b", "it's", "x[1]*?", 'quo"te', "ümläut", "$run"])
def test_a_workspace_may_have_any_name(name: str, undisturbed: Any, tmp_path: Path) -> None:
    workspace = Workspace(shutil.copytree(undisturbed[1].root, tmp_path / name / "ws", symlinks=True))
    assert workspace.sql("SELECT count(*) AS n FROM documents").to_pylist() == [{"n": 289}]
    assert workspace.sql("SELECT * FROM duplicate_pairs").num_rows > 0


@pytest.mark.long
def test_a_workspace_behind_a_link_or_a_crooked_path_is_the_same(undisturbed: Any, tmp_path: Path) -> None:
    root = undisturbed[1].root
    (tmp_path / "link").symlink_to(root)
    (root.parent / "beside").mkdir(exist_ok=True)
    for path in (tmp_path / "link", root.parent / "beside" / ".." / root.name):
        assert Workspace(path).sql("SELECT count(*) AS n FROM documents").to_pylist() == [{"n": 289}]


# --- which run -------------------------------------------------------------------------------------------------------


@pytest.fixture
def runs(empty: Workspace, tmp_path: Path) -> Workspace:
    """Three runs of two datasets, one named as another's id begins."""
    workspace = Workspace(tmp_path)
    workspace.create()
    for number, (run, name) in enumerate([("ab01", "web"), ("ab02", "web"), ("cd03", "ab0")]):
        workspace.manifest.commit("runs", run, [{"run": run, "name": name, "rows": 1, "created_at": now()}])
        attempt = {"attempt": f"a{number}", "run": run, "started_at": now()}
        workspace.manifest.commit("attempts", f"a{number}", [attempt])
    return workspace


def test_a_run_is_named_by_id_prefix_or_dataset_and_the_latest_is_meant_else(runs: Workspace) -> None:
    chosen = {name: choose_run(runs.manifest, name) for name in (None, "ab01", "cd", "web", "ab0")}
    assert chosen == {None: "cd03", "ab01": "ab01", "cd": "cd03", "web": "ab02", "ab0": "cd03"}


@pytest.mark.parametrize("name", ["..", "../runs/ab01", "\0", "ab01\0", "a" * 300])
def test_a_name_that_no_run_has_leads_to_no_file(runs: Workspace, name: str) -> None:
    with pytest.raises(CurationError) as refused:
        choose_run(runs.manifest, name)
    assert [finding.code for finding in refused.value.findings] == ["C032"]


def test_a_label_names_the_run_that_was_given_it_last(runs: Workspace) -> None:
    def asked(run: str, label: str | None = None) -> str | None:
        return record_asked(Manifest(runs.store), run, label)

    assert asked("ab01", "before-pii") is None
    assert asked("ab02", "ab") is None
    assert [choose_run(runs.manifest, name) for name in ("before-pii", "ab", "latest")] == ["ab01", "ab02", "ab02"]
    assert asked("cd03", "before-pii") == "ab01", "whose it was"
    assert [choose_run(runs.manifest, name) for name in ("before-pii", None)] == ["cd03", "cd03"]
    listed = runs.sql("SELECT run, labels FROM runs WHERE labels IS NOT NULL").to_pylist()
    assert listed == [{"run": "ab02", "labels": "ab"}, {"run": "cd03", "labels": "before-pii"}]
    assert [row["labels"] for row in runs.status().to_pylist()].count("before-pii") == 1


def test_status_lists_runs_of_weak_to_strong_among_the_others(runs: Workspace) -> None:
    def state() -> tuple[str, str | None]:
        [row] = [row for row in Workspace(runs.store.root).status().to_pylist() if row["kind"] == "weak-to-strong"]
        return row["status"], row["dataset"]

    runs.manifest.commit("weak_runs", "w1", [{"run": "w1", "name": "reviews", "rows": 5, "created_at": now()}])
    assert state() == ("unfinished", None)
    student = {"run": "w1", "name": "reviews", "path": "weak_to_strong/reviews", "student": "head"}
    runs.manifest.commit("weak_results", "w1", [student, {**student, "student": "encoder"}])
    assert state() == ("done", "weak_to_strong/reviews")
    assert choose_run(runs.manifest, None) == "cd03", "what SQL of one run shows, it is not"


def test_the_latest_run_is_the_one_that_was_asked_for_last(runs: Workspace) -> None:
    for _ in range(2):
        record_asked(Manifest(runs.store), "ab01", None)  # it was finished
        assert choose_run(runs.manifest, "latest") == "ab01"
    assert len(runs.manifest.keys("asked")) == 1, "nothing is written where nothing changes"
    row = {"attempt": "a9", "run": "ab02", "number": next_number(runs.manifest.read("attempts"))}
    runs.manifest.commit("attempts", "a9", [row])
    assert choose_run(runs.manifest, "latest") == "ab02"
    record_asked(Manifest(runs.store), "ab01", None)
    assert choose_run(runs.manifest, None) == "ab01"


@pytest.mark.parametrize(
    ("name", "says"), [("ab", r"may be any of ab01 \(web\), ab02 \(web\)"), ("x", "is not in this workspace")]
)
def test_an_ambiguous_or_unknown_run_is_refused_and_the_choices_listed(name: str, says: str, runs: Workspace) -> None:
    with pytest.raises(CurationError, match=says) as failure:
        runs.sql("SELECT 1", name)
    assert failure.value.findings[0].code == "C032"


@pytest.mark.long
def test_the_last_attempt_decides_what_state_a_run_is_in_and_which_failures_it_lists(runs: Workspace) -> None:
    def attempt(name: str, outcome: str | None, message: str | None) -> None:
        runs.manifest.commit("attempts", name, [{"attempt": name, "run": "ab01", "started_at": now()}])
        if message:
            failure = {"run": "ab01", "attempt": name, "path": "p", "code": "R001", "message": message}
            runs.manifest.commit("failures", name, [failure])
        if outcome:
            runs.manifest.commit("ends", name, [{"attempt": name, "run": "ab01", "outcome": outcome}])

    def state() -> tuple[str, list[str]]:
        [row] = runs.sql("SELECT status FROM runs WHERE run = 'ab01'").to_pylist()
        return row["status"], [row["message"] for row in runs.sql("SELECT message FROM errors", "ab01").to_pylist()]

    attempt("t-z", "failed", "first")  # names within a second are in no order
    assert state() == ("failed", ["first"])
    attempt("t-a", "failed", "second")
    assert state() == ("failed", ["second"])
    attempt("t-m", None, None)  # killed
    assert state() == ("unfinished", [])


def test_sql_is_locked_over_the_views(undisturbed: Any) -> None:
    with connect(undisturbed[1].workspace.manifest) as connection:
        for statement in ("SET threads = 1", "INSTALL httpfs", "ATTACH 'x.duckdb'"):
            with pytest.raises(Exception, match=r"(?i)lock|disabled|permission|not allowed|cannot"):
                connection.execute(statement)
    assert {*EVERY_RUN, *ONE_RUN, EVERY_LABEL} >= set(VIEWS)


def test_a_query_pays_for_the_views_that_it_reads_and_no_others(sql: Callable[..., Any]) -> None:
    setup = [f"-- what\nCREATE {made}" for made in ("VIEW _runs AS SELECT 1", "VIEW runs AS FROM _runs")]
    setup.append("CREATE TABLE kept AS FROM runs")
    cases = {
        "SELECT 1": [],
        "FROM Runs": setup[:2],
        'SELECT a.* FROM "kept" a': setup,
        "WITH own AS (SELECT 1) FROM own": [],
        "FROM information_schema.tables": setup,
        "SHOW TABLES": setup,
        "runs": setup,
    }
    assert {query: needed(setup, query) for query in cases} == cases
    with pytest.raises(CurationError) as refused:  # what is misspelt is still held against all of them
        sql("FROM funel")
    assert 'Did you mean "funnel' in (refused.value.findings[0].hint or "")
