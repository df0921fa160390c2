"""Fixtures of the engine's tests, and the modules that a variant does not need."""

import pytest

from . import variant

NEEDS = {
    "access": variant.TOKENS,
    "chat": variant.CHAT,
    "chat/test_ai_sdk.py": variant.AI_SDK,
    "chat/test_openai.py": variant.OPENAI,
    "chat/test_openai_clients.py": variant.OPENAI,
    "client": variant.CLIENT,
    "client/test_download.py": variant.EXPORTS,
    "client/test_formats.py": variant.EXPORTS,
    "client/test_position.py": variant.SSE,
    "client/test_publish.py": variant.SSE,
    "client/test_tail.py": variant.SSE,
    "client/test_terminal.py": variant.SSE,
    "events": variant.SSE,
    "events/test_memory.py": variant.MEMORY,
    "events/test_memory_runs.py": variant.MEMORY,
    "events/test_redis.py": variant.REDIS,
    "events/test_redis_runs.py": variant.REDIS,
    "events/test_redis_server.py": variant.REDIS,
    "exports": variant.EXPORTS,
    "exports/test_compression.py": variant.COMPRESSION,
    "exports/test_csv.py": variant.CSV,
    "exports/test_ndjson.py": variant.NDJSON,
    "exports/test_postgresql.py": variant.POSTGRESQL,
    "exports/test_sqlite.py": variant.SQLITE,
    "test_origins.py": variant.ORIGINS,
    "test_request_id.py": variant.REQUEST_ID,
}
"""The part that a module or a folder tests, if not every variant has it."""

collect_ignore = [path for path, is_needed in NEEDS.items() if not is_needed]


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of uvicorn, for all tests marked `anyio`."""
    return "asyncio"
