"""Pictures of report and page for README and docs, of the demo's workspace. Run by `make screenshots`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Page, sync_playwright

from pipelines.workspace import Workspace

FOLDER = Path(__file__).resolve().parent / "pictures"
MOST = 300_000
"""Bytes of a picture: readers load it before they have read a word."""
GATE = "gopher.words >= 40 and gopher.alpha_words_ratio >= 0.75 and gopher.stop_words >= 2"


def main(folder: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    workspace = Workspace(folder)
    chromium = os.environ.get("CURATION_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as temporary:
        page = playwright.chromium.launch(executable_path=chromium).new_page(color_scheme="light")
        page.set_viewport_size({"width": 1280, "height": 840})
        page.goto(Path(workspace.write_report(None, Path(temporary, "report.html"))).as_uri())
        page.get_by_role("heading", name="Funnel").wait_for()
        save(page, "report.png")
        [run] = workspace.sql("SELECT run FROM runs ORDER BY created_at DESC LIMIT 1").column("run").to_pylist()
        command = [sys.executable, "-m", "pipelines.cli", "ui", "-w", folder, "--port", "0", "--no-browser"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            page.goto(f"{server.stdout.readline().strip()}#/runs/{run}/thresholds?gate.gopher={quote(GATE)}")
            page.locator("[data-lost]").wait_for(timeout=60_000)
            page.locator(".gate .chart svg").nth(1).wait_for(timeout=60_000)
            page.evaluate("document.getElementById('gate-gopher').scrollIntoView({behavior: 'instant'})")
            page.wait_for_timeout(3000)  # until examples are there and what was drawn last stands still
            save(page, "ui.png")
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def save(page: Page, name: str) -> None:
    file = FOLDER / name
    page.screenshot(path=file)
    if file.stat().st_size > MOST:
        sys.exit(f"{file} has {file.stat().st_size:,} bytes, more than {MOST:,}")
    print(file)


if __name__ == "__main__":
    main(sys.argv[1])
