"""The console and the API documentation in a browser."""
