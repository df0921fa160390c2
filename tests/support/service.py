"""A generated service that runs, as a test sees it."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

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
