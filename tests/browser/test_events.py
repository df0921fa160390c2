"""Events in the console: following, publishing, runs and the log."""

import json
import re
import signal
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, expect

from browser.conftest import Opened
from support.browser import Visit
from support.project import Project
from support.servers import nginx
from support.service import Restartable
from support.tools import free_port

CLOSED = 2
"""`EventSource.CLOSED`: it does not reconnect."""
READY_STATES = "sources.map((source) => source.readyState)"
MAX_LENGTH = 10_000
"""The number of characters that the log shows of an event."""

RECORD_COUNTS = """
() => {
  const place = document.querySelector("#run [data-run=count]");
  window.counts = [];
  new MutationObserver((changes) => {
    for (const { addedNodes: [text] } of changes) window.counts.push(text.textContent);
  }).observe(place, { childList: true });
}
"""
"""Records every number of events of a run that the page shows."""

COUNT_ENTRIES = """
() => {
  window.entries = 0;
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) window.entries += addedNodes.length;
  }).observe(document.querySelector(".log ol"), { childList: true });
}
"""
"""Counts all entries that the log ever had."""

MEASURE_FRAMES = """
() => {
  let last = performance.now();
  window.longestFrame = 0;
  (function measure() {
    const now = performance.now();
    window.longestFrame = Math.max(window.longestFrame, now - last);
    last = now;
    requestAnimationFrame(measure);
  })();
}
"""
"""Measures the longest frame in milliseconds."""


def test_event_is_logged_with_id_name_time_and_data(console: Visit) -> None:
    console.follow("shown", names="alert")

    outcome = console.publish("shown", '{"big":12345678901234567890,"at":["Bergen"]}', "alert")

    expect(outcome).to_contain_text("Published as ")
    entry = console.entry("Bergen")
    expect(entry.locator(".id")).to_have_text(outcome.inner_text().removeprefix("Published as "))
    expect(entry.locator(".topic")).to_have_text("shown")
    expect(entry.locator(".name")).to_have_text("alert")
    expect(entry.locator("time")).to_have_attribute("datetime", re.compile(r"^\d{4}-.*Z$"))
    expect(entry.locator("time")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d\.\d{3}$"))
    expect(entry.locator("pre")).to_have_text('{"big": 12345678901234567890, "at": ["Bergen"]}')


def test_long_data_is_logged_on_indented_lines(console: Visit) -> None:
    data = {"words": ["a" * 40, "b" * 40], "short": {"x": [1, 2.50, {}]}, "none": [], "s": '"},{\\'}
    console.follow("long")

    console.publish("long", json.dumps(data))

    pre = console.entry("short").locator("pre")
    expect(pre).to_have_count(1)
    shown = pre.inner_text()
    assert json.loads(shown) == data
    assert shown.splitlines() == [
        "{",
        '  "words": [',
        f'    "{"a" * 40}",',
        f'    "{"b" * 40}"',
        "  ],",
        '  "short": {"x": [1, 2.5, {}]},',
        '  "none": [],',
        '  "s": "\\"},{\\\\"',
        "}",
    ]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("[" * 254 + ",".join("0" * 86_000) + "]" * 254, id="nested"),
        pytest.param(json.dumps("x" * 200_000), id="text"),
        pytest.param(json.dumps(["[" * 10, {"a": [[]]}] * 10_000), id="brackets"),
    ],
)
def test_large_event_is_logged_as_a_prefix_without_freezing_the_page(
    console: Visit, data: str
) -> None:
    publish(console.url, "large", json.loads(data))
    console.evaluate(MEASURE_FRAMES)

    console.follow("large", history=True)

    shown = console.page.locator(".log pre").first
    expect(shown).to_contain_text(re.compile(r"… \(\d{3},\d{3} characters\)$"))
    assert len(shown.inner_text()) < MAX_LENGTH + 50
    assert shown.inner_text()[:1] == data[:1]
    assert console.evaluate("longestFrame") < 1000


def test_markup_in_an_event_is_logged_as_text(console: Visit) -> None:
    console.follow("markup")

    console.publish("markup", '"<img src=x onerror=alert(1)>"')

    expect(console.entry("<img src=x onerror=alert(1)>")).to_have_count(1)
    assert console.errors == []


def test_several_topics_are_followed_on_one_connection(console: Visit) -> None:
    console.follow("one, two three")

    for topic in ("one", "two", "three"):
        console.publish(topic, f'{{"from":"{topic}"}}')
        expect(console.entry(topic).locator(".topic")).to_have_text(topic)
        expect(console.entry(topic).locator("pre")).to_have_text(f'{{"from": "{topic}"}}')

    assert console.streams == ["/events/one?topic=two&topic=three"]


def test_named_events_are_logged_while_their_name_is_listed(console: Visit) -> None:
    console.follow("named")
    publish(console.url, "named", 1, event="later")
    publish(console.url, "named", 2)
    expect(console.page.locator(".log li")).to_have_count(1)

    names = console.page.get_by_label("Named events to include")
    names.fill("later, message, open")
    names.blur()
    publish(console.url, "named", 3, event="later")
    publish(console.url, "named", 4, event="message")
    names.fill("")
    names.blur()
    publish(console.url, "named", 5, event="later")
    publish(console.url, "named", 6)

    expect(console.entry("6")).to_have_count(1)
    assert console.logged() == ["2", "3", "4", "6"]
    assert len(console.streams) == 1


def test_name_published_here_is_added_to_the_named_events(console: Visit) -> None:
    console.follow("own", names="other")

    console.publish("own", '"mine"', "order placed")

    expect(console.entry("mine").locator(".name")).to_have_text("order placed")
    names = console.page.get_by_label("Named events to include")
    expect(names).to_have_value("other, order placed")


def test_history_is_replayed_on_request(console: Visit) -> None:
    for number in range(3):
        publish(console.url, "past", number)

    console.follow("past", history=True)

    expect(console.page.locator(".log li")).to_have_count(3)
    assert console.logged() == ["0", "1", "2"]


def test_publish_of_invalid_json_is_rejected_before_sending(console: Visit) -> None:
    methods: set[str] = set()
    console.page.on("request", lambda request: methods.add(request.method))

    outcome = console.publish("invalid", '{"half": ')

    expect(outcome).to_contain_text("The data is not JSON: ")
    data = console.page.get_by_label("Data")
    expect(data).to_be_focused()
    expect(data).to_have_attribute("aria-invalid", "true")
    assert methods <= {"GET"}
    expect(console.publish("invalid", "1")).to_contain_text("Published")
    expect(data).to_have_attribute("aria-invalid", "false")


def test_publish_without_a_topic_is_rejected(console: Visit) -> None:
    outcome = console.publish(" ", "1")

    expect(outcome).to_have_text("The topic is missing.")


def test_publish_of_a_reserved_name_shows_the_reason(console: Visit) -> None:
    outcome = console.publish("rejected", "1", "done")

    expect(outcome).to_contain_text("Unprocessable")
    expect(outcome).to_contain_text("done")


def test_publish_to_a_finished_topic_shows_the_conflict(console: Visit) -> None:
    topic = finished(console.url)

    outcome = console.publish(topic, "1")

    expect(outcome).to_have_text(f"Conflict: The topic {topic} is finished.")


def start_run(console: Visit, steps: int, interval: float) -> Locator:
    """Start a run with the form; return the form."""
    form = console.page.locator("#run")
    form.get_by_label("Request").fill(json.dumps({"steps": steps, "interval": interval}))
    console.button("Start").click()
    return form


def test_run_progress_is_shown_until_it_is_done(console: Visit) -> None:
    console.evaluate(RECORD_COUNTS)

    form = start_run(console, 3, 0.2)

    expect(form.get_by_role("status")).to_have_text("Done.")
    assert console.evaluate("counts") == ["0 events", "1 event", "2 events", "3 events"]
    assert console.evaluate("document.querySelector('progress').position") == 1
    assert console.evaluate(READY_STATES) == [CLOSED]
    expect(console.button("Stop run")).to_be_disabled()


def test_run_is_stopped(console: Visit) -> None:
    form = start_run(console, 1000, 1)
    expect(form.locator("[data-run=count]")).to_have_text("1 event")
    assert console.evaluate("document.querySelector('progress').position") == -1

    console.button("Stop run").click()

    expect(form.get_by_role("status")).to_have_text("Stopped.")
    assert console.evaluate(READY_STATES) == [CLOSED]
    expect(console.button("Stop run")).to_be_disabled()


def test_second_run_replaces_the_progress_of_the_first(console: Visit) -> None:
    form = start_run(console, 1000, 1)
    expect(form.locator("[data-run=count]")).to_have_text("1 event")

    start_run(console, 1, 1)

    expect(form.get_by_role("status")).to_have_text("Done.")
    assert console.evaluate(READY_STATES) == [CLOSED, CLOSED]


def test_invalid_request_of_a_run_is_shown(console: Visit) -> None:
    form = console.page.locator("#run")
    form.get_by_label("Request").fill('{"steps": ')
    console.button("Start").click()
    expect(form.get_by_role("status")).to_contain_text("The data is not JSON")

    start_run(console, 0, 1)

    expect(form.get_by_role("status")).to_contain_text("Unprocessable")


def test_run_is_logged_from_its_first_event(console: Visit) -> None:
    form = start_run(console, 2, 0)
    expect(form.get_by_role("status")).to_have_text("Done.")

    console.button("Show in log").click()

    expect(console.entry("done").locator(".name")).to_have_text("done")
    assert [json.loads(data).get("count") for data in console.logged()] == [0, 1, None]


def test_paused_log_keeps_the_newest_events(console: Visit) -> None:
    console.evaluate(COUNT_ENTRIES)
    console.button("Pause").click()
    expect(console.button("Pause")).to_have_attribute("aria-pressed", "true")
    console.follow(finished(console.url, 201), history=True, until="ended")
    expect(console.page.locator("[data-log=received]")).to_have_text("202")
    expect(console.page.locator(".log li")).to_have_count(0)

    console.button("Pause").click()

    expect(console.page.locator(".log li")).to_have_count(200)
    assert [json.loads(data).get("count") for data in console.logged()] == [*range(2, 201), None]
    assert console.evaluate("entries") == 200  # older events were never drawn


def test_cleared_log_is_empty(console: Visit) -> None:
    console.follow("cleared")
    console.publish("cleared", "1")
    expect(console.page.locator(".log li")).to_have_count(1)

    console.button("Clear").click()

    expect(console.page.locator(".log li")).to_have_count(0)
    expect(console.page.locator("[data-log=received]")).to_have_text("0")


def test_rate_plot_shows_the_events_of_each_second(console: Visit) -> None:
    console.follow("plotted")

    publish(console.url, "plotted", 1)

    expect(console.page.locator("[data-rate=peak]")).to_have_text("1")
    expect(console.page.locator(".rate path")).to_have_attribute("d", re.compile("^M.*z$"))


def test_stop_closes_the_connection(console: Visit) -> None:
    console.follow("stopped")

    console.button("Stop").click()

    console.wait_for_state("idle")
    expect(console.button("Stop")).to_be_disabled()
    assert console.evaluate(READY_STATES) == [CLOSED]


def test_follow_replaces_the_previous_topics(console: Visit) -> None:
    console.follow("before")
    console.follow("after")

    publish(console.url, "before", 1)
    publish(console.url, "after", 2)

    expect(console.entry("2")).to_have_count(1)
    assert console.logged() == ["2"]
    assert console.evaluate(READY_STATES) == [CLOSED, 1]


def test_finished_topic_closes_the_connection_after_204(console: Visit) -> None:
    topic = finished(console.url)

    console.follow(topic, history=True, until="ended")

    expect(console.button("Stop")).to_be_disabled()
    assert [json.loads(data).get("done") for data in console.logged()] == [None, True]
    assert console.evaluate(READY_STATES) == [CLOSED]
    assert len(console.streams) == 2  # the events, and 204


def test_rejected_stream_shows_the_reason_and_is_not_retried(
    service: Restartable, visit: Opened
) -> None:
    console = visit(service.url)
    console.page.clock.install()
    console.open()
    expect(console.table("users")).to_be_visible()
    console.fetched.clear()

    topics = [f"topic-{number}" for number in range(51)]
    console.follow(" ".join(topics), until="rejected")
    console.page.clock.run_for(60_000)

    console.wait_for_state("rejected", "50")
    expect(console.publish("other", "1")).to_contain_text("Published")
    assert len(console.streams) == 1
    assert len(console.fetched) == 2  # the probe, and the published event


@pytest.mark.parametrize("after", ["Thu, 26 Nov 2099 10:00:00 GMT", "3000000"])
def test_unavailable_stream_is_not_retried_at_once(
    service: Restartable, visit: Opened, after: str
) -> None:
    console = visit(service.url)
    console.page.context.route(
        "**/events/news*", lambda route: route.fulfill(status=503, headers={"Retry-After": after})
    )
    console.open()
    expect(console.table("users")).to_be_visible()
    console.page.clock.install()
    console.fetched.clear()

    console.follow("news", until="reconnecting")
    expect(console.page.locator(".state")).to_contain_text("Status 503")
    console.page.clock.run_for(1000)

    assert len(console.fetched) == 1


def test_follow_without_a_topic_is_rejected(console: Visit) -> None:
    console.follow(", ", until="rejected")

    expect(console.page.locator(".state")).to_have_text("Rejected. A topic is missing.")
    assert console.streams == []


def test_stream_over_the_limit_connects_when_another_closes(
    project: Project, tmp_path: Path, visit: Opened
) -> None:
    with Restartable(project, tmp_path, MAX_STREAMS_PER_CLIENT="1").running() as service:
        first, second = visit(service.url), visit(service.url)
        first.open()
        first.follow("room")
        second.open()
        second.page.get_by_label("Topics").fill("room")
        second.button("Follow").click()
        second.wait_for_state("reconnecting", "Too Many Requests")

        first.button("Stop").click()

        second.wait_for_state("open")
        second.publish("room", '"there"')
        expect(second.entry("there")).to_have_count(1)


def test_restarted_service_is_followed_again_with_a_note(
    project: Project, tmp_path: Path, visit: Opened
) -> None:
    with Restartable(project, tmp_path).running() as service:
        console = visit(service.url)
        console.open()
        console.follow("memory")
        console.publish("memory", '"before"')
        expect(console.entry("before")).to_have_count(1)

        service.stop()
        console.wait_for_state("reconnecting")
        service.start()
        console.wait_for_state("open")
        console.publish("memory", '"after"')

        expect(console.entry("after")).to_have_count(1)
        assert console.logged() == [
            '"before"',
            "Earlier events are no longer available.",
            '"after"',
        ]
        expect(console.page.locator("[data-log=received]")).to_have_text("2")


def test_run_ended_by_a_restart_is_not_followed_again(
    project: Project, tmp_path: Path, visit: Opened
) -> None:
    with Restartable(project, tmp_path, SHUTDOWN_GRACE_SECONDS="0.2").running() as service:
        console = visit(service.url)
        console.open()
        form = start_run(console, 1000, 1)
        expect(form.locator("[data-run=count]")).to_have_text("1 event")

        service.stop()

        expect(form.get_by_role("status")).to_have_text("The stream failed.")
        assert console.evaluate("sources.at(-1).readyState") == CLOSED


def test_run_lost_by_a_crash_is_not_followed_again(
    project: Project, tmp_path: Path, visit: Opened
) -> None:
    with Restartable(project, tmp_path, stop_signal=signal.SIGKILL).running() as service:
        console = visit(service.url)
        console.open()
        form = start_run(console, 1000, 1)
        expect(form.locator("[data-run=count]")).to_have_text("1 event")

        service.stop()
        service.start()

        expect(form.get_by_role("status")).to_have_text("The service restarted. The run is lost.")
        assert console.evaluate("sources.at(-1).readyState") == CLOSED


def test_redis_events_resume_without_gap_or_duplicate(
    redis_project: Project, redis_url: str, tmp_path: Path, visit: Opened
) -> None:
    one, other = (Restartable(redis_project, tmp_path, REDIS_URL=redis_url) for _ in range(2))
    with one.running(), other.running():
        console = visit(one.url)
        console.open()
        console.follow("kept-a kept-b", names="named")
        publish(one.url, "kept-a", 0)
        publish(one.url, "kept-b", 1, event="named")
        expect(console.page.locator(".log li")).to_have_count(2)

        one.stop()
        console.wait_for_state("reconnecting")
        publish(other.url, "kept-a", 2, event="named")
        for number in range(3, 9):
            publish(other.url, f"kept-{'ab'[number % 2]}", number)
        one.start()
        console.wait_for_state("open")
        publish(one.url, "kept-a", 9)

        expect(console.entry("9").first).to_be_visible()
        assert console.logged() == [str(number) for number in range(10)]
        ids = console.page.locator(".log .id").all_inner_texts()[::-1]
        assert ids == sorted(set(ids))


def test_unavailable_proxy_causes_no_gap(
    redis_project: Project, redis_url: str, tmp_path: Path, visit: Opened
) -> None:
    one, other = (Restartable(redis_project, tmp_path, REDIS_URL=redis_url) for _ in range(2))
    port = free_port()
    replacements = {
        "server app-1:8000": f"server 127.0.0.1:{one.port}",
        "server app-2:8000": f"server 127.0.0.1:{one.port} backup",
        "listen 8080;": f"listen 127.0.0.1:{port};",
        "access_log /var/log/nginx/access.log ": f"access_log {tmp_path}/access.log ",
    }
    config = redis_project.read("deploy/nginx.conf")
    proxy = nginx(config, replacements, port=port, folder=tmp_path)
    with one.running(), other.running(), proxy:
        console = visit(f"http://127.0.0.1:{port}")
        console.open()
        console.follow("proxied-a proxied-b")
        publish(one.url, "proxied-a", 1)
        expect(console.page.locator(".log li")).to_have_count(1)

        one.stop()
        console.wait_for_state("reconnecting", "Status 502")
        publish(other.url, "proxied-b", 2)
        one.start()
        console.wait_for_state("open")
        publish(one.url, "proxied-a", 3)

        expect(console.entry("3")).to_have_count(1)
        assert console.logged() == ["1", "2", "3"]


def publish(url: str, topic: str, data: object, **more: str) -> None:
    """Publish an event without the page."""
    response = httpx.post(f"{url}/events/{topic}", json={"data": data} | more)
    assert response.status_code == 201


def finished(url: str, steps: int = 1) -> str:
    """Return the topic of a run that is done."""
    response = httpx.post(f"{url}/runs", json={"steps": steps, "interval": 0})
    topic: str = response.json()["topic"]
    with httpx.stream("GET", f"{url}/events/{topic}", params={"last_event_id": "earliest"}) as over:
        assert "event: done" in over.read().decode()
    return topic
