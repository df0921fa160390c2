"""The exports there are. One that is added here passes the contract of all the others."""

#{% if cookiecutter.csv %}
import csv
import io
#{% endif %}
#{% if cookiecutter.ndjson %}
import json
#{% endif %}
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Table

#{% if cookiecutter.ndjson %}
from {{ cookiecutter.__package_name }}.exports.items import Item, items
#{% endif %}
#{% if cookiecutter.csv %}
from {{ cookiecutter.__package_name }}.exports.users import User, users
#{% endif %}

Records = list[dict[str, Any]]


@dataclass(frozen=True)
class Export:
    """A route that exports `table`; `read` is how a client that we did not write reads it."""

    path: str
    table: Table
    model: type[BaseModel]
    media_type: str
    filename: str
    read: Callable[[str], Records]

    def row(self, id: int, **values: Any) -> dict[str, Any]:
        """Return a sample row with this `id` and other `values`."""
        return {**self.table.info["sample"](id % 1000), "id": id, **values}
#{% if cookiecutter.ndjson %}


def read_ndjson(text: str) -> Records:
    """Return the objects of NDJSON."""
    return [json.loads(line) for line in text.splitlines()]
#{% endif %}
#{% if cookiecutter.csv %}


def read_csv(text: str) -> Records:
    """Return the records of CSV under the names in its first line."""
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
#{% endif %}


EXPORTS = [
#{% if cookiecutter.ndjson %}
    Export("/export/items", items, Item, "application/x-ndjson", "items.ndjson", read_ndjson),
#{% endif %}
#{% if cookiecutter.csv %}
    Export("/export/users.csv", users, User, "text/csv; charset=utf-8", "users.csv", read_csv),
#{% endif %}
]
