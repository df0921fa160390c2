"""The application as generated: nothing in it blocks the event loop or wraps its streams."""

import gc
from collections.abc import AsyncIterator
from inspect import iscoroutinefunction

from fastapi import APIRouter, FastAPI, Response
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from starlette.middleware.base import BaseHTTPMiddleware

from streaming_api.main import create_app
from streaming_api.settings import Settings

from .yields.formats import FORMATS, Tick


def test_no_middleware_wraps_streams(app: FastAPI) -> None:
    assert not any(
        isinstance(middleware.cls, type) and issubclass(middleware.cls, BaseHTTPMiddleware)
        for middleware in app.user_middleware
    )


def test_no_route_runs_in_a_thread(app: FastAPI) -> None:
    endpoints = [
        route.endpoint
        for route in iter_route_contexts(app.routes)
        if getattr(route, "include_in_schema", False)
    ]

    assert endpoints
    assert all(map(iscoroutinefunction, endpoints))


def test_stream_can_be_declared_on_the_application(app: FastAPI) -> None:
    @app.get("/ticks", response_class=FORMATS[0].response_class)
    async def ticks() -> AsyncIterator[Tick]:
        yield Tick(n=7)

    assert FORMATS[0].read(TestClient(app).get("/ticks").text) == [7]


def test_every_get_has_one_head(app: FastAPI, settings: Settings) -> None:
    # The routers of the engine are included in each application.
    for each in (app, create_app(settings)):
        routes = [
            (method, route.path)
            for route in iter_route_contexts(each.routes)
            for method in route.methods or ()
        ]

        for path in {path for method, path in routes if method == "GET"}:
            assert routes.count(("HEAD", path)) == 1, path


def test_own_route_for_head_is_kept(app: FastAPI) -> None:
    router = APIRouter()
    router.head("/own")(lambda: Response(status_code=204))
    router.get("/own")(lambda: "own")
    app.include_router(router)

    client = TestClient(app)

    assert client.head("/own").status_code == 204
    assert client.get("/own").json() == "own"


def test_garbage_collections_skip_the_application(app: FastAPI) -> None:
    # Otherwise a body of 256 KiB with many lists takes four times as long.
    assert gc.get_freeze_count() > 10_000
