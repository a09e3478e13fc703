"""The stages of a recipe as typed settings: ids, kinds, keys, resources."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from curation import registry
from curation.scorers.turns import RULES
from pipelines.recipe.document import Document, KeyPath, shown, validate
from schemas.manifest import RESERVED
from schemas.recipe import FAMILIES, Recipe, Resources, Stage

STAGE_KEYS = ("id", "keep", "turns", "resources")
DOCUMENT_FAMILIES = ("scorer", "transform")
"""Families that give each document a status."""
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def default_id(entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return None
    if isinstance(entry.get("id"), str):
        return str(entry["id"])
    kind = next((entry[family] for family in FAMILIES if isinstance(entry.get(family), str)), None)
    return kind.replace("-", "_") if kind else None


def read_top(document: Document, value: dict[str, Any]) -> Recipe | None:
    """The recipe without its stages."""
    sections = {key: section for key, section in value.items() if key != "stages"}
    top = validate(document, Recipe, sections, (), "recipe", ["stages"])
    return top if isinstance(top, Recipe) else None


def read_stage(document: Document, index: int, entry: Any) -> Stage | None:
    path: KeyPath = ("stages", index)
    if not isinstance(entry, dict):
        document.add("C004", f"stage {index + 1}: expected a mapping, got {shown(entry)}", path, _family_hint())
        return None
    families = [family for family in FAMILIES if family in entry]
    if len(families) != 1:
        if families:
            document.add(
                "C003", f"stage {index + 1} is both {' and '.join(families)}", (*path, families[1]), _family_hint()
            )
            return None
        near = next((key for key in entry if get_close_matches(key, FAMILIES, 1)), None)
        if near is not None:
            guess = get_close_matches(near, FAMILIES, 1)[0]
            document.add("C003", f"stage {index + 1}: unknown key '{near}'", (*path, near), f"did you mean '{guess}'?")
        else:
            document.add("C005", f"stage {index + 1} does not say what it is", path, _family_hint())
        return None
    family = families[0]
    kind = entry[family]
    if not isinstance(kind, str):
        message = f"stage {index + 1}: {family}: expected text, got {shown(kind)}"
        document.add("C004", message, (*path, family), kinds_hint(family), value=True)
        return None
    name = entry.get("id", kind.replace("-", "_"))
    if not isinstance(name, str):
        message = f"stage {index + 1}: id: expected text, got {shown(name)}"
        document.add("C004", message, (*path, "id"), value=True)
        return None
    keep = entry.get("keep")
    if keep is not None and not isinstance(keep, str):
        message = f"stage '{name}': keep: expected text, got {shown(keep)}"
        hint = "a gate is SQL over the stages' columns, such as language.prob > 0.65"
        document.add("C004", message, (*path, "keep"), hint, value=True)
        keep = None
    turns = entry.get("turns")
    if turns is not None and (turns not in RULES or family != "scorer"):
        message = f"stage '{name}': turns: expected one of {', '.join(RULES)}, got {shown(turns)}"
        if family != "scorer":
            message = f"stage '{name}': unknown key 'turns'"
        hint = "it says how a scorer's numbers for each answer of a conversation become one"
        document.add("C004" if family == "scorer" else "C003", message, (*path, "turns"), hint, value=True)
        turns = None
    key: KeyPath = (*path, "id" if "id" in entry else family)
    valid = IDENTIFIER.match(name) is not None
    if not valid:
        hint = "letters, digits and _ only, not beginning with a digit"
        document.add("C008", f"invalid stage id '{name}'", key, hint, value=True)
    elif name.casefold() in RESERVED:
        document.add("C008", f"stage id '{name}' is reserved", key, "give it another `id:`", value=True)
    resources = _resources(document, path, name, entry["resources"]) if "resources" in entry else None
    settings = {key: value for key, value in entry.items() if key not in (family, *STAGE_KEYS)}
    return Stage.model_construct(
        family=family, kind=kind, id=name, keep=keep, turns=turns, resources=resources, settings=settings
    )


def _resources(document: Document, path: KeyPath, name: str, given: Any) -> Resources | None:
    key_path: KeyPath = (*path, "resources")
    if not isinstance(given, dict):
        hint = "such as {num_gpus: 0.5, workers: 1..8}"
        document.add(
            "C004", f"stage '{name}': resources: expected a mapping, got {shown(given)}", key_path, hint, value=True
        )
        return None
    found = validate(document, Resources, given, key_path, f"stage '{name}': resources", [])
    return found if isinstance(found, Resources) else None


def _family_hint() -> str:
    return f"a stage begins with one of {', '.join(f'`{family}:`' for family in FAMILIES)}"


def kinds_hint(family: str) -> str:
    return f"known: {', '.join(registry.kinds(family))}"


def check_ids(document: Document, stages: Sequence[Stage | None]) -> None:
    first: dict[str, int] = {}
    for index, stage in enumerate(stages):
        if stage is None:
            continue
        # SQL does not tell case apart, so `Rules` and `rules` would be one column.
        earlier = first.setdefault(stage.id.casefold(), index)
        if earlier != index:
            line = document.keys.get(("stages", earlier))
            where = f"the other begins in line {line.line + 1}; " if line is not None else ""
            key = "id" if ("stages", index, "id") in document.keys else stage.family
            hint = f"{where}give one of them another `id:`"
            document.add("C007", f"two stages have the id '{stage.id}'", ("stages", index, key), hint, value=True)
