"""What the formats of exports have in common."""

from abc import abstractmethod
from collections.abc import Sequence
from decimal import Decimal
from math import isfinite
from typing import Any, ClassVar
from unicodedata import normalize
from urllib.parse import quote

from ..response import StreamResponse
from .rows import Encoder, Rows


class ExportResponse(StreamResponse):
    """Streams rows as the attachment `name.extension`: all of them, or the transfer fails."""

    items_name = "rows"
    media_type: str
    extension: ClassVar[str]

    def __init__(self, rows: Rows, name: str, **options: Any) -> None:
        headers = {
            "Cache-Control": "no-store",
            "Content-Disposition": content_disposition(f"{name}.{self.extension}"),
        }
        super().__init__(rows.chunks(self.encoder(rows.columns, **options)), headers)

    @classmethod
    @abstractmethod
    def encoder(cls, columns: Sequence[str], **options: Any) -> Encoder:
        """Return the encoder of rows with these columns."""


def content_disposition(filename: str) -> str:
    """Return the `Content-Disposition` that saves a body as `filename`, in any script.

    ASCII clients read `filename`, all others `filename*` (RFC 6266, section 4.3; RFC 8187).
    """
    ascii_name = normalize("NFKD", filename).encode("ascii", "replace").decode()
    safe_name = "".join(
        character if character.isprintable() and character not in '"\\/?' else "_"
        for character in ascii_name
    )
    if safe_name == filename:
        return f'attachment; filename="{filename}"'
    encoded = quote(filename, safe="", errors="replace")
    return f"attachment; filename=\"{safe_name}\"; filename*=UTF-8''{encoded}"


def is_not_finite(cell: Any) -> bool:
    """Return whether `cell` is NaN or infinite, for which no format has a number."""
    if isinstance(cell, Decimal):
        return not cell.is_finite()
    return isinstance(cell, float) and not isfinite(cell)


def may_have_non_finite(json: bytes) -> bool:
    """Return whether `json` may contain a decimal that is not finite: msgspec writes its name.

    Searching for one letter first is almost free; searching for the word is not.
    """
    return (b"N" in json and b"NaN" in json) or (b"I" in json and b"Infinity" in json)
