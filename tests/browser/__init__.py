"""The console and the documentation in a real browser."""
