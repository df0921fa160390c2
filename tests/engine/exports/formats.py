"""The chosen formats, as a client reads them."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sqlalchemy import Table

from streaming_api.streaming.exports import routes
from streaming_api.streaming.exports.export import ExportResponse

Records = list[dict[str, Any]]


def read_ndjson(text: str) -> Records:
    """Return the objects of NDJSON."""
    return [json.loads(line) for line in text.splitlines()]


def read_csv(text: str) -> Records:
    """Return the records of CSV by the names in its header."""
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


@dataclass(frozen=True)
class Format:
    """A format of exports, and a reader of it that the service did not bring."""

    response_class: type[ExportResponse]
    content_type: str
    read: Callable[[str], Records]

    @property
    def extension(self) -> str:
        """The end of the paths and the names of files."""
        return self.response_class.extension

    @property
    def media_type(self) -> str:
        """The name in `Accept` and in OpenAPI."""
        return self.response_class.media_type

    def path(self, table: Table) -> str:
        """Return the path of an export as it is sent."""
        return f"/export/{quote(table.name)}.{self.extension}"


DETAILS: dict[str, tuple[str, Callable[[str], Records]]] = {
    "ndjson": ("application/x-ndjson", read_ndjson),
    "csv": ("text/csv; charset=utf-8", read_csv),
}
FORMATS = [Format(each, *DETAILS[each.extension]) for each in routes.FORMATS]
