"""`TokenBackend`: the scopes of a request by its token or its session."""

import pytest
from starlette.requests import HTTPConnection

from streaming_api.streaming.access.authentication import Sessions, TokenBackend
from streaming_api.streaming.access.dependencies import COOKIE, Caller
from streaming_api.streaming.access.tokens import Scope, Tokens, hash_token

pytestmark = pytest.mark.anyio

ALL, NONE = hash_token("all"), hash_token("none")
TOKENS = {ALL: frozenset(Scope), NONE: frozenset[Scope]()}
SESSIONS = Sessions("key", 60)


async def authenticate(
    authorization: str | None = None, session: str | None = None, tokens: Tokens = TOKENS
) -> tuple[set[str], Caller]:
    """Return the scopes and the caller of a request with these headers."""
    headers = []
    if authorization is not None:
        headers.append((b"authorization", authorization.encode()))
    if session is not None:
        headers.append((b"cookie", f"{COOKIE}={session}".encode()))
    connection = HTTPConnection({"type": "http", "headers": headers})
    credentials, caller = await TokenBackend(tokens, SESSIONS).authenticate(connection)
    return set(credentials.scopes), caller


@pytest.mark.parametrize("authorization", ["Bearer all", "bearer all", "BEARER all"])
async def test_bearer_token_has_its_scopes(authorization: str) -> None:
    assert await authenticate(authorization) == (set(Scope), Caller(ALL))


async def test_token_without_scopes_is_authenticated() -> None:
    scopes, caller = await authenticate("Bearer none")

    assert scopes == set()
    assert caller.is_authenticated


@pytest.mark.parametrize("authorization", [None, "", "all", "Basic all", "Bearer", "Bearer "])
async def test_request_without_bearer_token_has_no_scopes(authorization: str | None) -> None:
    scopes, caller = await authenticate(authorization)

    assert scopes == set()
    assert caller == Caller()
    assert not caller.is_authenticated


@pytest.mark.parametrize("token", ["wrong", ALL, ALL.removeprefix("sha256:"), "all,none"])
async def test_wrong_token_has_no_scopes(token: str) -> None:
    assert await authenticate(f"Bearer {token}") == (set(), Caller(error="invalid_token"))


async def test_session_has_scopes_of_token_except_publish() -> None:
    scopes, caller = await authenticate(session=SESSIONS.sign(ALL))

    assert scopes == {*Scope} - {"publish"}
    assert caller == Caller(ALL, by_session=True)


async def test_session_and_other_scheme_has_scopes_of_session() -> None:
    _, caller = await authenticate("Basic all", SESSIONS.sign(ALL))

    assert caller == Caller(ALL, by_session=True)


async def test_wrong_token_and_session_has_no_scopes() -> None:
    scopes, caller = await authenticate("Bearer wrong", SESSIONS.sign(ALL))

    assert scopes == set()
    assert caller.error == "invalid_token"


async def test_token_takes_precedence_over_session() -> None:
    assert await authenticate("Bearer none", SESSIONS.sign(ALL)) == (set(), Caller(NONE))


async def test_invalid_session_has_no_scopes() -> None:
    assert await authenticate(session="wrong") == (set(), Caller())


async def test_session_ends_with_its_token() -> None:
    tokens = {NONE: TOKENS[NONE]}

    assert await authenticate(session=SESSIONS.sign(ALL), tokens=tokens) == (set(), Caller())


@pytest.mark.parametrize("authorization", [None, "Bearer wrong"])
async def test_without_tokens_every_caller_has_all_scopes(authorization: str | None) -> None:
    assert await authenticate(authorization, tokens={}) == (set(Scope), Caller())
