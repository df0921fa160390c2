"""The command line."""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
#{% if cookiecutter.sse %}
from pathlib import Path
#{% endif %}
from typing import Annotated

import typer
import uvicorn
#{% if cookiecutter.ndjson or cookiecutter.csv %}
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn
#{% endif %}

from .access.tokens import Scope, hashed, new_token, setting
from .client import ClientError, connect, service_url
#{% if cookiecutter.ndjson or cookiecutter.csv %}
from .client.download import PATIENCE_SECONDS, STDOUT, Download
from .client.formats import EXPORTS, Name
#{% endif %}
#{% if cookiecutter.sse %}
from .client.position import Position
from .client.tail import Tail, printer
from .events.broker import EARLIEST
#{% endif %}
#{% if cookiecutter.ndjson or cookiecutter.csv %}
from .exports import Database, metadata
#{% endif %}
#{% if cookiecutter.sse and cookiecutter.event_broker == "memory" %}
from .settings import load_settings, require_guard, require_one_worker
#{% else %}
from .settings import load_settings, require_guard
#{% endif %}

cli = typer.Typer(no_args_is_help=True, add_completion=False)

URL = Annotated[str | None, typer.Option(help="Where the service is (default: http://HOST:PORT)")]


@contextmanager
def failing_with_a_sentence() -> Iterator[None]:
    """End the command with status 1, and what is wrong on stderr."""
    try:
        yield
    except ClientError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from error


@cli.callback()
def main() -> None:
    """Run the service, and what belongs to it. Settings come from the environment and `.env`."""


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on [HOST]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on [PORT]")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes")] = 1,
    reload: Annotated[bool, typer.Option(help="Start again when the code changes")] = False,
) -> None:
    """Run the service until SIGINT or SIGTERM, and end its streams in order."""
    settings = load_settings()
    host = host or settings.host
    require_guard(settings, host)
#{% if cookiecutter.sse and cookiecutter.event_broker == "memory" %}
    require_one_worker(workers)
#{% endif %}
    if not settings.session_secret:
        # What one process signed can be read by the others, and by those after a reload.
        os.environ["SESSION_SECRET"] = new_token()
    uvicorn.run(
        f"{__package__}.main:app",
        host=host,
        port=settings.port if port is None else port,
        workers=workers,
        reload=reload,
        log_level=settings.log_level.lower(),
        server_header=False,
        # Through h11 a failed transfer looks whole to a client of HTTP/1.0.
        http="httptools",
        # What the drain of the streams leaves over is cut.
        timeout_graceful_shutdown=math.ceil(settings.shutdown_grace_seconds),
    )


@cli.command()
def token(
    scopes: Annotated[list[Scope], typer.Argument(help="What the token is for")],
) -> None:
    """Print a new token, and the line of `.env` that lets it in beside those there are."""
    tokens = load_settings().api_tokens
    made = new_token()
    print(made)
    print(setting({**tokens, hashed(made): frozenset(scopes)}))
#{% if cookiecutter.ndjson or cookiecutter.csv %}


@cli.command()
def seed(
    rows: Annotated[int, typer.Option(min=0, help="Number of rows in each table")] = 100_000,
) -> None:
    """Replace the rows of every table by samples."""
    database = Database(load_settings().database_url)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("Rows", total=rows * len(metadata.tables))
        for written in database.seed(rows):
            progress.advance(task, written)
    database.close()
#{% endif %}
#{% if cookiecutter.sse %}


@cli.command()
def tail(
    topics: Annotated[list[str], typer.Argument(metavar="TOPIC...", help="What to follow")],
    url: URL = None,
    after: Annotated[
        str | None,
        typer.Option(metavar="ID", help=f"Where to start; '{EARLIEST}' for all there is"),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to keep the last id, and go on after it"),
    ] = None,
) -> None:
    """Print the events of topics until all are finished: one JSON document a line in a pipe."""
    settings = load_settings()
    patience = 3 * settings.heartbeat_seconds
    with (
        failing_with_a_sentence(),
        connect(url or service_url(settings), settings, patience=patience) as client,
    ):
        Tail(client, topics, Position(after, state), printer(sys.stdout)).run()
#{% endif %}
#{% if cookiecutter.ndjson or cookiecutter.csv %}


@cli.command()
def export(
    name: Annotated[Name, typer.Argument(help="What to download")],
    file: Annotated[str, typer.Argument(metavar="FILE", help=f"Where to, {STDOUT} for stdout")],
    url: URL = None,
    after: Annotated[int | None, typer.Option(help="Start after the row of this id")] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="Stop after this many rows")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a broken transfer")] = False,
) -> None:
    """Download an export. FILE is there when it is whole; until then it is FILE.part."""
    settings = load_settings()
    with (
        failing_with_a_sentence(),
        connect(url or service_url(settings), settings, patience=PATIENCE_SECONDS) as client,
    ):
        download = Download(client, EXPORTS[name], file)
        print(download.run(after=after, limit=limit, resume=resume), file=sys.stderr)
#{% endif %}
