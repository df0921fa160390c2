"""Types of settings, and how an invalid setting stops the start."""

import re
import sys
from collections.abc import Mapping
#{% if cookiecutter.__uses.exports or cookiecutter.__uses.redis or cookiecutter.__uses.chat %}
from contextlib import suppress
#{% endif %}
#{% if cookiecutter.__uses.sqlite %}
from pathlib import Path
#{% endif %}
from typing import Annotated, Any, NoReturn, TypeVar
#{% if cookiecutter.__uses.redis or cookiecutter.__uses.chat %}
from urllib.parse import SplitResult, urlsplit
#{% endif %}

#{% set uses = cookiecutter.__uses %}
#{% if uses.postgresql %}
from psycopg import ProgrammingError
from psycopg.conninfo import make_conninfo
#{% endif %}
#{% if uses.tokens %}
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
#{% elif uses.origins and (uses.exports or uses.redis or uses.chat) %}
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
#{% elif uses.origins %}
from pydantic import AfterValidator, BeforeValidator, ValidationError
#{% else %}
from pydantic import AfterValidator, Field, ValidationError
#{% endif %}
#{% if uses.origins %}
from pydantic_settings import BaseSettings, NoDecode, SettingsError
#{% else %}
from pydantic_settings import BaseSettings, SettingsError
#{% endif %}
#{% if cookiecutter.__uses.redis %}
from redis.asyncio import BlockingConnectionPool
#{% endif %}
#{% if cookiecutter.__uses.exports %}
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
#{% endif %}
from uvicorn.config import STARTUP_FAILURE
#{% if cookiecutter.__uses.tokens %}

from .access.hosts import host_name
#{% if cookiecutter.__uses.client %}
from .access.tokens import B64TOKEN, Scope, parse_tokens
#{% else %}
from .access.tokens import Scope, parse_tokens
#{% endif %}
from .registry import parse_address
#{% endif %}

S = TypeVar("S", bound=BaseSettings)

SECRET = re.compile("KEY|PASSWORD|SECRET|TOKEN|URL")
"""Names of settings whose values may contain credentials."""
#{% if cookiecutter.__uses.tokens %}
MIN_SECRET = 32
#{% endif %}
#{% if cookiecutter.__uses.postgresql or cookiecutter.__uses.redis or cookiecutter.__uses.chat %}
HOSTS = re.compile(r"[\w.:,%-]*")
CONTROL = re.compile(r"[\0-\x1f\x7f]")
#{% endif %}
#{% if cookiecutter.__uses.exports %}


def validate_database_url(url: str) -> str:
    """Return `url` with the driver that the engine uses. Raises `ValueError`."""
#{% if cookiecutter.__uses.sqlite %}
    with suppress(ArgumentError, ValueError):
        parsed = make_url(url)
        is_file = parsed.database not in (None, "", ":memory:") and "uri" not in parsed.query
        has_server = parsed.host or parsed.username or parsed.password
        if parsed.get_backend_name() == "sqlite" and is_file and not has_server:
            return parsed.set(drivername="sqlite").render_as_string(hide_password=False)
    expected = "expected the URL of a file, for example sqlite:///data.db or sqlite:////srv/data.db"
#{% else %}
    with suppress(ArgumentError, ValueError, ProgrammingError):
        parsed = make_url(url)
        # Raises an exception for an unknown option.
        make_conninfo(**dict.fromkeys(parsed.query, ""))
        # An unescaped character in a password makes the rest of it a part that messages show.
        is_safe = (
            HOSTS.fullmatch(parsed.host or "")
            and (parsed.port or 0) < 1 << 16
            and not set("@=") & set(parsed.database or "")
            and "#" not in url.rpartition("@")[2]
            and not CONTROL.search(url)
        )
        if parsed.get_backend_name() == "postgresql" and is_safe:
            return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    expected = "expected a URL like postgresql://user:password@host:port/name"
#{% endif %}
    raise ValueError(expected)


#{% if cookiecutter.__uses.sqlite %}
def database_path(url: str) -> Path:
    """Return the path in the URL of a SQLite file."""
    return Path(str(make_url(url).database)).resolve()


#{% endif %}
DatabaseURL = Annotated[str, AfterValidator(validate_database_url), Field(repr=False)]
#{% endif %}
#{% if cookiecutter.__uses.redis or cookiecutter.__uses.chat %}


def split_url(url: str) -> SplitResult:
    """Return the parts of `url`. Raises `ValueError` if one may have a part of a password.

    That is so after an unescaped character: messages show the host, the port and the path.
    """
    parts = urlsplit(url)
    is_safe = (
        HOSTS.fullmatch(parts.hostname or "")
        and (parts.port is None or parts.hostname)
        and "@" not in parts.path + parts.query
        and not parts.fragment
        and not CONTROL.search(url)
    )
    if not is_safe:
        raise ValueError("expected an escaped password")
    return parts
#{% endif %}
#{% if cookiecutter.__uses.redis %}


def validate_redis_url(url: str) -> str:
    """Return `url`. Raises `ValueError`."""
    # Invalid options raise various exceptions.
    with suppress(Exception):
        parts = split_url(url)
        pool: Any = BlockingConnectionPool.from_url(url)
        pool.make_connection()
        if parts.scheme == "unix" or re.fullmatch("/?[0-9]*", parts.path):
            return url
    raise ValueError("expected a URL like redis://user:password@host:port/0")


RedisURL = Annotated[str, AfterValidator(validate_redis_url), Field(repr=False)]
#{% endif %}
#{% if cookiecutter.__uses.chat %}


def validate_model_url(url: str) -> str:
    """Return `url`, which may be empty. Raises `ValueError`."""
    with suppress(ValueError):
        parts = split_url(url)
        if not url or (parts.scheme in ("http", "https") and parts.hostname):
            return url
    raise ValueError("expected a URL like https://models.example.com/v1")


ModelURL = Annotated[str, AfterValidator(validate_model_url), Field(repr=False)]
#{% endif %}
#{% if cookiecutter.__uses.origins %}

ORIGIN = re.compile(r"http://[^\s/?#@*]+(?<!:80)|https://[^\s/?#@*]+(?<!:443)")


def split_list(value: Any) -> Any:
    """Return the items of a list that are separated by commas."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return value


def validate_origin(origin: str) -> str:
    """Return `origin` in lower case. Raises `ValueError` unless it has the form of RFC 6454."""
    if not ORIGIN.fullmatch(origin.lower()):
        raise ValueError("expected origins like https://app.example.com, separated by commas")
    return origin.lower()


Origins = Annotated[
    tuple[Annotated[str, AfterValidator(validate_origin)], ...],
    NoDecode,
    BeforeValidator(split_list),
]
#{% endif %}
#{% if cookiecutter.__uses.tokens %}


def validate_host(name: str) -> str:
    """Return `name` in lower case. Raises `ValueError` unless it is a host name without a port."""
    if "*" in name or (parse_address(name) is None and host_name(name) != name.lower()):
        raise ValueError("expected host names without ports, separated by commas")
    return name.lower()


HostNames = Annotated[
    tuple[Annotated[str, AfterValidator(validate_host)], ...], NoDecode, BeforeValidator(split_list)
]
TokenScopes = Annotated[
    dict[str, frozenset[Scope]], NoDecode, BeforeValidator(parse_tokens), Field(repr=False)
]


def validate_secret(secret: SecretStr | None) -> SecretStr | None:
    """Return `secret`, `None` if it is empty. Raises `ValueError` if it can be guessed."""
    if secret and len(secret) < MIN_SECRET:
        raise ValueError(f"expected at least {MIN_SECRET} characters")
    return secret or None


Secret = Annotated[SecretStr | None, AfterValidator(validate_secret)]
#{% if cookiecutter.__uses.client %}


def validate_token(token: SecretStr | None) -> SecretStr | None:
    """Return `token`, `None` if it is empty. Raises `ValueError`."""
    if token and not B64TOKEN.fullmatch(token.get_secret_value()):
        raise ValueError("expected letters, digits and -._~+/")
    return token or None


Token = Annotated[SecretStr | None, AfterValidator(validate_token)]
#{% endif %}
#{% endif %}


def exit_with(message: str) -> NoReturn:
    """Exit the process with one line and the status of a failed start."""
    print(message, file=sys.stderr)
    # uvicorn and gunicorn do not restart a worker with this status.
    sys.exit(STARTUP_FAILURE)


def load(settings: type[S]) -> S:
    """Return the settings. An invalid one exits the process with one line."""
    try:
        return settings()
    except ValidationError as error:
        exit_with("; ".join(describe(settings, each) for each in error.errors()))
    except SettingsError as error:
        # The message: error parsing value for field "name" from …
        name = settings.model_config.get("env_prefix", "") + str(error).split('"')[1]
        exit_with(f'Invalid {name.upper()}: expected JSON, for example ["one", "two"]')
    except UnicodeError:
        exit_with("Invalid .env: expected a text file in UTF-8")


def describe(settings: type[BaseSettings], error: Mapping[str, Any]) -> str:
    """Return a sentence about an invalid setting, without credentials."""
    # A validator of all settings has no name; an item of a list has a number.
    setting, *path = error["loc"] or ["settings"]
    field = settings.model_fields.get(setting)
    name = f"{settings.model_config.get('env_prefix', '') * bool(field)}{setting}".upper()
    # The keys of a mapping may be tokens.
    keys = [] if SECRET.search(name) else [key for key in path if isinstance(key, str)]
    value, message = error["input"], error["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be", "expected").partition(", unable")[0]
#{% if cookiecutter.__uses.tokens %}
    message = message.replace("a valid frozenset", "a list of scopes")
#{% endif %}
    words = " ".join([name, *keys, str(value), repr(field)]).upper()
    is_secret = SECRET.search(words) or "@" in words
    shown = "=***" if is_secret else f"={value!r}" if isinstance(value, str) else ""
    if error["type"] == "missing" or not error["loc"]:
        shown = ""  # The input contains all other settings.
    return f"Invalid {name}{shown}: {': '.join([*keys, message])}"
