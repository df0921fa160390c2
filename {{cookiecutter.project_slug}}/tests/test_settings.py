"""Settings: from the environment and `.env`; an invalid one stops the start."""

from pathlib import Path

import pytest
from uvicorn.config import STARTUP_FAILURE

from {{ cookiecutter.__package_name }}.settings import load_settings

INVALID = [
    ("PORT", "eighty"),
    ("LOG_LEVEL", "LOUD"),
    ("SEND_TIMEOUT_SECONDS", "0"),
    ("MAX_STREAMS_PER_CLIENT", "0"),
#{% if cookiecutter.__uses.origins %}
    ("CORS_ORIGINS", "app.example.com"),
#{% endif %}
#{% if cookiecutter.__uses.tokens %}
    ("ALLOWED_HOSTS", "https://app.example.com"),
#{% endif %}
#{% if cookiecutter.__uses.sse %}
    ("EVENT_HISTORY", "-1"),
#{% endif %}
#{% if cookiecutter.__uses.chat %}
    ("MODEL_FAILS_AFTER", "-1"),
#{% endif %}
#{% if cookiecutter.__uses.postgresql %}
    ("MAX_EXPORTS", "0"),
#{% endif %}
#{% if cookiecutter.__uses.csv %}
    ("CSV_ESCAPE_FORMULAS", "perhaps"),
#{% endif %}
]
#{% if cookiecutter.__uses.exports or cookiecutter.__uses.redis or cookiecutter.__uses.tokens or cookiecutter.__uses.chat %}
INVALID_SECRETS = [
#{% if cookiecutter.__uses.exports %}
    ("DATABASE_URL", "mysql://me:hunter2@127.0.0.1/data"),
#{% endif %}
#{% if cookiecutter.__uses.redis %}
    ("REDIS_URL", "redis://me:hunter2@127.0.0.1:first"),
#{% endif %}
#{% if cookiecutter.__uses.chat %}
    ("MODEL_URL", "me:hunter2@models"),
#{% endif %}
#{% if cookiecutter.__uses.tokens %}
    ("API_TOKENS", '{"hunter2": ["everything"]}'),
    ("API_TOKENS", "hunter2"),
#{% endif %}
#{% if cookiecutter.__uses.client and cookiecutter.__uses.tokens %}
    ("API_TOKEN", "hunter2 and more"),
#{% endif %}
]
#{% endif %}


def test_settings_have_defaults() -> None:
    settings = load_settings()

    assert (settings.host, settings.port) == ("127.0.0.1", 8000)


def test_environment_overrides_dotenv_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("HOST=::1\nPORT=1\n")
    monkeypatch.setenv("PORT", "2")

    settings = load_settings()

    assert (settings.host, settings.port) == ("::1", 2)


@pytest.mark.parametrize(("name", "value"), INVALID)
def test_invalid_setting_exits_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as failure:
        load_settings()

    message = capsys.readouterr().err
    assert message.startswith(f"Invalid {name}='{value}': ")
    assert message.count("\n") == 1
    assert failure.value.code == STARTUP_FAILURE
#{% if cookiecutter.__uses.exports or cookiecutter.__uses.redis or cookiecutter.__uses.tokens %}


@pytest.mark.parametrize(("name", "value"), INVALID_SECRETS)
def test_invalid_setting_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit):
        load_settings()

    message = capsys.readouterr().err
    assert message.startswith(f"Invalid {name}=")
    assert "hunter2" not in message
#{% endif %}


def test_dotenv_file_in_another_encoding_exits_with_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path(".env").write_text("PORT=8001", encoding="utf-16")

    with pytest.raises(SystemExit) as failure:
        load_settings()

    assert failure.value.code == STARTUP_FAILURE
    assert capsys.readouterr().err.count("\n") == 1
