"""Runs of one process, which are in its memory."""

import pytest
from anyio import wait_all_tasks_blocked

from streaming_api.streaming.events import memory as module
from streaming_api.streaming.events.broker import Broker
from streaming_api.streaming.events.memory import MemoryRuns

from .test_runs import Recorder, count_to_three, follow, status_of

pytestmark = pytest.mark.anyio


async def test_number_of_ended_runs_is_limited(
    broker: Broker, runs: MemoryRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ENDED", 2)
    ended = [await runs.start(count_to_three, "ada", key=str(number)) for number in range(4)]
    for run in ended:
        await follow(broker, run.topic)

    found = [await status_of(runs, run) for run in ended]

    assert found == [None, None, "done", "done"]
    assert (await runs.start(count_to_three, "ada", key="3")).id == ended[3].id
    assert (await runs.start(count_to_three, "ada", key="0")).id != ended[0].id


async def test_topic_of_run_is_running_until_its_end(broker: Broker, runs: MemoryRuns) -> None:
    run = await runs.start(Recorder(), "ada")

    assert runs.are_running(["news", run.topic])
    assert not runs.are_running(["news", run.id + "0"])

    await runs.stop(run.id)
    await follow(broker, run.topic)
    await wait_all_tasks_blocked()
    assert not runs.are_running([run.topic])
