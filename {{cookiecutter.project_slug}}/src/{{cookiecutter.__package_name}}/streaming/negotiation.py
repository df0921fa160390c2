"""Content negotiation by the header `Accept` (RFC 9110, section 12.5.1)."""

import re

QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)


def parse_accept(accept: str) -> dict[str, float]:
    """Return the quality of each media range, in lower case; 0 if it is invalid."""
    qualities = {}
    for element in accept.split(","):
        media_range, *parameters = (part.strip().lower() for part in element.split(";"))
        quality = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        qualities[media_range] = float(quality) if QUALITY.fullmatch(quality) else 0.0
    return qualities
