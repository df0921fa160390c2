"""Who may do what: every route of the application has a rule, and keeps it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from fastapi.testclient import TestClient

from {{ cookiecutter.__package_name }}.access import PUBLIC, Scope, router
from {{ cookiecutter.__package_name }}.access.rules import (
    COOKIE,
    Rule,
    anyone,
    token_of_caller,
)
from {{ cookiecutter.__package_name }}.access.tokens import parse_tokens
from {{ cookiecutter.__package_name }}.settings import Settings

OPEN_WITHOUT_A_RULE = {"/openapi.json", "/static", "/static/swagger-ui"}
"""Paths of Starlette's own routes, which take no dependency."""

NO_JSON = b"{"
"""A body that is not read of who may not send it."""

CALLERS = ["nobody", "mistaken", "none", *Scope, *(f"session of {scope}" for scope in Scope)]
PROBLEMS = {401, 403}


@pytest.fixture
def settings() -> Settings:
    """One token for each scope, and one for none; streams end soon."""
    tokens: dict[str, list[str]] = {**{scope: [scope] for scope in Scope}, "none": []}
    return Settings(api_tokens=parse_tokens(tokens), max_stream_seconds=0.01)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """A client that does not mind a stream whose time is over before its end."""
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def rules_of(route: RouteContext) -> set[Callable[..., Any]]:
    """Return the rules among the dependencies of a route."""
    dependant = getattr(route, "dependant", None)
    calls = {each.call for each in dependant.dependencies} if dependant else set()
    return {call for call in calls if isinstance(call, Rule) or call in (anyone, token_of_caller)}


def is_open_without_a_rule(route: RouteContext) -> bool:
    """Tell whether a route is one of those of Starlette's own that are open."""
    return route.path in OPEN_WITHOUT_A_RULE and not isinstance(route.original_route, APIRoute)


def unclassified(app: FastAPI) -> list[str | None]:
    """Return the paths of the routes that have no rule, or several."""
    return [
        route.path
        for route in iter_route_contexts(app.routes)
        if not is_open_without_a_rule(route) and len(rules_of(route)) != 1
    ]


def expected(rule: Callable[..., Any], caller: str) -> int | None:
    """Return the status of the refusal that `caller` gets; `None` for none."""
    kind, _, scope = caller.rpartition(" of ")
    if rule is anyone:
        return None
    if caller in ("nobody", "mistaken"):
        return 401
    if isinstance(rule, Rule):
        allowed = scope == rule.scope and not (kind and rule.scope is Scope.PUBLISH)
        return None if allowed else 403
    return 401 if kind else None


def as_caller(client: TestClient, caller: str) -> None:
    """Give `client` the token, or the session, of `caller`."""
    kind, _, scope = caller.rpartition(" of ")
    if caller != "nobody":
        client.headers["Authorization"] = f"Bearer {scope}"
    if kind:
        client.post("/session")
        del client.headers["Authorization"]


def requests(app: FastAPI) -> Iterator[tuple[str, str, Callable[..., Any]]]:
    """Yield method, path and rule for every method of every route that has a rule."""
    for route in iter_route_contexts(app.routes):
        for rule in rules_of(route):
            for method in sorted(route.methods or ()):
                yield method, str(route.path).replace("{topic}", "news"), rule


def test_every_route_has_one_rule(app: FastAPI) -> None:
    assert unclassified(app) == []


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_a_route_that_nobody_thought_of_is_found(app: FastAPI, levels: int) -> None:
    offender: Any = APIRouter() if levels else app
    offender.add_api_route("/offender", lambda: None)
    for level in range(levels, 0, -1):
        parent = app if level == 1 else APIRouter()
        parent.include_router(offender)
        offender = parent

    assert unclassified(app) == ["/offender"]


def test_a_route_at_an_open_path_is_found(app: FastAPI) -> None:
    app.add_api_route("/static", lambda: None)

    assert unclassified(app) == ["/static"]


def test_a_route_with_two_rules_is_found(app: FastAPI) -> None:
    app.include_router(router, prefix="/again", dependencies=[PUBLIC])

    assert set(unclassified(app)) == {"/again/session"}


@pytest.mark.parametrize("caller", CALLERS)
def test_every_route_keeps_its_rule(app: FastAPI, client: TestClient, caller: str) -> None:
    as_caller(client, caller)
    session = client.cookies.get(COOKIE)

    for method, path, rule in requests(app):
        client.cookies.clear()
        if session:
            client.cookies.set(COOKIE, session)
        response = client.request(method, path, content=NO_JSON if method == "POST" else None)

        refusal = response.status_code if response.status_code in PROBLEMS else None
        assert refusal == expected(rule, caller), (method, path, caller)


@pytest.mark.parametrize(
    ("caller", "challenge"),
    [
        ("nobody", 'Bearer realm="{{ cookiecutter.project_slug }}"'),
        ("mistaken", 'Bearer error="invalid_token"'),
        ("none", 'Bearer error="insufficient_scope", scope="{scope}"'),
    ],
)
def test_a_refusal_says_what_is_needed(
    app: FastAPI, client: TestClient, caller: str, challenge: str
) -> None:
    as_caller(client, caller)

    for method, path, rule in requests(app):
        if isinstance(rule, Rule) and method != "HEAD":
            response = client.request(method, path)

            assert response.headers["www-authenticate"] == challenge.format(scope=rule.scope)
            assert response.headers["content-type"] == "application/problem+json"
            assert response.json()["status"] == response.status_code


@pytest.mark.parametrize(
    ("authorization", "scopes"),
    [
        ("Bearer events", ["events"]),
        ("bearer events", ["events"]),
        ("Basic events", []),
        ("events", []),
        ("", []),
    ],
)
def test_a_token_comes_as_bearer_or_not_at_all(
    client: TestClient, authorization: str, scopes: list[str]
) -> None:
    headers = {"Authorization": authorization}

    answer = client.get("/session?access_token=events", headers=headers)

    assert answer.json() == {"scopes": scopes, "anonymous": False}


def test_a_wrong_token_is_not_made_good_by_a_session(client: TestClient) -> None:
    as_caller(client, "session of events")

    wrong = client.get("/session", headers={"Authorization": "Bearer mistaken"})

    assert wrong.json()["scopes"] == []
    assert client.get("/session").json()["scopes"] == ["events"]
