"""Streams in the API's description (OpenAPI 3.2, section "Sequential Media Types")."""

from typing import Any

from pydantic import BaseModel

from ..problems import retry_later


def stream_documentation(
    media_type: str, item: type[BaseModel], description: str, example: str
) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that streams.

    `item` is the schema of one item of the stream, `example` the bytes on the wire.
    """
    content = {media_type: {"itemSchema": item.model_json_schema(), "example": example}}
    return {
        200: {"description": description, "content": content},
        429: retry_later("This client has too many streams open."),
        503: retry_later("The service cannot stream now."),
    }
