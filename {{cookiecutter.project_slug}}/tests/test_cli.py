"""The command line."""

#{% if cookiecutter.ndjson or cookiecutter.csv %}
from collections.abc import Iterator
#{% endif %}
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner

#{% if cookiecutter.ndjson or cookiecutter.csv %}
from {{ cookiecutter.__package_name }}.cli import cli, serve
from {{ cookiecutter.__package_name }}.exports import metadata
#{% else %}
from {{ cookiecutter.__package_name }}.cli import cli
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
        "http": "httptools",
        "timeout_graceful_shutdown": 3,
    }


def test_the_options_of_serve_win(served: dict[str, Any]) -> None:
    result = CliRunner().invoke(cli, ["serve", "--host", "::1", "--port", "0", "--reload"])

    assert result.exit_code == 0
    assert (served["host"], served["port"], served["reload"]) == ("::1", 0, True)


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

    assert str(result.exception).startswith("--workers 2 is not accepted: ")
    assert served == {}
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
