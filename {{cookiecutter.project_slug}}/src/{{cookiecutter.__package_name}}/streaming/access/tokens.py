"""API tokens and their scopes."""

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest
from typing import Any

HASH = re.compile(r"sha256:[0-9a-f]{64}")
B64TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What can follow `Bearer` (RFC 6750, section 2.1)."""


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


def parse_tokens(value: Any) -> dict[str, Any]:
    """Return a mapping, or a JSON object, of tokens or their hashes, by hash.

    Raises `ValueError`, whose message contains no token. The scopes are not validated.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value or "{}", object_pairs_hook=unique_members)
        except json.JSONDecodeError as error:
            raise ValueError(f"expected JSON; the error is at character {error.pos + 1}") from None
        except RecursionError:
            value = None
    if not isinstance(value, Mapping):
        raise ValueError('expected an object like {"TOKEN": ["SCOPE"]}')
    return unique_members([(parse_hash(token), scopes) for token, scopes in value.items()])


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of an object. Raises `ValueError` for a duplicate name."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("expected each token once")
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


def find_token(tokens: Tokens, token: str) -> str | None:
    """Return the hash of `token` if it is one of `tokens`, in constant time."""
    hashed = hash_token(token)
    found = [known for known in tokens if compare_digest(known, hashed)]
    return found[0] if found else None
