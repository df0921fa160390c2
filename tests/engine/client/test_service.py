"""Connecting to the service, and describing its errors."""

from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from streaming_api.settings import Settings
from streaming_api.streaming.client.service import (
    ClientError,
    connect,
    describe_error,
    service_url,
)

from ..variant import TOKENS


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
def test_default_url_is_that_of_the_settings(host: str, url: str) -> None:
    settings = Settings(host=host)

    assert service_url(settings) == url
    with connect(None, settings, timeout=1) as client:
        assert client.base_url == url


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://", "http://[::1"])
def test_invalid_url_is_named(url: str) -> None:
    with pytest.raises(ClientError) as raised:
        connect(url, Settings(), timeout=1)

    assert str(raised.value) == (
        f"Invalid --url={url!r}: expected a URL like http://127.0.0.1:8000."
    )


@pytest.mark.parametrize(
    ("response", "description"),
    [
        ({"text": "<html>"}, "502 Bad Gateway"),
        ({"json": {"detail": "Gone."}}, "502 Bad Gateway"),
        (
            {"json": {"detail": "Gone.", "title": "Bad Gateway"}, "media_type": True},
            "502 Bad Gateway: Gone.",
        ),
        ({"json": {"title": "No upstream"}, "media_type": True}, "502 Bad Gateway: No upstream"),
    ],
)
def test_error_is_described_by_status_and_detail(
    response: dict[str, Any], description: str
) -> None:
    is_problem = response.pop("media_type", False)
    headers = {"Content-Type": "application/problem+json; charset=utf-8"} if is_problem else {}

    assert describe_error(httpx2.Response(502, headers=headers, **response)) == description


def test_streamed_error_of_the_service_is_described(server: str) -> None:
    with (
        connect(server, Settings(), timeout=10) as client,
        client.stream("GET", "/nowhere") as response,
    ):
        assert describe_error(response) == "404 Not Found: Not Found"


@pytest.mark.parametrize("seconds", [45, 0.5])
def test_streams_without_data_time_out(seconds: float) -> None:
    with connect("http://127.0.0.1", Settings(), timeout=seconds) as client:
        assert client.timeout.read == seconds


@pytest.mark.skipif(not TOKENS, reason="no tokens")
@pytest.mark.parametrize(("token", "sent"), [(None, None), ("secret", "Bearer secret")])
def test_token_of_the_settings_is_sent(token: str | None, sent: str | None) -> None:
    settings = Settings(api_token=SecretStr(token) if token else None)

    with connect("http://127.0.0.1", settings, timeout=1) as client:
        assert client.headers.get("authorization") == sent
