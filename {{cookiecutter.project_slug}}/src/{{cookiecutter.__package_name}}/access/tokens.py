"""Tokens, and the scopes that each of them has."""

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Any

HASH = re.compile(r"sha256:[0-9a-f]{64}")
B64TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What can follow `Bearer` (RFC 6750, section 2.1)."""
TWICE = "a token is there twice"


class Scope(StrEnum):
    """What a token is for; the same in every service of this kind, so that they can share one."""

    EVENTS = "events"
    PUBLISH = "publish"
    EXPORT = "export"


Tokens = Mapping[str, frozenset[Scope]]
"""The scopes of each token, by its hash: `sha256:` and 64 hexadecimal digits."""


def parse_tokens(given: Any) -> dict[str, frozenset[Scope]]:
    """Read a JSON object, or what it stands for: token, or `sha256:` and its hash, to scopes.

    Raises `ValueError`, which repeats no token.
    """
    if isinstance(given, str):
        try:
            given = json.loads(given or "{}", object_pairs_hook=unique)
        except json.JSONDecodeError as error:
            raise ValueError(f"it is no JSON, from character {error.pos + 1} on") from None
    if not isinstance(given, Mapping):
        raise ValueError('accepted is an object, {"token": ["events", "publish", "export"]}')
    tokens = {
        hash_of(token): scopes_of(number, names)
        for number, (token, names) in enumerate(given.items(), 1)
    }
    if len(tokens) < len(given):
        raise ValueError(TWICE)
    return tokens


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of a JSON object. Raises `ValueError` for a name that is there twice."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError(TWICE)
    return members


def hash_of(token: str) -> str:
    """Return the hash of a token, which may be given as such. Raises `ValueError`."""
    if HASH.fullmatch(token):
        return token
    if not B64TOKEN.fullmatch(token):
        raise ValueError(
            "a token is letters, digits and any of -._~+/, or sha256: and 64 hexadecimal digits"
        )
    return hashed(token)


def hashed(token: str) -> str:
    """Return the hash of a token."""
    return f"sha256:{sha256(token.encode()).hexdigest()}"


def scopes_of(number: int, names: Any) -> frozenset[Scope]:
    """Return the scopes of the token of that number. Raises `ValueError`."""
    try:
        if isinstance(names, list | set | frozenset):
            return frozenset(map(Scope, names))
    except ValueError:
        pass
    raise ValueError(f"token {number} has other scopes than a list of {', '.join(Scope)}")


def find(tokens: Tokens, token: str) -> str | None:
    """Return the hash of `token` if it is one of `tokens`. Takes as long for any."""
    given = hashed(token)
    found = None
    for known in tokens:
        if compare_digest(known, given):
            found = known
    return found


def new_token() -> str:
    """Return a token of 256 random bits."""
    return token_urlsafe(32)


def setting(tokens: Tokens) -> str:
    """Return the line of `.env` that sets these tokens, by their hashes."""
    members = {known: sorted(scopes, key=list(Scope).index) for known, scopes in tokens.items()}
    # Without quotes around it: a container's --env-file would take them for a part of the value.
    return f"API_TOKENS={json.dumps(members, separators=(',', ':'))}"
