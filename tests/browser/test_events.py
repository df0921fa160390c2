"""Topics in the console: followed, published to, and at work."""

import json
import re
from pathlib import Path

import httpx
from playwright.sync_api import expect

from browser.conftest import Opened
from support.browser import Visit
from support.project import Project
from support.servers import nginx
from support.service import Restartable
from support.tools import free_port

CLOSED = 2
"""What EventSource says of itself when it does not come back."""

KEEP_COUNTS = """
() => {
  const place = document.querySelector("#job [data-job=count]");
  window.counts = [];
  new MutationObserver((changes) => {
    for (const { addedNodes: [words] } of changes) window.counts.push(words.textContent);
  }).observe(place, { childList: true });
}
"""
"""Keeps all steps of a job that are shown."""

COUNT_ENTRIES = """
() => {
  window.entries = 0;
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) window.entries += addedNodes.length;
  }).observe(document.querySelector(".log ol"), { childList: true });
}
"""
"""Counts all entries that are ever put into the log."""


def test_an_event_is_shown_with_its_id_its_name_its_time_and_its_data(console: Visit) -> None:
    console.follow("shown", names="alert")

    outcome = console.publish("shown", '{"big":12345678901234567890,"at":["Bergen"]}', "alert")

    expect(outcome).to_contain_text("Stored as ")
    entry = console.entry("Bergen")
    expect(entry.locator(".id")).to_have_text(outcome.inner_text().removeprefix("Stored as "))
    expect(entry.locator(".topic")).to_have_text("shown")
    expect(entry.locator(".name")).to_have_text("alert")
    expect(entry.locator("time")).to_have_attribute("datetime", re.compile(r"^\d{4}-.*Z$"))
    expect(entry.locator("pre")).to_have_text('{"big": 12345678901234567890, "at": ["Bergen"]}')


def test_long_data_is_laid_out_on_lines_of_their_own(console: Visit) -> None:
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


def test_markup_in_an_event_is_text(console: Visit) -> None:
    console.follow("markup")

    console.publish("markup", '"<img src=x onerror=alert(1)>"')

    expect(console.entry("<img src=x onerror=alert(1)>")).to_have_count(1)
    assert console.complaints == []


def test_several_topics_come_on_one_connection_and_are_told_apart(console: Visit) -> None:
    console.follow("one, two three")

    for topic in ("one", "two", "three"):
        console.publish(topic, f'{{"from":"{topic}"}}')
        expect(console.entry(topic).locator(".topic")).to_have_text(topic)
        expect(console.entry(topic).locator("pre")).to_have_text(f'{{"from": "{topic}"}}')

    assert console.streams == ["/events/one?topic=two&topic=three"]


def test_names_are_heard_from_when_they_are_named(console: Visit) -> None:
    console.follow("named")
    publish(console.url, "named", 1, event="later")
    publish(console.url, "named", 2)
    expect(console.page.locator(".log li")).to_have_count(1)

    names = console.page.get_by_label("Named events to show too")
    names.fill("later, message open")
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


def test_a_name_that_is_published_here_is_shown_here(console: Visit) -> None:
    console.follow("own", names="other")

    console.publish("own", '"mine"', "alert")

    expect(console.entry("mine").locator(".name")).to_have_text("alert")
    expect(console.page.get_by_label("Named events to show too")).to_have_value("other, alert")


def test_history_comes_first_if_it_is_wanted(console: Visit) -> None:
    for number in range(3):
        publish(console.url, "past", number)

    console.follow("past", history=True)

    expect(console.page.locator(".log li")).to_have_count(3)
    assert console.logged() == ["0", "1", "2"]


def test_data_that_is_no_json_is_said_to_be_none_and_is_not_sent(console: Visit) -> None:
    methods: set[str] = set()
    console.page.on("request", lambda request: methods.add(request.method))

    outcome = console.publish("misfit", '{"half": ')

    expect(outcome).to_contain_text("The data is not JSON: ")
    data = console.page.get_by_label("Data")
    expect(data).to_be_focused()
    expect(data).to_have_attribute("aria-invalid", "true")
    assert methods <= {"GET"}
    expect(console.publish("misfit", "1")).to_contain_text("Stored as")
    expect(data).to_have_attribute("aria-invalid", "false")


def test_a_missing_topic_is_said_to_be_missing(console: Visit) -> None:
    outcome = console.publish(" ", "1")

    expect(outcome).to_have_text("The topic is missing.")


def test_a_publish_that_is_refused_says_why(console: Visit) -> None:
    outcome = console.publish("refused", "1", "done")

    expect(outcome).to_contain_text("Unprocessable")
    expect(outcome).to_contain_text("'done' is reserved")


def test_a_publish_to_a_finished_topic_says_so(console: Visit) -> None:
    topic = finished(console.url)

    outcome = console.publish(topic, "1")

    expect(outcome).to_have_text(f"Conflict: The topic {topic} is finished.")


def test_a_job_moves_its_bar_and_is_done(console: Visit) -> None:
    job = console.page.locator("#job")
    job.get_by_label("Steps").fill("3")
    job.get_by_label("Seconds apart").fill("0.2")
    console.ask(KEEP_COUNTS)

    console.button("Start").click()

    expect(job.get_by_role("status")).to_have_text("Done.")
    assert console.ask("counts") == ["0 of 3", "1 of 3", "2 of 3", "3 of 3"]
    assert console.ask("document.querySelector('progress').position") == 1
    assert console.ask("sources.map((source) => source.readyState)") == [CLOSED]


def test_the_next_job_takes_the_bar_over(console: Visit) -> None:
    job = console.page.locator("#job")
    job.get_by_label("Steps").fill("1000")
    console.button("Start").click()
    expect(job.locator("[data-job=count]")).to_have_text("1 of 1000")

    job.get_by_label("Steps").fill("1")
    console.button("Start").click()

    expect(job.get_by_role("status")).to_have_text("Done.")
    assert console.ask("sources.map((source) => source.readyState)") == [CLOSED, CLOSED]


def test_a_job_is_shown_in_the_log_from_its_first_event_on(console: Visit) -> None:
    console.page.get_by_label("Steps").fill("2")
    console.page.get_by_label("Seconds apart").fill("0")
    console.button("Start").click()
    expect(console.page.locator("#job .outcome")).to_have_text("Done.")

    console.button("Show in log").click()

    expect(console.entry("done").locator(".name")).to_have_text("done")
    assert [json.loads(data).get("count") for data in console.logged()] == [0, 1, None]


def test_a_pause_holds_the_log_and_loses_nothing_that_fits(console: Visit) -> None:
    console.ask(COUNT_ENTRIES)
    console.button("Pause").click()
    expect(console.button("Pause")).to_have_attribute("aria-pressed", "true")
    console.follow(finished(console.url, 201), history=True, until="ended")
    expect(console.page.locator("[data-log=received]")).to_have_text("202")
    expect(console.page.locator(".log li")).to_have_count(0)

    console.button("Pause").click()

    expect(console.page.locator(".log li")).to_have_count(200)
    assert [json.loads(data).get("count") for data in console.logged()] == [*range(2, 201), None]
    assert console.ask("entries") == 200  # what does not fit was not kept, and not made


def test_clearing_empties_the_log(console: Visit) -> None:
    console.follow("cleared")
    console.publish("cleared", "1")
    expect(console.page.locator(".log li")).to_have_count(1)

    console.button("Clear").click()

    expect(console.page.locator(".log li")).to_have_count(0)
    expect(console.page.locator("[data-log=received]")).to_have_text("0")


def test_the_plot_shows_how_many_events_came_in_a_second(console: Visit) -> None:
    console.follow("plotted")

    publish(console.url, "plotted", 1)

    expect(console.page.locator("[data-rate=peak]")).to_have_text("1")
    expect(console.page.locator(".rate path")).to_have_attribute("d", re.compile("^M.*z$"))


def test_stopping_closes_the_connection(console: Visit) -> None:
    console.follow("stopped")

    console.button("Stop").click()

    console.until_state("idle")
    expect(console.button("Stop")).to_be_disabled()
    assert console.ask("sources.map((source) => source.readyState)") == [CLOSED]


def test_following_anew_leaves_the_topics_that_were_followed(console: Visit) -> None:
    console.follow("before")
    console.follow("after")

    publish(console.url, "before", 1)
    publish(console.url, "after", 2)

    expect(console.entry("2")).to_have_count(1)
    assert console.logged() == ["2"]
    assert console.ask("sources.map((source) => source.readyState)") == [CLOSED, 1]


def test_a_finished_topic_ends_the_connection_for_good(console: Visit) -> None:
    topic = finished(console.url)

    console.follow(topic, history=True, until="ended")

    expect(console.button("Stop")).to_be_disabled()
    assert [json.loads(data).get("done") for data in console.logged()] == [None, True]
    assert console.ask("sources.map((source) => source.readyState)") == [CLOSED]
    assert len(console.streams) == 2  # the events, and 204


def test_what_the_service_does_not_accept_is_shown_and_not_tried_again(
    service: Restartable, visit: Opened
) -> None:
    console = visit(service.url)
    console.page.clock.install()
    console.open()

    topics = [f"topic-{number}" for number in range(51)]
    console.follow(" ".join(topics), until="refused")
    console.page.clock.run_for(60_000)

    console.until_state("refused", "51 topics: one stream carries at most 50.")
    expect(console.publish("other", "1")).to_contain_text("Stored as")
    assert len(console.streams) == 1
    assert len(console.fetched) == 3  # the session, the reason, and what was published


def test_no_topic_is_no_connection(console: Visit) -> None:
    console.follow(", ", until="refused")

    expect(console.page.locator(".state")).to_have_text("Refused. A topic is missing.")
    assert console.streams == []


def test_one_stream_too_many_is_taken_up_when_there_is_room(
    project: Project, tmp_path: Path, visit: Opened
) -> None:
    with Restartable(project, tmp_path, MAX_STREAMS_PER_CLIENT="1").running() as service:
        first, second = visit(service.url), visit(service.url)
        first.open()
        first.follow("room")
        second.open()
        second.page.get_by_label("Topics").fill("room")
        second.button("Follow").click()
        second.until_state("reconnecting", "Too Many Requests")

        first.button("Stop").click()

        second.until_state("open")
        second.publish("room", '"there"')
        expect(second.entry("there")).to_have_count(1)


def test_a_restart_of_the_service_is_survived_and_its_loss_is_told(
    project: Project, tmp_path: Path, visit: Opened
) -> None:
    with Restartable(project, tmp_path).running() as service:
        console = visit(service.url)
        console.open()
        console.follow("memory")
        console.publish("memory", '"before"')
        expect(console.entry("before")).to_have_count(1)

        service.stop()
        console.until_state("reconnecting")
        service.start()
        console.until_state("open")
        console.publish("memory", '"after"')

        expect(console.entry("after")).to_have_count(1)
        assert console.logged() == ['"before"', "Events before this one are lost.", '"after"']
        expect(console.page.locator("[data-log=received]")).to_have_text("2")


def test_a_job_that_a_restart_ended_is_not_waited_for(
    project: Project, tmp_path: Path, visit: Opened
) -> None:
    with Restartable(project, tmp_path).running() as service:
        console = visit(service.url)
        console.open()
        console.page.get_by_label("Steps").fill("1000")
        console.button("Start").click()
        outcome = console.page.locator("#job .outcome")
        expect(console.page.locator("[data-job=count]")).to_have_text("1 of 1000")

        service.stop()
        service.start()

        expect(outcome).to_have_text("The service has forgotten this job.")
        assert console.ask("sources.at(-1).readyState") == CLOSED


def test_what_redis_holds_is_resumed_without_a_loss_and_without_anything_twice(
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
        console.until_state("reconnecting")
        publish(other.url, "kept-a", 2, event="named")
        for number in range(3, 9):
            publish(other.url, f"kept-{'ab'[number % 2]}", number)
        one.start()
        console.until_state("open")
        publish(one.url, "kept-a", 9)

        expect(console.entry("9").first).to_be_visible()
        assert console.logged() == [str(number) for number in range(10)]
        ids = console.page.locator(".log .id").all_inner_texts()[::-1]
        assert ids == sorted(set(ids))


def test_a_proxy_that_refuses_for_a_while_costs_no_event(
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
        console.until_state("reconnecting", "Status 502")
        publish(other.url, "proxied-b", 2)
        one.start()
        console.until_state("open")
        publish(one.url, "proxied-a", 3)

        expect(console.entry("3")).to_have_count(1)
        assert console.logged() == ["1", "2", "3"]


def publish(url: str, topic: str, data: object, **more: str) -> None:
    """Publish past the page."""
    answer = httpx.post(f"{url}/events/{topic}", json={"data": data} | more)
    assert answer.status_code == 201


def finished(url: str, steps: int = 1) -> str:
    """Run a job to its end; the topic, which nothing can be published to."""
    answer = httpx.post(f"{url}/jobs", json={"steps": steps, "interval": 0})
    topic: str = answer.json()["topic"]
    with httpx.stream("GET", f"{url}/events/{topic}", params={"last_event_id": "earliest"}) as over:
        assert "event: done" in over.read().decode()
    return topic
