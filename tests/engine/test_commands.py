"""The command line: one line for a failure of the system, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner
from uvicorn.config import STARTUP_FAILURE

from streaming_api.cli import cli as service_cli
from streaming_api.streaming.commands import Commands

from .variant import SSE, TOKENS

FAILURES: list[tuple[OSError, str]] = [
    (OSError(28, "No space left on device"), "No space left on device.\n"),
    (PermissionError(13, "Permission denied", "a\nb"), "Permission denied: 'a\\nb'.\n"),
    (OSError("not a file"), "not a file.\n"),
    (BrokenPipeError(), ""),
]
COMMANDS = [["--help"], ["serve", "--help"]]
if TOKENS:
    COMMANDS.append(["token", "events" if SSE else "export"])


@pytest.mark.parametrize(("failure", "message"), FAILURES)
def test_failure_of_the_system_is_one_line(failure: OSError, message: str) -> None:
    cli = typer.Typer(cls=Commands)

    @cli.callback(invoke_without_command=True)
    def fail() -> None:
        raise failure

    result = CliRunner().invoke(cli, [])

    assert (result.exit_code, result.stderr, result.stdout) == (1, message, "")


def test_failure_of_the_program_is_raised() -> None:
    cli = typer.Typer(cls=Commands)

    @cli.callback(invoke_without_command=True)
    def fail() -> None:
        raise RuntimeError

    assert isinstance(CliRunner().invoke(cli, []).exception, RuntimeError)


def test_failed_output_gets_nothing_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cli = typer.Typer(cls=Commands)

    @cli.callback(invoke_without_command=True)
    def fail() -> None:
        print("before", flush=True)
        raise FAILURES[0][0]

    command = typer.main.get_command(cli)
    with (tmp_path / "output").open("w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        with pytest.raises(SystemExit) as stop:
            command.main([])
        print("after", flush=True)
        monkeypatch.undo()

    assert stop.value.code == 1
    assert (tmp_path / "output").read_text() == "before\n"


def run(arguments: list[str], stdout: int) -> subprocess.CompletedProcess[bytes]:
    """Run a command of the service in a process."""
    command = [sys.executable, "-m", "streaming_api", *arguments]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, check=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_full_disk_is_named_in_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        result = run(arguments, full.fileno())

    assert (result.returncode, result.stderr) == (1, b"No space left on device.\n")


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_closed_pipe_ends_quietly(arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)

    result = run(arguments, write)

    os.close(write)
    assert (result.returncode, result.stderr) == (1, b"")


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_settings_in_another_encoding_stop_start_with_one_line(encoding: str) -> None:
    Path(".env").write_text("LOG_LEVEL=INFO # Grüße\n", encoding)

    result = CliRunner().invoke(service_cli, ["serve"])

    assert result.stderr == "Invalid .env: expected a text file in UTF-8\n"
    assert result.exit_code == STARTUP_FAILURE


def test_settings_with_byte_order_mark_are_read() -> None:
    Path(".env").write_text("LOG_LEVEL=LOUD\n", "utf-8-sig")

    result = CliRunner().invoke(service_cli, ["serve"])

    assert result.stderr.startswith("Invalid LOG_LEVEL='LOUD'")
