"""NDJSON: one JSON document (RFC 8259) per line."""

from collections.abc import Sequence
from itertools import starmap
from typing import Any

import msgspec

from ..lines import escape_line_separators
from .response import ExportResponse, is_not_finite, may_have_non_finite


class NDJSONEncoder:
    """Encodes a row as an object with the names of the columns; NaN and infinities are `null`."""

    header = b""

    def __init__(self, columns: Sequence[str]) -> None:
        # The name of a column need not be one of an attribute.
        names = {f"cell{number}": column for number, column in enumerate(columns)}
        self._row = msgspec.defstruct("Row", list(names), rename=names, gc=False)
        self._encoder = msgspec.json.Encoder(decimal_format="number")

    def encode(self, rows: Sequence[Sequence[Any]]) -> bytes:
        lines = self._encoder.encode_lines(list(starmap(self._row, rows)))
        if may_have_non_finite(lines):
            finite = ([None if is_not_finite(cell) else cell for cell in row] for row in rows)
            lines = self._encoder.encode_lines(list(starmap(self._row, finite)))
        return escape_line_separators(lines)


class NDJSONResponse(ExportResponse):
    """Streams rows as `application/x-ndjson`."""

    media_type = "application/x-ndjson"
    extension = "ndjson"

    @classmethod
    def encoder(cls, columns: Sequence[str], **_: Any) -> NDJSONEncoder:
        return NDJSONEncoder(columns)
