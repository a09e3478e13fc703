"""Charts in a notebook: inline SVG and tables without a script, in which nothing of a document acts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from curation.escape import page, terminal
from pipelines.notebook import html_table
from pipelines.tables.human import number
from schemas.charts import Axis, Bound, Histogram, Scatter, SelectionMap

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 240, 12, 34
BEFORE, AFTER, LINE, FAINT = "#9aa5b1", "#2f6fb3", "#c2410c", "#7d8794"
"""What reached a stage, what was kept, thresholds, and axes; told apart without colour too, by where they are."""
BARS = " ▁▂▃▄▅▆▇█"
STYLE = 'style="max-width:100%;height:auto;font:12px system-ui,sans-serif"'


class Chart(Mapping[str, Any]):
    """A chart as plain data (`schemas.charts`), which a notebook draws.

    >>> chart = Workspace(folder).histogram("language.prob")
    >>> chart["documents"], sum(chart["bars"]["before"])
    (3, 3)
    """

    def __init__(self, data: Any) -> None:
        self.data: dict[str, Any] = data

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        if self.data["kind"] == "histogram":
            return terminal(_sparkline(self.data), lines=True)  # type: ignore[arg-type]
        told = ", ".join(
            f"{name} {value}" for name, value in self.data.items() if isinstance(value, int | str) and value
        )
        return terminal(f"Chart({told})")

    def _repr_html_(self) -> str:
        draw = DRAWN.get(self.data["kind"])
        note = f'<p style="color:{FAINT}">{page(self.data["note"])}</p>' if self.data["note"] else ""
        return (draw(self.data) if draw else f"<pre>{page(repr(self))}</pre>") + note


def histogram_svg(chart: Histogram) -> str:
    """Bars of what reached the stage, in front of them what was kept, and each threshold as a line."""
    edges, bars = chart["edges"], chart["bars"]
    scale = _scale(chart["scale"], edges, LEFT, WIDTH - LEFT)
    most = max([1, *bars["before"]])
    shapes = []
    for side, colour in (("before", BEFORE), ("after", AFTER)):
        for number_of_bin, count in enumerate(bars[side]):  # type: ignore[literal-required]
            if count:
                x, end = scale(edges[number_of_bin]), scale(edges[number_of_bin + 1])
                height = count / most * (HEIGHT - BOTTOM - 20)
                shapes.append(
                    _box(x, HEIGHT - BOTTOM - height, end - x - 0.5, height, colour, _bar_title(chart, number_of_bin))
                )
    shapes += _lines(chart["bounds"], scale, edges)
    kept = sum(bars["after"])
    told = f"{chart['name']}: {chart['documents']:,} documents, {kept:,} of them kept"
    outside = {"below": chart["below"], "above": chart["above"], "without a value": chart["nulls"] + chart["nans"]}
    more = "".join(f", {count:,} {name}" for name, count in outside.items() if count)
    return _svg(shapes + _ticks(scale, edges), told + more)


def scatter_svg(chart: Scatter) -> str:
    x, y = chart["x"], chart["y"]
    across, upwards = (
        _scale(x["scale"], x["edges"], LEFT, WIDTH - LEFT),
        _scale(y["scale"], y["edges"], HEIGHT - BOTTOM, 16),
    )
    most = max([1, *(cell[2] for cell in chart["cells"])])
    shapes = []
    for i, j, before, after in chart["cells"]:
        left, right = across(x["edges"][i]), across(x["edges"][i + 1])
        low, high = upwards(y["edges"][j]), upwards(y["edges"][j + 1])
        title = f"{_between(x, i)}, {_between(y, j)}: {before:,} documents, {after:,} kept"
        shade = 0.15 + 0.85 * math.log1p(before) / math.log1p(most)
        shapes.append(_box(left, high, right - left, low - high, AFTER if after else BEFORE, title, shade))
    shapes += _lines(x["bounds"], across, x["edges"]) + _lines(y["bounds"], upwards, y["edges"], upright=False)
    told = f"{x['name']} (across) and {y['name']} (upwards): {chart['documents']:,} documents"
    return _svg(shapes + _ticks(across, x["edges"]), told)


def selection_svg(chart: SelectionMap) -> str:
    if not chart["x"]:
        return f"<p>{page(chart['stage'])}: no vectors are stored of its documents. {page(chart['sentence'] or '')}</p>"
    across, upwards = _even(chart["x"], LEFT, WIDTH - LEFT), _even(chart["y"], HEIGHT - BOTTOM, 16)
    points = sorted(zip(chart["chosen"], chart["x"], chart["y"], strict=True))
    shapes = [
        f'<circle cx="{across(x):.1f}" cy="{upwards(y):.1f}" r="{2.4 if chosen else 1.6}"'
        f' fill="{AFTER if chosen else BEFORE}" fill-opacity="0.7"/>'
        for chosen, x, y in points
    ]
    told = f"{chart['stage']}: {chart['selected']:,} of {chart['documents']:,} documents chosen"
    return _svg(shapes, told) + (f"<p>{page(chart['sentence'])}</p>" if chart["sentence"] else "")


def _shift_html(chart: Any) -> str:
    parts = []
    for panel in chart["panels"]:
        total = max(1, panel["before"]), max(1, panel["after"])
        rows = [
            {panel["of"]: row["name"], "before": row["before"], "after": row["after"],
             "share before": row["before"] / total[0], "share after": row["after"] / total[1]}
            for row in panel["rows"]
        ]  # fmt: skip
        parts.append(html_table(pa.Table.from_pylist(rows)))
    return "".join(parts)


def _clusters_html(chart: Any) -> str:
    facts = f"{chart['stage']}: {chart['clusters']:,} clusters, {chart['dropped']:,} documents dropped"
    largest = [
        {"cluster": entry["cluster"], "documents": entry["size"], "dropped": entry["dropped"],
         "in common": " … ".join(entry["common"])}
        for entry in chart["largest"]
    ]  # fmt: skip
    tables = [chart["sizes"], largest, chart["sources"]]
    return f"<p>{page(facts)}</p>" + "".join(html_table(pa.Table.from_pylist(rows)) for rows in tables if rows)


DRAWN: dict[str, Callable[[Any], str]] = {
    "histogram": histogram_svg,
    "scatter": scatter_svg,
    "selection": selection_svg,
    "shift": _shift_html,
    "clusters": _clusters_html,
}
Scale = Callable[[float], float]


def _scale(kind: str, edges: Sequence[float], start: float, end: float) -> Scale:
    of: Scale = math.log if kind == "log" else float
    low, high = of(edges[0]) / 2, of(edges[-1]) / 2  # the widest range is no number

    def position(value: float) -> float:
        return start + (of(value) / 2 - low) / (high - low or 1.0) * (end - start)

    return position


def _even(values: Sequence[float], start: float, end: float) -> Scale:
    low, high = min(values), max(values)
    return _scale("linear", [low, high if high > low else low + 1.0], start, end)


def _box(x: float, y: float, width: float, height: float, colour: str, title: str, opacity: float = 1.0) -> str:
    shape = (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.5, width):.1f}" height="{max(0.5, height):.1f}" fill="{colour}"'
    )
    return f'{shape} fill-opacity="{opacity:.2f}"><title>{page(title)}</title></rect>'


def _lines(bounds: Sequence[Bound], scale: Scale, edges: Sequence[float], upright: bool = True) -> list[str]:
    shapes = []
    for bound in bounds:
        if edges[0] <= bound["value"] <= edges[-1]:
            x, title = scale(bound["value"]), page(f"{bound['expression']}: {bound['passing']:,} pass")
            ends = f'x1="{x:.1f}" x2="{x:.1f}" y1="14" y2="{HEIGHT - BOTTOM}"'
            if not upright:
                ends = f'x1="{LEFT}" x2="{WIDTH - LEFT}" y1="{x:.1f}" y2="{x:.1f}"'
            shapes.append(
                f'<line {ends} stroke="{LINE}" stroke-width="1.5" stroke-dasharray="4 2"><title>{title}</title></line>'
            )
            if upright:
                shapes.append(_text(x, 11, f"{bound['operator']} {number(bound['value'])}", LINE))
    return shapes


def _ticks(scale: Scale, edges: Sequence[float]) -> list[str]:
    every = max(1, len(edges) // 8)
    return [_text(scale(edge), HEIGHT - BOTTOM + 14, number(edge), FAINT) for edge in edges[::every]]


def _text(x: float, y: float, text: str, colour: str) -> str:
    anchor = "start" if x < 40 else "end" if x > WIDTH - 40 else "middle"
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">{page(text)}</text>'


def _svg(shapes: Sequence[str], title: str) -> str:
    told = _text(LEFT, HEIGHT - 4, title, "currentColor")
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{page(title)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {STYLE}>{"".join(shapes)}{told}</svg>'


def _bar_title(chart: Histogram, number_of_bin: int) -> str:
    before, after = chart["bars"]["before"][number_of_bin], chart["bars"]["after"][number_of_bin]
    edges = chart["edges"]
    return f"{number(edges[number_of_bin])} to {number(edges[number_of_bin + 1])}: {before:,} documents, {after:,} kept"


def _between(axis: Axis, number_of_bin: int) -> str:
    return f"{axis['name']} {number(axis['edges'][number_of_bin])} to {number(axis['edges'][number_of_bin + 1])}"


def _sparkline(chart: Histogram) -> str:
    most = max([1, *chart["bars"]["before"]])
    lines = [
        "".join(BARS[-(-count * (len(BARS) - 1) // most)] for count in chart["bars"][side])
        for side in ("before", "after")
    ]
    edges = chart["edges"]
    ends = f"{number(edges[0])} to {number(edges[-1])}"
    bounds = ", ".join(f"{b['operator']} {number(b['value'])}" for b in chart["bounds"])
    head = f"{chart['name']}, {chart['documents']:,} documents, {ends}" + (f", gates: {bounds}" if bounds else "")
    return f"{head}\nbefore {lines[0]}\nkept   {lines[1]}"
