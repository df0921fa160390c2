"""The routes of every service: health, documentation, and errors as problem documents."""

import re
from urllib.parse import urljoin

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

PROBLEM = "application/problem+json"


def test_health_of_running_service_is_ok(client: TestClient) -> None:
    response = client.get("/health")

    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


def test_docs_load_files_of_this_service(idle_client: TestClient) -> None:
    page = idle_client.get("/docs")

    paths = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert page.headers["content-type"].startswith("text/html")
    assert any(path.endswith(".js") for path in paths)
    for path in paths:
        assert idle_client.get(urljoin("/docs", path)).status_code == 200, path


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/health"])
def test_head_returns_status_and_media_type_of_get(client: TestClient, path: str) -> None:
    get, head = (client.request(method, path, follow_redirects=False) for method in ("GET", "HEAD"))

    assert head.status_code == get.status_code
    assert head.headers.get("content-type") == get.headers.get("content-type")


#{% if not cookiecutter.__uses.console %}
def test_root_redirects_to_docs(idle_client: TestClient) -> None:
    response = idle_client.get("/", follow_redirects=False)

    assert response.status_code == 307
    assert response.headers["location"] == "/docs"


#{% endif %}
def test_unknown_path_returns_404_problem(idle_client: TestClient) -> None:
    response = idle_client.get("/nowhere")

    assert response.status_code == 404
    assert response.headers["content-type"] == PROBLEM
    assert response.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "Not Found",
    }


def test_unknown_method_returns_allowed_methods(idle_client: TestClient) -> None:
    response = idle_client.put("/health")

    assert response.status_code == 405
    assert response.headers["content-type"] == PROBLEM
    assert response.headers["allow"] == "GET, HEAD"


def test_invalid_parameter_returns_422_problem(app: FastAPI, idle_client: TestClient) -> None:
    @app.get("/numbers/{number}")
    async def get_number(number: int) -> int:
        return number

    response = idle_client.get("/numbers/one")

    assert response.status_code == 422
    assert response.headers["content-type"] == PROBLEM
    assert response.json()["errors"][0]["loc"] == ["path", "number"]


def test_unexpected_error_returns_500_without_details(
    app: FastAPI, idle_client: TestClient
) -> None:
    @app.get("/broken")
    async def fail() -> None:
        raise RuntimeError("password=hunter2")

    response = idle_client.get("/broken")

    assert response.status_code == 500
    assert response.headers["content-type"] == PROBLEM
    assert "hunter2" not in response.text
