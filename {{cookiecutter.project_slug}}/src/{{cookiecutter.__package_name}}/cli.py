"""The command line."""

#{% if cookiecutter.__uses.tokens %}
import json
#{% endif %}
import math
#{% if cookiecutter.__uses.tokens %}
import os
#{% endif %}
#{% if cookiecutter.__uses.exports %}
import sys
from collections import deque
from functools import partial
#{% endif %}
#{% if cookiecutter.__uses.tokens %}
from secrets import token_urlsafe
#{% endif %}
from typing import Annotated

import typer
import uvicorn
#{% if cookiecutter.__uses.exports %}
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn
from sqlalchemy.exc import SQLAlchemyError
#{% endif %}

#{% if cookiecutter.__uses.client and cookiecutter.__uses.exports %}
from .exports import EXPORTS
#{% endif %}
#{% if cookiecutter.__uses.exports %}
from .samples import SAMPLES
#{% endif %}
#{% if cookiecutter.__uses.tokens %}
from .settings import load_settings, require_authentication
#{% else %}
from .settings import load_settings
#{% endif %}
#{% if cookiecutter.__uses.tokens %}
from .streaming.access.tokens import Scope, hash_token
#{% endif %}
#{% if cookiecutter.__uses.client %}
from .streaming.client import add_client_commands
#{% endif %}
from .streaming.commands import Commands
#{% if cookiecutter.__uses.memory %}
from .streaming.events.memory import require_one_worker
#{% endif %}
#{% if cookiecutter.__uses.exports %}
from .streaming.exports.database import Database
#{% endif %}
#{% if cookiecutter.__uses.sqlite %}
from .streaming.exports.sqlite import SQLite
#{% elif cookiecutter.__uses.postgresql %}
from .streaming.exports.postgresql import PostgreSQL
#{% endif %}
#{% if cookiecutter.__uses.exports %}
from .streaming.settings import exit_with
from .tables import metadata
#{% endif %}

cli = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False)
#{% if cookiecutter.__uses.client %}
#{% if cookiecutter.__uses.exports %}
add_client_commands(cli, load_settings, EXPORTS)
#{% else %}
add_client_commands(cli, load_settings)
#{% endif %}
#{% endif %}


@cli.callback()
def main() -> None:
    """Run the service and its tools. Settings come from the environment and `.env`."""


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on [HOST]")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on [PORT]")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes")] = 1,
    reload: Annotated[bool, typer.Option(help="Restart when the code changes")] = False,
) -> None:
    """Run the service until SIGINT or SIGTERM, then shut down gracefully."""
    settings = load_settings()
    host = host or settings.host
#{% if cookiecutter.__uses.tokens %}
    require_authentication(settings, host)
#{% endif %}
#{% if cookiecutter.__uses.memory %}
    require_one_worker(workers)
#{% endif %}
#{% if cookiecutter.__uses.tokens %}
    if not settings.session_secret:
        # Shared by all workers, and kept on reload.
        os.environ["SESSION_SECRET"] = token_urlsafe()
#{% endif %}
    uvicorn.run(
        f"{__package__}.main:app",
        host=host,
        port=settings.port if port is None else port,
        workers=workers,
        reload=reload,
        log_level=settings.log_level.lower(),
        server_header=False,
        # httptools with limits; with h11 a failed transfer looks complete to an HTTP/1.0 client.
        http=f"{__package__}.streaming.server:HTTPProtocol",
        # A busy machine may take longer than uvicorn's 5 seconds to start several workers.
        timeout_worker_healthcheck=30,
        # Closes what is left after the graceful shutdown of the streams.
        timeout_graceful_shutdown=math.ceil(settings.shutdown_grace_seconds),
    )
#{% if cookiecutter.__uses.tokens %}


@cli.command()
def token(scopes: Annotated[list[Scope], typer.Argument(help="Scopes of the token")]) -> None:
    """Generate a token; print it, and the line of `.env` that adds it to the present ones."""
    tokens = dict(load_settings().api_tokens)
    generated = token_urlsafe()
    tokens[hash_token(generated)] = frozenset(scopes)
    print(generated)
    # Without quotes: a container's --env-file would make them part of the value.
    members = {key: sorted(names, key=list(Scope).index) for key, names in tokens.items()}
    print(f"API_TOKENS={json.dumps(members, separators=(',', ':'))}")
#{% endif %}
#{% if cookiecutter.__uses.exports %}


@cli.command()
def seed(
    rows: Annotated[int, typer.Option(min=0, help="Number of rows in each table")] = 100_000,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation")] = False,
) -> None:
    """Replace the rows of the tables that have samples, and create missing tables."""
#{% if cookiecutter.__uses.sqlite %}
    settings = load_settings()
    database = SQLite(settings.database_url, metadata, SAMPLES)
    yes = yes or settings.has_default_database
#{% else %}
    database = PostgreSQL(load_settings().database_url, metadata, SAMPLES)
#{% endif %}
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        if not yes:
            confirm_seed(database)
        with Progress(*columns) as progress:
            task = progress.add_task("Rows", total=rows * len(SAMPLES))
            deque(map(partial(progress.advance, task), database.seed(rows)), maxlen=0)
    except (OSError, SQLAlchemyError) as error:
        exit_with(f"Cannot seed {database.name}: {getattr(error, 'orig', error)}")
    finally:
        database.close()


def confirm_seed(database: Database) -> None:
    """Exit unless the user agrees to replace the rows of `database`."""
    counts = [f"{number} rows of {table}" for table, number in database.count_rows().items()]
    print(f"{database.name}: replaces {', '.join(counts) or 'no rows'}.")
    if not sys.stdin.isatty():
        exit_with("Nothing was changed: without a terminal, seed expects --yes.")
    typer.confirm("Continue?", abort=True)
#{% endif %}
