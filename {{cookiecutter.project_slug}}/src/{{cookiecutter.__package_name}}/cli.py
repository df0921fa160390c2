"""The command line."""

import math
from typing import Annotated

import typer
import uvicorn
#{% if cookiecutter.ndjson or cookiecutter.csv %}
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn
#{% endif %}

#{% if cookiecutter.ndjson or cookiecutter.csv %}
from .exports import Database, metadata
#{% endif %}
#{% if cookiecutter.sse and cookiecutter.event_broker == "memory" %}
from .settings import load_settings, require_one_worker
#{% else %}
from .settings import load_settings
#{% endif %}

cli = typer.Typer(no_args_is_help=True, add_completion=False)


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
#{% if cookiecutter.sse and cookiecutter.event_broker == "memory" %}
    require_one_worker(workers)
#{% endif %}
    uvicorn.run(
        f"{__package__}.main:app",
        host=host or settings.host,
        port=settings.port if port is None else port,
        workers=workers,
        reload=reload,
        log_level=settings.log_level.lower(),
        # Through h11 a failed export looks whole to a client of HTTP/1.0.
        http="httptools",
        # What the drain of the streams leaves over is cut.
        timeout_graceful_shutdown=math.ceil(settings.shutdown_grace_seconds),
    )
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
