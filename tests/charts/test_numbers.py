"""What charts say of a run is what SQL says of it."""

from __future__ import annotations

import bisect
from collections import Counter
from typing import Any

import pytest

from pipelines.charts.bounds import read_together, thresholds
from pipelines.charts.clusters import cluster, clusters
from pipelines.charts.funnel import funnel
from pipelines.charts.histogram import histogram
from pipelines.charts.run import OpenRun
from pipelines.charts.scatter import scatter
from pipelines.charts.shift import divergence, shift
from pipelines.workspace import Workspace
from schemas.errors import CurationError


def ask(workspace: Workspace, query: str) -> list[dict[str, Any]]:
    return workspace.sql(query).to_pylist()


def test_the_funnel_is_that_of_the_view_with_bytes_and_reasons(opened: OpenRun, workspace: Workspace) -> None:
    rows = funnel(opened)["rows"]
    for row, view in zip(rows, ask(workspace, "SELECT * FROM funnel ORDER BY position"), strict=False):
        assert [row[name] for name in ("stage", "rows_in", "dropped", "errored", "rows_out")] == [
            view[name] for name in ("stage", "rows_in", "dropped", "errored", "rows_out")
        ]
        reasons = ask(
            workspace,
            f"SELECT rule, count(*)::INT AS documents FROM drops WHERE stage = '{row['stage']}' GROUP BY rule",
        )
        assert {r["rule"]: r["documents"] for r in row["reasons"]} == {r["rule"]: r["documents"] for r in reasons}
    kept = ask(workspace, "SELECT sum(input.bytes)::BIGINT AS bytes, count(*) AS n FROM documents WHERE kept")[0]
    assert rows[-1]["stage"] == "output"
    assert (rows[-1]["rows_in"], rows[-1]["bytes_in"]) == (kept["n"], kept["bytes"])
    assert [row["rows_out"] for row in rows[:-1]] == [row["rows_in"] for row in rows[1:]]
    assert [row["bytes_out"] for row in rows[:-1]] == [row["bytes_in"] for row in rows[1:]]
    assert next(row for row in rows if row["stage"] == "gopher")["seconds"] > 0  # type: ignore[operator]
    assert {row["loss"] is None for row in rows if row["family"] == "dedup"} == {False}


@pytest.mark.parametrize("name", ["gopher.words", "gopher.alpha_words_ratio", "gopher.pass", "minhash.similarity"])
def test_bars_are_counts_between_edges(opened: OpenRun, workspace: Workspace, name: str) -> None:
    chart = histogram(opened, name)
    stage = name.partition(".")[0]
    query = f"""SELECT {name}::DOUBLE AS v, kept, source FROM documents JOIN
                (SELECT DISTINCT path, source FROM shards) USING (path) WHERE {stage} IS NOT NULL"""
    rows = ask(workspace, query)
    edges, before, after = chart["edges"], Counter[int](), Counter[int]()
    for row in rows:
        if row["v"] is not None and edges[0] <= row["v"] <= edges[-1]:
            number = min(bisect.bisect_right(edges, row["v"]) - 1, len(edges) - 2)
            before[number] += 1
            after[number] += row["kept"]
    assert chart["bars"]["before"] == [before[number] for number in range(len(edges) - 1)]
    assert chart["bars"]["after"] == [after[number] for number in range(len(edges) - 1)]
    assert chart["documents"] == len(rows)
    assert chart["nulls"] == sum(row["v"] is None for row in rows)
    assert chart["below"] == sum(row["v"] is not None and row["v"] < edges[0] for row in rows)
    for bars in chart["by_source"]:
        of = histogram(opened, name, bars["source"])
        assert of["documents"] == sum(row["source"] == bars["source"] for row in rows)
    assert {bars["source"] for bars in chart["by_source"]} == {"books", "web"}
    totals = zip(*(bars["before"] for bars in chart["by_source"]), strict=True)
    assert [sum(counts) for counts in totals] == chart["bars"]["before"]


def test_bounds_are_the_gates_and_say_how_many_lie_on_either_side(opened: OpenRun, workspace: Workspace) -> None:
    words = {(b["stage"], b["operator"], b["value"]): b for b in histogram(opened, "gopher.words")["bounds"]}
    assert set(words) >= {("gopher", ">=", 20.0), ("gopher", "<=", 100_000.0)}
    [ranked] = [bound for bound in words.values() if bound["stage"] == "top"]  # where the selection was cut
    [counts] = ask(
        workspace,
        """SELECT count(*) FILTER (gopher.words >= 20) AS passing, count(*) FILTER (gopher.words < 20) AS failing,
                  count(*) FILTER (top.selected) AS selected FROM documents""",
    )
    bound = words["gopher", ">=", 20.0]
    assert (bound["passing"], bound["failing"]) == (counts["passing"], counts["failing"])
    assert counts["failing"] > 0
    assert ranked["passing"] == counts["selected"]
    of_profile = [t for t in thresholds(opened) if t.stage == "repeats"]
    assert ("repeats.dup_line_char_frac", "<=", 0.2) in {(t.name, t.operator, t.value) for t in of_profile}
    assert "repeats.dup_line_frac" not in {t.name for t in of_profile}  # switched off in the recipe


def test_a_scatter_counts_documents_in_cells(opened: OpenRun, workspace: Workspace) -> None:
    assert read_together(opened) == [("gopher.words", "gopher.alpha_words_ratio")]
    chart = scatter(opened, "gopher.words", "gopher.alpha_words_ratio")
    [counts] = ask(workspace, "SELECT count(gopher) AS n, count(gopher) FILTER (kept) AS kept FROM documents")
    assert sum(cell[2] for cell in chart["cells"]) + chart["outside"] == chart["documents"] == counts["n"]
    assert sum(cell[3] for cell in chart["cells"]) <= counts["kept"]
    i, j, count, _ = max(chart["cells"], key=lambda cell: cell[2])
    x, y = (chart[axis]["edges"] for axis in ("x", "y"))  # type: ignore[literal-required]
    query = f"""SELECT count(*) AS n FROM documents WHERE gopher.words >= {x[i]} AND gopher.words < {x[i + 1]}
                AND gopher.alpha_words_ratio >= {y[j]} AND gopher.alpha_words_ratio < {y[j + 1]}"""
    assert ask(workspace, query) == [{"n": count}]
    assert chart["spearman"] is not None


def test_clusters_are_those_of_the_view(opened: OpenRun, workspace: Workspace) -> None:
    for stage in ("exact", "minhash"):
        chart = clusters(opened, stage)
        view = ask(
            workspace,
            f"""SELECT cluster, count(*)::INT AS size, count(*) FILTER (NOT keeper)::INT AS gone
                FROM duplicate_clusters WHERE stage = '{stage}' AND cluster_size > 1
                GROUP BY cluster ORDER BY size DESC, cluster""",
        )
        assert [(c["cluster"], c["size"], c["dropped"]) for c in chart["largest"]] == [
            (str(row["cluster"]), row["size"], row["gone"]) for row in view[: len(chart["largest"])]
        ]
        assert sum(size["clusters"] for size in chart["sizes"]) == chart["clusters"] == len(view)
        assert sum(size["documents"] for size in chart["sizes"]) == sum(row["size"] for row in view)
        assert chart["dropped"] == ask(workspace, f"SELECT dropped FROM funnel WHERE stage = '{stage}'")[0]["dropped"]
        assert sum(source["dropped"] for source in chart["sources"]) == chart["dropped"]
    near = clusters(opened, "minhash")["largest"][0]
    assert near["diff"] is not None
    sides = {
        side: "".join(p["text"] for p in near["diff"]["pieces"] if p["side"] in ("both", side))
        for side in ("dropped", "kept")
    }
    gone, kept = (next(m for m in near["members"] if m["doc"] == near["diff"][side]) for side in ("dropped", "kept"))
    assert (gone["outcome"], gone["twin"]) == ("dropped", kept["doc"])
    assert sides["dropped"] != sides["kept"]
    assert near["common"]
    assert cluster(opened, "minhash", int(gone["doc"]))["cluster"] == near["cluster"]
    with pytest.raises(CurationError, match="C032"):
        clusters(opened, "gopher")


def test_shift_is_from_all_documents_to_those_kept(opened: OpenRun, workspace: Workspace) -> None:
    panels = {panel["of"]: panel for panel in shift(opened)["panels"]}
    sources = ask(
        workspace,
        """SELECT source, count(*)::INT AS before, count(*) FILTER (documents.kept)::INT AS after FROM documents
           JOIN (SELECT DISTINCT path, source FROM shards) USING (path) GROUP BY source""",
    )
    assert {row["name"]: (row["before"], row["after"]) for row in panels["source"]["rows"]} == {
        row["source"]: (row["before"], row["after"]) for row in sources
    }
    assert panels["length"]["after"] == sum(row["after"] for row in sources)
    assert "ngram" in panels
    assert all(0 <= (panel["divergence"] or 0) <= 1 for panel in panels.values())


def test_divergence_is_jensen_and_shannons() -> None:
    assert divergence({"a": 1}, {"b": 1}) == 1.0
    assert divergence({"a": 2, "b": 2}, {"a": 1, "b": 1}) == 0.0
    assert divergence({"a": 1, "b": 1}, {"a": 1}) == pytest.approx(
        0.311278, abs=1e-6
    )  # by hand: (1.5 log2 4/3 + …) / 2
    assert divergence({}, {"a": 1}) is None


def test_what_is_not_there_is_said(opened: OpenRun) -> None:
    with pytest.raises(CurationError, match="C025"):
        histogram(opened, "gopher.nothing")
    assert histogram(opened, "GOPHER.Words")["name"] == "gopher.words"  # as SQL would take it
