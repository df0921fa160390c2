"""What the formats have in common about a single value."""

from decimal import Decimal
from math import isfinite
from typing import Any


def is_no_number(cell: Any) -> bool:
    """Tell whether `cell` is NaN or infinite, for which neither JSON nor a spreadsheet has a word."""
    if isinstance(cell, Decimal):
        return not cell.is_finite()
    return isinstance(cell, float) and not isfinite(cell)
