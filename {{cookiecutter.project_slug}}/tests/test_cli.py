"""The command line."""

#{% if cookiecutter.__uses.tokens %}
import os
#{% endif %}
from unittest.mock import Mock

import pytest
#{% if cookiecutter.__uses.exports %}
from sqlalchemy import create_engine, func, select
#{% endif %}
from typer.testing import CliRunner
from uvicorn.config import STARTUP_FAILURE

from {{ cookiecutter.__package_name }}.cli import cli
#{% if cookiecutter.__uses.exports %}
from {{ cookiecutter.__package_name }}.samples import SAMPLES
#{% endif %}
#{% if cookiecutter.__uses.exports or cookiecutter.__uses.tokens %}
from {{ cookiecutter.__package_name }}.settings import load_settings
#{% endif %}
#{% if cookiecutter.__uses.tokens %}
from {{ cookiecutter.__package_name }}.streaming import Scope
#{% endif %}


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """The call that runs the server."""
#{% if cookiecutter.__uses.tokens %}
    # `serve` sets it for the worker processes.
    monkeypatch.setenv("SESSION_SECRET", "")
#{% endif %}
    serve = Mock()
    monkeypatch.setattr("uvicorn.run", serve)
    return serve


def test_serve_uses_settings(monkeypatch: pytest.MonkeyPatch, serve: Mock) -> None:
    monkeypatch.setenv("PORT", "8001")
    monkeypatch.setenv("SHUTDOWN_GRACE_SECONDS", "2.5")

    result = CliRunner().invoke(cli, ["serve"])

    options = serve.call_args.kwargs
    assert result.exit_code == 0
    assert (options["host"], options["port"]) == ("127.0.0.1", 8001)
    assert options["timeout_graceful_shutdown"] == 3


def test_serve_options_override_settings(serve: Mock) -> None:
    result = CliRunner().invoke(cli, ["serve", "--host", "::1", "--port", "0", "--reload"])

    options = serve.call_args.kwargs
    assert result.exit_code == 0
    assert (options["host"], options["port"], options["reload"]) == ("::1", 0, True)


def test_serve_with_invalid_setting_exits(monkeypatch: pytest.MonkeyPatch, serve: Mock) -> None:
    monkeypatch.setenv("PORT", "eighty")

    result = CliRunner().invoke(cli, ["serve"])

    assert result.stderr.startswith("Invalid PORT='eighty': ")
    assert result.exit_code == STARTUP_FAILURE
    assert not serve.called


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_serve_port_out_of_range_is_rejected(serve: Mock, port: str) -> None:
    result = CliRunner().invoke(cli, ["serve", "--port", port])

    assert "'--port'" in result.stderr
    assert result.exit_code == 2
    assert not serve.called


#{% if cookiecutter.__uses.memory %}
def test_serve_with_several_workers_exits(serve: Mock) -> None:
    result = CliRunner().invoke(cli, ["serve", "--workers", "2"])

    assert "expected 1" in result.stderr
    assert result.exit_code == STARTUP_FAILURE
    assert not serve.called
#{% else %}
def test_serve_runs_several_workers(serve: Mock) -> None:
    result = CliRunner().invoke(cli, ["serve", "--workers", "2"])

    assert result.exit_code == 0
    assert serve.call_args.kwargs["workers"] == 2
#{% endif %}
#{% if cookiecutter.__uses.tokens %}


def test_serve_to_other_machines_requires_tokens(serve: Mock) -> None:
    result = CliRunner().invoke(cli, ["serve", "--host", "192.0.2.1"])

    assert result.stderr.startswith("Invalid HOST='192.0.2.1': ")
    assert result.exit_code == STARTUP_FAILURE
    assert not serve.called


@pytest.mark.parametrize(
    ("name", "value"), [("API_TOKENS", '{"secret": []}'), ("ALLOW_ANONYMOUS", "true")]
)
def test_serve_to_other_machines_with_authentication_runs(
    monkeypatch: pytest.MonkeyPatch, serve: Mock, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    result = CliRunner().invoke(cli, ["serve", "--host", "192.0.2.1"])

    assert result.exit_code == 0
    assert serve.called


def test_serve_shares_session_secret_with_workers(
    monkeypatch: pytest.MonkeyPatch, serve: Mock
) -> None:
    CliRunner().invoke(cli, ["serve"])
    generated = os.environ["SESSION_SECRET"]
    monkeypatch.setenv("SESSION_SECRET", "configured" * 4)

    CliRunner().invoke(cli, ["serve"])

    assert len(generated) > 40
    assert os.environ["SESSION_SECRET"] == "configured" * 4


def test_token_prints_line_that_adds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    scope = next(iter(Scope))
    monkeypatch.setenv("API_TOKENS", '{"secret": []}')

    result = CliRunner().invoke(cli, ["token", scope])
    token, line = result.stdout.splitlines()
    monkeypatch.setenv("API_TOKENS", line.removeprefix("API_TOKENS="))

    assert token not in line
    assert list(load_settings().api_tokens.values()) == [frozenset(), {scope}]
#{% endif %}
#{% if cookiecutter.__uses.exports %}


def count_rows() -> set[int]:
    """Return the numbers of rows in the tables that have samples."""
    engine = create_engine(load_settings().database_url)
    with engine.connect() as connection:
        queries = [select(func.count()).select_from(table) for table in SAMPLES]
        counts = {connection.scalars(query).one() for query in queries}
    engine.dispose()
    return counts


def test_seed_replaces_rows_of_tables_with_samples() -> None:
    for rows in (7, 3):
        result = CliRunner().invoke(cli, ["seed", "--yes", "--rows", str(rows)])
        assert result.exit_code == 0

    assert count_rows() <= {3}


@pytest.mark.parametrize(("answer", "expected"), [(None, 7), ("n", 7), ("y", 3)])
def test_seed_of_other_database_asks_first(
    monkeypatch: pytest.MonkeyPatch, answer: str | None, expected: int
) -> None:
#{% if cookiecutter.__uses.sqlite %}
    monkeypatch.setenv("DATABASE_URL", "sqlite:///other.db")
#{% endif %}
    CliRunner().invoke(cli, ["seed", "--yes", "--rows", "7"])
    terminal = Mock(stdin=Mock(isatty=Mock(return_value=answer is not None)))
    monkeypatch.setattr("{{ cookiecutter.__package_name }}.cli.sys", terminal)

    result = CliRunner().invoke(cli, ["seed", "--rows", "3"], input=answer)

    assert (result.exit_code == 0) == (answer == "y")
    assert count_rows() <= {expected}


def test_seed_of_unavailable_database_exits(monkeypatch: pytest.MonkeyPatch) -> None:
#{% if cookiecutter.__uses.sqlite %}
    monkeypatch.setenv("DATABASE_URL", "sqlite:////nowhere/data.db")
#{% else %}
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/data")
#{% endif %}

    result = CliRunner().invoke(cli, ["seed", "--yes"])

    assert result.exit_code == STARTUP_FAILURE
#{% endif %}
