"""The API's description: streams (OpenAPI 3.2, "Sequential Media Types") and problem documents."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from .problems import PROBLEM

SERVER_RECEIVE = "server_receive"
"""The key of a scope for the `receive` of the server."""


class FieldError(BaseModel):
    """An invalid part of a request."""

    loc: list[str | int]
    msg: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []


class StreamingAPI(FastAPI):
    """A FastAPI application whose description documents streams and problem documents."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep `receive` of the server, which middleware wraps."""
        scope[SERVER_RECEIVE] = receive
        await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
#{% if cookiecutter.__uses.tokens %}
        """Return the description, without what FastAPI documents and the service does not send.

        These are its own 422, a schema of the body beside that of a stream's items, and security
        requirements in a service without tokens.
        """
#{% else %}
        """Return the description, without what FastAPI documents and the service does not send.

        These are its own 422, and a schema of the body beside that of a stream's items.
        """
#{% endif %}
        document = super().openapi()
        # The version that has `itemSchema`.
        document["openapi"] = "3.2.0"
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs") | {"Problem": schema}
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        problem = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        for path in document["paths"].values():
            for operation in path.values():
                for status, response in operation["responses"].items():
                    if status[0] in "45":
                        response["content"] = problem
                    for content in response.get("content", {}).values():
                        if "itemSchema" in content:
                            schema = content.pop("schema", {})
                            schema.pop("title", None)  # of FastAPI: "Response 200 …"
                            content["itemSchema"] = content["itemSchema"] or schema
#{% if cookiecutter.__uses.tokens %}
                if not self.state.settings.api_tokens:
                    operation.pop("security", None)
#{% endif %}
        return document


def stream_responses(
    description: str, item: Mapping[str, Any], examples: Mapping[str, str]
) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that streams.

    `item` is the JSON schema of an item; `examples` has the bytes on the wire for each media type,
    which the description repeats: pages show an example of JSON lines as one string.
    """
    content: dict[str, Any] = {media_type: {"itemSchema": item} for media_type in examples}
    wire = ""
    for media_type, example in examples.items():
        if example:
            shown = {"summary": "On the wire", "serializedValue": example}
            content[media_type]["examples"] = {"wire": shown}
            wire += f"\n\n```text\n{example.strip()}\n```"
    return {200: {"description": description + wire, "content": content}, **stream_errors()}


def item_responses(media_type: str, status: int, item: Any) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that streams items of the type `item`."""
    # FastAPI merges the schema of `model` into its own, of text: `None` leaves its type out.
    content = {media_type: {"schema": {"type": None}, "itemSchema": {}}}
    return {status: {"model": item, "content": content}, **stream_errors()}


def stream_errors() -> dict[int | str, dict[str, Any]]:
    """Return the documentation of the errors of streams."""
    return {
        429: retry_later("The client has too many open streams."),
        503: retry_later("The stream cannot be started now."),
    }


def retry_later(description: str) -> dict[str, Any]:
    """Return the documentation of a temporary error, whose response has `Retry-After`."""
    seconds = {"description": "Seconds to wait", "schema": {"type": "integer"}}
    return {"description": description, "headers": {"Retry-After": seconds}}
