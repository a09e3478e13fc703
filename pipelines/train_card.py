"""The card of a trained scorer: how to use it, its figures, what it was made from, and what they are worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.escape import code, fenced, inline, markdown
from curation.training.scorer import Family, Trained

KINDS: dict[Family, str] = {"head": "embedding-head", "fasttext": "fasttext", "ngram": "ngram", "stack": "stack"}
SOUGHT: dict[Family, str] = {"head": "head", "fasttext": "model", "ngram": "model", "stack": "model"}
"""Key of a stage that names the folder."""


LIMITS = (
    "It knows what its labels knew, on texts like those that it was learned from. The figures are of the same source;"
    " on another, measure again."
)


@dataclass(frozen=True)
class Source:
    """Where labelled examples come from: a file or glob with a label column, or two files of texts."""

    data: str | None = None
    label: str | None = None
    text: str = "text"
    other: str | None = None
    """Of pairs: column of the second text; `label` is then the probability that the first is better."""
    annotators: tuple[str, ...] = ()
    test: str | None = None
    """A file with the same columns to test on, in place of a part of `data`."""
    seeds: str | None = None
    background: str | None = None


def keep_from_of(card: dict[str, Any]) -> str:
    """Whose scores the advised threshold was chosen on."""
    if card["keep_from_scores_of_seen_examples"]:
        return "scored by the model that was learned from them, as no other could be: it may be too high for new texts"
    return "each scored by a model that had not seen it"


def card(
    into: Path,
    trained: Trained,
    facts: dict[str, Any],
    source: Source,
    files: list[tuple[str, int, str]],
) -> str:
    facts_of, examples, method = trained.card, trained.card["examples"], trained.family
    kind: str = facts["kind"]
    score = "prob" if facts["task"] == "binary" else "score"
    lines = [
        f"# {markdown(into.name)}",
        "",
        f"{'An' if kind[0] in 'aeiou' else 'A'} `{kind}` scorer that predicts {_what(source)} ({facts['task']}),"
        " learned by `curate train-scorer`.",
        "",
        "## Use",
        "",
        *fenced(
            f"- scorer: {kind}\n  {SOUGHT[method]}: path:{into.as_posix()}      # this folder, from the recipe's\n"
            f"  keep: {kind.replace('-', '_')}.{score} >= {facts['keep_from']:g}",
            "yaml",
        ),
        "",
        "## Held-out figures",
        "",
        f"On {examples['held_out']:,} examples in {facts_of['clusters_held_out']:,} clusters of near-duplicates, none"
        f" of which it was learned from; {examples['learned_from']:,} examples to learn from. Intervals: 95 %,"
        " bootstrap over clusters.",
        "",
        "| figure | value | by length alone | gain over length |",
        "|---|---|---|---|",
        *_figures(facts_of["held_out"]),
        "",
        f"An example counts as good from {facts['cut']:g} on; {facts_of['share_of_good_examples']:.1%} of those held"
        f" out are. F1, precision, recall and share kept are those of keeping from {score} {facts['keep_from']:g} on:"
        f" {facts_of['keep_from_is']} on examples of the training part, {keep_from_of(facts_of)}."
        " By length: the number of words, turned the way that suited the training part.",
    ]
    if "curve" in facts_of:
        lines += [
            "",
            f"Other cuts, on the same held-out examples: keeping from {score}",
            "",
            *_curve(facts_of["curve"]),
        ]
    if facts_of["near_duplicates_of_training_examples_left_out"]:
        left = facts_of["near_duplicates_of_training_examples_left_out"]
        lines += ["", f"Leakage: {left:,} test examples were near-duplicates of training examples, and left out."]
    if "ceiling" in facts_of:
        ceiling = facts_of["ceiling"]["annotators_with_the_others"]
        lines += ["", f"Ceiling: each annotator's rank correlation with the others is {ceiling:.3f} on average."]
    chosen = facts_of["chosen"]
    if method in ("head", "ngram", "stack"):
        tried = ", ".join(f"{l2:g}" for l2 in chosen["tried"])
        how = f"penalty l2 {chosen['l2']:g}, of {tried}, by five parts of it. Scores are calibrated on the same parts"
    if method == "ngram":
        how += f". {chosen['n-grams']:,} n-grams, of which a count c weighs {chosen['a count c weighs']}"
    if method == "fasttext":
        how = ", ".join(f"{key} {value}" for key, value in chosen.items())
    if method == "stack":
        lines += ["", "## Columns", "", *_groups(chosen)]
    if facts_of.get("families"):
        lines += ["", "## Families", "", *_families(facts_of, method)]
    lines += ["", "## Made from", "", f"Chosen inside the training part: {how}."]
    if chosen.get("at_the_end"):
        lines.append("That penalty is the last of those that are tried: the labels may say little of these texts.")
    lines.append("")
    if "model" in facts:
        lines.append(f"Encoder: {code(facts['model'])}, {facts['encoder']['dtype']}, frozen.")
        lines += [f"- {code(file)}: sha256 `{digest}`" for file, digest in facts["encoder"]["weights"].items()]
        lines.append("")
    lines += ["| file | examples | fingerprint |", "|---|---|---|"]
    lines += [f"| {inline(Path(path).name)} | {rows:,} | `{digest}` |" for path, rows, digest in files]
    lines += [
        "",
        "## Limits",
        "",
        LIMITS,
        "",
    ]
    return "\n".join(lines)


def properties_card(
    into: Path, parts: dict[str, Trained], facts: dict[str, Any], files: list[tuple[str, int, str]]
) -> str:
    """The card of several heads on one vector, by label."""
    gates = [f"  # keep: properties.{name} >= {part.settings['keep_from']:g}" for name, part in parts.items()]
    lines = [
        f"# {markdown(into.name)}",
        "",
        f"A `properties` scorer: {len(parts)} heads on one vector, learned by `curate train-scorer`.",
        "",
        "## Use",
        "",
        *fenced("\n".join([f"- scorer: properties\n  head: path:{into.as_posix()}", *gates]), "yaml"),
        "",
        "## Held-out figures",
        "",
        "Each on examples none of which it was learned from, with no near-duplicate among these. Intervals: 95 %,"
        " bootstrap over clusters. F1, precision and recall are those of keeping from the score above, the one with the"
        " highest F1 on examples of the training part.",
    ]
    for name, part in parts.items():
        examples = part.card["examples"]
        lines += [
            "",
            f"### {inline(name)}",
            "",
            f"{part.settings['task']}; {examples['learned_from']:,} examples to learn from,"
            f" {examples['held_out']:,} held out.",
            "",
            "| figure | value | by length alone | gain over length |",
            "|---|---|---|---|",
            *_figures(part.card["held_out"]),
        ]
    lines += ["", "## Made from", "", f"Encoder: {code(facts['model'])}, {facts['encoder']['dtype']}, frozen.", ""]
    lines += ["| file | examples | fingerprint |", "|---|---|---|"]
    lines += [f"| {inline(Path(path).name)} | {rows:,} | `{digest}` |" for path, rows, digest in files]
    lines += ["", "## Limits", "", LIMITS, ""]
    return "\n".join(lines)


def _curve(points: list[dict[str, float]]) -> list[str]:
    return [
        "| from | share kept | precision | recall |",
        "|---|---|---|---|",
        *("| {from:.4g} | {share_kept:.2f} | {precision:.3f} | {recall:.3f} |".format(**point) for point in points),
    ]


def _groups(chosen: dict[str, Any]) -> list[str]:
    def interval(figure: dict[str, float] | None) -> str:
        return "" if figure is None else "{value:.3f} [{low:.3f}, {high:.3f}]".format(**figure)

    kept = ", ".join(name for name, facts in chosen["groups"].items() if facts["kept"])
    left = ", ".join(chosen["left_out"]) or "none"
    return [
        f"It reads {kept}. Left out, since the stack does better without them: {left}. On examples of the"
        f" training part, scored by models that had not seen them, it has {chosen['figure']:.3f}, by"
        f" {interval(chosen['gain_over_length'])} more than length. The groups were chosen on the same examples.",
        "",
        "| columns | alone | with length, more than length |",
        "|---|---|---|",
        *(
            f"| {name} | {facts['alone']:.3f} | {interval(facts['adds_to_length'])} |"
            for name, facts in chosen["groups"].items()
        ),
    ]


def _families(facts: dict[str, Any], best: str) -> list[str]:
    figure = "Rank correlation" if facts["task"] in ("ordinal", "regression") else "AUC"
    lines = [
        f"{figure} on examples of the training part, each scored by models that had not seen it. Each family's way was"
        " chosen on the same examples, so the best figure is a little too high; the held-out one is not.",
        "",
        f"| family | value | {best} is ahead by |",
        "|---|---|---|",
    ]
    for family, value in sorted(facts["families"].items(), key=lambda item: -item[1]):
        ahead = facts["ahead_of"].get(family)
        shown = "" if ahead is None else "{value:.3f} [{low:.3f}, {high:.3f}]".format(**ahead)
        lines.append(f"| {family} | {value:.3f} | {shown} |")
    return lines


def _what(source: Source) -> str:
    if source.seeds is not None:
        return "whether a text is like the seeds rather than like the background"
    if source.other is not None:
        return f"which of two texts is the better one, by {code(source.label or '')}"
    return f"{code(source.label or '')} of a text"


def _figures(held_out: dict[str, Any]) -> list[str]:
    def shown(name: str) -> str:
        if name not in held_out:
            return ""
        value, low, high = held_out[name].values()
        return "undefined" if value is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"

    rows = []
    for name in held_out:
        if not name.endswith(("_of_length", "_gain_over_length")):
            others = f"{shown(f'{name}_of_length')} | {shown(f'{name}_gain_over_length')}"
            rows.append(f"| {name.replace('_', ' ')} | {shown(name)} | {others} |")
    return rows
