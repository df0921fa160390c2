"""Every setting, its unit and its default: from the environment, then from `.env`."""

import json
#{% if cookiecutter.sse and cookiecutter.event_broker == "memory" %}
import os
#{% endif %}
import re
import sys
#{% if cookiecutter.sse and cookiecutter.event_broker == "memory" %}
from argparse import ArgumentParser
#{% endif %}
from collections.abc import Mapping
#{% if cookiecutter.sse and cookiecutter.event_broker == "memory" %}
from pathlib import Path
#{% endif %}
from typing import Annotated, Any, Literal, NoReturn

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
#{% if cookiecutter.sse and cookiecutter.event_broker == "redis" %}
from redis.asyncio.connection import parse_url
#{% endif %}
#{% if cookiecutter.ndjson or cookiecutter.csv %}
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
#{% endif %}
from uvicorn.config import STARTUP_FAILURE

from .access.hosts import host_name, is_address, is_loopback
from .access.tokens import B64TOKEN, Scope, parse_tokens

LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    BeforeValidator(lambda level: str(level).upper()),
]
CREDENTIALS = re.compile(r"(?<=:).*(?=@)|(?<=\?).*", re.DOTALL)
ORIGIN = re.compile(r"http://[^\s/?#@*]+(?<!:80)|https://[^\s/?#@*]+(?<!:443)")
SECRETS = {"API_TOKEN", "API_TOKENS", "SESSION_SECRET"}
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
#{% if cookiecutter.sse and cookiecutter.event_broker == "memory" %}
SERVERS = {"fastapi", "gunicorn", "uvicorn"}
"""Commands that run an application, and have the same words for the number of workers."""
#{% endif %}
#{% if (cookiecutter.ndjson or cookiecutter.csv) and cookiecutter.database == "postgresql" %}
POSTGRESQL = "postgresql+psycopg://postgres:postgres@127.0.0.1:5432"
#{% endif %}
#{% if cookiecutter.ndjson or cookiecutter.csv %}


def accepted_database_url(url: str) -> str:
    """Return `url` with the driver that this service is built on.

    Raises `ValueError` when it is no URL, or one of another database.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError("it is not a database URL") from None
#{% if cookiecutter.database == "sqlite" %}
    if parsed.get_backend_name() != "sqlite":
        raise ValueError("accepted is sqlite:///relative.db or sqlite:////absolute.db")
    if parsed.database in (None, "", ":memory:"):
        raise ValueError("accepted is a file: every connection has a memory database of its own")
    return parsed.set(drivername="sqlite").render_as_string(hide_password=False)
#{% else %}
    if parsed.get_backend_name() != "postgresql":
        raise ValueError("accepted is postgresql://user:password@host:port/name")
    return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
#{% endif %}


DatabaseURL = Annotated[str, AfterValidator(accepted_database_url)]
#{% endif %}
#{% if cookiecutter.sse and cookiecutter.event_broker == "redis" %}


def accepted_redis_url(url: str) -> str:
    """Return `url`. Raises `ValueError` when it is not one of Redis."""
    parse_url(url)
    return url
#{% endif %}


def names(given: Any) -> Any:
    """Read a list: JSON, or names with commas between them."""
    if not isinstance(given, str):
        return given
    if given.lstrip().startswith("["):
        try:
            return json.loads(given)
        except json.JSONDecodeError:
            raise ValueError("accepted are names with commas between them") from None
    return [name.strip() for name in given.split(",") if name.strip()]


def accepted_token(token: SecretStr | None) -> SecretStr | None:
    """Return `token`, or nothing if it is empty. Raises `ValueError` for what cannot be one."""
    if token and not B64TOKEN.fullmatch(token.get_secret_value()):
        raise ValueError("a token is letters, digits and any of -._~+/")
    return token or None


def accepted_host(name: str) -> str:
    """Return `name` in lower case. Raises `ValueError` for what is no name of a host alone."""
    if "*" in name or not (is_address(name) or host_name(name) == name.lower()):
        raise ValueError("accepted are names of hosts without a port, separated by commas")
    return name.lower()


def accepted_origin(origin: str) -> str:
    """Return `origin` in lower case. Raises `ValueError` for what no browser sends (RFC 6454)."""
    if not ORIGIN.fullmatch(origin.lower()):
        raise ValueError("accepted are origins like https://app.example.com, separated by commas")
    return origin.lower()


class Settings(BaseSettings):
    """What can be set without a change of code. Names are those of the environment, in any case."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    log_level: LogLevel = "INFO"
#{% if cookiecutter.ndjson or cookiecutter.csv %}
#{% if cookiecutter.database == "sqlite" %}
    database_url: DatabaseURL = "sqlite:///{{ cookiecutter.__package_name }}.db"
#{% else %}
    database_url: DatabaseURL = f"{POSTGRESQL}/{{ cookiecutter.__package_name }}"
#{% endif %}
#{% endif %}
#{% if cookiecutter.sse and cookiecutter.event_broker == "redis" %}
    redis_url: Annotated[str, AfterValidator(accepted_redis_url)] = "redis://127.0.0.1:6379/0"
#{% endif %}

    api_tokens: Annotated[
        dict[str, frozenset[Scope]], NoDecode, BeforeValidator(parse_tokens), Field(repr=False)
    ] = {}
    """The scopes of each token. Without any, everyone on this machine may do everything."""
    api_token: Annotated[SecretStr | None, AfterValidator(accepted_token)] = None
    """The token that a command sends which asks a service."""
    allow_anonymous: bool = False
    """Whether those on other machines may too: someone else guards the door."""
    session_secret: SecretStr | None = None
    """What sessions are signed with; processes that share them share it."""
    session_seconds: Annotated[int, Field(ge=1)] = 12 * 3600
    """How long a browser stays signed in."""
    allowed_hosts: Annotated[
        tuple[Annotated[str, AfterValidator(accepted_host)], ...], NoDecode, BeforeValidator(names)
    ] = ()
    """The names by which the service is asked for; none is any."""
    cors_origins: Annotated[
        tuple[Annotated[str, AfterValidator(accepted_origin)], ...],
        NoDecode,
        BeforeValidator(names),
    ] = ()
    """The origins whose pages may use the service, with a token."""

    send_timeout_seconds: Seconds = 30
    """How long a client may take nothing before its stream is ended."""
    max_stream_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    """How long a stream may live; 0 is no limit."""
    max_streams_per_client: Annotated[int, Field(ge=1)] = 20
    """How many streams one address may have open."""
    shutdown_grace_seconds: Seconds = 10
    """How long transfers may still run once the server was told to stop."""
#{% if cookiecutter.sse %}

    heartbeat_seconds: Seconds = 15
    """How long an event stream may be idle before a comment is sent."""
    event_history: Annotated[int, Field(ge=0)] = 1000
    """How many events of a topic can be replayed."""
    event_history_seconds: Seconds = 3600
    """How long an event can be replayed."""
    subscriber_buffer: Annotated[int, Field(ge=1)] = 1000
    """How many events a slow client may lag behind before it is disconnected."""
    max_event_bytes: Annotated[int, Field(ge=1)] = 256 * 1024
    """How large the body of a publish may be."""
#{% if cookiecutter.event_broker == "memory" %}
    max_topics: Annotated[int, Field(ge=1)] = 10_000
    """How many topics that nobody follows have a history; the least recently used goes first."""
#{% endif %}
    max_topics_per_stream: Annotated[int, Field(ge=1)] = 50
    """How many topics one connection may carry."""
#{% endif %}
#{% if (cookiecutter.ndjson or cookiecutter.csv) and cookiecutter.database == "postgresql" %}

    max_exports: Annotated[int, Field(ge=1)] = 50
    """How many exports may run at once, each on a connection to PostgreSQL."""
    statement_timeout_seconds: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = 0
    """How long PostgreSQL may take for one export, its client included; 0 is no limit."""
#{% endif %}
#{% if cookiecutter.csv %}

    csv_escape_formulas: bool = True
    """Whether text that a spreadsheet would run as a formula is prefixed with `'`."""
#{% endif %}


def load_settings() -> Settings:
    """Read the settings; a wrong value ends the process with one line that names it."""
    try:
        return Settings()
    except ValidationError as error:
        refuse("; ".join(map(sentence, error.errors())))


def refuse(reason: str) -> NoReturn:
    """End the process with one line."""
    print(reason, file=sys.stderr)
    # The status by which uvicorn and gunicorn know that a worker would fail again.
    sys.exit(STARTUP_FAILURE)


def require_guard(settings: Settings, host: str) -> None:
    """End the process with one line if everyone who reaches `host` could do everything."""
    if not (settings.api_tokens or settings.allow_anonymous or is_loopback(host)):
        refuse(
            f"HOST={host!r} is not accepted without API_TOKENS: whoever reaches it could do "
            f"everything. `{{ cookiecutter.project_slug }} token {' '.join(Scope)}` makes a token; "
            "ALLOW_ANONYMOUS=true says that someone else guards the door."
        )


def sentence(error: Mapping[str, Any]) -> str:
    """Say what is wrong with a setting, without the credentials of a URL."""
    # Of a list that is wrong in one place, the setting is named.
    name = str(error["loc"][0]).upper()
    given = "***" if name in SECRETS else repr(CREDENTIALS.sub("***", str(error["input"])))
    return f"{name}={given} is not accepted: {error['msg'].removeprefix('Value error, ')}"
#{% if cookiecutter.sse and cookiecutter.event_broker == "memory" %}


def require_one_worker(workers: int) -> None:
    """End the process with one line if there is more than one: each would have its own events."""
    if workers > 1:
        refuse(
            f"{workers} workers are not accepted (--workers, WEB_CONCURRENCY): "
            "the broker of events is the memory of one process"
        )


def workers_of_this_server() -> int:
    """Return how many workers the server of this process was told to run; 1 for unknown servers.

    A worker has the command line and the environment of its server.
    """
    program = Path(sys.argv[0])
    if (program.parent.name if program.stem == "__main__" else program.stem) not in SERVERS:
        return 1
    options = ArgumentParser()
    default = os.environ.get("UVICORN_WORKERS") or os.environ.get("WEB_CONCURRENCY") or "1"
    options.add_argument("-w", "--workers", type=int, default=default)
    workers: int = options.parse_known_args(sys.argv[1:])[0].workers
    return workers
#{% endif %}
