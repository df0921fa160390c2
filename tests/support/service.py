"""Generated services that run as processes."""

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from support.process import listener
from support.project import Project
from support.tools import free_port

ROWS = 50_000
"""Number of rows in each table of the shared service."""


@dataclass(frozen=True)
class Service:
    """A running service and its SQLite file."""

    url: str
    database: Path

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """Return the result of a query of the SQLite file."""
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(query).fetchall()


@contextmanager
def served(
    project: Project,
    log: Path,
    *,
    port: int | None = None,
    stop: signal.Signals = signal.SIGTERM,
    **settings: str,
) -> Iterator[str]:
    """Run the service of an installed project, on a free port by default; yield its URL."""
    port = port or free_port()
    with listener(
        *(project.python, "-m", project.package, "serve", "--port", str(port)),
        port=port,
        cwd=project.path,
        log=log,
        env=settings,
        stop=stop,
    ):
        yield f"http://127.0.0.1:{port}"


class Restartable:
    """A service on a fixed port that can be stopped and started again."""

    def __init__(
        self,
        project: Project,
        folder: Path,
        *,
        stop_signal: signal.Signals = signal.SIGTERM,
        **settings: str,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database = folder / "rows.db"
        self._project = project
        self._folder = folder
        self._stop_signal = stop_signal
        self._settings = {"DATABASE_URL": f"sqlite:///{self.database}", **settings}
        self._running = ExitStack()

    def start(self) -> None:
        """Start the service."""
        self._running.enter_context(
            served(
                self._project,
                self._folder / f"log-{self.port}",
                port=self.port,
                stop=self._stop_signal,
                **self._settings,
            )
        )

    def stop(self) -> None:
        """Stop the service, if it runs."""
        self._running.close()

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Run the service for the block."""
        try:
            self.start()
            yield self
        finally:
            self.stop()

    def seed(self) -> None:
        """Write a thousand rows into each table."""
        arguments = ("seed", "--yes", "--rows", "1000")
        self._project.run(self._project.slug, *arguments, env=self._settings)

    def alter(self, statement: str, *parameters: object) -> None:
        """Run a statement that changes the SQLite file."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute(statement, parameters)
