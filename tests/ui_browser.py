"""Chromium, driven by Playwright, where the machine has it; and what makes any page a bad one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
SERIOUS = ("serious", "critical")
FOCUSABLE = """[...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
    .filter((element) => !element.disabled && element.checkVisibility({visibilityProperty: true}))"""
GROUP = "(element) => (element.type === 'radio' ? element.name : element)"
"""Of radio buttons Tab reaches the one that is chosen, arrows the others."""


@contextmanager
def browser() -> Iterator[Browser]:
    """Skips the test, and says why, where there is no Chromium."""
    path = os.environ.get("CURATION_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no Chromium here: none of {', '.join(NAMES)} is on PATH, and CURATION_CHROMIUM names none")
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: make test brings it")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path)
        try:
            yield opened
        finally:
            opened.close()


def listen(page: Page) -> list[str]:
    """What the page complains of from now on: errors, warnings of the console, and dialogs."""
    heard: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            heard.append(message.text)

    def refuse(dialog: Dialog) -> None:
        heard.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    page.on("console", note)
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("dialog", refuse)
    return heard


def violations(page: Page) -> list[str]:
    """Serious findings of axe-core, each with the elements that it is about."""
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found: dict[str, Any] = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{item['id']} ({item['impact']}): " + "; ".join(node["html"][:160] for node in item["nodes"][:3])
        for item in found["violations"]
        if item["impact"] in SERIOUS
    ]


def unreached(page: Page) -> list[str]:
    """What can be used with a pointer, and that Tab does not come to."""
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    count = page.evaluate(f"{FOCUSABLE}.length")
    page.evaluate("window.reached = new Set(); addEventListener('focusin', (event) => reached.add(event.target))")
    for _ in range(count + 5):
        page.keyboard.press("Tab")
    left = f"""{FOCUSABLE}.filter((element) => ![...reached].map({GROUP}).includes(({GROUP})(element)))"""
    found: list[str] = page.evaluate(f"{left}.map((element) => element.outerHTML.slice(0, 160))")
    return found


def overflow(page: Page) -> int:
    """Pixels by which the page is wider than its window."""
    width: int = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return max(width, 0)
