"""Access with tokens: what each caller may do on each route."""

import json
import re
from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from fastapi.testclient import TestClient

#{% if cookiecutter.__uses.exports %}
from {{ cookiecutter.__package_name }}.exports import EXPORTS
#{% endif %}
from {{ cookiecutter.__package_name }}.settings import Settings
from {{ cookiecutter.__package_name }}.streaming import Scope
from {{ cookiecutter.__package_name }}.streaming.access.dependencies import (
    COOKIE,
    Requires,
    allow_all,
    require_token,
)

NO_SCOPES = "no-scopes"
TOKENS: dict[str, list[str]] = {**{scope: [scope] for scope in Scope}, NO_SCOPES: []}
BEARER = {"Authorization": f"Bearer {next(iter(Scope))}"}
CALLERS = [
    pytest.param(None, False, id="without-token"),
    pytest.param("wrong", False, id="wrong-token"),
    pytest.param(NO_SCOPES, False, id="token-without-scopes"),
    *(pytest.param(scope, False, id=f"token-{scope}") for scope in Scope),
    *(pytest.param(scope, True, id=f"session-{scope}") for scope in Scope),
]
UUID = "00000000-0000-0000-0000-000000000000"
OPEN = ("/openapi.json/", "/static/")
"""The paths of mounts and of Starlette's routes, which have no dependencies: open to everybody."""


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A token for each scope, and one without; streams end soon."""
    monkeypatch.setenv("API_TOKENS", json.dumps(TOKENS))
    return Settings(max_stream_seconds=0.01)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """A client that accepts streams which reach their time limit."""
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def rules(route: RouteContext) -> set[Callable[..., Any]]:
    """Return the rules among the dependencies of a route, and among theirs."""
    dependants = [route.dependant] if hasattr(route, "dependant") else []
    for dependant in dependants:
        dependants.extend(dependant.dependencies)
    calls = {dependant.call for dependant in dependants}
    return {
        call for call in calls if isinstance(call, Requires) or call in (allow_all, require_token)
    }


def routes_without_rule(app: FastAPI) -> list[str]:
    """Return the paths of routes without a rule, except for mounts that are `OPEN`."""
    return [
        str(route.path)
        for route in iter_route_contexts(app.routes)
        if not rules(route)
        and (isinstance(route.original_route, APIRoute) or not f"{route.path}/".startswith(OPEN))
    ]


def requests(app: FastAPI) -> Iterator[tuple[str, str, set[Callable[..., Any]]]]:
    """Yield the method, a path and the rules of each method of each route with rules."""
    for route in iter_route_contexts(app.routes):
        path = re.sub(r"{\w+:uuid}", UUID, str(route.path))
        if found := rules(route):
            for method in sorted(route.methods or ()):
                yield method, re.sub(r"{.+?}", "1", path), found


def credentials(client: TestClient, token: str | None, by_session: bool) -> dict[str, str]:
    """Return the headers that authenticate a caller."""
    if token is None:
        return {}
    bearer = {"Authorization": f"Bearer {token}"}
    if not by_session:
        return bearer
    session = client.post("/session", headers=bearer).cookies[COOKIE]
    client.cookies.clear()
    return {"Cookie": f"{COOKIE}={session}"}


def expected_status(rule: Callable[..., Any], token: str | None, by_session: bool) -> int | None:
    """Return the status that denies a request, `None` if the rule allows it."""
    if rule is allow_all:
        return None
    if token not in TOKENS or (by_session and rule is require_token):
        return 401
    # A browser sends its cookie with requests of any page, so a session cannot publish.
    grants = {token} - {"publish"} if by_session else {token}
    return None if not isinstance(rule, Requires) or rule.scope in grants else 403


def test_every_route_has_a_rule(app: FastAPI) -> None:
    paths = routes_without_rule(app)

    message = "add PUBLIC or requires(Scope.…) to the dependencies; add mounts to OPEN"
    assert not paths, f"{paths}: {message}"


def test_streams_require_their_scopes(app: FastAPI) -> None:
    scopes = {
        f"{method} {path}": rule.scope
        for method, path, found in requests(app)
        for rule in found
        if isinstance(rule, Requires)
    }

#{% if cookiecutter.__uses.sse %}
    assert scopes["GET /events/1"] == "events"
    assert scopes["POST /events/1"] == scopes["POST /runs"] == "publish"
#{% endif %}
#{% if cookiecutter.__uses.exports %}
    assert {scopes[f"GET /export/{export.name}"] for export in EXPORTS} <= {"export"}
#{% endif %}


def test_route_without_rule_is_found(app: FastAPI) -> None:
    router = APIRouter()
    router.add_api_route("/offender", lambda: None)
    app.include_router(router, prefix="/static")

    assert "/static/offender" in routes_without_rule(app)


@pytest.mark.parametrize(("token", "by_session"), CALLERS)
def test_every_route_follows_its_rule(
    app: FastAPI, client: TestClient, token: str | None, by_session: bool
) -> None:
    headers = credentials(client, token, by_session)

    for method, path, found in requests(app):
        with client.stream(method, path, headers=headers, follow_redirects=False) as response:
            # A route can return 401 and 403 for reasons of its own, without a challenge.
            denied = response.status_code if "www-authenticate" in response.headers else None

        statuses = {expected_status(rule, token, by_session) for rule in found}
        assert denied in (statuses - {None} or {None}), f"{method} {path}"
        if denied:
#{% if cookiecutter.__uses.openai %}
            expected = "application/json" if "/v1/" in path else "application/problem+json"
            assert response.headers["content-type"] == expected
#{% else %}
            assert response.headers["content-type"] == "application/problem+json"
#{% endif %}


def test_sign_in_sets_cookie_for_this_service(app: FastAPI) -> None:
    client = TestClient(app, base_url="https://testserver")

    response = client.post("/session", headers=BEARER)

    (cookie,) = SimpleCookie(response.headers["set-cookie"]).values()
    assert response.status_code == 204
    assert cookie["httponly"]
    assert cookie["secure"]
    assert cookie["samesite"] == "strict"


def test_session_ends_on_sign_out(client: TestClient) -> None:
    client.post("/session", headers=BEARER)
    signed_in = client.get("/session").json()

    client.delete("/session")

    assert signed_in == {"scopes": [next(iter(Scope))], "anonymous": False}
    assert client.get("/session").json() == {"scopes": [], "anonymous": False}
