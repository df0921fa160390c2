"""Text that stays on one line."""


def escape_line_separators(text: bytes) -> bytes:
    """Return the JSON `text` with U+0085, U+2028 and U+2029 escaped.

    JSON may contain them (RFC 8259, section 7), but `str.splitlines` splits lines at them.
    """
    if not text.isascii():
        for character in ("\x85", "\u2028", "\u2029"):
            text = text.replace(character.encode(), b"\\u%04x" % ord(character))
    return text
