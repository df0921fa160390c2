"""Connecting to a running service."""

from ipaddress import ip_address
from typing import Protocol

import httpx2
#{% if cookiecutter.__uses.tokens %}
from pydantic import SecretStr
#{% endif %}

CONNECT_SECONDS = 10


class ServiceSettings(Protocol):
    """The settings that a client uses."""

    @property
    def host(self) -> str:
        """The address of the service."""

    @property
    def port(self) -> int:
        """The port of the service."""
#{% if cookiecutter.__uses.tokens %}

    @property
    def api_token(self) -> SecretStr | None:
        """The token to send."""
#{% endif %}
#{% if cookiecutter.__uses.sse %}

    @property
    def heartbeat_seconds(self) -> float:
        """The maximum idle time of an event stream."""
#{% endif %}


class ClientError(Exception):
    """What went wrong, in one sentence."""


def service_url(settings: ServiceSettings) -> str:
    """Return the URL of a service with these settings on this machine."""
    host = settings.host
    try:
        address = ip_address(host)
    except ValueError:
        return f"http://{host}:{settings.port}"
    if address.is_unspecified:
        address = ip_address("127.0.0.1" if address.version == 4 else "::1")
    host = str(address) if address.version == 4 else f"[{address}]"
    return f"http://{host}:{settings.port}"


def connect(url: str | None, settings: ServiceSettings, *, timeout: float) -> httpx2.Client:
    """Return a client of the service at `url`, by default that of the settings.

#{% if cookiecutter.__uses.tokens %}
    It sends `api_token`. Its streams fail after `timeout` seconds without data. Raises
    `ClientError` for an invalid URL.
#{% else %}
    Its streams fail after `timeout` seconds without data. Raises `ClientError` for an invalid URL.
#{% endif %}
    """
    url = url or service_url(settings)
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ClientError(f"Invalid --url={url!r}: expected a URL like http://127.0.0.1:8000.")
#{% if cookiecutter.__uses.tokens %}
    token = settings.api_token
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
#{% else %}
    headers: dict[str, str] = {}
#{% endif %}
    limits = httpx2.Timeout(CONNECT_SECONDS, read=timeout)
    return httpx2.Client(base_url=parsed, headers=headers, timeout=limits)


def describe_error(response: httpx2.Response) -> str:
    """Return the status of an error, with the detail of a problem document (RFC 9457)."""
    response.read()
    description = f"{response.status_code} {response.reason_phrase}"
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        problem = response.json()
        description += f": {problem.get('detail', problem.get('title'))}"
    return description
