"""The console: a page that loads nothing from elsewhere."""

import re
from urllib.parse import urljoin

from fastapi.testclient import TestClient

LOADED = re.compile(r'<(?:script|img|link)\b[^>]*?\b(?:src|href)="([^"]+)"')
IMPORTED = re.compile(r'^(?:import|export)\b[^;=("]*"([^"]+)"', re.MULTILINE)


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
