"""The settings of the service: from the environment, then from `.env`."""

from typing import Annotated, Literal

#{% if cookiecutter.__uses.chat %}
from pydantic import BeforeValidator, Field, SecretStr
#{% else %}
from pydantic import BeforeValidator, Field
#{% endif %}
from pydantic_settings import BaseSettings, SettingsConfigDict

from .streaming import settings as engine
#{% if cookiecutter.__uses.tokens %}
from .streaming.access.hosts import is_loopback
from .streaming.access.tokens import Scope
#{% endif %}

LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    BeforeValidator(lambda level: str(level).upper()),
]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
#{% if cookiecutter.__uses.postgresql %}
POSTGRESQL = "postgresql+psycopg://postgres:postgres@127.0.0.1:5432"
#{% endif %}


class Settings(BaseSettings):
    """Names are those of the environment, in upper case. A field that is added is a setting."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8-sig",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        str_strip_whitespace=True,
    )

#{% if cookiecutter.__uses.sqlite %}
    @property
    def has_default_database(self) -> bool:
        """Whether the database is the default file."""
        default = type(self).model_fields["database_url"].default
        return engine.database_path(self.database_url) == engine.database_path(default)

#{% endif %}
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    log_level: LogLevel = "INFO"

    send_timeout_seconds: Seconds = 30
    """Time limit for sending a chunk to a client that does not read."""
    max_stream_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    """Maximum lifetime of a stream; 0: no limit."""
    max_streams_per_client: Annotated[int, Field(ge=1)] = 20
    """Maximum number of open streams of a client: an IPv4 address or an IPv6 network (/64)."""
    max_streams: Annotated[int, Field(ge=1)] = 10_000
    """Maximum number of open streams of a process."""
#{% if cookiecutter.__uses.origins %}
    cors_origins: engine.Origins = ()
    """Origins whose pages may use the service."""
#{% endif %}
#{% if cookiecutter.__uses.tokens %}

    api_tokens: engine.TokenScopes = {}
    """Scopes by token; without tokens the service accepts its own machine only, with all scopes."""
    allow_anonymous: bool = False
    """Accept other machines without tokens: a proxy in front of the service authenticates."""
    allowed_hosts: engine.HostNames = ()
    """Accepted host names; empty: all."""
    session_secret: engine.Secret = None
    """Secret that signs sessions, the same in all processes."""
    session_seconds: Annotated[int, Field(ge=1)] = 12 * 3600
    """Lifetime of a session."""
#{% if cookiecutter.__uses.client %}
    api_token: engine.Token = None
    """Token that the client commands send."""
#{% endif %}
#{% endif %}
#{% if cookiecutter.__uses.client %}
    api_url: Annotated[str | None, Field(repr=False)] = None
    """URL of the service that the client commands use, if not of this machine."""
#{% endif %}
#{% if cookiecutter.__uses.sse %}

    heartbeat_seconds: Seconds = 15
    """Maximum idle time of an event stream before a comment is sent."""
    event_history: Annotated[int, Field(ge=0)] = 1000
    """Number of events per topic that can be replayed."""
    event_history_seconds: Seconds = 3600
    """Time for which an event can be replayed."""
    event_history_bytes: Annotated[int, Field(ge=0)] = 256 * 1024 * 1024
    """Maximum size of all events that can be replayed."""
    subscriber_buffer: Annotated[int, Field(ge=1)] = 1000
    """Number of events that a slow client can lag behind before it is disconnected."""
    max_event_bytes: Annotated[int, Field(ge=1)] = 256 * 1024
    """Maximum size of a request body, or of a line of a batch to publish."""
    max_topics_per_stream: Annotated[int, Field(ge=1)] = 50
    """Maximum number of topics on a connection."""
    max_runs: Annotated[int, Field(ge=1)] = 1000
    """Maximum number of concurrent runs in a process."""
    max_runs_per_client: Annotated[int, Field(ge=1)] = 20
    """Maximum number of concurrent runs of a caller in a process."""
#{% if cookiecutter.__uses.redis %}
    redis_url: engine.RedisURL = "redis://127.0.0.1:6379/0"
#{% endif %}
#{% endif %}
#{% if cookiecutter.__uses.chat %}

    model_url: engine.ModelURL = ""
    """Base URL of an OpenAI-compatible server; empty: an echo that works offline."""
    model_name: str = "echo"
    """Name of the model, for clients and for the server."""
    model_api_key: SecretStr = SecretStr("")
    """Key that the server is sent."""
    model_timeout_seconds: Seconds = 60
    """Time for which the server may be silent."""
    model_pace_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.05
    """Time before each word of the echo."""
    model_fails_after: Annotated[int, Field(ge=0)] = 0
    """Number of words after which the echo fails, to try this; 0: it does not."""
    max_chat_bytes: Annotated[int, Field(ge=1)] = 4 * 1024 * 1024
    """Maximum size of a request with a conversation."""
#{% endif %}
#{% if cookiecutter.__uses.sqlite %}

    database_url: engine.DatabaseURL = "sqlite:///{{ cookiecutter.__package_name }}.db"
    """The database; the default file is created with samples."""
#{% elif cookiecutter.__uses.postgresql %}

    database_url: engine.DatabaseURL = f"{POSTGRESQL}/{{ cookiecutter.__package_name }}"
#{% endif %}
#{% if cookiecutter.__uses.postgresql %}

    max_exports: Annotated[int, Field(ge=1)] = 50
    """Maximum number of concurrent exports, each of which has a connection to PostgreSQL."""
    statement_timeout_seconds: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = 0
    """Time limit for an export in PostgreSQL, including the client's time; 0: no limit."""
#{% endif %}
#{% if cookiecutter.__uses.csv %}

    csv_escape_formulas: bool = True
    """Prefix text that a spreadsheet would run as a formula with `'`."""
#{% endif %}

    shutdown_grace_seconds: Seconds = 10
    """Time that finite streams have to complete on shutdown."""


def load_settings() -> Settings:
    """Return the settings. An invalid one exits the process with one line."""
    return engine.load(Settings)
#{% if cookiecutter.__uses.tokens %}


def require_authentication(settings: Settings, host: str) -> None:
    """Exit the process if other machines can reach `host` and nothing authenticates them."""
    if not (settings.api_tokens or settings.allow_anonymous or is_loopback(host)):
        engine.exit_with(
            f"Invalid HOST={host!r}: expected 127.0.0.1, since nothing authenticates clients; "
            f"set API_TOKENS (`{{ cookiecutter.project_slug }} token {' '.join(Scope)}` generates "
            "one), or ALLOW_ANONYMOUS=true behind an authenticating proxy"
        )
#{% endif %}
