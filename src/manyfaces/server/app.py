"""Puts the application together: routes, page, documents, and the guard around all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from manyfaces.build import build_engine
from manyfaces.errors import ManyfacesError
from manyfaces.options import Options
from manyfaces.server import problems
from manyfaces.server.about import about
from manyfaces.server.guard import Guard, Rules, as_problem
from manyfaces.server.limits import Limits
from manyfaces.server.log import Log
from manyfaces.server.manual import manual
from manyfaces.server.people import Naming, People
from manyfaces.server.problems import Problem
from manyfaces.server.routes import routes
from manyfaces.server.service import Service
from manyfaces.server.shapes import ProblemDocument
from manyfaces.server.streams import Streams
from manyfaces.weights import find

PAGE = Path(__file__).parent / "page"

DESCRIPTION = (
    "Every face of pictures, videos and live cameras: where it is, what it shows, who it is. Rows are the same as "
    "those that the command line writes. Errors are application/problem+json with one sentence. Live: a WebSocket at "
    "/v1/live takes JPEG or WebP frames as binary messages, each after an optional text message "
    '{"sent": milliseconds}, and answers each frame that was looked at with its row and `sent` and `dropped`; the '
    "newest frame wins."
)
SECURITY = {"token": {"type": "http", "scheme": "bearer", "description": "needed where the server has tokens"}}


def create(options: Options, limits: Limits, rules: Rules, log: Log | None = None) -> Guard:
    """The application for these options, with the networks loaded."""
    naming = Naming()
    stages, plan = build_engine(options, naming)
    people = People(options.gallery_path, find(options.identity_network)[0].identifier, naming)
    service = Service(stages, plan, people, limits, about(options, plan, bool(rules.tokens)), log)
    return application(service, rules)


def application(service: Service, rules: Rules) -> Guard:
    streams = Streams(service)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            try:
                yield
            finally:
                await streams.end_all()

    app = FastAPI(
        title="manyfaces", version=str(service.about["version"]), description=DESCRIPTION, lifespan=lifespan,
        docs_url=None, redoc_url=None, redirect_slashes=False,
    )  # fmt: skip
    app.include_router(routes(service, streams))
    _add_page(app)
    _add_documents(app)
    for kind in (Problem, ManyfacesError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _answer)
    return Guard(app, rules, service.metrics, service.log)


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        if not (PAGE / "index.html").is_file():
            return RedirectResponse("/docs")
        return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})

    if PAGE.is_dir():
        app.mount("/page", _Revalidated(directory=PAGE), name="page")


class _Revalidated(StaticFiles):
    """Files that a browser may keep, but asks about each time: after an update, the page is of one piece."""

    def file_response(self, *arguments: Any, **named: Any) -> Response:
        response = super().file_response(*arguments, **named)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _add_documents(app: FastAPI) -> None:
    """The OpenAPI document, and a page made of it that needs no script and no network."""

    def document() -> dict[str, Any]:
        if not app.openapi_schema:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            made["components"]["securitySchemes"] = SECURITY
            made["security"] = [{}, {"token": []}]
            made["components"]["schemas"]["ProblemDocument"] = ProblemDocument.model_json_schema()
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own hook

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(manual(document()))

    @app.get("/docs/style.css", include_in_schema=False)
    async def style() -> Response:
        return FileResponse(Path(__file__).parent / "manual.css", media_type="text/css")


async def _answer(_request: Request, error: Exception) -> Response:
    if isinstance(error, RequestValidationError):
        return problems.answer(Problem(422, _told(error)))
    if isinstance(error, HTTPException):
        return problems.response(error.status_code, _plain(error), error.headers)
    return problems.answer(as_problem(error))


def _told(error: RequestValidationError) -> str:
    """The first thing that is wrong, without what was sent."""
    first = error.errors()[0]
    where = " ".join(str(part) for part in first["loc"][1:]) or "the body"
    return f"{where}: {first['msg'].lower()}; see /docs"


def _plain(error: HTTPException) -> str:
    if error.status_code == 404:
        return "there is nothing at this address; see /docs"
    if error.status_code == 405:
        return "this address does not take that method; see /docs"
    return str(error.detail)
