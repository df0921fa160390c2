"""A generated service that runs, as a test sees it."""

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
"""The rows of each of its tables."""


@dataclass(frozen=True)
class Service:
    """The generated service, from outside."""

    url: str
    database: Path

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """Ask the SQLite file itself."""
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(query).fetchall()


@contextmanager
def served(
    project: Project, log: Path, *, port: int | None = None, **settings: str
) -> Iterator[str]:
    """Serve an installed project in a process of its own, on any port if none is given; its URL."""
    port = port or free_port()
    with listener(
        *(project.python, "-m", project.package, "serve", "--port", str(port)),
        port=port,
        cwd=project.path,
        log=log,
        env=settings,
    ):
        yield f"http://127.0.0.1:{port}"


class Restartable:
    """A generated service on a port of its own, which is stopped and started again."""

    def __init__(self, project: Project, folder: Path, **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database = folder / "rows.db"
        self._project = project
        self._folder = folder
        self._settings = {"DATABASE_URL": f"sqlite:///{self.database}", **settings}
        self._running = ExitStack()

    def start(self) -> None:
        """Run it until `stop`."""
        self._running.enter_context(
            served(
                self._project,
                self._folder / f"log-{self.port}",
                port=self.port,
                **self._settings,
            )
        )

    def stop(self) -> None:
        """End it in order, if it runs."""
        self._running.close()

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Run it for the length of the block."""
        try:
            self.start()
            yield self
        finally:
            self.stop()

    def alter(self, statement: str, *parameters: object) -> None:
        """Change the SQLite file itself."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute(statement, parameters)
