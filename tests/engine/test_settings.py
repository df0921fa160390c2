"""Settings: types, precedence, and one line about an invalid value, without secrets."""

import pytest
from uvicorn.config import STARTUP_FAILURE

from streaming_api.settings import Settings, load_settings

from .variant import CLIENT, EXPORTS, ORIGINS, POSTGRESQL, REDIS, SQLITE, SSE, TOKENS

INTEGER = "a valid integer"
POSITIVE = "greater than 0"
ORIGIN = "origins like https://app.example.com, separated by commas"
HOST = "host names without ports, separated by commas"
SQLITE_URL = "the URL of a file, for example sqlite:///data.db or sqlite:////srv/data.db"
POSTGRESQL_URL = "a URL like postgresql://user:password@host:port/name"
REDIS_URL = "a URL like redis://user:password@host:port/0"

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
        ("DATABASE_URL", "no url", SQLITE_URL),
        ("DATABASE_URL", "mysql://127.0.0.1/data", SQLITE_URL),
        ("DATABASE_URL", "sqlite://", SQLITE_URL),
        ("DATABASE_URL", "sqlite:///:memory:", SQLITE_URL),
    ]
if POSTGRESQL:
    INVALID += [
        ("DATABASE_URL", "no url", POSTGRESQL_URL),
        ("DATABASE_URL", "mysql://127.0.0.1/data", POSTGRESQL_URL),
        ("STATEMENT_TIMEOUT_SECONDS", "1e7", "less than or equal to 1000000"),
    ]
if REDIS:
    INVALID += [
        ("REDIS_URL", "127.0.0.1:6379", REDIS_URL),
        ("REDIS_URL", "redis://127.0.0.1:first", REDIS_URL),
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
if REDIS:
    SECRETS += [
        ("REDIS_URL", "http://me:hunter2@127.0.0.1", "***"),
        ("REDIS_URL", "redis://:hunter2@127.0.0.1:first", "***"),
    ]
if CLIENT and TOKENS:
    SECRETS += [
        ("API_TOKEN", "hun\nter2", "***"),
        ("API_TOKEN", "hunt\u00e9r2", "***"),
        ("API_TOKEN", "hun ter2", "***"),
    ]


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
    ]

if EXPORTS:

    @pytest.mark.parametrize(("value", "expected"), DRIVERS)
    def test_database_url_has_driver_of_engine(
        monkeypatch: pytest.MonkeyPatch, value: str, expected: str
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", value)

        assert load_settings().database_url == expected


if REDIS:

    def test_redis_url_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REDIS_URL", "rediss://me:hunter2@db:6380/1")

        assert load_settings().redis_url == "rediss://me:hunter2@db:6380/1"
