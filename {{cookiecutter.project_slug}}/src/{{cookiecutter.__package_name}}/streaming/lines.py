"""Text that stays on one line."""

LINE_SEPARATORS = tuple(
    (character.encode(), f"\\u{ord(character):04x}".encode())
    for character in ("\x85", "\u2028", "\u2029")
)


def escape_line_separators(text: bytes) -> bytes:
    """Return the JSON `text` with U+0085, U+2028 and U+2029 escaped.

    JSON may contain them (RFC 8259, section 7), but `str.splitlines` splits lines at them.
    """
    if text.isascii():
        return text
    for raw, escaped in LINE_SEPARATORS:
        if raw in text:
            text = text.replace(raw, escaped)
    return text
