"""Where a client finds the service, and what it makes of a refusal."""

import httpx2
import pytest
from pydantic import SecretStr

from {{ cookiecutter.__package_name }}.client import (
    ClientError,
    connect,
    service_url,
)
from {{ cookiecutter.__package_name }}.client.service import refusal
from {{ cookiecutter.__package_name }}.settings import Settings


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),  # noqa: S104
        ("::", "http://[::1]:8000"),
        ("fd00::1", "http://[fd00::1]:8000"),
        ("localhost", "http://localhost:8000"),
    ],
)
def test_the_service_is_where_it_is_told_to_listen(host: str, url: str) -> None:
    assert service_url(Settings(host=host)) == url


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://host", "http://", "http://[::1"])
def test_what_is_no_url_of_a_service_is_named(url: str) -> None:
    with pytest.raises(ClientError, match=r"^--url='.*' is not accepted: http://HOST:PORT is"):
        connect(url, Settings(), patience=1)


def test_a_refusal_is_told_by_its_problem_document_or_by_its_status(server: str) -> None:
    with (
        connect(server, Settings(), patience=10) as client,
        client.stream("GET", "/nowhere") as problem,
    ):
        assert refusal(problem) == "404 Not Found: Not Found"
    assert refusal(httpx2.Response(502, text="<html>")) == "502 Bad Gateway"


@pytest.mark.parametrize(("token", "sent"), [(None, None), ("secret", "Bearer secret")])
def test_the_token_of_the_settings_is_sent(token: str | None, sent: str | None) -> None:
    settings = Settings(api_token=SecretStr(token) if token else None)

    with connect("http://127.0.0.1", settings, patience=1) as client:
        assert client.headers.get("authorization") == sent
