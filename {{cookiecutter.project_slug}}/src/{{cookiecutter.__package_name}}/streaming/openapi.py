"""Streams in the API's description (OpenAPI 3.2, section "Sequential Media Types")."""

from typing import Any

from pydantic import BaseModel

from ..problems import retry_later


def stream_documentation(
    media_type: str, item: type[BaseModel], description: str, example: str
) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that streams.

    `item` is the schema of one item of the stream, `example` the bytes on the wire. Pages show them
    in the description: what they make of an example of JSON lines is one string of JSON.
    """
    content = {
        "itemSchema": item.model_json_schema(),
        "examples": {"wire": {"summary": "As on the wire", "serializedValue": example}},
    }
    shown = f"{description}\n\n```text\n{example.strip()}\n```"
    return {
        200: {"description": shown, "content": {media_type: content}},
        429: retry_later("This client has too many streams open."),
        503: retry_later("The service cannot stream now."),
    }
