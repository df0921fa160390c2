"""Records that stay on one line."""

LINE_SEPARATORS = tuple(
    (character.encode(), f"\\u{ord(character):04x}".encode())
    for character in ("\x85", "\u2028", "\u2029")
)


def escape_line_separators(text: bytes) -> bytes:
    """Return the JSON `text` with the characters escaped that some readers split lines at.

    JSON escapes the control characters below U+0020, but may hold these (RFC 8259, section 7);
    `str.splitlines`, and with it most clients in Python, takes them for line ends.
    """
    if text.isascii():
        return text
    for raw, escaped in LINE_SEPARATORS:
        if raw in text:
            text = text.replace(raw, escaped)
    return text
