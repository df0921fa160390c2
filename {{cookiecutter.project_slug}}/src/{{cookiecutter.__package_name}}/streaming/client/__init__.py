#{% if cookiecutter.__uses.sse and cookiecutter.__uses.exports %}
"""The client commands: `tail`, `publish` and `export`."""
#{% elif cookiecutter.__uses.sse %}
"""The client commands: `tail` and `publish`."""
#{% else %}
"""The client command: `export`."""
#{% endif %}

import sys
#{% if cookiecutter.__uses.exports %}
from collections.abc import Callable, Iterator, Sequence
#{% else %}
from collections.abc import Callable, Iterator
#{% endif %}
from contextlib import contextmanager
#{% if cookiecutter.__uses.sse %}
from pathlib import Path
#{% endif %}
from typing import Annotated, Any
#{% if cookiecutter.__uses.exports %}
from urllib.parse import quote
#{% endif %}

import typer

#{% if cookiecutter.__uses.sse %}
from ..events.broker import EARLIEST
#{% endif %}
#{% if cookiecutter.__uses.exports %}
from ..exports.export import Export
#{% endif %}
#{% if cookiecutter.__uses.exports %}
from .download import READ_TIMEOUT_SECONDS, STDOUT, Download, Received
from .formats import FORMATS
#{% endif %}
#{% if cookiecutter.__uses.sse %}
from .position import Position
from .publish import STDIN, publish_event, publish_lines
from .service import DEFAULT_URL, ClientError, connect, printable
from .tail import Tail, printer
#{% else %}
from .service import DEFAULT_URL, ClientError, connect, printable
#{% endif %}

URL = Annotated[str | None, typer.Option(help=f"URL of the service [API_URL, else {DEFAULT_URL}]")]
LoadSettings = Callable[[], Any]


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Exit with status 1 and one line on stderr for a `ClientError`.

    It may contain what a server sent, so the line cannot control the terminal.
    """
    try:
        yield
    except ClientError as error:
        print(printable(str(error)), file=sys.stderr)
        raise typer.Exit(1) from error


#{% if cookiecutter.__uses.sse and cookiecutter.__uses.exports %}
def add_client_commands(
    cli: typer.Typer, load_settings: LoadSettings, exports: Sequence[Export]
) -> None:
    """Add the commands to `cli`."""
    add_tail(cli, load_settings)
    add_publish(cli, load_settings)
    add_export(cli, load_settings, {export.name: export for export in exports})
#{% elif cookiecutter.__uses.sse %}
def add_client_commands(cli: typer.Typer, load_settings: LoadSettings) -> None:
    """Add the commands to `cli`."""
    add_tail(cli, load_settings)
    add_publish(cli, load_settings)
#{% else %}
def add_client_commands(
    cli: typer.Typer, load_settings: LoadSettings, exports: Sequence[Export]
) -> None:
    """Add the command to `cli`."""
    add_export(cli, load_settings, {export.name: export for export in exports})
#{% endif %}
#{% if cookiecutter.__uses.sse %}


def add_tail(cli: typer.Typer, load_settings: LoadSettings) -> None:
    """Add the command `tail`."""

    @cli.command()
    def tail(
        topics: Annotated[list[str], typer.Argument(metavar="TOPIC...", help="Topics to follow")],
        url: URL = None,
        after: Annotated[
            str | None,
            typer.Option(metavar="ID", help=f"Start after this id; '{EARLIEST}': all of history"),
        ] = None,
        state: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="Keep the last id in a file, and resume after it"),
        ] = None,
    ) -> None:
        """Print the events of topics until all are finished: as JSON lines in a pipe."""
        settings = load_settings()
        timeout = 3 * settings.heartbeat_seconds
        with exit_on_error(), connect(url, settings, timeout=timeout) as client:
            Tail(client, topics, Position(after, state), printer(sys.stdout)).run()


def add_publish(cli: typer.Typer, load_settings: LoadSettings) -> None:
    """Add the command `publish`."""

    @cli.command()
    def publish(
        topic: Annotated[str, typer.Argument(help="Topic to publish to")],
        data: Annotated[str, typer.Argument(help=f"JSON, or {STDIN} for NDJSON on stdin")],
        event: Annotated[str | None, typer.Option(help="Name of the event")] = None,
        url: URL = None,
    ) -> None:
        """Publish an event, or each line of stdin, and print the ids."""
        settings = load_settings()
        with exit_on_error(), connect(url, settings, timeout=30) as client:
            if data != STDIN:
                print(publish_event(client, topic, data, event))
                return
            if event is not None:
                raise ClientError(f"Invalid --event={event!r}: each line has its own.")
            for id in publish_lines(client, topic, sys.stdin.buffer):
                print(id, flush=True)
#{% endif %}
#{% if cookiecutter.__uses.exports %}


def add_export(cli: typer.Typer, load_settings: LoadSettings, exports: dict[str, Export]) -> None:
    """Add the command `export`."""

    @cli.command()
    def export(
        name: Annotated[str, typer.Argument(help=f"One of: {', '.join(exports)}")],
        file: Annotated[str, typer.Argument(metavar="FILE", help=f"File, or {STDOUT} for stdout")],
        format: Annotated[
            str | None,
            typer.Option(help=f"{' or '.join(FORMATS)} [the extension of FILE, else the first]"),
        ] = None,
        url: URL = None,
        after: Annotated[
            str | None,
            typer.Option(help="Start after the row with this key, of several columns as JSON"),
        ] = None,
        limit: Annotated[int | None, typer.Option(min=0, help="Maximum number of rows")] = None,
        columns: Annotated[
            str | None, typer.Option(metavar="A,B", help="Columns, separated by commas [all]")
        ] = None,
        filters: Annotated[
            list[str] | None,
            typer.Option("--filter", metavar="NAME=VALUE", help="Rows with this value only"),
        ] = None,
        resume: Annotated[
            bool, typer.Option("--resume", help="Continue a broken transfer")
        ] = False,
    ) -> None:
        """Download an export. FILE exists when it is complete; until then it is FILE.part."""
        settings = load_settings()
        with exit_on_error(), connect(url, settings, timeout=READ_TIMEOUT_SECONDS) as client:
            if name not in exports:
                raise ClientError(f"Invalid NAME={name!r}: expected {' or '.join(exports)}.")
            suffix = file.rpartition(".")[2].lower()
            chosen = format or (suffix if suffix in FORMATS else next(iter(FORMATS)))
            if chosen not in FORMATS:
                raise ClientError(f"Invalid --format={chosen!r}: expected {' or '.join(FORMATS)}.")
            params = [("columns", columns)] if columns is not None else []
            params += [parse_filter(each, exports[name]) for each in filters or []]
            received = Received(FORMATS[chosen], list(exports[name].key))
            download = Download(client, f"/export/{quote(name)}.{chosen}", params, received, file)
            print(download.run(after=after, limit=limit, resume=resume), file=sys.stderr)


def parse_filter(text: str, export: Export) -> tuple[str, str]:
    """Return the name and the value in `NAME=VALUE`. Raises `ClientError`."""
    name, separator, value = text.partition("=")
    if not separator or name not in export.filters:
        expected = " or ".join(f"{each}=VALUE" for each in export.filters) or "no filter"
        raise ClientError(f"Invalid --filter={text!r}: expected {expected}.")
    return name, value
#{% endif %}
