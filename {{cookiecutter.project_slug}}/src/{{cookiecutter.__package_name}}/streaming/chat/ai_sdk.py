"""The UI message stream protocol (version 1) of the AI SDK, for `useChat`."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

#{% if cookiecutter.__uses.tokens %}
from ..access.dependencies import SCOPE_ERRORS, requires
from ..access.tokens import Scope
#{% endif %}
from ..events.response import EventStreamResponse
from ..events.routes import BODY_ERRORS
from ..events.runs import Run
from ..events.wire import HEARTBEAT, encode_event, encode_json
#{% if cookiecutter.__uses.redis %}
from ..openapi import retry_later, stream_responses
#{% else %}
from ..openapi import stream_responses
#{% endif %}
from ..registry import Chunk, Reason
from .answers import AnswerStopped, ChatRoute, Part, call, follow, require_generator, start

DONE = b"data: [DONE]\n\n"
FINISH_REASONS = {"content_filter": "content-filter", "tool_calls": "tool-calls"}
"""Reasons that the protocol names in another way than OpenAI's API."""
TEXT = "text"
"""The id of the text, of which one is open at a time."""
CHAT_ID = r"^[^\x00-\x1f\x7f/]{1,128}$"

ChatId = Annotated[str, Path(pattern=CHAT_ID)]


class MessagePart(BaseModel):
    """A part of a message of the page: `text`, a `file` with its URL, or another type."""

    model_config = ConfigDict(extra="allow")

    type: str
    text: str = ""
    url: str = ""


class UIMessage(BaseModel):
    """A message of the page."""

    model_config = ConfigDict(extra="allow")

    role: str
    parts: list[MessagePart]


class ChatRequest(BaseModel):
    """The body of `POST /api/chat`."""

    model_config = ConfigDict(extra="allow")

    id: Annotated[str, Field(pattern=CHAT_ID)]
    messages: Annotated[list[UIMessage], Field(min_length=1)]


class UIMessagePart(BaseModel):
    """A part of the stream."""

    model_config = ConfigDict(extra="allow")

    type: str


class UIMessageStreamResponse(EventStreamResponse):
    """An answer as the parts of a message."""

    items_name = "parts"
    raised = Exception

    def __init__(self, chunks: AsyncGenerator[Chunk, None]) -> None:
        super().__init__(chunks, {"x-vercel-ai-ui-message-stream": "v1"})

    def closing(self, reason: Reason | None) -> bytes | None:
        """Return an error, unless the client can resume: it does after a failed transfer."""
        if reason in (Reason.SLOW_READER, Reason.SHUTDOWN):
            return None
        return error_event("The stream was ended by the server.") + DONE


def part_event(kind: str, **members: Any) -> bytes:
    """Return the event with a part of the message."""
    return encode_event(encode_json({"type": kind, **members}))


def error_event(message: str) -> bytes:
    """Return the event of a failure."""
    return part_event("error", errorText=message)


class MessageEncoder:
    """Encodes the parts of an answer; text is enclosed by its start and its end."""

    def __init__(self) -> None:
        self.finish_reason: Any = "stop"
        self._in_text = False

    def encode(self, parts: Sequence[Part]) -> bytes:
        """Return the events of `parts`."""
        return b"".join(map(self._encode, parts))

    def end_text(self) -> bytes:
        """Return the end of the open text, if there is one."""
        was_open, self._in_text = self._in_text, False
        return part_event("text-end", id=TEXT) if was_open else b""

    def _encode(self, part: Part) -> bytes:
        if isinstance(part, str):
            opening = b"" if self._in_text else part_event("text-start", id=TEXT)
            self._in_text = True
            return opening + part_event("text-delta", id=TEXT, delta=part)
        if "type" in part:
            return self.end_text() + encode_event(encode_json(part))
        if reason := part.get("finish_reason"):
            self.finish_reason = FINISH_REASONS.get(reason, reason)
        return b""


async def message_chunks(request: Request, run: Run) -> AsyncGenerator[Chunk, None]:
    """Yield the answer of a run, from its beginning."""
    encoder = MessageEncoder()
    yield Chunk(part_event("start", messageId=run.id), 1)
    try:
        async with aclosing(follow(request, run.topic)) as batches:
            async for batch in batches:
                if data := encoder.encode(batch) if batch else HEARTBEAT:
                    yield Chunk(data, len(batch))
    except AnswerStopped:
        end = part_event("abort", reason="stopped")
    except HTTPException as error:
        end = error_event(error.detail)
    else:
        end = part_event("finish", finishReason=encoder.finish_reason)
    yield Chunk(encoder.end_text() + end + DONE, 1)


def content_of(parts: Sequence[MessagePart]) -> str | list[dict[str, Any]]:
    """Return the content of a message in OpenAI's API: its text, else text and images."""
    if not any(part.type == "file" for part in parts):
        return "".join(part.text for part in parts if part.type == "text")
    content: list[dict[str, Any]] = []
    for part in parts:
        if part.type == "text":
            content.append({"type": "text", "text": part.text})
        elif part.type == "file":
            content.append({"type": "image_url", "image_url": {"url": part.url}})
    return content


def name_of(request: Request, chat_id: str) -> str:
#{% if cookiecutter.__uses.tokens %}
    """Return the name of the runs of a chat, which belongs to the token of its caller."""
    return f"chat {request.user.id} {chat_id}"
#{% else %}
    """Return the name of the runs of a chat."""
    return f"chat {chat_id}"
#{% endif %}


def chat_routes(answer: Callable[..., Any]) -> APIRouter:
    """Return the routes of the model that `answer` is. Raises `ValueError` if it is no generator."""
    require_generator(answer)
    streams = stream_responses(
        "The parts of the answer, then `[DONE]`.",
        UIMessagePart.model_json_schema(),
        {UIMessageStreamResponse.media_type: ""},
    )
#{% if cookiecutter.__uses.tokens %}
    router = APIRouter(tags=["chat"], route_class=ChatRoute, responses=SCOPE_ERRORS)
#{% else %}
    router = APIRouter(tags=["chat"], route_class=ChatRoute)
#{% endif %}

    @router.post(
        "/api/chat",
        status_code=200,
#{% if cookiecutter.__uses.tokens %}
        dependencies=[requires(Scope.EVENTS), requires(Scope.PUBLISH)],
#{% endif %}
        response_class=UIMessageStreamResponse,
        responses={**BODY_ERRORS, **streams},
    )
    async def send_message(body: ChatRequest, request: Request) -> Response:
        """Answer a chat, in place of an answer that still runs.

        The answer goes on when its client leaves.
        """

        async def chunks() -> AsyncGenerator[Chunk, None]:
            messages = [
                {"role": message.role, "content": content_of(message.parts)}
                for message in body.messages
            ]
            name = name_of(request, body.id)
            parts = call(answer, messages, options={}, settings=request.app.state.settings)
            await stop(request, name)
            run = await start(request, parts, name=name)
            async with aclosing(message_chunks(request, run)) as message:
                async for chunk in message:
                    yield chunk

        return UIMessageStreamResponse(chunks())

    @router.get(
        "/api/chat/{id}/stream",
        status_code=200,
#{% if cookiecutter.__uses.tokens %}
        dependencies=[requires(Scope.EVENTS)],
#{% endif %}
        response_class=UIMessageStreamResponse,
        responses={**streams, 204: {"description": "Nothing runs."}},
    )
    async def resume_message(id: ChatId, request: Request) -> Response:
        """Stream the answer that runs, from its beginning."""
        run = await request.app.state.runs.find_named(name_of(request, id))
        if run is None or run.status != "running":
            return Response(status_code=204)
        return UIMessageStreamResponse(message_chunks(request, run))

    @router.post(
        "/api/chat/{id}/stop",
        status_code=204,
#{% if cookiecutter.__uses.tokens %}
        dependencies=[requires(Scope.PUBLISH)],
#{% endif %}
#{% if cookiecutter.__uses.redis %}
        responses={503: retry_later("The event broker is unavailable.")},
#{% endif %}
    )
    async def stop_message(id: ChatId, request: Request) -> None:
        """Stop the answer that runs, if there is one."""
        await stop(request, name_of(request, id))

    return router


async def stop(request: Request, name: str) -> None:
    """Stop the run with a name, if there is one."""
    runs = request.app.state.runs
    if run := await runs.find_named(name):
        await runs.stop(run.id)
