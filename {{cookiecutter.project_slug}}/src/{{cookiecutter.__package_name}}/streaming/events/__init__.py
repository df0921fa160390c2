"""Server-Sent Events (HTML standard, section 9.2): brokers, fan-out and streams."""
