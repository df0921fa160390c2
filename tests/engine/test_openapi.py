"""The API's description tells the truth about streams and errors."""

import re
from collections.abc import Iterator
#{% if cookiecutter.sse %}
from itertools import islice
#{% endif %}
from typing import Any, cast

#{% if cookiecutter.sse %}
import httpx2
#{% endif %}
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from fastapi.testclient import TestClient
from pydantic import BaseModel

from {{ cookiecutter.__package_name }}.access.tokens import Scope, parse_tokens
from {{ cookiecutter.__package_name }}.main import create_app
from {{ cookiecutter.__package_name }}.settings import Settings
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

ERRORS = {
#{% if cookiecutter.sse %}
    ("get", "/events/{topic}"): {"401", "403", "422", "429", "503"},
#{% if cookiecutter.event_broker == "memory" %}
    ("post", "/events/{topic}"): {"400", "401", "403", "409", "413", "422"},
#{% else %}
    ("post", "/events/{topic}"): {"400", "401", "403", "409", "413", "422", "503"},
#{% endif %}
    ("post", "/jobs"): {"400", "401", "403", "413", "422", "503"},
#{% endif %}
#{% if cookiecutter.ndjson %}
    ("get", "/export/items"): {"401", "403", "422", "429", "503"},
#{% endif %}
#{% if cookiecutter.csv %}
    ("get", "/export/users.csv"): {"401", "403", "422", "429", "503"},
#{% endif %}
    ("get", "/health"): {"503"},
    ("get", "/session"): set(),
    ("post", "/session"): {"401"},
    ("delete", "/session"): set(),
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
    assert content[media_type].keys() == {"itemSchema", "examples"}
    assert content[media_type]["itemSchema"]["properties"].keys() == properties


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_is_documented_with_the_command_that_follows_it(app: FastAPI, path: str) -> None:
    description = app.openapi()["paths"][path]["get"]["description"]

    command = f"curl -N http://127.0.0.1:8000{path.replace('{topic}', 'news')}"
    assert f"```console\n{command}\n```" in description


def example(app: FastAPI, path: str) -> str:
    """Return the documented example of a stream."""
    (content,) = app.openapi()["paths"][path]["get"]["responses"]["200"]["content"].values()
    example: str = content["examples"]["wire"]["serializedValue"]
    return example


@pytest.mark.parametrize("path", STREAMS)
def test_the_example_of_a_stream_is_shown_as_it_is(app: FastAPI, path: str) -> None:
    description = app.openapi()["paths"][path]["get"]["responses"]["200"]["description"]

    assert f"```text\n{example(app, path).strip()}\n```" in description
#{% if cookiecutter.ndjson or cookiecutter.csv %}


@pytest.mark.parametrize("path", [path for path in STREAMS if path.startswith("/export/")])
def test_the_example_of_an_export_is_how_it_begins(
    app: FastAPI, client: TestClient, path: str
) -> None:
    response = client.get(path, params={"limit": 2})

    assert response.content.decode() == example(app, path)
#{% endif %}
#{% if cookiecutter.sse %}


def test_the_example_of_an_event_stream_is_how_it_begins(app: FastAPI, server: str) -> None:
    expected = example(app, "/events/{topic}")

    with (
        httpx2.Client(base_url=server, timeout=30) as http,
        http.stream("GET", "/events/news") as response,
    ):
        lines = response.iter_lines()
        ready = list(islice(lines, 5))
        http.post("/events/news", json={"data": {"n": 1}, "event": "tick"})
        first = list(islice(lines, 4))

    # All digits are those of a moment, which is another one here, except for the datum's.
    sent = "\n".join([*ready, *first, ""])
    assert re.sub(r"\d", "0", sent) == re.sub(r"\d", "0", expected)


def test_the_names_that_an_event_cannot_have_are_documented(app: FastAPI) -> None:
    schema = app.openapi()["components"]["schemas"]["NewEvent"]["properties"]["event"]["anyOf"][0]

    assert re.fullmatch(schema["pattern"], "one line")
    assert not re.search(schema["pattern"], "two\nlines")
    assert "done" in schema["not"]["enum"]
#{% endif %}


def documented_errors(app: FastAPI) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the responses that are errors, by status, of every method and path."""
    return {
        (method, path): {
            status: response
            for status, response in operation["responses"].items()
            if status >= "400"
        }
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
    }


def test_every_operation_names_its_errors(app: FastAPI) -> None:
    documented = {key: errors.keys() for key, errors in documented_errors(app).items()}

    assert documented == ERRORS


def test_every_error_is_documented_as_a_problem(app: FastAPI) -> None:
    # A route that says nothing of its errors: FastAPI documents a 422 of its own for it.
    @app.get("/number/{number}")
    async def number(number: int) -> None: ...

    documented = documented_errors(app)

    assert documented["get", "/number/{number}"].keys() == {"422"}
    for errors in documented.values():
        for error in errors.values():
            assert error["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }


def test_what_passes_is_documented_with_the_time_to_wait(app: FastAPI) -> None:
    for (_, path), errors in documented_errors(app).items():
        for status, error in errors.items():
            passes = status in ("429", "503") and path != "/health"
            assert ("Retry-After" in error.get("headers", {})) is passes


def test_every_schema_is_there_and_none_of_errors_that_are_not_answered(
    idle_client: TestClient,
) -> None:
    response = idle_client.get("/openapi.json")

    schemas = response.json()["components"]["schemas"].keys()
    assert set(re.findall(r'"#/components/schemas/(\w+)"', response.text)) <= schemas
    assert "ValidationError" not in response.text


@pytest.mark.parametrize(
    ("tokens", "secured"), [({}, False), (parse_tokens({"secret": ["events"]}), True)]
)
def test_a_token_is_documented_where_one_is_asked_for(
    tokens: dict[str, frozenset[Scope]], secured: bool
) -> None:
    paths = create_app(Settings(api_tokens=tokens)).openapi()["paths"]

    operations = {
        (method, path): "security" in operation
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    guarded = {key for key, errors in ERRORS.items() if "401" in errors}
    assert {key for key, asked in operations.items() if asked} == (guarded if secured else set())
