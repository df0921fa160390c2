"""`/docs`: Swagger UI from local files, without inline scripts, within the security headers."""

import re

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from streaming_api.streaming.openapi import install_docs

from .variant import SECURITY_HEADERS

RESOURCE = re.compile(r'(?:src|href)="([^"]+)"')


@pytest.fixture
def client() -> TestClient:
    """A client of an application with nothing else."""
    app = FastAPI(docs_url=None, redoc_url=None)
    install_docs(app)
    return TestClient(app)


def test_docs_load_existing_local_files(client: TestClient) -> None:
    page = client.get("/docs")

    resources = RESOURCE.findall(page.text)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert len(resources) == 4
    for resource in resources:
        # An absolute path would leave the prefix of a proxy.
        assert not resource.partition("?")[0].startswith(("/", "http:", "https:", "data:"))
        assert client.get(resource).status_code == 200


def test_docs_have_no_inline_code(client: TestClient) -> None:
    page = client.get("/docs").text

    assert not re.search(r"<script(?![^>]*\ssrc=)", page)
    assert not re.search(r"<style|\sstyle=|\son\w+=", page)


def test_docs_describe_this_service(client: TestClient) -> None:
    page = client.get("/docs").text
    (script,) = (path for path in RESOURCE.findall(page) if path.endswith("docs.js"))

    source = client.get(script).text

    assert "openapi.json" in source
    assert "/openapi.json" not in source
    assert "//" not in source


if SECURITY_HEADERS:

    def test_docs_are_allowed_by_policy(idle_client: TestClient) -> None:
        policy = idle_client.get("/docs").headers["content-security-policy"].split("; ")

        # Swagger UI has images in data URLs.
        assert {
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
        } <= set(policy)
