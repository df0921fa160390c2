"""The parts that the rendered project has."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import streaming_api

PACKAGE = Path(streaming_api.__file__).parent
ENGINE = PACKAGE / "streaming"

SSE = (ENGINE / "events").is_dir()
MEMORY = (ENGINE / "events/memory.py").is_file()
REDIS = (ENGINE / "events/redis.py").is_file()
CHAT = (ENGINE / "chat").is_dir()
OPENAI = (ENGINE / "chat/openai.py").is_file()
AI_SDK = (ENGINE / "chat/ai_sdk.py").is_file()
EXPORTS = (ENGINE / "exports").is_dir()
NDJSON = (ENGINE / "exports/ndjson.py").is_file()
CSV = (ENGINE / "exports/csv.py").is_file()
SQLITE = (ENGINE / "exports/sqlite.py").is_file()
POSTGRESQL = (ENGINE / "exports/postgresql.py").is_file()
COMPRESSION = find_spec("starlette_compress") is not None
HEADERS = (ENGINE / "headers.py").is_file()
REQUEST_ID = HEADERS and hasattr(
    import_module("streaming_api.streaming.headers"), "RequestIdMiddleware"
)
SECURITY_HEADERS = (PACKAGE / "headers.py").is_file()
TOKENS = (ENGINE / "access").is_dir()
ORIGINS = (ENGINE / "origins.py").is_file()
CONSOLE = (PACKAGE / "console").is_dir()
CLIENT = (ENGINE / "client").is_dir()
DEPLOYMENT = (Path(__file__).parents[2] / "Dockerfile").is_file()
