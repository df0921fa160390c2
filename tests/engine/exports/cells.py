"""Rows of any values that a driver returns, and the values that a client reads."""

from base64 import b64encode
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from streaming_api.streaming.exports.columns import Binary

AWKWARD = "=+-@\t\r\n'\",;|[]{}\\nulltrue\0\x01\x7f\x85\u2028\u2029\ufeffé😀א"

# All characters except surrogates. `st.text()` first builds a table of Unicode, in seconds.
characters = st.one_of(
    st.sampled_from(AWKWARD),
    st.integers(0, 0xD7FF).map(chr),
    st.integers(0xE000, 0x10FFFF).map(chr),
)
texts = st.lists(characters).map("".join)
cells = (
    st.none()
    | texts
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats()
    | st.sampled_from([-0.0, 1e16, 5e-324])
    | st.decimals(allow_nan=False)
    | st.just(Decimal("NaN"))
    | st.binary()
    | st.binary().map(Binary)
    | st.datetimes(timezones=st.just(UTC))
)
tables = st.integers(2, 5).flatmap(
    lambda width: st.lists(st.tuples(*[cells] * width), min_size=1, max_size=5)
)


def plain(cell: Any) -> bool | str | Decimal | None:
    """Return the exported value of `cell`: `None`, a boolean, text or a number."""
    if isinstance(cell, datetime):
        return cell.isoformat().replace("+00:00", "Z")
    if isinstance(cell, bytes | Binary):
        return b64encode(cell.data if isinstance(cell, Binary) else cell).decode()
    if isinstance(cell, bool) or not isinstance(cell, int | float | Decimal):
        plain_cell: bool | str | None = cell
        return plain_cell
    number = Decimal(repr(cell)) if isinstance(cell, float) else Decimal(cell)
    return number if number.is_finite() else None
