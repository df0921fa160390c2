"""The pages of every kind of project: offline, under their policy, for every kind of user."""

from collections.abc import Iterator
from math import sin

import httpx
import pytest
from playwright.sync_api import expect

from browser.conftest import Opened, install
from support.browser import Visit, violations
from support.project import Bake
from support.service import Restartable

VARIANTS = {
    "default": {},
    "sse": {"ndjson": False, "csv": False},
    "ndjson": {"sse": False, "csv": False},
    "csv": {"sse": False, "ndjson": False},
}
SECTIONS = {
    "default": {"Events", "Exports", "Items as NDJSON", "Users as CSV"},
    "sse": {"Events"},
    "ndjson": {"Exports", "Items as NDJSON"},
    "csv": {"Exports", "Users as CSV"},
}
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])
DESKTOP = {"width": 1280, "height": 900}
PICTURE = {"width": 1120, "height": 900}
PHONE = {"width": 360, "height": 780}


@pytest.fixture(scope="module", params=VARIANTS)
def variant(
    request: pytest.FixtureRequest, bake: Bake, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Restartable]]:
    """Run a project of every kind; its name, and the service."""
    folder = tmp_path_factory.mktemp("variant")
    project = install(bake, folder, **VARIANTS[request.param])
    with Restartable(project, folder).running() as service:
        yield request.param, service


def use(console: Visit) -> None:
    """Use all of a console that there is, so that the page has something to show."""
    page = console.page
    if page.locator("#events").count():
        console.follow("news weather", names="alert")
        console.publish("news", '{"headline": "Streams resume where they broke off", "n": 1}')
        expect(console.entry("headline")).to_have_count(1)
        console.publish("weather", STORM, "alert")
        expect(console.entry("storm")).to_have_count(1)
        console.publish("weather", '{"celsius": -3.5}')
        expect(console.entry("celsius")).to_have_count(1)
        page.get_by_label("Seconds apart").fill("0")
        console.button("Start").click()
        expect(page.locator("#job .outcome")).to_have_text("Done.")
        expect(page.locator("[data-rate=peak]")).not_to_have_text("0")
    for panel in page.locator("[data-export]").all():
        panel.get_by_role("button", name="Read").click()
        expect(panel.get_by_role("status")).to_have_text("Complete: 1,000 rows.")


STORM = (
    '{"kind": "storm", "places": ["Bergen", "Ålesund"], '
    '"wind": {"from": "NW", "metres_per_second": 27.4}}'
)


def test_the_console_has_what_was_chosen_and_all_of_it_works_offline_and_under_the_policy(
    variant: tuple[str, Restartable], visit: Opened
) -> None:
    name, service = variant
    console = visit(service.url)
    page = console.open()

    use(console)

    console.save_screenshot(f"variant-{name}")
    headings = page.get_by_role("main").get_by_role("heading")
    shown = set(headings.all_inner_texts()) - {"Log", "Publish an event", "Start a job"}
    assert shown == SECTIONS[name]
    expect(page.get_by_role("link", name="Health")).to_have_attribute("href", "/health")
    assert console.ask("violations") == []
    assert console.complaints == []


def test_the_documentation_works_offline_and_under_the_policy(
    variant: tuple[str, Restartable], visit: Opened
) -> None:
    _, service = variant
    docs = visit(service.url)
    page = docs.open()

    page.get_by_role("link", name="API documentation").click()

    health = page.locator("#operations-health-health_health_get")
    health.click()
    health.get_by_role("button", name="Try it out").click()
    health.get_by_role("button", name="Execute").click()
    expect(health.locator("tbody .response-col_status").first).to_contain_text("200")
    assert docs.ask("violations") == []
    assert docs.complaints == []


@pytest.mark.parametrize("path", ["/events/{topic}", "/export/items", "/export/users.csv"])
def test_a_stream_is_documented_with_its_bytes_and_the_command_that_follows_it(
    service: Restartable, visit: Opened, path: str
) -> None:
    operation = httpx.get(f"{service.url}/openapi.json").json()["paths"][path]["get"]
    (content,) = operation["responses"]["200"]["content"].values()
    *_, last_line = content["examples"]["wire"]["serializedValue"].strip().splitlines()
    documentation = visit(service.url)

    page = documentation.open("/docs")
    shown = page.locator(f"#operations-{operation['tags'][0]}-{operation['operationId']}")
    shown.click()

    expect(shown).to_contain_text(last_line)
    command = f"curl -N http://127.0.0.1:8000{path.replace('{topic}', 'news')}"
    expect(shown).to_contain_text(command)
    assert documentation.complaints == []


@SCHEMES
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_wrong_with_the_console(
    service: Restartable, visit: Opened, scheme: str, size: dict[str, int]
) -> None:
    console = visit(service.url, color_scheme=scheme, viewport=size)
    console.open()
    fresh = violations(console.page)

    use(console)
    console.publish("news", '{"half": ')
    console.page.get_by_text("The same with curl").click()

    assert fresh == []
    assert violations(console.page) == []


@SCHEMES
def test_pictures_of_the_console_are_kept(service: Restartable, visit: Opened, scheme: str) -> None:
    console = visit(service.url, color_scheme=scheme, viewport=PICTURE)
    console.page.clock.install()
    console.open()
    console.follow("news weather")

    let_a_minute_pass(console)
    use(console)

    assert console.save_screenshot(f"console-{scheme}").stat().st_size > 10_000


def let_a_minute_pass(console: Visit) -> None:
    """Publish in each second of a minute, which for the page is over in a moment."""
    with httpx.Client(base_url=console.url) as client:
        for second in range(60):
            for number in range(5 + second // 12 + round(4 * sin(second / 6)) + second % 3):
                data = {"wind": second / 10, "station": number}
                client.post("/events/weather", json={"data": data})
            console.page.clock.run_for(1000)


def test_a_phone_shows_the_console_without_scrolling_sideways(
    service: Restartable, visit: Opened
) -> None:
    console = visit(service.url, viewport=PHONE, has_touch=True, is_mobile=True)
    console.open()

    use(console)

    assert console.ask("document.documentElement.scrollWidth") == PHONE["width"]
    small = console.ask(
        "[...document.querySelectorAll('button, input:not([type=checkbox])')]"
        ".filter((control) => control.checkVisibility() && control.offsetHeight < 36)"
        ".map((control) => control.name)"
    )
    assert small == []
    console.save_screenshot("console-phone")


def test_nothing_moves_while_things_happen(service: Restartable, visit: Opened) -> None:
    console = visit(service.url, viewport=DESKTOP)
    console.page.clock.install()
    console.open()

    use(console)
    let_a_minute_pass(console)

    expect(console.page.locator(".log li")).to_have_count(200)
    assert console.ask("moved") == []


FOCUSED = """
() => {
  const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
  const { labels, textContent, ariaLabel } = document.activeElement;
  const by = document.activeElement.getAttribute("aria-labelledby");
  const name = ariaLabel ?? (by ? document.getElementById(by).textContent
    : (labels?.[0] ?? document.activeElement).textContent);
  return [name.trim().split("\\n")[0], outlineStyle === "solid" && parseFloat(outlineWidth) >= 2];
}
"""
"""Gives the name of what has the focus, and whether that can be seen."""


def test_every_control_is_reached_by_the_tab_key_and_shows_the_focus(console: Visit) -> None:
    names = []

    while True:
        console.page.keyboard.press("Tab")
        if console.ask("document.activeElement === document.body"):
            break
        name, visible = console.ask(f"({FOCUSED})()")
        assert visible, name
        names.append(name)

    assert names == [
        *("API documentation", "Health", "Topics", "Named events to show too", "With history"),
        *("Follow", "Pause", "Clear", "Log", "Topic", "Name", "Data, as JSON", "Publish"),
        *("Steps", "Seconds apart", "Start"),
        *("Read", "Save items.ndjson", "First rows of items.ndjson"),
        *("Read", "Save users.csv", "First rows of users.csv", "The same with curl"),
    ]


def test_the_keyboard_alone_follows_and_publishes(console: Visit) -> None:
    keyboard = console.page.keyboard
    for _ in range(3):
        keyboard.press("Tab")
    keyboard.type("keys")
    keyboard.press("Enter")
    console.until_state("open")

    for _ in range(8):
        keyboard.press("Tab")
    keyboard.type("keys")
    keyboard.press("Enter")

    expect(console.entry("hello")).to_have_count(1)


def test_the_lines_for_curl_name_this_service(console: Visit) -> None:
    console.page.get_by_text("The same with curl").click()

    lines = console.page.locator("footer pre").all_inner_texts()
    assert len(lines) == 3
    assert all(console.url in line for line in lines)
    assert not any("127.0.0.1:8000" in line for line in lines)
