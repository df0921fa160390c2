"""Chat completions as OpenAI's API represents them: chunks, wholes and errors."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from ..events.wire import encode_event, encode_json
from .answers import Part

TYPES = {429: "rate_limit_error"}
CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}


class ErrorDetail(BaseModel):
    """What is wrong; `param` is the invalid member of a request."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """An error of OpenAI's API."""

    error: ErrorDetail


@dataclass
class Completion:
    """What has been received of an answer."""

    id: str
    model: str
    prompt_tokens: int
    created: int = field(default_factory=lambda: int(time.time()))
    tokens: int = 0
    message: dict[str, Any] = field(default_factory=dict)
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    finish_reason: str = ""
    reported_usage: dict[str, Any] | None = None

    def add(self, part: Part) -> dict[str, Any]:
        """Add a part; return its delta."""
        if isinstance(part, str):
            self.tokens += 1
            delta: dict[str, Any] = {"content": part}
        else:
            delta = dict(part)
            self.reported_usage = delta.pop("usage", self.reported_usage)
            self.finish_reason = delta.pop("finish_reason", self.finish_reason)
        for name, value in delta.items():
            if name == "tool_calls":
                for call_delta in value:
                    self._add_call(call_delta)
            elif isinstance(value, str):
                self.message[name] = self.message.get(name, "") + value
            else:
                self.message[name] = value
        return delta

    def _add_call(self, delta: dict[str, Any]) -> None:
        """Add the delta of a tool call, whose arguments arrive in pieces."""
        function = {"name": "", "arguments": ""}
        call = self.calls.setdefault(
            delta.get("index", 0), {"id": "", "type": "function", "function": function}
        )
        call["id"] = delta.get("id") or call["id"]
        for name, text in delta.get("function", {}).items():
            call["function"][name] = call["function"].get(name, "") + (text or "")

    def end(self) -> str:
        """Return the reason of the end."""
        return self.finish_reason or ("tool_calls" if self.calls else "stop")

    def usage(self) -> dict[str, Any]:
        """Return the usage that the model reported, else the numbers of words and of parts."""
        return self.reported_usage or {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.tokens,
            "total_tokens": self.prompt_tokens + self.tokens,
        }

    def whole(self) -> bytes:
        """Return the completion as JSON."""
        message = {"role": "assistant", "content": None, "refusal": None, **self.message}
        if self.calls:
            message["tool_calls"] = [call for _, call in sorted(self.calls.items())]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.end()}
        return self._encode("chat.completion", choices=[choice], usage=self.usage())

    def chunk(self, delta: dict[str, Any], end: str | None = None, **more: Any) -> bytes:
        """Return an event with a delta."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": end}
        return encode_event(self._encode("chat.completion.chunk", choices=[choice], **more))

    def usage_chunk(self) -> bytes:
        """Return the event with the usage."""
        return encode_event(self._encode("chat.completion.chunk", choices=[], usage=self.usage()))

    def _encode(self, kind: str, **members: Any) -> bytes:
        head = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return encode_json({**head, **members})


async def limited(
    parts: AsyncGenerator[Part, None], stops: Sequence[str], most: int | None
) -> AsyncGenerator[Part, None]:
    """Yield `parts` up to the first of `stops`, and up to `most` texts; then the reason.

    Text that may be the beginning of a stop is held back until more is known.
    """
    held, number, reason = "", 0, ""
    async with aclosing(parts):
        async for part in parts:
            if not isinstance(part, str):
                if held:
                    yield held
                held = ""
                yield part
                continue
            number += 1
            if most is not None and number > most:
                reason = "length"
                break
            held += part
            found = [at for stop in stops if (at := held.find(stop)) >= 0]
            if found:
                held = held[: min(found)]
                reason = "stop"
                break
            end = len(held) - max((overlap(held, stop) for stop in stops), default=0)
            if end:
                yield held[:end]
            held = held[end:]
    if held:
        yield held
    if reason:
        yield {"finish_reason": reason}


def overlap(text: str, stop: str) -> int:
    """Return the number of characters at the end of `text` with which `stop` begins."""
    longest = min(len(text), len(stop) - 1)
    return next(size for size in range(longest, -1, -1) if text.endswith(stop[:size]))


def encode_error(
    status: int, message: str, param: str | None = None, code: str | None = None
) -> bytes:
    """Return an error as JSON."""
    kind = "server_error" if status >= 500 else TYPES.get(status, "invalid_request_error")
    code = code or CODES.get(status)
    error = ErrorDetail(message=message, type=kind, param=param, code=code)
    return encode_json(ErrorBody(error=error))


def error_event(status: int, message: str) -> bytes:
    """Return the event that ends a stream with an error."""
    return encode_event(encode_error(status, message))
