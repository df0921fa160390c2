"""The console: a page that loads nothing from elsewhere."""

import re
from collections.abc import Callable
from urllib.parse import urljoin

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from {{ cookiecutter.__package_name }}.settings import Settings

LOADED = re.compile(r'<(?:script|img|link)\b[^>]*?\b(?:src|href)="([^"]+)"')
IMPORTED = re.compile(r'^(?:import|export)\b[^;=("]*"([^"]+)"', re.MULTILINE)


@pytest.fixture(scope="module")
def app(create_app: Callable[[Settings], FastAPI]) -> FastAPI:
    """The application."""
    return create_app(Settings())


def test_console_is_an_html_page(idle_client: TestClient) -> None:
    response = idle_client.get("/")

    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"


def test_console_has_no_inline_code(idle_client: TestClient) -> None:
    page = idle_client.get("/").text

    assert not re.search(r"<script(?![^>]*\ssrc=)", page)
    assert not re.search(r"<style|\sstyle=|\son\w+=", page)


def test_console_loads_files_of_this_service(idle_client: TestClient) -> None:
    waiting = {urljoin("/", path) for path in LOADED.findall(idle_client.get("/").text)}
    loaded: set[str] = set()

    while waiting:
        path = waiting.pop()
        assert path.startswith("/static/"), path
        response = idle_client.get(path)
        assert response.status_code == 200, path
        loaded.add(path)
        if path.endswith(".js"):
            waiting |= {urljoin(path, name) for name in IMPORTED.findall(response.text)} - loaded

    assert any(path.endswith(".js") for path in loaded)
