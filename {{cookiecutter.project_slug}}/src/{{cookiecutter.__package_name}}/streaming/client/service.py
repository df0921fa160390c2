"""Connecting to a running service."""

#{% if cookiecutter.__uses.tokens %}
import os
#{% endif %}
from contextlib import suppress
from typing import Any
from unicodedata import category

import httpx2
import msgspec

DEFAULT_URL = "http://127.0.0.1:8000"
CONNECT_SECONDS = 10
MAX_PROBLEM_BYTES = 1 << 16
CONTROLS = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
"""Categories of Unicode whose characters a terminal does not simply show."""


class Problem(msgspec.Struct):
    """The members of a problem document (RFC 9457) that people read."""

    detail: str = ""
    title: str = ""


class ClientError(Exception):
    """What went wrong, in one sentence."""


def connect(url: str | None, settings: Any, *, timeout: float) -> httpx2.Client:
    """Return a client of the service at `url`, by default at `settings.api_url`.

#{% if cookiecutter.__uses.tokens %}
    It sends `settings.api_token`. Its streams fail after `timeout` seconds without data. Raises
    `ClientError` for an invalid URL.
#{% else %}
    Its streams fail after `timeout` seconds without data. Raises `ClientError` for an invalid URL.
#{% endif %}
    """
#{% if cookiecutter.__uses.tokens %}
    token = settings.api_token
    names = {name.upper() for name in os.environ}
    if token and settings.api_url and not url and names & {"API_TOKEN", "API_URL"} == {"API_TOKEN"}:
        # The `.env` of a folder, whoever wrote it, does not get the token of the environment.
        raise ClientError("API_URL is in .env, but API_TOKEN in the environment: use --url.")
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
#{% else %}
    headers: dict[str, str] = {}
#{% endif %}
    try:
        parsed = httpx2.URL(url or settings.api_url or DEFAULT_URL)
    except httpx2.InvalidURL:
        parsed = httpx2.URL()
    is_valid = parsed.scheme in ("http", "https") and parsed.host and (parsed.port or 0) < 1 << 16
    is_valid = is_valid and not parsed.query
#{% if cookiecutter.__uses.tokens %}
    # Credentials would be sent in place of the token.
    is_valid = is_valid and not (token and parsed.userinfo)
#{% endif %}
    if not is_valid:
        name = "--url" if url else "API_URL"
        shown = repr(url) if url and "@" not in url else "***"
        raise ClientError(f"Invalid {name}={shown}: expected a URL like {DEFAULT_URL}.")
    limits = httpx2.Timeout(CONNECT_SECONDS, read=timeout)
    return httpx2.Client(base_url=parsed, headers=headers, timeout=limits)


def describe_error(response: httpx2.Response) -> str:
    """Return the status of an error, with the detail of a problem document (RFC 9457).

    Redirects are not followed.
    """
    description = f"{response.status_code} {response.reason_phrase}"
    if response.has_redirect_location:
        return f"{description}: {response.headers['location']}"
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        body = b""
        for data in response.iter_bytes():
            body += data
            if len(body) > MAX_PROBLEM_BYTES:
                break
        with suppress(msgspec.MsgspecError, RecursionError, ValueError):
            problem = msgspec.json.decode(body, type=Problem)
            if text := problem.detail or problem.title:
                description += f": {text}"
    return description


def printable(text: str) -> str:
    """Return `text` with JSON's escapes for all that controls a terminal.

    These are control characters, and those that end lines or change the direction of text.
    """
    if text.isprintable():
        return text
    return "".join(escape(each) if category(each) in CONTROLS else each for each in text)


def escape(character: str) -> str:
    """Return the escape of a character in JSON, a surrogate pair beyond U+FFFF."""
    digits = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{digits[start : start + 4]}" for start in range(0, len(digits), 4))
