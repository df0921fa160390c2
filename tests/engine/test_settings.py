"""Settings: types, precedence, and one line about an invalid value, without secrets."""

import io
from contextlib import redirect_stderr, suppress
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import settings as configured
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict
from uvicorn.config import STARTUP_FAILURE

from streaming_api.settings import Settings, load_settings
from streaming_api.streaming.settings import load

from .variant import CHAT, CLIENT, EXPORTS, ORIGINS, POSTGRESQL, REDIS, SQLITE, SSE, TOKENS

INTEGER = "a valid integer"
POSITIVE = "greater than 0"
ORIGIN = "origins like https://app.example.com, separated by commas"
HOST = "host names without ports, separated by commas"
SQLITE_URL = "the URL of a file, for example sqlite:///data.db or sqlite:////srv/data.db"
POSTGRESQL_URL = "a URL like postgresql://user:password@host:port/name"
REDIS_URL = "a URL like redis://user:password@host:port/0"
MODEL_URL = "a URL like https://models.example.com/v1"

INVALID = [
    ("PORT", "eighty", INTEGER),
    ("PORT", "65536", "less than or equal to 65535"),
    ("LOG_LEVEL", "LOUD", "'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL'"),
    ("SEND_TIMEOUT_SECONDS", "0", POSITIVE),
    ("SEND_TIMEOUT_SECONDS", "nan", "a finite number"),
    ("MAX_STREAM_SECONDS", "-1", "greater than or equal to 0"),
    ("MAX_STREAMS_PER_CLIENT", "0", "greater than or equal to 1"),
    ("SHUTDOWN_GRACE_SECONDS", "inf", "a finite number"),
]
if ORIGINS:
    INVALID += [
        ("CORS_ORIGINS", "app.example.com", ORIGIN),
        ("CORS_ORIGINS", "https://app.example.com/", ORIGIN),
        ("CORS_ORIGINS", "*", ORIGIN),
        ("CORS_ORIGINS", "https://*.example.com", ORIGIN),
        ("CORS_ORIGINS", "https://app.example.com:443", ORIGIN),
        ("CORS_ORIGINS", "http://app.example.com:80", ORIGIN),
    ]
if TOKENS:
    INVALID += [
        ("ALLOW_ANONYMOUS", "perhaps", "a valid boolean"),
        ("SESSION_SECONDS", "0", "greater than or equal to 1"),
        ("ALLOWED_HOSTS", "app.example.com:8443", HOST),
        ("ALLOWED_HOSTS", "https://app.example.com", HOST),
        ("ALLOWED_HOSTS", "*.example.com", HOST),
    ]
if SSE:
    INVALID += [
        ("HEARTBEAT_SECONDS", "0", POSITIVE),
        ("EVENT_HISTORY", "-1", "greater than or equal to 0"),
        ("EVENT_HISTORY_SECONDS", "soon", "a valid number"),
    ]
if SQLITE:
    INVALID += [
        ("DATABASE_URL", "sqlite:///file:data.db?mode=ro&uri=true", SQLITE_URL),
        ("DATABASE_URL", "no url", SQLITE_URL),
        ("DATABASE_URL", "mysql://127.0.0.1/data", SQLITE_URL),
        ("DATABASE_URL", "sqlite://", SQLITE_URL),
        ("DATABASE_URL", "sqlite:///:memory:", SQLITE_URL),
    ]
if POSTGRESQL:
    INVALID += [
        ("DATABASE_URL", "no url", POSTGRESQL_URL),
        ("DATABASE_URL", "mysql://127.0.0.1/data", POSTGRESQL_URL),
        ("DATABASE_URL", "postgresql://127.0.0.1/data?unknown=1", POSTGRESQL_URL),
        ("STATEMENT_TIMEOUT_SECONDS", "1e7", "less than or equal to 1000000"),
    ]
if REDIS:
    INVALID += [
        ("REDIS_URL", "127.0.0.1:6379", REDIS_URL),
        ("REDIS_URL", "redis://127.0.0.1:first", REDIS_URL),
        ("REDIS_URL", "redis://127.0.0.1?unknown=1", REDIS_URL),
        ("REDIS_URL", "redis://127.0.0.1?ssl_cert_reqs=none", REDIS_URL),
        ("REDIS_URL", "redis://127.0.0.1?protocol=9", REDIS_URL),
        ("REDIS_URL", "redis://127.0.0.1?retry=1", REDIS_URL),
    ]

SECRETS: list[tuple[str, str, str]] = []
if EXPORTS:
    SECRETS += [
        ("DATABASE_URL", "mysql://me:hun@t/er2@127.0.0.1/data", "***"),
        ("DATABASE_URL", "mysql:/me:hunter2@127.0.0.1/data", "***"),
        ("DATABASE_URL", "me:hunter2@127.0.0.1/data", "***"),
        ("DATABASE_URL", "mysql://127.0.0.1/data?a=hunter2", "***"),
        ("DATABASE_URL", "mysql://me@127.0.0.1:hunter2/data", "***"),
        ("DATABASE_URL", "mysql://127.0.0.1/data?a=h'un\"ter2\n", "***"),
    ]
if SQLITE:
    SECRETS += [("DATABASE_URL", "sqlite://me:p@hunter2/data.db", "***")]
if POSTGRESQL:
    SECRETS += [
        ("DATABASE_URL", "postgresql://me:p@hunter2@db/data", "***"),
        ("DATABASE_URL", "postgresql://me/hunter2@db/data", "***"),
        ("DATABASE_URL", "postgresql://me@db:999999/data", "***"),
        ("DATABASE_URL", "postgresql://me@db/data password=hunter2", "***"),
        ("DATABASE_URL", "postgresql://me@db/data?sslmode=require#hunter2", "***"),
        ("DATABASE_URL", "postgresql://me@db/data\nhunter2", "***"),
    ]
if REDIS:
    SECRETS += [
        ("REDIS_URL", "redis://:12345/hunter2@db", "***"),
        ("REDIS_URL", "redis://:12345?hunter2@db", "***"),
        ("REDIS_URL", "redis://:12345#hunter2@db", "***"),
        ("REDIS_URL", "redis://db/hunter2", "***"),
        ("REDIS_URL", "unix://me:p/hunter2@/run/redis.sock", "***"),
        ("REDIS_URL", "http://me:hunter2@127.0.0.1", "***"),
        ("REDIS_URL", "redis://:hunter2@127.0.0.1:first", "***"),
    ]
if CHAT:
    SECRETS += [
        ("MODEL_URL", "https://me:hunter2\u2100@models", "***"),
        ("MODEL_URL", "https://[hunter2]/v1", "***"),
        ("MODEL_URL", "https://models:hunter2/v1", "***"),
        ("MODEL_URL", "https://me:12345/hunter2@models", "***"),
        ("MODEL_URL", "https://models/v1#hunter2", "***"),
        ("MODEL_URL", "models/v1?key=hunter2", "***"),
    ]
if CLIENT and TOKENS:
    SECRETS += [
        ("API_TOKEN", "hun\nter2", "***"),
        ("API_TOKEN", "hunt\u00e9r2", "***"),
        ("API_TOKEN", "hun ter2", "***"),
    ]
if ORIGINS:
    SECRETS += [("CORS_ORIGINS", "https://me:hunter2@app.example.com", "***")]


@pytest.mark.parametrize(("name", "value", "expected"), INVALID)
def test_invalid_setting_stops_start_with_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    expected: str,
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as stop:
        load_settings()

    shown = "***" if name.endswith("_URL") else repr(value)
    assert capsys.readouterr().err == f"Invalid {name}={shown}: expected {expected}\n"
    assert stop.value.code == STARTUP_FAILURE


def test_all_invalid_settings_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "eighty")
    monkeypatch.setenv("MAX_STREAM_SECONDS", "long")

    with pytest.raises(SystemExit):
        load_settings()

    assert capsys.readouterr().err == (
        "Invalid PORT='eighty': expected a valid integer; "
        "Invalid MAX_STREAM_SECONDS='long': expected a valid number\n"
    )


if SECRETS:

    @pytest.mark.parametrize(("name", "value", "shown"), SECRETS)
    def test_invalid_setting_is_shown_without_secret(
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        name: str,
        value: str,
        shown: str,
    ) -> None:
        monkeypatch.setenv(name, value)

        with pytest.raises(SystemExit):
            load_settings()

        message = capsys.readouterr().err
        assert message.startswith(f"Invalid {name}={shown}: expected ")
        assert message.count("\n") == 1


URLS: dict[str, str] = {}
if SQLITE:
    URLS["DATABASE_URL"] = SQLITE_URL
if POSTGRESQL:
    URLS["DATABASE_URL"] = POSTGRESQL_URL
if REDIS:
    URLS["REDIS_URL"] = REDIS_URL
if CHAT:
    URLS["MODEL_URL"] = MODEL_URL

if URLS:
    RARE = "QZXJKV9é"
    """Characters that messages have none of four in a row with."""
    secrets = st.text(st.sampled_from(f'{RARE}{RARE}@:/?#%[]= "\n\r\t\\&;+.-\u2100'), min_size=8)
    schemes = st.sampled_from(
        ["postgresql", "redis", "rediss", "unix", "sqlite", "http", "https", "mysql"]
    )
    forms = st.sampled_from(
        [
            "{}://me:{}@server:1/name",
            "{}://:{}@server",
            "{}://me:{}==@[::1]/name?a=b",
            "{}://me:{}@",
            "{}://me@server/name?password={}",
            "{}://me@server/0#{}",
            "{}://me@server?a=b#{}",
            "{}:///name?password={}",
            "{}:/me:{}@server",
            "host=server password={1}",
            "{}",
        ]
    )
    ports = st.text(st.sampled_from(RARE), min_size=8).map("me@server:{}/name".format)
    urls = st.one_of(
        st.tuples(forms, schemes, secrets).map(lambda each: (each[0].format(*each[1:]), each[2])),
        st.tuples(schemes, ports).map(lambda each: ("://".join(each), each[1][10:-5])),
    )

    def shown(settings: Any) -> str:
        """Return what logs and commands show of URLs."""
        parts = [repr(settings), str(settings)]
        if EXPORTS:
            from sqlalchemy import make_url

            parts.append(make_url(settings.database_url).set(query={}).render_as_string())
        if REDIS:
            from redis.asyncio.connection import parse_url

            options: Any = parse_url(settings.redis_url)
            parts += [str(options.get(name)) for name in ("host", "port", "path")]
        if CHAT:
            from urllib.parse import urlsplit

            url = urlsplit(settings.model_url)
            parts += [str(url.hostname), str(url.port), url.path]
        return "\n".join(parts)

    @configured(deadline=None)
    @given(st.sampled_from(sorted(URLS)), urls)
    def test_no_part_of_a_secret_in_a_url_is_shown(name: str, url: tuple[str, str]) -> None:
        value, secret = url
        with pytest.MonkeyPatch.context() as patch, redirect_stderr(io.StringIO()) as log:
            patch.setenv(name, value)
            try:
                output = shown(load_settings())
            except SystemExit:
                assert log.getvalue() == f"Invalid {name}=***: expected {URLS[name]}\n"
                return

        for start in range(len(secret) - 3):
            part = secret[start : start + 4]
            assert part not in output or not set(RARE) & set(part)


class Mail(BaseModel):
    """A group of settings."""

    host: str
    port: int = 25
    password: str = Field("", min_length=12)


class OwnSettings(Settings):
    """Settings as owners add them: without default, a list, a group, and a rule for several."""

    model_config = SettingsConfigDict(env_prefix="SHOP_", env_nested_delimiter="__")

    company: str
    regions: tuple[str, ...] = ()
    mail: Mail | None = None
    pin: SecretStr = Field(SecretStr("1234"), min_length=4)
    lowest: int = 0
    highest: int = 9

    @model_validator(mode="after")
    def check_range(self) -> Self:
        """Compare two settings."""
        if self.lowest > self.highest:
            raise ValueError("expected LOWEST up to HIGHEST")
        return self


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"SHOP_COMPANY": ""}, ""),
        ({"SHOP_PORT": "x"}, "Invalid SHOP_PORT='x': expected a valid integer"),
        ({"SHOP_LOWEST": "10"}, "Invalid SETTINGS: expected LOWEST up to HIGHEST"),
        (
            {"SHOP_REGIONS": "eu,us"},
            'Invalid SHOP_REGIONS: expected JSON, for example ["one", "two"]',
        ),
        ({"SHOP_MAIL__PORT": "x", "SHOP_MAIL__HOST": "h"}, "Invalid SHOP_MAIL='x': port: expected"),
        ({"SHOP_MAIL__PASSWORD": "hunter2"}, "Invalid SHOP_MAIL: host: Field required"),
        ({"SHOP_MAIL__PASSWORD": "hunter2"}, "Invalid SHOP_MAIL=***: password: String should"),
        ({"SHOP_MAIL": '{"password": "hunter2"'}, "Invalid SHOP_MAIL=***: expected a valid"),
        ({"SHOP_PIN": "hun"}, "Invalid SHOP_PIN=***: "),
    ],
)
def test_own_setting_is_named_without_secrets(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    values: dict[str, str],
    message: str,
) -> None:
    for name, value in {"SHOP_COMPANY": "x", **values}.items():
        monkeypatch.setenv(name, value)

    with suppress(SystemExit):
        load(OwnSettings)

    written = capsys.readouterr().err
    assert message in written
    assert written.count("\n") == bool(message)
    assert "hun" not in written


def test_missing_setting_is_named_without_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHOP_REGIONS", '["hunter2"]')

    with pytest.raises(SystemExit):
        load(OwnSettings)

    assert capsys.readouterr().err == "Invalid SHOP_COMPANY: Field required\n"


def test_blanks_around_a_setting_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    # A file that an orchestrator mounts ends with a line break.
    monkeypatch.setenv("HOST", " 127.0.0.1\n")
    monkeypatch.setenv("MODEL_API_KEY", "key\n")

    settings = load_settings()

    assert settings.host == "127.0.0.1"
    assert not CHAT or settings.model_api_key.get_secret_value() == "key"


def test_log_level_is_read_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "debug")

    assert load_settings().log_level == "DEBUG"


if ORIGINS:

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("", ()),
            (" , ", ()),
            ("https://App.example.com", ("https://app.example.com",)),
            ("http://a:8080, https://b", ("http://a:8080", "https://b")),
        ],
    )
    def test_origins_are_separated_by_commas(
        monkeypatch: pytest.MonkeyPatch, value: str, expected: tuple[str, ...]
    ) -> None:
        monkeypatch.setenv("CORS_ORIGINS", value)

        assert load_settings().cors_origins == expected

    def test_invalid_item_is_shown_with_name_of_setting(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("CORS_ORIGINS", "https://app.example.com, null")

        with pytest.raises(SystemExit):
            load_settings()

        assert capsys.readouterr().err == f"Invalid CORS_ORIGINS='null': expected {ORIGIN}\n"

    def test_lists_in_code_are_accepted() -> None:
        assert Settings(cors_origins=("https://a",)).cors_origins == ("https://a",)


if TOKENS:

    @pytest.mark.parametrize(
        ("value", "expected"),
        [("App.example.com, ::1", ("app.example.com", "::1")), ("127.0.0.1", ("127.0.0.1",))],
    )
    def test_hosts_are_names_or_addresses(
        monkeypatch: pytest.MonkeyPatch, value: str, expected: tuple[str, ...]
    ) -> None:
        monkeypatch.setenv("ALLOWED_HOSTS", value)

        assert load_settings().allowed_hosts == expected


if CLIENT and TOKENS:

    @pytest.mark.parametrize(("value", "expected"), [("", None), ("secret", "secret")])
    def test_empty_client_token_is_none(
        monkeypatch: pytest.MonkeyPatch, value: str, expected: str | None
    ) -> None:
        monkeypatch.setenv("API_TOKEN", value)

        token = load_settings().api_token

        assert (token and token.get_secret_value()) == expected


if SQLITE:
    DRIVERS = [
        ("sqlite:///data.db", "sqlite:///data.db"),
        ("sqlite:////srv/data.db", "sqlite:////srv/data.db"),
        ("sqlite+aiosqlite:///data.db", "sqlite:///data.db"),
    ]
elif POSTGRESQL:
    DRIVERS = [
        ("postgresql://a:b@db:5432/data", "postgresql+psycopg://a:b@db:5432/data"),
        ("postgresql+asyncpg://a:b@db/data", "postgresql+psycopg://a:b@db/data"),
        ("postgresql://a:b/#@[::1]/data", "postgresql+psycopg://a:b%2F%23@[::1]/data"),
        ("postgresql://a@one,other/", "postgresql+psycopg://a@one,other/"),
        ("postgresql:///data?host=/run", "postgresql+psycopg:///data?host=%2Frun"),
    ]

if EXPORTS:

    @pytest.mark.parametrize(("value", "expected"), DRIVERS)
    def test_database_url_has_driver_of_engine(
        monkeypatch: pytest.MonkeyPatch, value: str, expected: str
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", value)

        assert load_settings().database_url == expected


if REDIS:

    @pytest.mark.parametrize(
        "url",
        [
            "rediss://me:p@hunter2==@db:6380/1",
            "redis://",
            "redis:///1",
            "unix://:a@/run/redis?db=1",
        ],
    )
    def test_redis_url_is_kept(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        monkeypatch.setenv("REDIS_URL", url)

        assert load_settings().redis_url == url


if CHAT:

    @pytest.mark.parametrize("url", ["", "https://me:p@models:8443/v1?a=b", "http://[::1]/v1"])
    def test_model_url_is_kept(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        monkeypatch.setenv("MODEL_URL", url)

        assert load_settings().model_url == url
