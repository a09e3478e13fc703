"""Report and page in a browser, as people use them: with a pointer, with a keyboard alone, on small and large screens.

One browser, one server and one workspace serve all tests here, in their order.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ui_browser import browser, listen, overflow, unreached, violations

from pipelines.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.long

WIDTHS = (380, 1280, 2560)
PICTURES = Path(__file__).parents[2] / "build" / "ui"
WORDS = 60
"""Of the gate."""
HOSTILE = {
    "<script>document.title = 'taken'</script>": "<img src=x onerror=\"document.title = 'taken'\"> <b>bold</b> &amp;",
    "\u202egnp.exe": "left \u202eto right\u202c and \u2066isolated",
    "control\x07\x1b[31m": "bell \x07 escape \x1b[2J delete \x7f nul \x00 end",
    "javascript:alert(1)": "](javascript:alert(1)) {{constructor.constructor('alert(1)')()}}",
    "surrogate": "half \ud800 of a pair \udfff",
    "line": "word " * 2_000_000,
}
COMMAND = [sys.executable, "-m", "pipelines.cli"]


@dataclass
class Site:
    """A workspace that is served, and a page of the browser on it."""

    page: Page
    address: str
    folder: Path
    recipe: dict[str, Any]
    run: str
    heard: list[str]

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.folder / "ws")

    def open(self, *path: str, query: str = "") -> None:
        self.page.goto(f"{self.address}#/{'/'.join(path)}{query}")
        self.page.wait_for_selector("main h1")

    def count(self, condition: str) -> int:
        [row] = self.workspace.sql(f"SELECT count(*) AS n FROM documents WHERE {condition}", run=self.run).to_pylist()
        return int(row["n"])

    def document(self, condition: str) -> dict[str, Any]:
        query = f"SELECT doc_id, twin, id FROM documents WHERE {condition} ORDER BY doc_id LIMIT 1"
        rows: list[dict[str, Any]] = self.workspace.sql(query, run=self.run).to_pylist()
        return rows[0]

    def wait(self, text: str) -> None:
        self.page.get_by_text(text).first.wait_for()


def corpus(file: Path) -> Path:
    texts = {name: re.sub(r"\s+", " ", text) for name, text in sorted(topics.items())}
    names = list(texts)
    rows = [{"id": name, "text": texts[name][:3000]} for name in names]
    rows += [{"id": f"{name} again", "text": texts[name][:3000] + " The end."} for name in names[:30]]
    rows += [{"id": name, "text": text} for name, text in HOSTILE.items()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with browser() as opened:
        folder = tmp_path_factory.mktemp("site")
        recipe = {
            "name": "look",
            "input": {"path": str(corpus(folder / "corpus.jsonl")), "columns": {"text": "text", "id": "id"}},
            "stages": [
                {"dedup": "minhash", "verify": 0.7},
                {
                    "scorer": "rules", "id": "gopher", "profile": "gopher-quality@datatrove",
                    "keep": f"gopher.words >= {WORDS} and gopher.stop_words >= 2",
                },
            ],
        }  # fmt: skip
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        workspace = Workspace(folder / "ws")
        run = workspace.run(recipe).run
        workspace.audit_sample(rows=20)
        server = subprocess.Popen(
            [*COMMAND, "ui", "-w", str(folder / "ws"), "--port", "0", "--no-browser"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            page = opened.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(20_000)
            yield Site(page, address, folder, recipe, run, listen(page))
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)


def views(site: Site) -> dict[str, tuple[tuple[str, ...], str]]:
    """Every view, by name: its address, and a selector of what it shows at last."""
    twin = site.document("twin IS NOT NULL")
    run = ("runs", site.run)
    return {
        "runs": ((), "table a"),
        "run": (run, ".funnel-stage"),
        "thresholds": ((*run, "thresholds"), ".what-if .big"),
        "documents": ((*run, "documents"), ".document-row"),
        "document": ((*run, "documents", str(twin["doc_id"])), ".side-by-side, .word-diff"),
        "duplicates": ((*run, "duplicates"), ".clusters"),
        "report": ((*run, "report"), ".with-side h2"),
        "label": ((*run, "label"), ".to-label"),
        "sql": (("sql",), "textarea"),
    }


def test_every_view_fits_every_screen_and_can_be_used_without_a_pointer_and_without_sight(site: Site) -> None:
    found: dict[str, Any] = {}
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, (path, shown) in views(site).items():
        site.page.set_viewport_size({"width": 1280, "height": 900})
        site.open(*path)
        site.page.locator(shown).first.wait_for()
        found[name] = violations(site.page) + [f"Tab does not reach {each}" for each in unreached(site.page)]
        for width in WIDTHS:
            site.page.set_viewport_size({"width": width, "height": 900})
            site.page.screenshot(path=PICTURES / f"{name}-{width}.png")
            if overflow(site.page):
                found[name].append(f"{overflow(site.page)} pixels too wide at {width}")
    site.page.set_viewport_size({"width": 1280, "height": 900})
    site.page.emulate_media(color_scheme="dark")
    site.page.screenshot(path=PICTURES / "sql-dark.png")
    found["dark"] = violations(site.page)
    site.page.emulate_media(color_scheme="light")
    assert {name: each for name, each in found.items() if each} == {}
    assert site.heard == []


def test_a_slider_tells_what_sql_does(site: Site) -> None:
    site.open("runs", site.run, "thresholds")
    kept = site.page.locator("[data-kept]")
    kept.wait_for()
    assert kept.get_attribute("data-kept") == str(site.count("kept"))
    slider = site.page.get_by_role("slider", name="gopher.words >=")
    slider.focus()
    for key in ("PageUp", "PageUp", "ArrowRight"):
        slider.press(key)
    site.page.wait_for_timeout(500)  # until the last key is drawn
    bound = float(site.page.get_by_role("spinbutton", name="gopher.words >=").input_value())
    assert bound > WORDS
    passing = f"gopher.words >= {bound} AND gopher.stop_words >= 2"
    site.page.locator(f"[data-kept='{site.count(passing)}']").wait_for()
    assert site.page.locator("[data-lost]").get_attribute("data-lost") == str(site.count(f"kept AND NOT ({passing})"))

    site.page.get_by_role("spinbutton", name="gopher.stop_words >=").fill("9")
    passing = f"gopher.words >= {bound} AND gopher.stop_words >= 9"
    site.page.locator(f"[data-kept='{site.count(passing)}']").wait_for()
    address = site.page.url
    site.page.reload()
    site.page.locator(f"[data-kept='{site.count(passing)}']").wait_for()  # the address is the view
    assert site.page.url == address

    site.page.get_by_role("button", name="Write this into a recipe").click()
    recipe = site.page.get_by_role("textbox", name="recipe", exact=True)
    recipe.wait_for()
    assert f"gopher.words >= {bound:g} and gopher.stop_words >= 9" in recipe.input_value()
    site.page.get_by_role("button", name="Reset all").click()
    site.page.locator(f"[data-kept='{site.count('kept')}']").wait_for()
    assert site.heard == []


def test_a_dropped_duplicate_leads_to_the_document_that_stays(site: Site) -> None:
    gone = site.document("dropped_by = 'minhash'")
    site.open("runs", site.run, "documents", query="?stage=minhash&outcome=dropped")
    site.page.locator("[data-document]").first.wait_for()
    site.page.keyboard.press("j")
    assert site.page.evaluate("document.activeElement.textContent") == gone["id"]
    site.page.keyboard.press("Enter")
    site.wait("What each stage said")
    site.page.locator("[data-keeper]").click()
    site.page.wait_for_url(f"**/documents/{gone['twin']}")
    site.page.get_by_role("heading", name=site.document(f"doc_id = {gone['twin']}")["id"], exact=True).wait_for()
    site.page.go_back()
    site.page.get_by_role("heading", name=gone["id"], exact=True).first.wait_for()
    assert site.heard == []


def test_three_labels_by_keyboard_and_one_taken_back(site: Site) -> None:
    site.open("runs", site.run, "label")
    left = site.page.locator("[data-left]")
    left.wait_for()
    begun = int(left.get_attribute("data-left") or 0)
    shown = site.page.locator("[data-doc]")
    for number, key in enumerate("gbg", start=1):
        shown.wait_for()
        doc = shown.get_attribute("data-doc")
        site.page.keyboard.press(key)
        site.page.locator(f"[data-left='{begun - number}']").wait_for()
        site.page.locator(f"[data-doc='{doc}']").wait_for(state="detached")
    assert "%" in site.page.locator("[data-estimate=precision], [data-estimate=recall]").first.inner_text()
    site.page.keyboard.press("z")
    site.page.locator(f"[data-left='{begun - 2}']").wait_for()
    site.wait("good is taken back")
    assert site.heard == []


def test_a_query_as_table_and_as_chart(site: Site) -> None:
    site.open("sql")
    box = site.page.get_by_role("textbox", name="Query")
    box.fill("SELECT outcome, count(*) AS n FROM documents GROUP BY ALL ORDER BY ALL")
    box.press("Control+Enter")
    site.page.get_by_role("cell", name="kept", exact=True).wait_for()
    site.page.get_by_role("cell", name=f"{site.count('kept'):,}", exact=True).wait_for()
    site.page.get_by_text("chart", exact=True).click()
    site.page.get_by_role("img", name="n by outcome").wait_for()
    box.fill("SELECT * FROM read_csv('/etc/passwd')")
    box.press("Control+Enter")
    site.page.get_by_role("alert").wait_for()
    site.page.get_by_text("C033").or_(site.page.get_by_text("C034")).first.wait_for()
    assert [line for line in site.heard if "status of 400" not in line and "status of 403" not in line] == []
    site.heard.clear()


def test_hostile_documents_are_text(site: Site) -> None:
    title = site.page.title()
    for name, text in HOSTILE.items():
        row = site.document(f"row = {site.count('true') - len(HOSTILE) + list(HOSTILE).index(name)}")
        site.open("runs", site.run, "documents", str(row["doc_id"]))
        block = site.page.get_by_role("group", name="text of the document").first
        block.wait_for()
        if text.isascii() and text.isprintable():
            assert text[:1000] in block.inner_text()
        assert site.page.evaluate("document.querySelectorAll('main img, main script, main b').length") == 0
    site.open("runs", site.run, "documents", query="?from=" + str(site.count("true") - len(HOSTILE)))
    site.page.locator("[data-document]").first.wait_for()
    assert "taken" not in (title, site.page.title())
    assert site.page.evaluate("[1, 2].at(-1)") == 2  # alive
    assert site.heard == []


def test_a_run_that_goes_on_is_watched_and_compared(site: Site) -> None:
    site.open()
    site.page.locator("tbody tr").first.wait_for()
    recipe = json.loads(json.dumps(site.recipe).replace(f">= {WORDS}", f">= {WORDS + 40}"))
    (site.folder / "other.yaml").write_text(yaml.safe_dump(recipe))
    held = {"point": "before-publish", "hit": 1, "sleep": 4, "dir": str(site.folder)}
    going = subprocess.Popen(
        [*COMMAND, "run", str(site.folder / "other.yaml"), "-w", str(site.folder / "ws")],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "CURATION_FAILPOINTS": json.dumps(held)},
    )  # fmt: skip
    site.page.get_by_role("progressbar").wait_for(timeout=60_000)
    site.page.screenshot(path=PICTURES / "running-1280.png")
    assert going.wait(120) == 0, going.stderr and going.stderr.read()
    site.page.locator("tbody tr").nth(1).wait_for()
    site.page.get_by_role("progressbar").wait_for(state="detached")
    site.page.get_by_role("link", name=re.compile("compare")).first.click()
    site.page.get_by_role("heading", name="Documents that changed sides").wait_for()
    assert violations(site.page) == []
    assert site.heard == []


def test_the_report_opens_from_its_file(site: Site) -> None:
    file = site.workspace.write_report(site.run, site.folder / "report.html")
    site.page.goto(Path(file).as_uri())
    site.page.get_by_role("heading", name="Funnel").wait_for()
    found = violations(site.page) + [f"Tab does not reach {each}" for each in unreached(site.page)]
    for width in WIDTHS:
        site.page.set_viewport_size({"width": width, "height": 900})
        site.page.screenshot(path=PICTURES / f"report-file-{width}.png", full_page=True)
        if overflow(site.page):
            found.append(f"{overflow(site.page)} pixels too wide at {width}")
    site.page.emulate_media(color_scheme="dark")
    found += violations(site.page)
    assert found == []
    assert site.page.title() != "taken"
    assert site.page.evaluate("document.querySelectorAll('main img, main script').length") == 0
    assert site.heard == []
