"""`curate ui`: the workspace as a page in a browser."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import WORKSPACE, Folder
from pipelines.cli.render import put, tell

if TYPE_CHECKING:
    from pipelines.ui.serve import Address

app = typer.Typer(rich_markup_mode=None)


@app.command(
    "ui",
    epilog="Examples: curate ui; curate ui -w ws --port 9000; curate ui --no-browser; "
    "curate ui --host 0.0.0.0 --token correct-horse",
)
def ui(
    workspace: Folder = WORKSPACE,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="0 is any that is free. Default: 8765, or the next that is."),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; one that others can reach needs --token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar="CURATION_UI_TOKEN",
            help="Word that whoever asks has to know, 8 characters or more; auto makes one.",
            show_default=False,
        ),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
) -> None:
    """Look at runs, move thresholds, read and label documents, ask SQL: a page over the workspace, on this machine.

    The address goes to stdout. Nothing is written but labels. Ctrl-C ends it.
    """
    from pipelines.ui.serve import serve
    from pipelines.ui.work import WORKER

    def ready(address: Address) -> None:
        put(address.url)
        sys.stdout.flush()
        tell(f"serving {workspace}; Ctrl-C ends it")
        if browser and has_display():
            open_browser(address.url)

    serve(workspace, host, port, "" if token == "auto" else token, ready)
    if any(thread.name == WORKER for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # a query that is still at work would abort the process as Python ends


def has_display() -> bool:
    """Whether a browser would have something to open on."""
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("BROWSER"))


def open_browser(address: str) -> None:
    """Beside us: a browser may take its time, and say things on stdout, which is ours."""
    import subprocess
    from contextlib import suppress

    code = "import sys, webbrowser; webbrowser.open(sys.argv[1])"
    with suppress(OSError):
        subprocess.Popen(
            [sys.executable, "-c", code, address],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
