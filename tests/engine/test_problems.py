"""Errors are problem documents."""

from http import HTTPStatus
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient

#{% if cookiecutter.security_headers %}
from {{ cookiecutter.__package_name }}.middleware.security_headers import SECURITY_HEADERS
#{% endif %}
from {{ cookiecutter.__package_name }}.problems import Problem

SECRET = "password=hunter2"  # noqa: S105


@pytest.fixture
def client(app: FastAPI, idle_client: TestClient) -> TestClient:
    """A client of an application that fails in every way."""

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError(SECRET)

    @app.get("/number/{number}")
    async def number(number: int) -> int:
        return number

    @app.get("/nothing")
    async def nothing() -> None:
        raise HTTPException(204, headers={"X-Reason": "finished"})

    return idle_client


def assert_documented(problem: dict[str, Any]) -> None:
    """Check a problem against the model that documents it."""
    Problem.model_validate(problem, strict=True)
    assert problem.keys() <= Problem.model_fields.keys()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("PUT", "/health", 405),
        ("GET", "/number/one", 422),
        ("GET", "/broken", 500),
    ],
)
def test_an_error_is_a_problem_document(
    client: TestClient, method: str, path: str, status: int
) -> None:
    response = client.request(method, path)

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert_documented(problem)
    assert problem["type"] == "about:blank"
    assert problem["status"] == status
    assert problem["title"] == HTTPStatus(status).phrase
    assert problem["detail"]


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/health", {"GET"}),
        ("/static/icon.svg", {"GET", "HEAD"}),
#{% if cookiecutter.sse %}
        ("/events/news", {"GET", "HEAD", "POST"}),
#{% endif %}
#{% if cookiecutter.ndjson %}
        ("/export/items", {"GET", "HEAD"}),
#{% endif %}
#{% if cookiecutter.csv %}
        ("/export/users.csv", {"GET", "HEAD"}),
#{% endif %}
    ],
)
def test_what_is_allowed_are_the_methods_of_all_routes_of_a_path(
    client: TestClient, path: str, methods: set[str]
) -> None:
    response = client.delete(path)

    assert response.status_code == 405
    assert set(response.headers["allow"].split(", ")) == methods


def test_every_misfit_is_named(client: TestClient) -> None:
    problem = client.get("/number/one").json()

    assert_documented(problem)
    assert problem["errors"][0]["loc"] == ["path", "number"]
    assert problem["detail"].startswith("path.number: ")


def test_a_status_without_a_body_has_none(client: TestClient) -> None:
    response = client.get("/nothing")

    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["x-reason"] == "finished"


def test_a_failure_does_not_leave_the_server(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    response = client.get("/broken")

    assert SECRET not in response.text
#{% if cookiecutter.request_id %}
    assert f"request_id={response.headers['x-request-id']}" in caplog.text
    assert SECRET in caplog.text
#{% endif %}
#{% if cookiecutter.security_headers %}


def test_a_failure_has_the_security_headers(client: TestClient) -> None:
    headers = client.get("/broken").headers

    assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
#{% endif %}
