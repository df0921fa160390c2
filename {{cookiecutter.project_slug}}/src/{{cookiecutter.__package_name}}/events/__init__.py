"""Server-Sent Events (HTML standard, section 9.2): topics, their history and their streams."""
