#{% if cookiecutter.__uses.tokens %}
"""Requests from pages of other origins and, without tokens, from other machines."""
#{% else %}
"""Requests from pages of other origins."""
#{% endif %}

import pytest
#{% if cookiecutter.__uses.tokens %}
from fastapi import FastAPI
#{% endif %}
from fastapi.testclient import TestClient

ORIGIN = {"Origin": "https://app.example.com"}
ALLOWED = pytest.mark.parametrize("settings", [{"cors_origins": ORIGIN.values()}], indirect=True)


def test_post_from_other_origin_is_rejected(idle_client: TestClient) -> None:
    response = idle_client.post("/", headers=ORIGIN)

    assert response.status_code == 403
    assert response.headers["content-type"] == "application/problem+json"


def test_post_from_same_origin_reaches_routes(idle_client: TestClient) -> None:
    response = idle_client.post("/", headers={"Origin": "http://testserver"})

    assert response.status_code == 405


@ALLOWED
def test_post_from_allowed_origin_reaches_routes(idle_client: TestClient) -> None:
    response = idle_client.post("/", headers=ORIGIN)

    assert response.status_code == 405
    assert response.headers["access-control-allow-origin"] == ORIGIN["Origin"]


@ALLOWED
def test_page_of_unlisted_origin_cannot_read(idle_client: TestClient) -> None:
    response = idle_client.get("/openapi.json", headers={"Origin": "https://example.org"})

    assert "access-control-allow-origin" not in response.headers
#{% if cookiecutter.__uses.tokens %}


def test_without_tokens_other_origins_cannot_read(idle_client: TestClient) -> None:
    response = idle_client.get("/openapi.json", headers=ORIGIN)

    assert response.status_code == 403


@pytest.mark.parametrize(("destination", "status"), [("document", 200), ("iframe", 403)])
def test_without_tokens_other_origins_can_link_and_not_embed(
    idle_client: TestClient, destination: str, status: int
) -> None:
    headers = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": destination,
    }

    assert idle_client.get("/openapi.json", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("base_url", "address"),
    [("http://localhost", "192.0.2.1"), ("http://rebound.example.com", "127.0.0.1")],
)
def test_without_tokens_other_machines_reach_health_only(
    app: FastAPI, base_url: str, address: str
) -> None:
    with TestClient(app, base_url=base_url, client=(address, 50000)) as client:
        assert client.get("/openapi.json").status_code == 403
        for path in ("/health", "/live", "/ready"):
            assert client.get(path).status_code != 403


@pytest.mark.parametrize("name", ["Forwarded", "Via", "X-Forwarded-For", "X-Real-IP"])
def test_without_tokens_proxies_are_rejected(idle_client: TestClient, name: str) -> None:
    response = idle_client.get("/openapi.json", headers={name: "192.0.2.1"})

    assert response.status_code == 403


@pytest.mark.parametrize("settings", [{"allow_anonymous": True}], indirect=True)
def test_anonymous_access_is_open_to_other_machines(app: FastAPI) -> None:
    client = TestClient(app, client=("192.0.2.1", 50000))

    assert client.get("/openapi.json").status_code == 200


@pytest.mark.parametrize("settings", [{"allowed_hosts": ["app.example.com"]}], indirect=True)
def test_unlisted_host_name_is_rejected(app: FastAPI) -> None:
    listed, other = (
        TestClient(app, base_url=f"http://{name}.example.com").get("/openapi.json")
        for name in ("app", "other")
    )

    assert (listed.status_code, other.status_code) == (200, 400)
#{% endif %}
