"""The command line."""

import os
#{% if cookiecutter.sse and cookiecutter.event_broker == "memory" %}
import subprocess
import sys
#{% endif %}
#{% if cookiecutter.ndjson or cookiecutter.csv %}
from collections.abc import Iterator
#{% endif %}
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner
from uvicorn.config import STARTUP_FAILURE

#{% if cookiecutter.ndjson or cookiecutter.csv %}
from {{ cookiecutter.__package_name }}.cli import cli, serve
from {{ cookiecutter.__package_name }}.exports import metadata
#{% else %}
from {{ cookiecutter.__package_name }}.cli import cli
#{% endif %}
#{% if cookiecutter.sse and cookiecutter.event_broker == "memory" %}
from {{ cookiecutter.__package_name }}.main import create_app
from {{ cookiecutter.__package_name }}.settings import workers_of_this_server

from .live.process import PATIENCE, UVICORN
#{% endif %}


#{% if cookiecutter.sse and cookiecutter.event_broker == "memory" %}
def run_by(monkeypatch: pytest.MonkeyPatch, command: str, environment: dict[str, str]) -> None:
    """Make this process look like one that `command` runs."""
    monkeypatch.setattr(sys, "argv", command.split())
    for name in ("UVICORN_WORKERS", "WEB_CONCURRENCY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


#{% endif %}
@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What uvicorn is told to serve."""
    arguments: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn, "run", lambda app, **options: arguments.update(app=app, **options))
    return arguments


def test_serve_takes_the_settings(monkeypatch: pytest.MonkeyPatch, served: dict[str, Any]) -> None:
    monkeypatch.setenv("PORT", "8001")
    monkeypatch.setenv("SHUTDOWN_GRACE_SECONDS", "2.5")

    result = CliRunner().invoke(cli, ["serve"])

    assert result.exit_code == 0
    assert served == {
        "app": "{{ cookiecutter.__package_name }}.main:app",
        "host": "127.0.0.1",
        "port": 8001,
        "workers": 1,
        "reload": False,
        "log_level": "info",
        "server_header": False,
        "http": "httptools",
        "timeout_graceful_shutdown": 3,
    }


def test_the_options_of_serve_win(served: dict[str, Any]) -> None:
    result = CliRunner().invoke(cli, ["serve", "--host", "::1", "--port", "0", "--reload"])

    assert result.exit_code == 0
    assert (served["host"], served["port"], served["reload"]) == ("::1", 0, True)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "app.example.com", ""])  # noqa: S104
def test_without_tokens_only_this_machine_is_served(served: dict[str, Any], host: str) -> None:
    command = "{{ cookiecutter.project_slug }} token events publish export"

    result = CliRunner().invoke(cli, ["serve", "--host", host], env={"HOST": host})

    assert result.stderr.startswith(f"HOST={host!r} is not accepted without API_TOKENS: ")
    assert f"`{command}`" in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.exit_code == STARTUP_FAILURE
    assert served == {}


@pytest.mark.parametrize(
    ("host", "environment"),
    [
        ("0.0.0.0", {"API_TOKENS": '{"secret": ["events"]}'}),  # noqa: S104
        ("0.0.0.0", {"ALLOW_ANONYMOUS": "true"}),  # noqa: S104
        ("127.0.0.2", {}),
        ("localhost", {}),
        ("::1", {}),
    ],
)
def test_a_guarded_service_is_served_anywhere(
    served: dict[str, Any], host: str, environment: dict[str, str]
) -> None:
    result = CliRunner().invoke(cli, ["serve"], env={"HOST": host, **environment})

    assert result.exit_code == 0
    assert served["host"] == host


@pytest.mark.parametrize("secret", [None, "of the user"])
def test_all_processes_sign_with_one_secret(
    monkeypatch: pytest.MonkeyPatch, served: dict[str, Any], secret: str | None
) -> None:
    if secret:
        monkeypatch.setenv("SESSION_SECRET", secret)

    result = CliRunner().invoke(cli, ["serve"])

    assert result.exit_code == 0
    assert (os.environ["SESSION_SECRET"] == secret) is bool(secret)
    assert len(os.environ["SESSION_SECRET"]) > len("of the use")


def test_a_wrong_setting_stops_serve(
    monkeypatch: pytest.MonkeyPatch, served: dict[str, Any]
) -> None:
    monkeypatch.setenv("PORT", "eighty")

    result = CliRunner().invoke(cli, ["serve"])

    assert result.stderr.startswith("PORT='eighty' is not accepted")
    assert result.exit_code
    assert served == {}


#{% if cookiecutter.sse and cookiecutter.event_broker == "memory" %}
def test_the_memory_of_one_process_is_not_served_by_two(served: dict[str, Any]) -> None:
    result = CliRunner().invoke(cli, ["serve", "--workers", "2"])

    assert result.stderr.startswith("2 workers are not accepted ")
    assert result.exit_code == STARTUP_FAILURE
    assert served == {}


@pytest.mark.parametrize(
    ("command", "environment"),
    [
        ("bin/uvicorn --port 1 --workers 2 app", {}),
        ("uvicorn/__main__.py app --workers=2", {"WEB_CONCURRENCY": "1"}),
        ("bin/uvicorn app", {"WEB_CONCURRENCY": "2"}),
        ("bin/uvicorn app", {"UVICORN_WORKERS": "2", "WEB_CONCURRENCY": "1"}),
        ("bin/gunicorn --worker-class asgi -w 2 app", {}),
        ("gunicorn/__main__.py -w2 app", {}),
        ("bin/gunicorn app", {"WEB_CONCURRENCY": "2"}),
        ("bin/fastapi run --workers 2", {}),
    ],
)
def test_a_server_of_several_workers_cannot_start_the_application(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    environment: dict[str, str],
) -> None:
    run_by(monkeypatch, command, environment)

    with pytest.raises(SystemExit) as stop:
        create_app()

    said = capsys.readouterr().err
    assert said.startswith("2 workers are not accepted ")
    assert said.count("\n") == 1
    assert stop.value.code == STARTUP_FAILURE


@pytest.mark.parametrize(
    ("command", "environment"),
    [
        ("bin/uvicorn app", {}),
        ("bin/uvicorn app", {"WEB_CONCURRENCY": "1"}),
        ("bin/uvicorn app --workers 1", {"WEB_CONCURRENCY": "2"}),
        ("bin/gunicorn --worker-connections 2 app", {}),
        ("bin/pytest --workers 2", {}),
        ("pytest/__main__.py", {"WEB_CONCURRENCY": "2"}),
        ("bin/{{ cookiecutter.project_slug }} serve", {"WEB_CONCURRENCY": "2"}),
    ],
)
def test_one_process_is_one_worker(
    monkeypatch: pytest.MonkeyPatch, command: str, environment: dict[str, str]
) -> None:
    run_by(monkeypatch, command, environment)

    assert workers_of_this_server() == 1


def test_uvicorn_ends_when_it_is_told_to_run_several_workers() -> None:
    command = [*UVICORN, "--workers", "2", f"{create_app.__module__}:app"]

    uvicorn_process = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, timeout=PATIENCE
    )

    assert "2 workers are not accepted " in uvicorn_process.stderr
    assert "stopping the parent process" in uvicorn_process.stderr
    assert "startup complete" not in uvicorn_process.stderr
#{% else %}
def test_any_number_of_processes_can_serve(served: dict[str, Any]) -> None:
    result = CliRunner().invoke(cli, ["serve", "--workers", "2"])

    assert result.exit_code == 0
    assert served["workers"] == 2
#{% endif %}


def test_without_a_command_there_is_help() -> None:
    result = CliRunner().invoke(cli, [])

    assert "serve" in result.output
#{% if cookiecutter.ndjson or cookiecutter.csv %}


class FakeDatabase:
    """Counts the rows that it is given to write."""

    written = 0

    def __init__(self, url: str) -> None:
        self.url = url

    def seed(self, rows: int) -> Iterator[int]:
        for _ in metadata.tables:
            FakeDatabase.written += rows
            yield rows

    def close(self) -> None:
        """Close nothing."""


def test_seed_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{serve.__module__}.Database", FakeDatabase)

    result = CliRunner().invoke(cli, ["seed", "--rows", "7"])

    total = 7 * len(metadata.tables)
    assert result.exit_code == 0
    assert FakeDatabase.written == total
    assert f"{total}/{total}" in result.output
#{% endif %}
