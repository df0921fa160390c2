"""NDJSON: one JSON document (RFC 8259) a line."""

from collections.abc import Sequence
from itertools import starmap
from typing import Any

import msgspec

from ..streaming import escape_line_separators
from .cells import is_no_number, may_hold_no_number
from .response import ExportResponse
from .rows import Rows


class NDJSONEncoder:
    """Writes a row as an object with the names of its columns; what JSON cannot say is `null`."""

    header = b""

    def __init__(self, columns: Sequence[str]) -> None:
        # A column may have a name that no attribute can have.
        names = {f"cell{number}": column for number, column in enumerate(columns)}
        self._row = msgspec.defstruct("Row", list(names), rename=names, gc=False)
        self._encoder = msgspec.json.Encoder(decimal_format="number")

    def encode(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """Implement `Encoder.encode`."""
        lines = self._encoder.encode_lines(list(starmap(self._row, rows)))
        if may_hold_no_number(lines):
            numbers = ([None if is_no_number(cell) else cell for cell in row] for row in rows)
            lines = self._encoder.encode_lines(list(starmap(self._row, numbers)))
        return escape_line_separators(lines)


class NDJSONResponse(ExportResponse):
    """Downloads rows as `application/x-ndjson`."""

    media_type = "application/x-ndjson"

    def __init__(self, rows: Rows, *, filename: str) -> None:
        super().__init__(rows, NDJSONEncoder(rows.columns), filename)
