"""What the formats have in common about a single value."""

from decimal import Decimal
from math import isfinite
from typing import Any


def is_no_number(cell: Any) -> bool:
    """Tell whether `cell` is NaN or infinite, for which neither JSON nor a spreadsheet has a word."""
    if isinstance(cell, Decimal):
        return not cell.is_finite()
    return isinstance(cell, float) and not isfinite(cell)


def may_hold_no_number(json: bytes) -> bool:
    """Tell whether `json` may hold a decimal that is no number: msgspec writes its name.

    Looking for one letter first costs next to nothing, and looking for the word does.
    """
    return (b"N" in json and b"NaN" in json) or (b"I" in json and b"Infinity" in json)
