"""Connecting to the service, describing its errors, and printing what it sent."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import httpx2
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from streaming_api.settings import Settings
from streaming_api.streaming.client import exit_on_error, service
from streaming_api.streaming.client.service import (
    DEFAULT_URL,
    ClientError,
    connect,
    describe_error,
    printable,
)

from ..variant import TOKENS


@pytest.mark.parametrize(
    ("option", "setting", "url"),
    [
        (None, None, DEFAULT_URL),
        (None, "https://api.example.com", "https://api.example.com"),
        ("http://[::1]:8001", "https://api.example.com", "http://[::1]:8001"),
    ],
)
def test_url_is_that_of_option_or_setting(
    option: str | None, setting: str | None, url: str
) -> None:
    with connect(option, Settings(api_url=setting), timeout=1) as client:
        assert client.base_url == url


def test_address_to_listen_on_is_not_that_of_a_client() -> None:
    Path(".env").write_text("HOST=evil.example\nPORT=9\n")

    with connect(None, Settings(), timeout=1) as client:
        assert client.base_url == DEFAULT_URL


@pytest.mark.skipif(not TOKENS, reason="no tokens")
@pytest.mark.parametrize(
    ("environment", "file", "is_accepted"),
    [
        ({"API_TOKEN": "secret"}, "API_URL=http://evil.example", False),
        ({"api_token": "secret"}, "API_URL=http://evil.example", False),
        (
            {"API_TOKEN": "secret", "Api_Url": "http://127.0.0.1"},
            "API_URL=http://evil.example",
            True,
        ),
        ({"API_URL": "http://127.0.0.1"}, "API_TOKEN=secret", True),
        ({}, "API_URL=http://127.0.0.1\nAPI_TOKEN=secret", True),
        ({"API_TOKEN": "secret"}, "", True),
    ],
)
def test_token_of_environment_is_not_sent_where_a_file_says(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], file: str, is_accepted: bool
) -> None:
    Path(".env").write_text(file)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    if is_accepted:
        with connect(None, Settings(), timeout=1) as client:
            assert client.base_url.host == "127.0.0.1"
            assert client.headers["authorization"] == "Bearer secret"
    else:
        with pytest.raises(ClientError, match=r"^API_URL is in \.env, but "):
            connect(None, Settings(), timeout=1)
        with connect("http://127.0.0.1", Settings(), timeout=1) as client:
            assert client.headers["authorization"] == "Bearer secret"


INVALID = [
    "127.0.0.1:8000",
    "ftp://host",
    "http://",
    "http://[::1",
    "http://a:99999",
    "http://a/?b=c",
    "\x1b",
]


@pytest.mark.parametrize("url", INVALID)
def test_invalid_url_is_named(url: str) -> None:
    with pytest.raises(ClientError) as raised:
        connect(url, Settings(), timeout=1)

    assert str(raised.value) == (
        f"Invalid --url={url!r}: expected a URL like http://127.0.0.1:8000."
    )


@pytest.mark.parametrize("url", INVALID)
def test_invalid_setting_is_named_without_its_value(url: str) -> None:
    with pytest.raises(ClientError) as raised:
        connect(None, Settings(api_url=url), timeout=1)

    assert str(raised.value) == "Invalid API_URL=***: expected a URL like http://127.0.0.1:8000."


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
        ({"text": "<html>", "media_type": True}, "502 Bad Gateway"),
        ({"json": ["Gone."], "media_type": True}, "502 Bad Gateway"),
        ({"json": {"status": 502}, "media_type": True}, "502 Bad Gateway"),
        ({"json": {"detail": {"text": 1}}, "media_type": True}, "502 Bad Gateway"),
        ({"content": b'{"detail": "\xff"}', "media_type": True}, "502 Bad Gateway"),
        ({"content": b"", "media_type": True}, "502 Bad Gateway"),
        ({"content": b"[" * 10_000, "media_type": True}, "502 Bad Gateway"),
        ({"content": b'{"a":' + b"[" * 10_000, "media_type": True}, "502 Bad Gateway"),
    ],
)
def test_error_is_described_by_status_and_detail(
    response: dict[str, Any], description: str
) -> None:
    is_problem = response.pop("media_type", False)
    headers = {"Content-Type": "application/problem+json; charset=utf-8"} if is_problem else {}

    assert describe_error(httpx2.Response(502, headers=headers, **response)) == description


def test_redirect_is_described_by_its_location() -> None:
    response = httpx2.Response(301, headers={"Location": "https://api.example.com/"})

    assert describe_error(response) == "301 Moved Permanently: https://api.example.com/"


def test_endless_problem_is_not_read_to_its_end() -> None:
    read: list[int] = []

    def body() -> Any:
        while True:
            read.append(1)
            yield b" " * 1024

    headers = {"Content-Type": "application/problem+json"}

    assert describe_error(httpx2.Response(502, headers=headers, content=body())) == (
        "502 Bad Gateway"
    )
    assert len(read) == service.MAX_PROBLEM_BYTES // 1024 + 1


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


@pytest.mark.skipif(not TOKENS, reason="no tokens")
def test_url_with_credentials_is_rejected_beside_a_token() -> None:
    url = "http://user:password@127.0.0.1"

    with connect(url, Settings(), timeout=1) as client:
        assert client.base_url.userinfo == b"user:password"
    settings = Settings(api_url=url, api_token=SecretStr("secret"))
    with pytest.raises(ClientError, match=r"^Invalid API_URL=\*\*\*: "):
        connect(None, settings, timeout=1)
    with pytest.raises(ClientError, match=r"^Invalid --url=\*\*\*: "):
        connect(url, settings, timeout=1)


DANGEROUS = ["\x1b]0;title\x07", "\x9b31m", "\x7f", "a\rb", "\u202e", "\u2028", "\U000e0001", "\0"]


@pytest.mark.parametrize("text", DANGEROUS)
def test_control_characters_are_escaped(text: str) -> None:
    shown = printable(text)

    assert shown.isprintable()
    assert json.loads(f'"{shown}"') == text


@pytest.mark.parametrize("text", ["Grüße 👋", "a\u3000b", 'x"\\'])
def test_other_characters_are_shown(text: str) -> None:
    assert printable(text) == text


@given(st.text())
def test_printable_text_has_no_character_that_controls(text: str) -> None:
    assert not {unicodedata.category(each) for each in printable(text)} & service.CONTROLS


@pytest.mark.parametrize("text", DANGEROUS)
def test_error_of_server_cannot_control_the_terminal(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    response = httpx2.Response(
        418,
        headers={"Content-Type": "application/problem+json"},
        json={"detail": text},
        extensions={"reason_phrase": b"\x1b[31m"},
    )

    with pytest.raises(typer.Exit), exit_on_error():
        raise ClientError(describe_error(response))

    shown = capsys.readouterr().err
    assert shown.startswith("418 ")
    assert shown.removesuffix("\n").isprintable()
    assert printable(text) in shown
