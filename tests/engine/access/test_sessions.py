"""A browser signs in with a token, reads with a cookie, and signs out."""

from http.cookies import SimpleCookie
from itertools import pairwise

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import TimestampSigner

from {{ cookiecutter.__package_name }}.access.rules import COOKIE
from {{ cookiecutter.__package_name }}.access.sessions import Sessions
from {{ cookiecutter.__package_name }}.access.tokens import Scope, parse_tokens
from {{ cookiecutter.__package_name }}.main import create_app
from {{ cookiecutter.__package_name }}.settings import Settings

TOKENS = parse_tokens({"secret": ["events", "publish", "export"]})
(HASH,) = TOKENS
BEARER = {"Authorization": "Bearer secret"}


@pytest.fixture
def settings() -> Settings:
    """One token, for everything."""
    return Settings(api_tokens=TOKENS, session_seconds=60)


@pytest.mark.parametrize(("scheme", "secure"), [("http", False), ("https", True)])
def test_the_cookie_is_for_this_service_alone(app: FastAPI, scheme: str, secure: bool) -> None:
    client = TestClient(app, base_url=f"{scheme}://testserver")

    response = client.post("/session", headers=BEARER)

    (morsel,) = SimpleCookie(response.headers["set-cookie"]).values()
    assert response.status_code == 204
    assert morsel.key == COOKIE
    assert morsel["httponly"]
    assert morsel["samesite"] == "strict"
    assert morsel["path"] == "/"
    assert morsel["max-age"] == "60"
    assert bool(morsel["secure"]) is secure


def test_a_session_reads_and_never_publishes(client: TestClient) -> None:
    client.post("/session", headers=BEARER)

    assert client.get("/session").json()["scopes"] == ["events", "export"]
    assert client.post("/session").status_code == 401


def test_what_the_caller_may_do_is_kept_by_no_cache(client: TestClient) -> None:
    assert client.get("/session").headers["cache-control"] == "no-store"


def test_who_signed_out_is_out(client: TestClient) -> None:
    client.post("/session", headers=BEARER)

    assert client.delete("/session").status_code == 204
    assert client.get("/session").json()["scopes"] == []


def test_without_tokens_there_is_nothing_to_sign_in_to() -> None:
    client = TestClient(create_app(Settings()))

    assert client.post("/session", headers=BEARER).status_code == 401
    everything = {"scopes": ["events", "export", "publish"], "anonymous": True}
    assert client.get("/session").json() == everything


def test_a_session_lives_as_long_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(TOKENS, "key", 60)
    session = sessions.sign(HASH)
    now = TimestampSigner("key").get_timestamp()

    for later, scopes in ((60, {Scope.EVENTS, Scope.EXPORT}), (61, None)):
        monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _, at=now + later: at)
        assert sessions.granted(session) == scopes


def test_a_session_ends_with_its_token() -> None:
    session = Sessions(TOKENS, "key", 60).sign(HASH)

    assert Sessions(TOKENS, "key", 60).granted(session)
    assert Sessions({}, "key", 60).granted(session) is None


def test_processes_share_sessions_by_the_secret_alone() -> None:
    one, other, *strangers = (Sessions(TOKENS, key, 60) for key in ("key", "key", "no", None, None))
    session = one.sign(HASH)

    assert other.granted(session)
    assert [stranger.granted(session) for stranger in strangers] == [None] * 3
    for stranger, next_one in pairwise(strangers):
        assert next_one.granted(stranger.sign(HASH)) is None


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_no_text_is_a_session(text: str) -> None:
    assert Sessions(TOKENS, "key", 60).granted(text) is None


@given(st.integers(min_value=0), st.characters(codec="ascii"))
def test_a_session_that_was_changed_is_none(place: int, character: str) -> None:
    sessions = Sessions(TOKENS, "key", 60)
    session = sessions.sign(HASH)
    place %= len(session)
    changed = session[:place] + character + session[place + 1 :]

    # The last digit of base64 has bits that mean nothing.
    if changed[:-1] != session[:-1]:
        assert sessions.granted(changed) is None
