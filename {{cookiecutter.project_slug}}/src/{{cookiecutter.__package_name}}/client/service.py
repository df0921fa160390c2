"""A service that runs, as its clients see it."""

from ipaddress import ip_address

import httpx2

from ..settings import Settings

CONNECT_SECONDS = 10


class ClientError(Exception):
    """What cannot be done, in one sentence for the person who asked for it."""


def service_url(settings: Settings) -> str:
    """Return where `serve` with these settings can be reached from this machine."""
    host = settings.host
    try:
        address = ip_address(host)
    except ValueError:
        return f"http://{host}:{settings.port}"
    if address.is_unspecified:
        address = ip_address("127.0.0.1" if address.version == 4 else "::1")
    host = str(address) if address.version == 4 else f"[{address}]"
    return f"http://{host}:{settings.port}"


def connect(url: str, settings: Settings, *, patience: float) -> httpx2.Client:
    """Return a client of the service at `url`, whose streams fail after `patience` silent seconds.

    It sends the `api_token` of the settings. Raises `ClientError` when it is no URL of a service.
    """
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ClientError(f"--url={url!r} is not accepted: http://HOST:PORT is, and https:// too.")
    token = settings.api_token
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
    timeout = httpx2.Timeout(CONNECT_SECONDS, read=patience)
    return httpx2.Client(base_url=parsed, headers=headers, timeout=timeout)


def refusal(response: httpx2.Response) -> str:
    """Return what an error says, by its problem document (RFC 9457) if it is one."""
    response.read()
    said = f"{response.status_code} {response.reason_phrase}"
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        problem = response.json()
        said += f": {problem.get('detail', problem.get('title'))}"
    return said
