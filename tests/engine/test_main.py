"""The application is asynchronous from end to end: nothing in it holds a thread or wraps a stream."""

from inspect import iscoroutinefunction

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.middleware.base import BaseHTTPMiddleware


def test_no_middleware_passes_streams_on_chunk_by_chunk(app: FastAPI) -> None:
    assert not any(
        isinstance(middleware.cls, type) and issubclass(middleware.cls, BaseHTTPMiddleware)
        for middleware in app.user_middleware
    )


def test_no_route_takes_a_thread(app: FastAPI) -> None:
    endpoints = [
        route.endpoint
        for route in iter_route_contexts(app.routes)
        if getattr(route, "include_in_schema", False)
    ]

    assert endpoints
    assert all(map(iscoroutinefunction, endpoints))
