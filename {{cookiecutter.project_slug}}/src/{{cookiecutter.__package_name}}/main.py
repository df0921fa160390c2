"""The application: wiring, and nothing else."""

#{% if cookiecutter.ndjson or cookiecutter.csv %}
import logging
#{% endif %}
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#{% if cookiecutter.ndjson or cookiecutter.csv %}
from anyio import to_thread
#{% endif %}
from fastapi import FastAPI
from starlette.middleware.errors import ServerErrorMiddleware

from . import __version__, access, console, health
#{% if cookiecutter.sse %}
from .events.delivery import Delivery
from .events.jobs import Jobs
#{% if cookiecutter.event_broker == "memory" %}
from .events.memory import MemoryBroker
#{% else %}
from .events.redis import RedisBroker
#{% endif %}
from .events.routes import router as events
#{% endif %}
#{% if cookiecutter.ndjson or cookiecutter.csv %}
from .exports import Database
from .exports import router as exports
#{% if cookiecutter.compression %}
from .exports.compression import install_compression
#{% endif %}
#{% endif %}
from .logs import configure_logs
#{% if cookiecutter.request_id and cookiecutter.security_headers %}
from .middleware import RequestIdMiddleware, SecurityHeadersMiddleware
#{% elif cookiecutter.request_id %}
from .middleware import RequestIdMiddleware
#{% elif cookiecutter.security_headers %}
from .middleware import SecurityHeadersMiddleware
#{% endif %}
from .problems import ProblemAPI, problem_handlers, server_problem
#{% if cookiecutter.sse and cookiecutter.event_broker == "memory" %}
from .settings import Settings, load_settings, require_one_worker, workers_of_this_server
#{% else %}
from .settings import Settings, load_settings
#{% endif %}
from .streaming import Streams, stop_signals
#{% if cookiecutter.ndjson or cookiecutter.csv %}

logger = logging.getLogger(__name__)
#{% endif %}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what the application holds, and close it after the last stream."""
    state = app.state
    configure_logs(state.settings.log_level)
#{% if cookiecutter.ndjson or cookiecutter.csv %}
    try:
        await to_thread.run_sync(state.database.prepare)
    except Exception as error:
        logger.warning("The database does not answer, exports will be refused: %s", error)
#{% endif %}
    with stop_signals(state.streams.drain):
        yield
#{% if cookiecutter.sse %}
    await state.jobs.close()
#{% if cookiecutter.event_broker == "redis" %}
    await state.broker.close()
#{% endif %}
#{% endif %}
#{% if cookiecutter.ndjson or cookiecutter.csv %}
    state.database.close()
#{% endif %}


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application; without `settings` they come from the environment and `.env`."""
    settings = settings or load_settings()
#{% if cookiecutter.sse and cookiecutter.event_broker == "memory" %}
    require_one_worker(workers_of_this_server())
#{% endif %}
    app = ProblemAPI(
        title={{ cookiecutter.__literal.project_name }},
        description={{ cookiecutter.__literal.description }},
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        exception_handlers=problem_handlers,
    )
    # The version that has `itemSchema`, by which streams are described.
    app.openapi_version = "3.2.0"
    app.state.settings = settings
    secret = settings.session_secret
    app.state.sessions = access.Sessions(
        settings.api_tokens,
        secret.get_secret_value() if secret else None,
        settings.session_seconds,
    )
    app.state.streams = Streams(
        send_timeout=settings.send_timeout_seconds,
        max_seconds=settings.max_stream_seconds,
        max_per_client=settings.max_streams_per_client,
        grace=settings.shutdown_grace_seconds,
    )
#{% if cookiecutter.ndjson or cookiecutter.csv %}
#{% if cookiecutter.database == "sqlite" %}
    app.state.database = Database(settings.database_url)
#{% else %}
    app.state.database = Database(
        settings.database_url,
        max_exports=settings.max_exports,
        statement_timeout=settings.statement_timeout_seconds,
    )
#{% endif %}
    app.include_router(exports)
#{% endif %}
#{% if cookiecutter.sse %}
#{% if cookiecutter.event_broker == "memory" %}
    app.state.broker = MemoryBroker(
        history=settings.event_history,
        history_seconds=settings.event_history_seconds,
        max_topics=settings.max_topics,
        buffer=settings.subscriber_buffer,
    )
#{% else %}
    app.state.broker = RedisBroker(
        settings.redis_url,
        history=settings.event_history,
        history_seconds=settings.event_history_seconds,
        buffer=settings.subscriber_buffer,
    )
#{% endif %}
    app.state.delivery = Delivery(settings.heartbeat_seconds)
    app.state.jobs = Jobs(app.state.broker)
    app.include_router(events)
#{% endif %}
    app.include_router(access.router)
    app.state.checkup = health.Checkup(app.state)
    app.include_router(health.router)
    console.install(app)
    # The middleware that is added last sees a request first. The first makes a 500 inside of the
    # others, so that it has their headers: Starlette's own is outside of them.
    app.add_middleware(ServerErrorMiddleware, handler=server_problem)
#{% if cookiecutter.compression and (cookiecutter.ndjson or cookiecutter.csv) %}
    install_compression(app)
#{% endif %}
    app.add_middleware(
        access.DoorMiddleware,
        local_only=not settings.api_tokens and not settings.allow_anonymous,
        hosts=settings.allowed_hosts,
        origins=settings.cors_origins,
    )
    access.install_cors(app, settings.cors_origins)
#{% if cookiecutter.security_headers %}
    app.add_middleware(SecurityHeadersMiddleware)
#{% endif %}
#{% if cookiecutter.request_id %}
    app.add_middleware(RequestIdMiddleware)
#{% endif %}
    return app


app = create_app()
