"""API tokens and their scopes."""

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
DUPLICATE = "expected each token once"


class Scope(StrEnum):
    """What a token grants."""

#{% if cookiecutter.__uses.sse %}
    EVENTS = "events"
    PUBLISH = "publish"
#{% endif %}
#{% if cookiecutter.__uses.exports %}
    EXPORT = "export"
#{% endif %}


Tokens = Mapping[str, frozenset[Scope]]
"""The scopes of each token, by its hash: `sha256:` and 64 hexadecimal digits."""


def parse_tokens(value: Any) -> dict[str, frozenset[Scope]]:
    """Return the scopes by the hash of their token.

    `value` is a mapping, or a JSON object, of a token or its hash to a list of scopes. Raises
    `ValueError`, whose message contains no token.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value or "{}", object_pairs_hook=unique_members)
        except json.JSONDecodeError as error:
            raise ValueError(f"expected JSON; the error is at character {error.pos + 1}") from None
    if not isinstance(value, Mapping):
        form = '{"TOKEN": ["SCOPE"]}'
        raise ValueError(f"expected an object like {form}, with scopes of {', '.join(Scope)}")
    tokens = {
        parse_hash(token): parse_scopes(number, names)
        for number, (token, names) in enumerate(value.items(), 1)
    }
    if len(tokens) < len(value):
        raise ValueError(DUPLICATE)
    return tokens


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of a JSON object. Raises `ValueError` for a duplicate name."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError(DUPLICATE)
    return members


def parse_hash(token: str) -> str:
    """Return the hash of a token, or a hash as it is. Raises `ValueError`."""
    if HASH.fullmatch(token):
        return token
    if not B64TOKEN.fullmatch(token):
        raise ValueError(
            "expected tokens of letters, digits and -._~+/, or sha256: and 64 hexadecimal digits"
        )
    return hash_token(token)


def hash_token(token: str) -> str:
    """Return `sha256:` and the hash of a token in hexadecimal digits."""
    return f"sha256:{sha256(token.encode()).hexdigest()}"


def parse_scopes(number: int, names: Any) -> frozenset[Scope]:
    """Return the scopes of the token of that number. Raises `ValueError`."""
    try:
        if isinstance(names, list | set | frozenset):
            return frozenset(map(Scope, names))
    except ValueError:
        pass
    raise ValueError(f"expected a list of {', '.join(Scope)} for token {number}")


def find_token(tokens: Tokens, token: str) -> str | None:
    """Return the hash of `token` if it is one of `tokens`, in constant time."""
    hashed = hash_token(token)
    found = None
    for known in tokens:
        if compare_digest(known, hashed):
            found = known
    return found


def generate_token() -> str:
    """Return a token of 256 random bits."""
    return token_urlsafe(32)


def dotenv_line(tokens: Tokens) -> str:
    """Return the line of `.env` that sets these tokens, as hashes."""
    members = {known: sorted(scopes, key=list(Scope).index) for known, scopes in tokens.items()}
    # Without quotes: a container's --env-file would make them part of the value.
    return f"API_TOKENS={json.dumps(members, separators=(',', ':'))}"
