"""The description of the API: streams by their items, errors as problem documents."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel

from streaming_api.streaming import StreamResponse, retry_later, stream_responses
from streaming_api.streaming.openapi import StreamingAPI

from .variant import AI_SDK, EXPORTS, OPENAI, REDIS, SSE, TOKENS

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
SCOPE_ERRORS = {"401", "403"} if TOKENS else set()
ERRORS: dict[str, set[str]] = {
    "get /health": {"503"},
    "get /live": set(),
    "get /ready": {"503"},
}
PATHS = []
if TOKENS:
    ERRORS |= {"get /session": set(), "post /session": {"401"}, "delete /session": set()}
if SSE:
    PATHS += ["/events/{topic}"]
    ERRORS |= {
        "get /events/{topic}": SCOPE_ERRORS | {"422", "429", "503"},
        "post /events/{topic}": SCOPE_ERRORS | {"400", "408", "409", "413", "422", "503"},
        "post /runs": SCOPE_ERRORS | {"400", "408", "413", "422", "429", "503"},
        "get /runs/{id}": SCOPE_ERRORS | {"404", "422"} | ({"503"} if REDIS else set()),
        "delete /runs/{id}": SCOPE_ERRORS | {"404", "422"} | ({"503"} if REDIS else set()),
    }
if OPENAI:
    # Its errors are documented for all statuses at once.
    ERRORS |= {"get /v1/models": set(), "post /v1/chat/completions": set()}
if AI_SDK:
    ERRORS |= {
        "post /api/chat": SCOPE_ERRORS | {"400", "408", "413", "422", "429", "503"},
        "get /api/chat/{id}/stream": SCOPE_ERRORS | {"422", "429", "503"},
        "post /api/chat/{id}/stop": SCOPE_ERRORS | {"422"} | ({"503"} if REDIS else set()),
    }
if EXPORTS:
    from streaming_api.streaming.exports.routes import FORMATS

    EXTENSIONS = [each.extension for each in FORMATS]
    PATHS += [f"/export/{name}.{each}" for name in ("items", "users") for each in EXTENSIONS]
    ERRORS |= {f"get {path}": SCOPE_ERRORS | {"422", "429", "503"} for path in PATHS if "." in path}
    ERRORS |= {
        f"get /export/{name}": SCOPE_ERRORS | {"406", "422", "429", "503"}
        for name in ("items", "users")
    }


class Item(BaseModel):
    """An item of a stream."""

    text: str


class TextResponse(StreamResponse):
    """A stream of a media type of its own."""

    media_type = "text/x-items"


@pytest.fixture
def api() -> FastAPI:
    """An application with a stream, and with a route that documents no errors."""
    api = StreamingAPI()
    router = APIRouter()

    @router.get(
        "/stream",
        status_code=200,
        response_class=TextResponse,
        responses=stream_responses(
            "The items.", Item.model_json_schema(), {"text/x-items": "one\ntwo\n", "text/x-b": ""}
        ),
    )
    async def stream() -> None: ...

    @router.get("/number/{number}", responses={503: retry_later("Later.")})
    async def number(number: int) -> int:
        return number

    api.include_router(router)
    if TOKENS:
        api.state.settings = type("Settings", (), {"api_tokens": {}})
    return api


def operations(app: FastAPI) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the method and path of each operation, and its description."""
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def errors(operation: dict[str, Any]) -> dict[str, Any]:
    """Return the documented errors of an operation by status."""
    responses: dict[str, Any] = operation["responses"]
    return {status: response for status, response in responses.items() if status[0] in "45"}


def test_version_is_the_first_with_streams(api: FastAPI) -> None:
    assert api.openapi()["openapi"] == "3.2.0"


def test_stream_is_documented_by_item_schema_only(api: FastAPI) -> None:
    response = api.openapi()["paths"]["/stream"]["get"]["responses"]["200"]

    wire = {"summary": "On the wire", "serializedValue": "one\ntwo\n"}
    assert response["content"] == {
        "text/x-items": {"itemSchema": Item.model_json_schema(), "examples": {"wire": wire}},
        "text/x-b": {"itemSchema": Item.model_json_schema()},
    }
    assert response["description"] == "The items.\n\n```text\none\ntwo\n```"


def test_other_response_keeps_its_schema(api: FastAPI) -> None:
    response = api.openapi()["paths"]["/number/{number}"]["get"]["responses"]["200"]

    assert response["content"]["application/json"]["schema"]["type"] == "integer"


def test_validation_error_is_documented_as_problem(api: FastAPI) -> None:
    document = api.openapi()

    response = document["paths"]["/number/{number}"]["get"]["responses"]["422"]
    assert response["content"] == PROBLEM
    assert document["components"]["schemas"].keys() == {"FieldError", "Problem"}


def test_error_with_its_own_model_is_documented_as_that(api: FastAPI) -> None:
    @api.get("/own", responses={409: {"model": Item}, 404: {"description": "None."}})
    async def own() -> None: ...

    responses = api.openapi()["paths"]["/own"]["get"]["responses"]

    schema = responses["409"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Item"}
    assert responses["404"]["content"] == PROBLEM


def test_temporary_error_is_documented_with_retry_after(api: FastAPI) -> None:
    response = api.openapi()["paths"]["/number/{number}"]["get"]["responses"]["503"]

    assert response["description"] == "Later."
    assert response["headers"]["Retry-After"]["schema"] == {"type": "integer"}


def test_api_without_routes_is_documented() -> None:
    schemas = StreamingAPI().openapi()["components"]["schemas"]

    assert schemas.keys() == {"FieldError", "Problem"}


def test_operations_document_all_errors_as_problems(app: FastAPI) -> None:
    documented = {name: errors(operation) for name, operation in operations(app)}

    assert {name: set(statuses) for name, statuses in documented.items()} == ERRORS
    for name, statuses in documented.items():
        for status, response in statuses.items():
            is_check = name in ("get /health", "get /ready")
            is_temporary = status in ("429", "503") and not is_check
            assert response["content"] == PROBLEM
            assert ("Retry-After" in response.get("headers", {})) is is_temporary


def test_every_schema_reference_resolves(idle_client: TestClient) -> None:
    response = idle_client.get("/openapi.json")

    schemas = response.json()["components"]["schemas"].keys()
    assert set(re.findall(r'"#/components/schemas/(\w+)"', response.text)) <= schemas


@pytest.mark.parametrize("path", PATHS)
def test_stream_is_documented_with_curl_command_and_example(app: FastAPI, path: str) -> None:
    operation = app.openapi()["paths"][path]["get"]

    url = f"http://127.0.0.1:8000{path.replace('{topic}', 'news')}"
    response = operation["responses"]["200"]
    assert f"```console\ncurl -N {url}\n```" in operation["description"]
    assert f"```text\n{example(app, path).strip()}\n```" in response["description"]


def example(app: FastAPI, path: str) -> str:
    """Return the documented example of a stream."""
    (content,) = app.openapi()["paths"][path]["get"]["responses"]["200"]["content"].values()
    example: str = content["examples"]["wire"]["serializedValue"]
    return example


if EXPORTS:

    @pytest.mark.parametrize("path", [path for path in PATHS if path.startswith("/export/")])
    def test_example_of_export_is_its_beginning(
        app: FastAPI, client: TestClient, path: str
    ) -> None:
        response = client.get(path, params={"limit": 2})

        assert response.content.decode() == example(app, path)


if SSE:

    def test_example_of_event_stream_is_its_beginning(app: FastAPI, server: str) -> None:
        expected = example(app, "/events/{topic}")

        with (
            httpx2.Client(base_url=server, timeout=30) as http,
            http.stream("GET", "/events/news") as response,
        ):
            lines = response.iter_lines()
            ready = list(islice(lines, 5))
            http.post("/events/news", json={"data": {"n": 1}, "event": "tick"})
            event = list(islice(lines, 4))

        # The ids differ in their hexadecimal digits.
        received = "\n".join([*ready, *event, ""])
        assert re.sub("[0-9a-f]", "0", received) == re.sub("[0-9a-f]", "0", expected)

    def test_reserved_event_names_are_documented(app: FastAPI) -> None:
        schemas = app.openapi()["components"]["schemas"]

        name, _ = schemas["NewEvent"]["properties"]["event"]["anyOf"]
        assert re.fullmatch(name["pattern"], "one line")
        assert not re.search(name["pattern"], "two\nlines")
        assert "done" in name["not"]["enum"]


if TOKENS:

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({}, set()),
            (
                {"api_tokens": '{"secret": []}'},
                {
                    name
                    for name, statuses in ERRORS.items()
                    if "401" in statuses or name.partition(" ")[2].startswith("/v1/")
                },
            ),
        ],
        indirect=["settings"],
    )
    def test_security_is_documented_with_tokens_only(app: FastAPI, expected: set[str]) -> None:
        documented = {name for name, operation in operations(app) if "security" in operation}

        assert documented == expected


if OPENAI:

    def test_errors_of_openai_are_documented_in_their_shape(app: FastAPI) -> None:
        for path in ("/v1/models", "/v1/chat/completions"):
            (operation,) = app.openapi()["paths"][path].values()

            content = operation["responses"]["default"]["content"]
            schema = {"$ref": "#/components/schemas/ErrorBody"}
            assert content == {"application/json": {"schema": schema}}
