"""The pages for people, which need nothing but this service."""

import re
from urllib.parse import urljoin

import pytest
from fastapi.testclient import TestClient

from {{ cookiecutter.__package_name }} import console

PAGES = ["/", "/docs"]
RESOURCE = re.compile(r'(?:src|href)="([^"]+\.(?:js|css|svg|png|ico))"')
IMPORT = re.compile(r'^import .* from "(\.[^"]+)"', re.MULTILINE)
OUR_SCRIPTS = {
    f"/{path.relative_to(console.PAGES).as_posix()}" for path in console.PAGES.rglob("*.js")
}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_html(idle_client: TestClient, path: str) -> None:
    response = idle_client.get(path)

    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("path", PAGES)
def test_a_page_finds_what_it_loads_on_this_service(idle_client: TestClient, path: str) -> None:
    resources = RESOURCE.findall(idle_client.get(path).text)

    assert resources
    assert all(resource.startswith("/static/") for resource in resources)
    assert {idle_client.get(resource).status_code for resource in resources} == {200}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_code_of_its_own(idle_client: TestClient, path: str) -> None:
    page = idle_client.get(path).text

    assert not re.search(r"<script(?![^>]*\ssrc=)", page)
    assert not re.search(r"<style|\sstyle=|\son\w+=", page)


def test_every_script_is_loaded_and_finds_what_it_imports(idle_client: TestClient) -> None:
    pages = "".join(idle_client.get(path).text for path in PAGES)
    waiting = {path for path in RESOURCE.findall(pages) if path.endswith(".js")}
    loaded: set[str] = set()

    while waiting:
        path = waiting.pop()
        answer = idle_client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        loaded.add(path)
        waiting |= {urljoin(path, name) for name in IMPORT.findall(answer.text)} - loaded

    assert {path for path in loaded if "/swagger-ui/" not in path} == OUR_SCRIPTS


def test_the_documentation_shows_this_api(idle_client: TestClient) -> None:
    script = idle_client.get("/static/docs.js").text

    assert "/openapi.json" in script
    assert "http" not in script
