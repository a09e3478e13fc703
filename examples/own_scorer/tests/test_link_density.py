"""The scorer keeps the engine's nine promises, alone and in runs."""

import re

from link_density import LinkDensity

from curation_engine import Workspace, check_scorer

TEXTS = [
    "The river rises in the hills and reaches the sea after two hundred miles.",
    "See https://example.org/rivers and https://example.org/hills for more.",
    "https://example.org",
    "Übersicht: https://example.org/flüsse 🌊",
    "http is a protocol; https:// alone is no address.",
    "a\nb\nhttp://example.net/c\nd",
]


def by_hand(document: dict[str, str]) -> float:
    text = document["text"]
    return sum(len(found.encode()) for found in re.findall(r"https?://\S+", text)) / len(text.encode())


def test_it_keeps_the_promises_of_a_scorer() -> None:
    documents = [{"text": text} for text in TEXTS]
    checks = check_scorer(LinkDensity, {}, documents, oracle=by_hand, workspace=Workspace)
    assert checks == ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9")
