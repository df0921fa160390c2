"""NDJSON: one JSON document (RFC 8259) a line."""

from collections.abc import Sequence
from itertools import starmap
from typing import Any

import msgspec

from ..streaming import escape_line_separators
from .response import ExportResponse
from .rows import Rows


class NDJSONEncoder:
    """Writes a row as an object with the names of its columns; what JSON cannot say is `null`."""

    header = b""

    def __init__(self, columns: Sequence[str]) -> None:
        self._row = msgspec.defstruct("Row", columns, gc=False)
        self._encoder = msgspec.json.Encoder(decimal_format="number")

    def encode(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """Implement `Encoder.encode`."""
        lines = self._encoder.encode_lines(list(starmap(self._row, rows)))
        return escape_line_separators(lines)


class NDJSONResponse(ExportResponse):
    """Downloads rows as `application/x-ndjson`."""

    media_type = "application/x-ndjson"

    def __init__(self, rows: Rows, *, filename: str) -> None:
        super().__init__(rows, NDJSONEncoder(rows.columns), filename)
