"""A generated service that runs, as a test sees it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

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
def served(project: Project, log: Path, **settings: str) -> Iterator[str]:
    """Serve an installed project in one process of its own; its URL."""
    port = free_port()
    with listener(
        *(project.python, "-m", project.package, "serve", "--port", str(port)),
        port=port,
        cwd=project.path,
        log=log,
        env=settings,
    ):
        yield f"http://127.0.0.1:{port}"
