"""Rows as a download."""

from ..streaming import StreamResponse
from .disposition import content_disposition
from .rows import Encoder, Rows


class ExportResponse(StreamResponse):
    """Downloads `rows` as `filename`: the whole set, or a failed transfer."""

    items_name = "rows"

    def __init__(self, rows: Rows, encoder: Encoder, filename: str) -> None:
        headers = {
            "Cache-Control": "no-store",
            "Content-Disposition": content_disposition(filename),
        }
        super().__init__(rows.chunks(encoder), headers)
