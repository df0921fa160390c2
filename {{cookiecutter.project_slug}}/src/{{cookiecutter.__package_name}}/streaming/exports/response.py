"""What the formats of exports have in common."""

import re
from collections.abc import Callable, Mapping
from typing import ClassVar
from unicodedata import normalize
from urllib.parse import quote

from ..response import StreamResponse
from .rows import Encoder


class ExportResponse(StreamResponse):
    """Streams rows in a file format: all of them, or the transfer fails."""

    items_name = "rows"
    media_type: str
    extension: ClassVar[str]
    encoder: ClassVar[Callable[..., Encoder]]
    """Returns the encoder of rows with columns of these names."""
    own_headers: ClassVar[Mapping[str, str]] = {"Cache-Control": "no-store"}


def content_disposition(filename: str) -> str:
    """Return the `Content-Disposition` that saves a body as `filename`, in any script.

    ASCII clients read `filename`, all others `filename*` (RFC 6266, section 4.3; RFC 8187).
    """
    ascii_name = normalize("NFKD", filename).encode("ascii", "replace").decode()
    safe_name = re.sub(r'[^ -~]|["\\/?]', "_", ascii_name)
    if safe_name == filename:
        return f'attachment; filename="{filename}"'
    encoded = quote(filename, safe="", errors="replace")
    return f"attachment; filename=\"{safe_name}\"; filename*=UTF-8''{encoded}"
