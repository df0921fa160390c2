"""File names in headers (RFC 6266)."""

from unicodedata import normalize
from urllib.parse import quote


def content_disposition(filename: str) -> str:
    """Return the `Content-Disposition` value that saves a body as `filename`, in any script.

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
