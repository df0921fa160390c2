"""The pages for people, which need nothing but this service."""

import re

import pytest
from fastapi.testclient import TestClient

PAGES = ["/", "/docs"]
RESOURCE = re.compile(r'(?:src|href)="([^"]+\.(?:js|css|svg|png|ico))"')


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


def test_the_documentation_shows_this_api(idle_client: TestClient) -> None:
    script = idle_client.get("/static/docs.js").text

    assert "/openapi.json" in script
    assert "http" not in script
