"""NDJSON: one JSON document (RFC 8259) per line."""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from itertools import starmap
from typing import Any

import msgspec
from fastapi.encoders import jsonable_encoder

from ..generators import ItemFormat, Items, encoded, escape_line_separators
from ..registry import Chunk
from ..response import ItemsResponse
from .columns import Binary, without_non_finite
from .export import ExportResponse


class NDJSONEncoder:
    """Encodes a row as an object with the names of the columns; NaN and infinities are `null`."""

    header = b""

    def __init__(self, columns: Sequence[str]) -> None:
        # The name of a column need not be one of an attribute.
        names = {f"cell{number}": column for number, column in enumerate(columns)}
        self._row: Callable[..., Any]
        try:
            self._row = msgspec.defstruct("Row", list(names), rename=names, gc=False)
        except ValueError:
            # A name that JSON would escape, which structs refuse.
            self._row = lambda *cells: dict(zip(columns, cells, strict=True))
        self._encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=encode_other)

    def encode(self, rows: Iterable[Sequence[Any]]) -> bytes:
        lines = self._encoder.encode_lines(list(starmap(self._row, rows)))
        return escape_line_separators(without_non_finite(lines))


def encode_other(value: Any) -> Any:
    """Return what is encoded in place of `value`."""
    return value.data if isinstance(value, Binary) else jsonable_encoder(value)


class NDJSONItems(ItemFormat):
    """Items as JSON documents (RFC 8259), one per line."""

    def chunks(self, items: Items, settings: Any) -> AsyncGenerator[Chunk, None]:
        return encoded(items, self.encode)

    def encode(self, items: Sequence[Any]) -> bytes:
        lines = msgspec.json.decode(self.json(self.validate(items)), type=list[msgspec.Raw])
        return b"\n".join([*lines, b""])


class NDJSONResponse(ExportResponse, ItemsResponse):
    """Streams rows or items as `application/x-ndjson`."""

    media_type = "application/x-ndjson"
    extension = "ndjson"
    encoder = NDJSONEncoder
    item_format = NDJSONItems
