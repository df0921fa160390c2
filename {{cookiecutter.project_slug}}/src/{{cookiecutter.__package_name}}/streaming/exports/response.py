"""What the formats of exports have in common."""

from abc import abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from decimal import Decimal
from math import isfinite
from typing import Any, ClassVar
from unicodedata import normalize
from urllib.parse import quote

from ..registry import Chunk
from ..response import StreamResponse
from .rows import Encoder


class ExportResponse(StreamResponse):
    """Streams rows in a file format: all of them, or the transfer fails."""

    items_name = "rows"
    media_type: str
    extension: ClassVar[str]

    def __init__(
        self,
        chunks: AsyncGenerator[Chunk, None],
        headers: Mapping[str, str] | None = None,
        status_code: int = 200,
    ) -> None:
        super().__init__(chunks, {"Cache-Control": "no-store", **(headers or {})}, status_code)

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


def without_non_finite(cell: Any) -> Any:
    """Return `cell` with `None` for NaN and infinities, for which no format has a number."""
    if isinstance(cell, list | tuple):
        return list(map(without_non_finite, cell))
    if isinstance(cell, dict):
        return {key: without_non_finite(value) for key, value in cell.items()}
    if isinstance(cell, Decimal):
        return cell if cell.is_finite() else None
    return None if isinstance(cell, float) and not isfinite(cell) else cell


def may_have_non_finite(json: bytes) -> bool:
    """Return whether `json` may contain a decimal that is not finite: msgspec writes its name.

    Searching for one letter first is almost free; searching for the word is not.
    """
    return (b"N" in json and b"NaN" in json) or (b"I" in json and b"Infinity" in json)
