"""The application: its parts, its routes and its middleware."""

import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#{% if cookiecutter.__uses.sqlite %}
from anyio import to_thread
#{% endif %}
#{% if cookiecutter.__uses.sse %}
from fastapi import Depends, FastAPI
#{% else %}
from fastapi import FastAPI
#{% endif %}
#{% if not cookiecutter.__uses.console %}
from fastapi.responses import RedirectResponse
#{% endif %}
#{% if cookiecutter.__uses.tokens %}
from starlette.middleware.authentication import AuthenticationMiddleware
#{% endif %}
#{% if cookiecutter.__uses.origins %}
from starlette.middleware.cors import CORSMiddleware
#{% endif %}
#{% if cookiecutter.__uses.compression and cookiecutter.__uses.sse %}
from starlette_compress import CompressMiddleware, add_compress_type, remove_compress_type
#{% elif cookiecutter.__uses.compression %}
from starlette_compress import CompressMiddleware, add_compress_type
#{% endif %}

# Import modules of your own here: no update changes this line.
from . import __version__

# isort: split
#{% if cookiecutter.__uses.console and cookiecutter.__uses.chat %}
from . import console, events, model, runs
#{% elif cookiecutter.__uses.console and cookiecutter.__uses.sse %}
from . import console, events, runs
#{% elif cookiecutter.__uses.console %}
from . import console
#{% elif cookiecutter.__uses.chat %}
from . import events, model, runs
#{% elif cookiecutter.__uses.sse %}
from . import events, runs
#{% endif %}
#{% if cookiecutter.__uses.exports %}
from .exports import EXPORTS
#{% endif %}
#{% if cookiecutter.__uses.security_headers %}
from .headers import SECURITY_HEADERS
#{% endif %}
#{% if cookiecutter.__uses.exports %}
from .samples import SAMPLES
#{% endif %}
from .settings import Settings, load_settings
#{% if cookiecutter.__uses.tokens %}
from .streaming.access.authentication import Sessions, TokenBackend
from .streaming.access.authentication import router as session_routes
#{% if not cookiecutter.__uses.console %}
from .streaming.access.dependencies import PUBLIC
#{% endif %}
from .streaming.access.hosts import HostMiddleware
#{% endif %}
#{% if cookiecutter.__uses.openai %}
from .streaming.chat.openai import install_openai
#{% elif cookiecutter.__uses.ai_sdk %}
from .streaming.chat.ai_sdk import chat_routes
#{% endif %}
#{% if cookiecutter.__uses.sse %}
from .streaming.events.fanout import Fanout
#{% if cookiecutter.__uses.memory %}
from .streaming.events.memory import MemoryBroker, require_one_worker
from .streaming.events.memory import MemoryRuns as Runs
#{% else %}
from .streaming.events.redis import open_broker
from .streaming.events.redis_runs import RedisRuns as Runs
#{% endif %}
from .streaming.events.routes import router as event_routes
from .streaming.events.run_routes import run_routes
#{% endif %}
#{% if cookiecutter.__uses.postgresql %}
from .streaming.exports.postgresql import PostgreSQL
#{% endif %}
#{% if cookiecutter.__uses.exports %}
#{% if cookiecutter.__uses.compression %}
from .streaming.exports.routes import FORMATS, export_routes
#{% else %}
from .streaming.exports.routes import export_routes
#{% endif %}
#{% endif %}
#{% if cookiecutter.__uses.sqlite %}
from .streaming.exports.sqlite import SQLite
#{% endif %}
#{% if cookiecutter.__uses.request_id and cookiecutter.__uses.security_headers %}
from .streaming.headers import RequestIdMiddleware, SecurityHeadersMiddleware, log_request_ids
#{% elif cookiecutter.__uses.request_id %}
from .streaming.headers import RequestIdMiddleware, log_request_ids
#{% elif cookiecutter.__uses.security_headers %}
from .streaming.headers import SecurityHeadersMiddleware
#{% endif %}
from .streaming.health import HealthCheck
from .streaming.health import router as health_routes
from .streaming.openapi import StreamingAPI, install_docs
#{% if cookiecutter.__uses.origins %}
from .streaming.origins import CrossOriginMiddleware
#{% endif %}
from .streaming.problems import problem_handlers
from .streaming.registry import Streams, stop_signals
from .streaming.routes import StreamRoute
#{% if cookiecutter.__uses.exports %}
from .tables import metadata
#{% endif %}

logger = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Prepare the parts of the application, and close them after the last stream."""
    state = app.state
    logging.getLogger(__package__).setLevel(state.settings.log_level)
#{% if cookiecutter.__uses.request_id %}
    log_request_ids()
    line = "%(asctime)s %(levelname)s %(name)s request_id=%(request_id)s %(message)s"
    logging.basicConfig(format=line)
#{% else %}
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")
#{% endif %}
#{% if cookiecutter.__uses.exports %}
    try:
#{% if cookiecutter.__uses.sqlite %}
        await to_thread.run_sync(state.database.create, state.settings.has_default_database)
#{% endif %}
        await state.database.check()
    except Exception as error:
        logger.warning("Exports are unavailable: %s", error)
#{% endif %}
#{% if cookiecutter.__uses.sse %}
    async with state.broker, state.runs:
        with stop_signals(state.streams.drain):
            yield
#{% else %}
    with stop_signals(state.streams.drain):
        yield
#{% endif %}
#{% if cookiecutter.__uses.exports %}
    state.database.close()
#{% endif %}


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application; without `settings` they are loaded from the environment."""
    settings = settings or load_settings()
    app = StreamingAPI(
        title={{ cookiecutter.__literal.project_name }},
        description={{ cookiecutter.__literal.description }},
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        exception_handlers=problem_handlers,
    )
    # Allow streams on the application itself, by `@app.get`.
    app.router.route_class = StreamRoute
    app.state.settings = settings
    app.state.streams = Streams(
        send_timeout=settings.send_timeout_seconds,
        max_seconds=settings.max_stream_seconds,
        max_per_client=settings.max_streams_per_client,
        max_streams=settings.max_streams,
        grace=settings.shutdown_grace_seconds,
    )
    checks = []
#{% if cookiecutter.__uses.exports %}
#{% if cookiecutter.__uses.sqlite %}
    database = SQLite(settings.database_url, metadata, SAMPLES)
    database.is_default = settings.has_default_database
#{% else %}
    database = PostgreSQL(
        settings.database_url,
        metadata,
        SAMPLES,
        max_exports=settings.max_exports,
        statement_timeout=settings.statement_timeout_seconds,
    )
#{% endif %}
    app.state.database = database
    checks.append(database.check)
    app.include_router(export_routes(EXPORTS, SAMPLES))
#{% endif %}
#{% if cookiecutter.__uses.sse %}
#{% if cookiecutter.__uses.memory %}
    require_one_worker()
    broker = MemoryBroker(
        history=settings.event_history,
        history_seconds=settings.event_history_seconds,
        history_bytes=settings.event_history_bytes,
        buffer=settings.subscriber_buffer,
    )
#{% else %}
    broker = open_broker(settings)
#{% endif %}
    app.state.broker = broker
    app.state.fanout = Fanout(settings.heartbeat_seconds)
    app.state.runs = Runs(
        broker,
        app.state.streams,
        max_runs=settings.max_runs,
        max_per_client=settings.max_runs_per_client,
        retention=settings.event_history_seconds,
    )
    checks.append(broker.ping)
    app.include_router(event_routes, dependencies=[Depends(events.check_followed_topics)])
    app.include_router(events.router)
    app.include_router(run_routes(runs.RunRequest, runs.run))
#{% if cookiecutter.__uses.openai %}
    install_openai(app, model.answer)
#{% elif cookiecutter.__uses.ai_sdk %}
    app.include_router(chat_routes(model.answer))
#{% endif %}
#{% endif %}
    app.state.health_check = HealthCheck(checks)
    install_docs(app)
    app.include_router(health_routes)
#{% if cookiecutter.__uses.console %}
    console.install(app)
#{% else %}
#{% if cookiecutter.__uses.tokens %}
    app.add_api_route(
        "/",
        redirect_to_docs,
        methods=["GET", "HEAD"],
        dependencies=[PUBLIC],
        include_in_schema=False,
    )
#{% else %}
    app.add_api_route("/", redirect_to_docs, methods=["GET", "HEAD"], include_in_schema=False)
#{% endif %}
#{% endif %}
    # Of middleware, the last one added is the outermost.
#{% if cookiecutter.__uses.compression %}
    for response_class in FORMATS:
        # Flushed after every chunk, so that rows do not wait for later ones.
        add_compress_type(response_class.media_type, streaming=True)
#{% if cookiecutter.__uses.sse %}
    # Small events become larger, and proxies hold compressed streams back.
    remove_compress_type("text/event-stream")
#{% endif %}
    app.add_middleware(CompressMiddleware, zstd_level=1, brotli=False, gzip_level=1)
#{% endif %}
#{% if cookiecutter.__uses.tokens %}
    secret = settings.session_secret.get_secret_value() if settings.session_secret else None
    sessions = Sessions(secret, settings.session_seconds)
    app.state.sessions = sessions
    app.include_router(session_routes)
    backend = TokenBackend(settings.api_tokens, sessions)
    app.add_middleware(AuthenticationMiddleware, backend=backend)
    local_only = not settings.api_tokens and not settings.allow_anonymous
    app.add_middleware(HostMiddleware, local_only=local_only, hosts=settings.allowed_hosts)
#{% endif %}
#{% if cookiecutter.__uses.origins %}
#{% if cookiecutter.__uses.tokens %}
    app.add_middleware(
        CrossOriginMiddleware, origins=settings.cors_origins, protect_reads=local_only
    )
#{% else %}
    app.add_middleware(CrossOriginMiddleware, origins=settings.cors_origins)
#{% endif %}
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["*"],
        )
#{% endif %}
#{% if cookiecutter.__uses.security_headers %}
    app.add_middleware(SecurityHeadersMiddleware, headers=SECURITY_HEADERS)
#{% endif %}
#{% if cookiecutter.__uses.request_id %}
    app.add_middleware(RequestIdMiddleware)
#{% endif %}
    return app
#{% if not cookiecutter.__uses.console %}


async def redirect_to_docs() -> RedirectResponse:
    """Redirect to the API documentation."""
    return RedirectResponse("/docs")
#{% endif %}


app = create_app()
# Garbage collections skip the application and all modules, which live as long as the process.
gc.freeze()
