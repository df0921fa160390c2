"""Streams in the API's description (OpenAPI 3.2, section "Sequential Media Types")."""

from typing import Any

from pydantic import BaseModel


def stream_documentation(
    media_type: str, item: type[BaseModel], description: str, example: str
) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that streams.

    `item` is the schema of one item of the stream, `example` the bytes on the wire.
    """
    content = {media_type: {"itemSchema": item.model_json_schema(), "example": example}}
    problem = {"application/problem+json": {"schema": PROBLEM_SCHEMA}}
    return {
        200: {"description": description, "content": content},
        422: {"description": "A parameter does not fit.", "content": problem},
        429: {"description": "This client has too many streams open.", "content": problem},
        503: {"description": "The service cannot stream now.", "content": problem},
    }


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail"],
}
