"""The runs of several processes, in Redis: each shows, stops and ends those of the others."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Self, cast

from .redis import PREFIX, RedisBroker, fields_of, to_milliseconds
from .runs import Run, Runs, RunStatus

logger = logging.getLogger(__name__)

RUN = f"{PREFIX}:run:"
"""The prefix of runs, each a hash of the fields of `Run`."""
RUN_KEY = f"{PREFIX}:run-key:"
"""The prefix of idempotency keys, each the id of a run."""
LEASES = f"{PREFIX}:leases"
"""A sorted set: the time of Redis, in milliseconds, up to which the process of a run is alive."""

LEASE_MILLISECONDS = 15_000
"""Time without a renewal after which another process ends a run."""
RENEWAL_SECONDS = 0.2
"""Time between renewals, and the longest delay of a stop by another process."""

SCRIPTS = {path.stem: path.read_text() for path in (Path(__file__).parent / "lua").glob("*_run*")}


@dataclass(eq=False)
class RedisRuns(Runs):
    """The runs of a service that has several processes."""

    broker: RedisBroker
    _missed: set[str] = field(default_factory=set, init=False)
    """The ids of ended runs whose end Redis has missed."""

    async def __aenter__(self) -> Self:
        self._renewing = asyncio.create_task(self._renew())
        return await super().__aenter__()

    async def __aexit__(self, *_: object) -> None:
        """End the runs of this process, and renew their leases until then."""
        await super().__aexit__()
        self._renewing.cancel()
        await asyncio.wait([self._renewing])

    async def find(self, id: str) -> Run | None:
        """Implement `Runs.find`."""
        async with self.broker.connection() as redis:
            fields: Any = await redis.hgetall(RUN + id)
        return to_run(fields)

    async def _claim(
        self,
        run: Run,
        *,
        create: bool,
#{% if cookiecutter.__uses.chat %}
        replace: bool = False,
#{% endif %}
    ) -> Run | None:
        fields = [each for field in asdict(run).items() for each in field]
        keys = [LEASES, RUN + run.id, RUN_KEY + run.key]
#{% if cookiecutter.__uses.chat %}
        flags = int(create), int(replace)
        values = RUN, run.id, LEASE_MILLISECONDS, *flags, *fields
#{% else %}
        values = RUN, run.id, LEASE_MILLISECONDS, int(create), *fields
#{% endif %}
        known = await self._call("start_run", keys, *values)
        return to_run(fields_of(known))

    async def _decide(self, id: str, status: RunStatus) -> RunStatus | None:
        retention = to_milliseconds(self.retention)
        decided: Any = await self._call("end_run", [RUN + id], RUN_KEY, status, retention)
        return cast(RunStatus, decided.decode()) if decided else None

    async def _end(self, run: Run, status: RunStatus, title: str) -> RunStatus:
        try:
            status = await super()._end(run, status, title)
            async with self.broker.connection() as redis:
                await redis.zrem(LEASES, run.id)
        except Exception:
            self._missed.add(run.id)
            raise
        return status

    async def _renew(self) -> None:
        """Renew the leases of this process, stop its runs, and end those of dead processes."""
        level, trusted_from = logging.WARNING, 0.0
        while True:
            await asyncio.sleep(RENEWAL_SECONDS)
            try:
                # A lease that is renewed once more expires, also if Redis has lost its data.
                ids = (*self._running, *self._missed)
                stopped, expired = await self._call(
                    "renew_runs", [LEASES], RUN, LEASE_MILLISECONDS, *ids
                )
                self._missed -= set(ids)
                for id in stopped:
                    if running := self._running.get(id.decode()):
                        running.stop()
                for id in expired if monotonic() > trusted_from else ():
                    run = await self.find(id.decode()) or Run(id.decode())
                    status = await self._end(run, "failed", "The process of the run ended.")
                    logger.warning("run of a dead process ended id=%s status=%s", run.id, status)
                level = logging.WARNING
            except Exception as error:
                logger.log(level, "Redis is unavailable, leases of runs are not renewed: %r", error)
                level = logging.DEBUG
                # Other processes could not renew their leases, either.
                trusted_from = monotonic() + LEASE_MILLISECONDS / 1000

    async def _call(self, script: str, keys: list[str], *arguments: Any) -> Any:
        async with self.broker.connection() as redis:
            return await redis.register_script(SCRIPTS[script])(keys, arguments)


def to_run(fields: Mapping[bytes, bytes]) -> Run | None:
    """Return the run with the fields of a hash; `None` if there are none."""
    values: Any = {name.decode(): value.decode() for name, value in fields.items()}
    return Run(**values) if values else None
