"""The server: addresses, what answers them, and who may ask. Nothing is written but labels."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiohttp import web

from pipelines.ui import charts, documents, labels, runs, sql
from pipelines.ui.answers import answer
from pipelines.ui.events import Events
from pipelines.ui.open_runs import OpenRuns
from pipelines.ui.page import assets, page
from pipelines.ui.runs import Heartbeats
from pipelines.ui.security import MOST_BYTES, Door, guard
from pipelines.ui.slider import Sliders, write_recipe
from pipelines.ui.work import Work
from pipelines.workspace import Workspace
from schemas.errors import CurationError, Finding

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """What is asked over HTTP of one workspace."""

    def __init__(self, path: str, door: Door) -> None:
        self.door = door
        self.work = Work(path)
        self.heartbeats = Heartbeats()
        self.open_runs = OpenRuns(path)
        self.sliders = Sliders(path, self.open_runs)
        self.events = Events(self.work, self.heartbeats)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[guard(self.door)], client_max_size=MOST_BYTES)
        app.add_routes(
            [
                web.get("/api/workspace", self.workspace),
                web.get("/api/runs", self.asked(self._runs)),
                web.get("/api/events", self.events.stream),
                web.get("/api/runs/{run}", self.asked(self._run)),
                web.get("/api/runs/{run}/documents", self.asked(self._documents)),
                web.get("/api/runs/{run}/documents/{doc}", self.asked(self._document)),
                web.get("/api/runs/{run}/{piece:" + "|".join(charts.PIECES) + "}", self.piece),
                web.get("/api/diff", self.asked(charts.compare)),
                web.post("/api/runs/{run}/gates", self.told(self.sliders.judge)),
                web.post("/api/runs/{run}/recipe", self.told(write_recipe)),
                web.get("/api/runs/{run}/audit", self.asked(labels.state)),
                web.post("/api/runs/{run}/audit", self.told(labels.draw)),
                web.post("/api/runs/{run}/labels", self.told(labels.label)),
                web.post("/api/runs/{run}/labels/undo", self.told(labels.take_back)),
                web.post("/api/sql", self.told(sql.query)),
                web.get("/assets/{name}", self.asset),
                web.route("*", "/api/{rest:.*}", self.nothing),
                web.get("/{rest:.*}", self.page),
            ]
        )
        app.on_shutdown.append(self._close)
        return app

    # --- pages ---

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The page, which holds no data; with `?token=` its cookie is set, and the address is left without it."""
        word = request.query.get("token")
        if word is not None and self.door.token is not None:
            if not self.door.is_token(word):
                raise CurationError(Finding("C063", "the request is refused: the token is another"))
            rest = [(name, value) for name, value in request.query.items() if name != "token"]
            address = "/" + str(request.rel_url.with_query(rest)).lstrip("/")  # of this server, whatever it begins with
            away = web.Response(status=303, headers={"Location": address, "Cache-Control": "no-store"})
            away.set_cookie(self.door.cookie, self.door.token, httponly=True, samesite="Strict", path="/")
            return away
        return web.Response(text=page(), content_type="text/html", headers={"Cache-Control": "no-cache"})

    async def asset(self, request: web.Request) -> web.StreamResponse:
        file = assets().get(request.match_info["name"])
        if file is None:
            raise CurationError(Finding("C032", "there is no such asset", "load the page again"))
        forever = {"Cache-Control": "public, max-age=31536000, immutable"}
        return web.Response(body=file.content, content_type=file.type, charset="utf-8", headers=forever)

    async def nothing(self, request: web.Request) -> web.StreamResponse:
        raise CurationError(Finding("C032", "there is no such address", None))

    # --- data ---

    async def workspace(self, request: web.Request) -> web.StreamResponse:
        return answer(await self.work.ask(_about))

    async def piece(self, request: web.Request) -> web.StreamResponse:
        names, query = dict(request.match_info), dict(request.query)
        make = partial(charts.piece, self.open_runs)
        return answer(await self.work.ask(make, names, query, seconds=charts.SECONDS))

    def asked(self, function: Callable[..., Any]) -> Handler:
        """A handler of a GET: the function is given the workspace, names from the path, and the query."""

        async def handler(request: web.Request) -> web.StreamResponse:
            return answer(await self.work.ask(function, dict(request.match_info), dict(request.query)))

        return handler

    def told(self, function: Callable[..., Any]) -> Handler:
        """A handler of a POST: the function is given the workspace, the run that the path names, and the body."""

        async def handler(request: web.Request) -> web.StreamResponse:
            names = [request.match_info[name] for name in ("run",) if name in request.match_info]
            return answer(await self.work.ask(function, *names, await body(request)))

        return handler

    def _runs(self, workspace: Workspace, names: dict[str, str], query: dict[str, str]) -> Any:
        return runs.all_runs(workspace.manifest, self.heartbeats)

    def _run(self, workspace: Workspace, names: dict[str, str], query: dict[str, str]) -> Any:
        return runs.one_run(workspace, names["run"], self.heartbeats)

    def _documents(self, workspace: Workspace, names: dict[str, str], query: dict[str, str]) -> Any:
        return documents.list_documents(self.open_runs, workspace, names["run"], query)

    def _document(self, workspace: Workspace, names: dict[str, str], query: dict[str, str]) -> Any:
        return documents.one_document(self.open_runs, workspace, names["run"], names["doc"])

    async def _close(self, app: web.Application) -> None:
        await self.events.close()


async def body(request: web.Request) -> dict[str, Any]:
    """A request's JSON object. Raises C004 for what is none."""
    try:
        value = json.loads(await request.read())
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise CurationError(Finding("C004", "the request's body is no JSON object"))
    return value


def _about(workspace: Workspace) -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        number = version("curation-engine")
    except PackageNotFoundError:
        number = "of no release"
    return {
        "root": str(workspace.store.root),
        "version": number,
        "runs": len(workspace.manifest.keys("runs")),
        "weak_to_strong": runs.weak_runs(workspace.manifest),
        "readonly": _readonly(workspace),
    }


def _readonly(workspace: Workspace) -> bool:
    """Whether labels cannot be written: told by the folder's rights; of a store nothing is known before it is tried."""
    import os

    return not workspace.store.far and not os.access(str(workspace.store.root), os.W_OK)
