"""The API's description tells the truth about streams."""

from collections.abc import Iterator
from typing import Any, cast

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from fastapi.testclient import TestClient
from pydantic import BaseModel

from {{ cookiecutter.__package_name }}.streaming import StreamResponse

STREAMS = {
#{% if cookiecutter.sse %}
    "/events/{topic}": ("text/event-stream", {"data", "event", "id", "retry"}),
#{% endif %}
#{% if cookiecutter.ndjson %}
    "/export/items": (
        "application/x-ndjson",
        {"id", "name", "description", "price", "created_at"},
    ),
#{% endif %}
#{% if cookiecutter.csv %}
    "/export/users.csv": ("text/csv", {"id", "name", "email"}),
#{% endif %}
}


class Answer(BaseModel):
    """What a stream is not."""

    text: str


def streams(app: FastAPI) -> Iterator[RouteContext]:
    """Yield the routes of `app` that stream, those of included routers among them."""
    for route in iter_route_contexts(app.routes):
        kind = getattr(route, "response_class", None)
        if isinstance(kind, type) and issubclass(kind, StreamResponse):
            yield route


def modelled_streams(app: FastAPI) -> list[str | None]:
    """Return the paths of streams that are documented as one JSON document."""
    return [route.path for route in streams(app) if route.response_model is not None]


def test_a_stream_has_no_response_model(app: FastAPI) -> None:
    assert modelled_streams(app) == []


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_a_stream_with_a_response_model_is_found(app: FastAPI, levels: int) -> None:
    router: FastAPI | APIRouter = app if levels == 0 else APIRouter()

    @router.get("/offender", response_class=StreamResponse, response_model=Answer)
    async def offend() -> None: ...

    for level in range(levels, 0, -1):
        parent = app if level == 1 else APIRouter()
        parent.include_router(cast(APIRouter, router), prefix=f"/level{level}")
        router = parent

    (path,) = modelled_streams(app)
    assert path is not None
    assert path.endswith("/offender")


def test_every_stream_is_found(app: FastAPI) -> None:
    assert {route.path for route in streams(app)} == STREAMS.keys()


def test_the_version_is_the_one_that_describes_streams(idle_client: TestClient) -> None:
    assert idle_client.get("/openapi.json").json()["openapi"] == "3.2.0"


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_is_documented_by_its_items(idle_client: TestClient, path: str) -> None:
    media_type, properties = STREAMS[path]
    document: dict[str, Any] = idle_client.get("/openapi.json").json()

    responses = document["paths"][path]["get"]["responses"]

    content = responses["200"]["content"]
    assert content.keys() == {media_type}
    assert content[media_type]["itemSchema"]["properties"].keys() == properties
    for status in ("422", "429", "503"):
        assert "application/problem+json" in responses[status]["content"]
