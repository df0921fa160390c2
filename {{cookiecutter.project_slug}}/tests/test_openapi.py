"""The OpenAPI description: streams by their items, errors as problem documents."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts

#{% if cookiecutter.__uses.exports %}
from {{ cookiecutter.__package_name }}.exports import EXPORTS
from {{ cookiecutter.__package_name }}.samples import SAMPLES
#{% endif %}
from {{ cookiecutter.__package_name }}.settings import Settings
#{% if cookiecutter.__uses.exports and cookiecutter.__uses.tokens %}
from {{ cookiecutter.__package_name }}.streaming import Export, Scope, StreamResponse
#{% elif cookiecutter.__uses.exports %}
from {{ cookiecutter.__package_name }}.streaming import Export, StreamResponse
#{% elif cookiecutter.__uses.tokens %}
from {{ cookiecutter.__package_name }}.streaming import Scope, StreamResponse
#{% else %}
from {{ cookiecutter.__package_name }}.streaming import StreamResponse
#{% endif %}
#{% if cookiecutter.__uses.exports %}
from {{ cookiecutter.__package_name }}.streaming.exports.routes import FORMATS
#{% endif %}

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


@pytest.fixture(scope="module")
def app(create_app: Callable[[Settings], FastAPI]) -> FastAPI:
#{% if cookiecutter.__uses.tokens %}
    """The application, without tokens."""
#{% else %}
    """The application."""
#{% endif %}
    return create_app(Settings())


@pytest.fixture(scope="module")
def document(app: FastAPI) -> dict[str, Any]:
    """The description."""
    return app.openapi()


def streams(app: FastAPI) -> Iterator[RouteContext]:
    """Yield the routes that stream, also those of included routers."""
    for route in iter_route_contexts(app.routes):
        response_class = getattr(route, "response_class", None)
        if isinstance(response_class, type) and issubclass(response_class, StreamResponse):
            yield route


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the method and path of each operation, and its description."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def test_version_is_the_first_with_streams(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.2.0"


def test_streams_have_no_response_model(app: FastAPI) -> None:
    paths = [route.path for route in streams(app) if route.response_model is not None]

    assert not paths, f"{paths}: add response_model=None, a stream is no single JSON document"


def test_streams_are_documented_by_media_type(app: FastAPI, document: dict[str, Any]) -> None:
    for route in streams(app):
        if route.include_in_schema:
            for method in route.methods or ():
                operation = document["paths"][route.path_format][method.lower()]
                content = operation["responses"][str(route.status_code or 200)]["content"]

                assert route.response_class.media_type in content, f"{method} {route.path}"
#{% if cookiecutter.__uses.exports %}


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.name)
def test_exports_are_documented_by_rows_and_example(
    document: dict[str, Any], export: Export
) -> None:
    for file_format in export.formats or FORMATS:
        operation = document["paths"][f"/export/{export.name}.{file_format.extension}"]["get"]
        ((media_type, content),) = operation["responses"]["200"]["content"].items()

        assert media_type == file_format.media_type
        assert list(content["itemSchema"]["properties"]) == list(export.columns)
        assert "examples" not in content or export.source in SAMPLES


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.name)
def test_negotiated_export_is_documented_in_every_format(
    document: dict[str, Any], export: Export
) -> None:
    responses = document["paths"][f"/export/{export.name}"]["get"]["responses"]

    assert list(responses["200"]["content"]) == [
        each.media_type for each in export.formats or FORMATS
    ]
    assert "406" in responses
#{% endif %}
#{% if cookiecutter.__uses.sse %}


def test_events_are_documented_by_items_and_example(document: dict[str, Any]) -> None:
    responses = document["paths"]["/events/{topic}"]["get"]["responses"]

    content = responses["200"]["content"]["text/event-stream"]
    assert content["itemSchema"]["properties"].keys() == {"data", "event", "id", "retry"}
    assert "event: ready\n" in content["examples"]["wire"]["serializedValue"]
#{% endif %}


def test_errors_are_documented_as_problems(create_app: Callable[[Settings], FastAPI]) -> None:
    app = create_app(Settings())

    @app.get("/numbers/{number}")
    async def get_number(number: int) -> int:
        return number

    for operation, description in operations(app.openapi()):
        for status, response in description["responses"].items():
            has_model = status != "422" and "application/json" in response.get("content", ())
            if status[0] in "45" and not has_model:
                assert response["content"] == PROBLEM, f"{operation} {status}"


def test_every_schema_reference_resolves(document: dict[str, Any]) -> None:
    names = set(re.findall(r"#/components/schemas/([\w.-]+)", str(document)))

    assert "Problem" in names
    assert names <= document["components"]["schemas"].keys()
#{% if cookiecutter.__uses.tokens %}


def test_token_is_documented_where_required(create_app: Callable[[Settings], FastAPI]) -> None:
    app = create_app(Settings(api_tokens={"secret": frozenset(Scope)}))

    for operation, description in operations(app.openapi()):
        if "401" in description["responses"]:
            assert description["security"], operation


def test_token_is_not_documented_without_tokens(document: dict[str, Any]) -> None:
    assert not any("security" in description for _, description in operations(document))
#{% endif %}
