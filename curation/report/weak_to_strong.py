"""The report of a weak-to-strong run for people: one HTML file that needs nothing else, and cards in Markdown.

Longer than most files: a page of HTML and the cards beside it, section by section.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from curation.escape import code, fenced, inline, markdown
from curation.escape import page as escape
from curation.report.loading import front_matter
from curation.report.tables import table

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{padding:.2rem .7rem;text-align:left;
border-bottom:1px solid #ddd}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}h2{margin-top:2rem;font-size:1.15rem}
svg{display:block;margin:.5rem 0}.note{color:#666}.warn{color:#a33}
"""
Cell = str | float | int | None


def html(report: dict[str, Any]) -> str:
    """The whole report as one page: no script, no font, no image from elsewhere."""
    parts = [
        f"<h1>{escape(report['name'])}: weak to strong</h1>",
        f"<p>Run <code>{escape(report['run'])}</code>. {_rows(report)}</p>",
        *[f'<p class="warn">Left out: {escape(one["message"])}</p>' for one in report["left_out"]],
        *_students(report),
        *_supervisors(report),
        *_labels(report),
        *_splits(report),
    ]
    body = "\n".join(parts)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(report["name"])}: weak to strong</title>'
        f"<style>{STYLE}</style><body>{body}</body></html>\n"
    )


def lines(report: dict[str, Any]) -> list[str]:
    """What the terminal shows at the end of a run."""
    labels = report["labels"]
    text = [f"{labels['labelled']:,} of {labels['of']:,} rows labelled by {labels['by']}"]
    if labels.get("accuracy"):
        text += accuracy_lines(labels)
    elif labels.get("test_rows"):
        text.append(f"weak labels: none of the {labels['test_rows']:,} test rows with gold has one: no accuracy")
    else:
        known = [one for one in report["supervisors"] if one["estimated_accuracy"] is not None]
        estimates = ", ".join(f"{one['name']} {one['estimated_accuracy']:.3f}" for one in known)
        text.append(f"no gold to test on: estimated accuracies only{': ' if known else ''}{estimates}")
    if labels["risk_control"]:
        error = labels["risk_control"]["error"]
        text.append(f"labelled automatically: {labels['automatic']:,}, error at most {error:.0%}")
    for student in report["students"]:
        text += student_lines(student)
    text += [f"left out: {one['message']}" for one in report["left_out"]]
    return text


def accuracy_lines(labels: dict[str, Any]) -> list[str]:
    """How often the labels are right, of the rows that have one, and of how many that is told."""
    text = [
        f"weak labels: accuracy {shown(labels['accuracy'])} of labelled rows, largest class {labels['majority']:.3f}"
    ]
    if "labelled_rows" in labels:
        of = f"{labels['right']:,} of {labels['labelled_rows']:,} labelled test rows are right"
        covered = f"{labels['labelled_rows']:,} of {labels['test_rows']:,} test rows with gold are labelled"
        guesses = labels.get("accuracy_with_guesses")
        rest = "" if guesses is None else f"; with the commonest label for all others, accuracy {guesses:.3f} of all"
        text.append(f"{of}; {covered}{rest}")
    return text


def student_lines(student: dict[str, Any]) -> list[str]:
    """One student in words: a gap only where it may be told."""
    gap = student["gap"]
    name = f"student '{student['name']}', {student['seeds']} seeds"
    if gap is None:
        accuracy = f", accuracy {shown(student['accuracy'])}" if student.get("accuracy") else ""
        accuracy += f" ({student['right']:,} of {student['of']:,} test rows)" if accuracy and "of" in student else ""
        return [f"{name}{accuracy}: {student['no_gap_because']}"]
    return [
        f"{name}: weak {shown(gap['weak'])}, student {shown(gap['student'])}, ceiling {shown(gap['ceiling'])}",
        f"gap recovered: {_recovered(gap)}",
        *verdict(student),
    ]


def verdict(student: dict[str, Any]) -> list[str]:
    """Whether the student gained, and why not, in plain words; nothing where the gap's own reason says so."""
    gap, errors = student["gap"], student.get("errors") or {}
    gained = (gap or {}).get("gained")
    if not gap or not gap["identifiable"] or not gained or gained["low"] is None:
        return []
    if gained["low"] > 0:
        return [f"in words: the student is better than its labels, by {shown(gained)}"]
    if gained["value"] > 0:
        return [
            f"in words: the student cannot be told from its labels, {shown(gained)}: its {student['seeds']} seeds"
            " differ too much. Take more"
        ]
    repeats, alone = (errors.get(f"{who}_repeats_where_weak_is_wrong") for who in ("student", "ceiling"))
    why = ""
    if repeats is not None and alone is not None and repeats > alone:
        why = (
            f": where a label is wrong, the student repeats it in {repeats:.0%} of rows (taught with gold, in"
            f" {alone:.0%}). It has learned its supervisors' errors too, as a student does that sees what they see."
            " Take another encoder, or labels of which only the surer ones are learned from"
        )
    worse = "is worse than" if gained["high"] < 0 else "cannot be told from"
    return [f"in words: the student {worse} its labels, {shown(gained)}{why}"]


def card_lines(report: dict[str, Any]) -> list[str]:
    """The card of the labels."""
    text = [
        *front_matter(),
        "",
        f"# {markdown(report['name'])}",
        "",
        f"Weak labels of {_rows(report)} Run `{report['run']}`. Classes: {inline(', '.join(report['classes']))}.",
        "",
        *[f"- {markdown(line)}" for line in lines(report)],
        "",
        "## Columns",
        "",
        "`soft_label` (calibrated, in the classes' order), `hard_label`, `confidence`, `votes` and `probabilities` of"
        " each supervisor, `automatic` (accepted by risk control), `conformal_set`, `abstain` (nobody voted),"
        " `split` (who may learn from the row: train on `transfer`).",
        "",
        "## Supervisors",
        "",
        *table(
            ["supervisor", "kind", "votes", "accuracy", "estimated", "dependence"],
            [
                [
                    one["name"],
                    one["kind"],
                    _share(one.get("votes")),
                    _accuracy(one),
                    _estimate(one),
                    _dependence(one),
                ]
                for one in report["supervisors"]
            ],
        ),
        "",
        "Estimated accuracies are told from agreement and run high where supervisors share what they see: read them"
        " beside the dependence: 0 for errors of one's own, 1 for a copy.",
    ]
    if report["students"]:
        text += ["", "## Students", "", *table(STUDENT_HEAD, [_student_row(one) for one in report["students"]])]
    return text


STUDENT_HEAD = ["student", "seeds", "weak", "student accuracy", "ceiling", "gap recovered"]


def _student_row(student: dict[str, Any]) -> list[str]:
    gap = student["gap"]
    if gap is None:
        because = str(student["no_gap_because"])
        return [student["name"], str(student["seeds"]), "", shown(student.get("accuracy")), "", because]
    return [
        student["name"],
        str(student["seeds"]),
        *(shown(gap[key]) for key in ("weak", "student", "ceiling")),
        _recovered(gap),
    ]


def student_card(student: dict[str, Any], report: dict[str, Any]) -> list[str]:
    """The card of one student, in its folder."""
    scorer, key = student["scorer"]
    name = scorer.replace("-", "_")
    gate = f"{name}.prob >= 0.5"
    if scorer == "classifier" or len(report["classes"]) != 2:
        gate = _is_label(name, report["classes"][-1 if scorer == "classifier" else 0])
    return [
        f"# {markdown(student['name'])}",
        "",
        f"A {code(scorer)} that tells {inline(', '.join(report['classes']))},"
        " learned from weak labels by `curate weak-to-strong`.",
        f"Run `{report['run']}`, seed 0, {student['learned_from'][0]:,} rows, loss {student['loss']}.",
        "",
        "## Use",
        "",
        *fenced(
            f"- scorer: {scorer}\n  {key}: path:{student['name']}      # this folder, relative to the recipe\n"
            f"  keep: {gate}",
            "yaml",
        ),
        "",
        "## Figures",
        "",
        *[f"- {markdown(line)}" for line in student_lines(student)],
        "",
        "Accuracies are means over seeds that redraw split, supervisors, student and ceiling, with 95 % intervals"
        " (t, on the logit scale) from three seeds on.",
        "",
        "## Limits",
        "",
        "It knows what its supervisors knew, and repeats some of their errors. The figures are of the same source; on"
        " another, measure again.",
    ]


def _is_label(stage: str, label: str) -> str:
    """A gate, as YAML has it: quoted where the label's characters mean something there."""
    gate = f"{stage}.label = '{label.replace(chr(39), chr(39) * 2)}'"
    return gate if re.fullmatch(r"[\w .='-]+", gate) else json.dumps(gate)


# --- sections ----------------------------------------------------------------------------------------------------


def _rows(report: dict[str, Any]) -> str:
    return f"{report['rows']:,} rows, {report['gold']:,} of them with gold; {report['seeds']} seeds."


def _students(report: dict[str, Any]) -> list[str]:
    if not report["students"]:
        return []
    parts = ["<h2>What the students gained</h2>", _table(STUDENT_HEAD, [_student_row(s) for s in report["students"]])]
    parts.append(
        '<p class="note">Accuracy on test rows with gold: mean over seeds and, from three seeds on, 95 % interval '
        "(t, on the logit scale). Weak: the labels. Ceiling: the same student, taught with gold. Gap recovered: "
        "mean(student − weak) / mean(ceiling − weak), paired Fieller interval, where the ceiling is above weak.</p>"
    )
    parts += [
        f"<p><b>{escape(one['name'])}</b>: {escape(line)}.</p>" for one in report["students"] for line in verdict(one)
    ]
    for student in report["students"]:
        if student["gap"] is None:
            continue
        parts += [f"<h3>{escape(student['name'])}</h3>", _bars(student["gap"])]
        names = {
            "weak_wrong": "weak label is wrong",
            "student_repeats_where_weak_is_wrong": "… there the student says the same",
            "ceiling_repeats_where_weak_is_wrong": "… there the ceiling, which never saw weak labels, says the same",
            "student_agrees_where_weak_is_right": "weak label is right: the student says the same",
            "ceiling_agrees_where_weak_is_right": "… there the ceiling says the same",
        }
        parts.append(_table(["of test rows", "share"], [[names[k], _share(v)] for k, v in student["errors"].items()]))
        if student.get("copied"):
            head = ["copied error", "gold", "weak and student", "confidence", "text"]
            keys = ("document", "gold", "weak", "confidence", "text")
            parts.append(_table(head, [[one[key] for key in keys] for one in student["copied"]]))
    return parts


def _supervisors(report: dict[str, Any]) -> list[str]:
    head = ["supervisor", "kind", "votes", "accuracy", "AUC", "ECE", "estimated accuracy", "most dependent on"]
    rows: list[Sequence[Cell]] = [
        [
            one["name"],
            one["kind"],
            _share(one.get("votes")),
            _accuracy(one),
            one.get("auc"),
            one.get("ece"),
            _estimate(one),
            _dependence(one),
        ]
        for one in report["supervisors"]
    ]
    both = report["agreement"]
    given = (
        "within classes of gold" if both["dependence_given_gold"] else "told from the other supervisors, without gold"
    )
    parts = ["<h2>Supervisors</h2>", _table(head, rows)]
    if len(both["supervisors"]) > 1:
        for name, what in (("agreement", "Agreement where both vote"), ("dependence", f"Dependence, {given}")):
            parts += [f"<h3>{what}</h3>", _matrix(both["supervisors"], both[name])]
        parts.append(
            '<p class="note">Estimated accuracies assume errors of one\'s own. Where supervisors share what they see,'
            " the dependence is above 0 and the estimates run high.</p>"
        )
    return parts


def _labels(report: dict[str, Any]) -> list[str]:
    labels = report["labels"]
    temperature = labels["temperature"][0]
    rows: list[Sequence[Cell]] = [
        ["combined by", labels["by"]],
        ["rows labelled", f"{labels['labelled']:,} of {labels['of']:,}"],
        *(
            [
                [
                    "rows without a label",
                    f"{labels['abstained']:,} nobody voted on, {labels['tied']:,} between two classes",
                ]
            ]
            if "tied" in labels
            else []
        ),
        ["temperature", "none: too few rows with gold to fit it" if temperature is None else temperature],
    ]
    if labels.get("accuracy"):
        rows += [
            ["accuracy of labelled rows", shown(labels["accuracy"])],
            *(
                [
                    ["right, of labelled test rows", f"{labels['right']:,} of {labels['labelled_rows']:,}"],
                    ["labelled, of test rows", f"{labels['labelled_rows']:,} of {labels['test_rows']:,}"],
                    ["accuracy with the commonest label for all others", labels.get("accuracy_with_guesses")],
                ]
                if "labelled_rows" in labels
                else []
            ),
            ["largest class", labels["majority"]],
            ["calibration error before and after", f"{_number(labels['ece_before'])} → {_number(labels['ece'])}"],
            ["Brier score", labels["brier"]],
        ]
    parts = ["<h2>Labels</h2>", _table(["", ""], rows), *_control(labels)]
    if labels["conformal"]:
        facts = labels["conformal"]
        test = facts.get("coverage_on_test")
        counts = f" ({facts['covered_on_test']:,} of {facts['test_rows']:,})" if "test_rows" in facts else ""
        measured = "" if test is None else f", {test:.1%} on test rows{counts}"
        parts.append(
            f"<p>Conformal sets hold the label with probability {1 - facts['alpha']:.0%} or more{measured}; "
            f"{facts['singletons']:,} sets of one class, which promise nothing about their error.</p>"
        )
    if labels.get("risk_coverage"):
        parts += ["<h3>Risk and coverage</h3>", _line(labels["risk_coverage"], "share of rows accepted", "error")]
    if labels.get("reliability"):
        points = [row[:2] for row in labels["reliability"]]
        parts += ["<h3>Reliability</h3>", _line(points, "confidence", "accuracy", diagonal=True)]
    return parts


def _control(labels: dict[str, Any]) -> list[str]:
    facts = labels["risk_control"]
    if facts is None:
        return ['<p class="note">No automatic labels: there is no gold to certify them on.</p>']
    if facts["cut"] is None:
        return [f"<p>No automatic labels: no cut keeps the error at {facts['error']:.0%} or less.</p>"]
    test = facts.get("test")
    measured = ""
    if test:
        counts = f"({test['wrong']:,} of {test['rows']:,})"
        measured = f"; on test rows {test['error']:.1%} wrong of the {test['share']:.1%} accepted {counts}"
    return [
        f"<p>{labels['automatic']:,} rows are labelled automatically, from confidence {facts['cut']:.4f} on: error at"
        f" most {facts['error']:.0%} with probability {1 - facts['delta']:.0%} over calibration rows{measured}.</p>"
    ]


def _splits(report: dict[str, Any]) -> list[str]:
    first = report["splits"][0]
    rows: list[Sequence[Cell]] = [
        [name, f"{count:,}", f"{first['gold'][name]:,}"] for name, count in first["rows"].items()
    ]
    notes = [f"{first['clusters_in_two_splits']} clusters of near-duplicates lie in two splits."]
    notes += [f"{first['quarantined']:,} rows are quarantined: their cluster came to span splits."]
    notes += [f"{first['blank']:,} rows have no text."] if first["blank"] else []
    table_ = _table(["split", "rows", "with gold"], rows)
    return ["<h2>Splits of the first seed</h2>", table_, f"<p>{' '.join(notes)}</p>"]


# --- parts -------------------------------------------------------------------------------------------------------


def shown(interval: dict[str, float | None] | None) -> str:
    """An estimate and its interval."""
    if interval is None or interval["value"] is None:
        return ""
    if interval["low"] is None:
        return f"{interval['value']:.3f}"
    return f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def _accuracy(one: dict[str, Any]) -> str:
    """With its counts, of the first seed."""
    counts = f" ({one['right']:,} of {one['of']:,})" if one.get("accuracy") and "of" in one else ""
    return f"{shown(one.get('accuracy'))}{counts}"


def _recovered(gap: dict[str, Any]) -> str:
    return shown(gap["recovered"]) if gap["identifiable"] else f"not identifiable: {gap['reason']}"


def _estimate(one: dict[str, Any]) -> str:
    if one["estimated_accuracy"] is None:
        return ""
    error = "" if one["estimated_error"] is None else f" ± {one['estimated_error']:.3f}"
    return f"{one['estimated_accuracy']:.3f}{error}"


def _dependence(one: dict[str, Any]) -> str:
    return "" if one["dependence"] is None else f"{one['dependence']:.2f} ({one['most_dependent_on']})"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    def cell(value: Cell, tag: str) -> str:
        numeric = isinstance(value, float)
        text = _number(value) if isinstance(value, float) else "" if value is None else str(value)
        return f"<{tag}{' class=n' if numeric else ''}>{escape(text)}</{tag}>"

    lines = ["<tr>" + "".join(cell(name, "th") for name in head) + "</tr>"] if any(head) else []
    lines += ["<tr>" + "".join(cell(value, "td") for value in row) + "</tr>" for row in rows]
    return f"<table>{''.join(lines)}</table>"


def _matrix(names: Sequence[str], values: Sequence[Sequence[float | None]]) -> str:
    return _table(["", *names], [[name, *row] for name, row in zip(names, values, strict=True)])


def _bars(gap: dict[str, Any]) -> str:
    """Weak, student and ceiling on one axis, with their intervals."""
    parts = [(name, gap[name]) for name in ("weak", "student", "ceiling")]
    ends = [value for _, part in parts for value in part.values() if value is not None]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return float(90 + 460 * (value - low) / span)

    drawn = []
    for place, (name, part) in enumerate(parts):
        y = 20 + 28 * place
        drawn.append(f'<text x="0" y="{y + 5}">{name}</text>')
        if part["low"] is not None:
            drawn.append(
                f'<line x1="{x(part["low"]):.1f}" x2="{x(part["high"]):.1f}" y1="{y}" y2="{y}" stroke="#789"/>'
            )
        drawn.append(f'<circle cx="{x(part["value"]):.1f}" cy="{y}" r="4" fill="#246"/>')
        drawn.append(f'<text x="565" y="{y + 5}">{part["value"]:.3f}</text>')
    return f'<svg width="640" height="100" font-size="13">{"".join(drawn)}</svg>'


def _line(points: Sequence[Sequence[float]], across: str, up: str, diagonal: bool = False) -> str:
    """A curve over 0 … 1; the vertical axis ends where the curve does, unless it has a diagonal."""
    top = 1.0 if diagonal else max(max(y for _, y in points), 0.01)
    at = [(50 + 400 * x, 210 - 180 * y / top) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    marks = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#246"/>' for x, y in at) if diagonal else ""
    ideal = '<line x1="50" y1="210" x2="450" y2="30" stroke="#bbb"/>' if diagonal else ""
    return (
        f'<svg width="500" height="250" font-size="12">{ideal}{marks}'
        f'<polyline points="{path}" fill="none" stroke="#246"/><path d="M50 30V210H450" fill="none" stroke="#444"/>'
        f'<text x="50" y="228">0</text><text x="443" y="228">1</text>'
        f'<text x="200" y="244">{across}</text><text x="0" y="36">{top:.2f}</text><text x="0" y="18">{up}</text></svg>'
    )
