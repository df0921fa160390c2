"""Settings come from the environment and `.env`; a wrong value stops the start."""

import re
from pathlib import Path

import pytest
from uvicorn.config import STARTUP_FAILURE

from {{ cookiecutter.__package_name }}.settings import load_settings

WRONG = [
    ("PORT", "eighty"),
    ("PORT", "65536"),
    ("LOG_LEVEL", "LOUD"),
    ("ALLOW_ANONYMOUS", "perhaps"),
    ("SESSION_SECONDS", "0"),
    ("ALLOWED_HOSTS", "app.example.com:8443"),
    ("ALLOWED_HOSTS", "https://app.example.com"),
    ("ALLOWED_HOSTS", "*.example.com"),
    ("CORS_ORIGINS", "app.example.com"),
    ("CORS_ORIGINS", "https://app.example.com/"),
    ("CORS_ORIGINS", "*"),
    ("CORS_ORIGINS", "https://*.example.com"),
    ("CORS_ORIGINS", "https://app.example.com:443"),
    ("CORS_ORIGINS", "[https"),
    ("SEND_TIMEOUT_SECONDS", "0"),
    ("SEND_TIMEOUT_SECONDS", "nan"),
    ("MAX_STREAM_SECONDS", "-1"),
    ("MAX_STREAMS_PER_CLIENT", "0"),
    ("SHUTDOWN_GRACE_SECONDS", "inf"),
#{% if cookiecutter.ndjson or cookiecutter.csv %}
    ("DATABASE_URL", "no url"),
    ("DATABASE_URL", "mysql://127.0.0.1/data"),
#{% if cookiecutter.database == "sqlite" %}
    ("DATABASE_URL", "sqlite://"),
    ("DATABASE_URL", "sqlite:///:memory:"),
#{% endif %}
#{% endif %}
#{% if cookiecutter.sse %}
    ("HEARTBEAT_SECONDS", "0"),
    ("EVENT_HISTORY", "-1"),
    ("EVENT_HISTORY_SECONDS", "soon"),
    ("SUBSCRIBER_BUFFER", "0"),
#{% endif %}
#{% if cookiecutter.sse and cookiecutter.event_broker == "redis" %}
    ("REDIS_URL", "127.0.0.1:6379"),
    ("REDIS_URL", "redis://127.0.0.1:first"),
#{% endif %}
#{% if (cookiecutter.ndjson or cookiecutter.csv) and cookiecutter.database == "postgresql" %}
    ("MAX_EXPORTS", "0"),
    ("STATEMENT_TIMEOUT_SECONDS", "-1"),
#{% endif %}
#{% if cookiecutter.csv %}
    ("CSV_ESCAPE_FORMULAS", "perhaps"),
#{% endif %}
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_ends_the_start_with_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as stop:
        load_settings()

    said = capsys.readouterr().err
    assert said.startswith(f"{name}='{value}' is not accepted: ")
    assert said.count("\n") == 1
    assert stop.value.code == STARTUP_FAILURE


def test_every_wrong_value_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "eighty")
    monkeypatch.setenv("LOG_LEVEL", "LOUD")

    with pytest.raises(SystemExit):
        load_settings()

    assert re.match(r"PORT='eighty' .*; LOG_LEVEL='LOUD' ", capsys.readouterr().err)


#{% if cookiecutter.ndjson or cookiecutter.csv %}
@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mysql://me:p@ss/word@127.0.0.1/data", "mysql:***@127.0.0.1/data"),
        ("mysql:/me:password@127.0.0.1/data", "mysql:***@127.0.0.1/data"),
        ("me:password@127.0.0.1/data", "me:***@127.0.0.1/data"),
        ("mysql://127.0.0.1/data?password=word", "mysql://127.0.0.1/data?***"),
        ("mysql://127.0.0.1/data?password=w'or\"d\n", "mysql://127.0.0.1/data?***"),
    ],
)
def test_a_password_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, shown: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)

    with pytest.raises(SystemExit):
        load_settings()

    assert f"DATABASE_URL='{shown}' " in capsys.readouterr().err


#{% endif %}
def test_the_environment_is_read_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("PORT=1\nHOST=::1\n")
    monkeypatch.setenv("PORT", "2")

    settings = load_settings()

    assert (settings.host, settings.port) == ("::1", 2)


def test_the_level_of_the_log_is_read_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "debug")

    assert load_settings().log_level == "DEBUG"
#{% if cookiecutter.ndjson or cookiecutter.csv %}


#{% if cookiecutter.database == "sqlite" %}
@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ("sqlite:///data.db", "sqlite:///data.db"),
        ("sqlite:////var/data.db", "sqlite:////var/data.db"),
        ("sqlite+aiosqlite:///data.db", "sqlite:///data.db"),
    ],
)
#{% else %}
@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ("postgresql://a:b@db:5432/data", "postgresql+psycopg://a:b@db:5432/data"),
        ("postgresql+asyncpg://a:b@db/data", "postgresql+psycopg://a:b@db/data"),
    ],
)
#{% endif %}
def test_the_driver_of_the_database_is_that_of_this_service(
    monkeypatch: pytest.MonkeyPatch, given: str, understood: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", given)

    assert load_settings().database_url == understood
#{% endif %}
