"""JSON without characters at which clients split lines."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from streaming_api.streaming.generators import escape_line_separators


@given(st.text())
@example("\x85\u2028\u2029")
def test_escaped_json_has_same_value_on_one_line(text: str) -> None:
    encoded = json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")

    escaped = escape_line_separators(encoded)

    assert json.loads(escaped.decode("utf-8", "surrogatepass")) == text
    assert len(escaped.decode("utf-8", "surrogatepass").splitlines()) == 1
