"""Sessions: a cookie that grants what its token grants, except for publishing."""

from http.cookies import SimpleCookie

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import TimestampSigner
from pydantic import SecretStr

from streaming_api.settings import Settings, load_settings
from streaming_api.streaming.access.authentication import Sessions
from streaming_api.streaming.access.dependencies import COOKIE
from streaming_api.streaming.access.tokens import Scope, parse_tokens

TOKENS = parse_tokens({"secret": frozenset(Scope)})
(HASH,) = TOKENS
BEARER = {"Authorization": "Bearer secret"}
READ_SCOPES = sorted({*Scope} - {"publish"})


@pytest.fixture
def settings() -> Settings:
    """A token with all scopes."""
    return Settings(api_tokens=TOKENS, session_seconds=60)


@pytest.mark.parametrize(("scheme", "secure"), [("http", False), ("https", True)])
def test_sign_in_sets_cookie_for_this_service(app: FastAPI, scheme: str, secure: bool) -> None:
    client = TestClient(app, base_url=f"{scheme}://testserver")

    response = client.post("/session", headers=BEARER)

    (cookie,) = SimpleCookie(response.headers["set-cookie"]).values()
    assert response.status_code == 204
    assert cookie.key == COOKIE == "streaming_api_session"
    assert cookie["httponly"]
    assert cookie["samesite"] == "strict"
    assert cookie["path"] == "/"
    assert cookie["max-age"] == "60"
    assert bool(cookie["secure"]) is secure


def test_session_grants_reading_and_no_new_session(idle_client: TestClient) -> None:
    idle_client.post("/session", headers=BEARER)

    assert idle_client.get("/session").json() == {"scopes": READ_SCOPES, "anonymous": False}
    assert idle_client.post("/session").status_code == 401


def test_scopes_of_caller_are_not_cached(idle_client: TestClient) -> None:
    assert idle_client.get("/session").headers["cache-control"] == "no-store"


def test_sign_out_ends_session(idle_client: TestClient) -> None:
    idle_client.post("/session", headers=BEARER)

    assert idle_client.delete("/session").status_code == 204
    assert idle_client.get("/session").json()["scopes"] == []


@pytest.mark.parametrize("settings", [Settings()])
def test_without_tokens_caller_has_all_scopes_and_no_session(
    settings: Settings, idle_client: TestClient
) -> None:
    expected = {"scopes": sorted(Scope), "anonymous": True}

    assert idle_client.get("/session").json() == expected
    assert idle_client.post("/session", headers=BEARER).status_code == 401


def test_session_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions("key", 60)
    session = sessions.sign(HASH)
    now = TimestampSigner("key").get_timestamp()

    for seconds, token in ((60, HASH), (61, "")):
        monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _, at=now + seconds: at)
        assert sessions.verify(session) == token


@pytest.mark.parametrize(
    ("key", "other_key", "token"),
    [("key", "key", HASH), ("key", "another", ""), ("key", None, ""), (None, None, "")],
)
def test_session_is_valid_in_processes_with_same_secret(
    key: str | None, other_key: str | None, token: str
) -> None:
    session = Sessions(key, 60).sign(HASH)

    assert Sessions(other_key, 60).verify(session) == token


@pytest.mark.parametrize("length", [1, 31])
def test_secret_that_can_be_guessed_stops_start_without_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], length: int
) -> None:
    monkeypatch.setenv("SESSION_SECRET", "s" * length)

    with pytest.raises(SystemExit):
        load_settings()

    assert capsys.readouterr().err == (
        "Invalid SESSION_SECRET=***: expected at least 32 characters\n"
    )


@pytest.mark.parametrize("secret", ["", "s" * 32])
def test_secret_is_long_or_empty(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("SESSION_SECRET", secret)

    found = load_settings().session_secret

    assert (found.get_secret_value() if found else "") == secret
    assert found != SecretStr("")


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_other_text_is_no_session(text: str) -> None:
    assert Sessions("key", 60).verify(text) == ""


@given(st.integers(min_value=0), st.characters(codec="ascii"))
def test_changed_session_is_invalid(index: int, character: str) -> None:
    sessions = Sessions("key", 60)
    session = sessions.sign(HASH)
    index %= len(session)
    changed = session[:index] + character + session[index + 1 :]

    # The last digit of base64 has unused bits.
    if changed[:-1] != session[:-1]:
        assert sessions.verify(changed) == ""
