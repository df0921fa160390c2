"""The pages of several variants: offline, with the policy, by keyboard, behind a prefix."""

from collections.abc import Iterator
from math import sin
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from browser.conftest import Opened, install
from support.browser import Visit, violations
from support.process import listener
from support.project import Bake, Project
from support.servers import nginx
from support.service import Restartable
from support.tools import free_port

VARIANTS: dict[str, dict[str, object]] = {
    "default": {},
    "sse": {"ndjson": False, "csv": False},
    "ndjson": {"sse": False, "csv": False},
    "csv": {"sse": False, "ndjson": False},
    "open": {"auth": "none"},
}
SECTIONS = {
    "default": {"Events", "Exports", "items", "users"},
    "sse": {"Events"},
    "ndjson": {"Exports", "items", "users"},
    "csv": {"Exports", "items", "users"},
    "open": {"Events", "Exports", "items", "users"},
}
PREFIX_PROXY = """
events {{}}
http {{
  server {{
    listen 127.0.0.1:{port};
    location /api/ {{
      proxy_pass http://127.0.0.1:{service_port}/;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_buffering off;
    }}
  }}
}}
"""
"""A configuration of nginx that serves another service under `/api`, and strips this prefix."""
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])
DESKTOP = {"width": 1280, "height": 900}
PICTURE = {"width": 1120, "height": 900}
PHONE = {"width": 360, "height": 780}
SHOW_DEFAULT_PORT = """
for (const line of document.querySelectorAll("#exports pre")) {
  line.textContent = line.textContent.replace(location.port, "8000");
}
"""
"""Replaces the random port of a test."""
STORM = (
    '{"kind": "storm", "places": ["Bergen", "Ålesund"], '
    '"wind": {"from": "NW", "metres_per_second": 27.4}}'
)


@pytest.fixture(scope="module", params=VARIANTS)
def variant(
    request: pytest.FixtureRequest, bake: Bake, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Restartable]]:
    """Run a project of each variant; its name and the service."""
    folder = tmp_path_factory.mktemp("variant")
    project = install(bake, folder, **VARIANTS[request.param])
    with Restartable(project, folder).running() as service:
        if (project.package_path / "samples.py").exists():
            service.seed()
        yield request.param, service


def use(console: Visit) -> None:
    """Use each part of a console, so that the page has content."""
    page = console.page
    if page.locator("#follow").count():
        console.follow("news weather", names="alert")
        console.publish("news", '{"headline": "Streams resume without a gap", "n": 1}')
        expect(console.entry("headline")).to_have_count(1)
        console.publish("weather", STORM, "alert")
        expect(console.entry("storm")).to_have_count(1)
        console.publish("weather", '{"celsius": -3.5}')
        expect(console.entry("celsius")).to_have_count(1)
        page.get_by_label("Request").fill('{"interval": 0}')
        console.button("Start").click()
        expect(page.locator("#run .outcome")).to_have_text("Done.")
        expect(page.locator("[data-rate=peak]")).not_to_have_text("0")
    if page.locator("#exports").count():
        for table in ("items", "users"):
            panel = console.table(table)
            panel.get_by_role("button", name="Read").click()
            expect(panel.get_by_role("status")).to_have_text("Complete: 1,000 rows.")


def test_console_works_offline_and_with_the_policy(
    variant: tuple[str, Restartable], visit: Opened
) -> None:
    name, service = variant
    console = visit(service.url)
    page = console.open()

    use(console)

    assert console.evaluate("moved") == []
    console.save_screenshot(f"variant-{name}")
    headings = page.get_by_role("main").get_by_role("heading")
    shown = set(headings.all_inner_texts()) - {"Log", "Publish an event", "Start a run"}
    assert shown == SECTIONS[name]
    assert console.evaluate("violations") == []
    assert console.errors == []


def test_console_without_tokens_has_no_session(
    variant: tuple[str, Restartable], visit: Opened
) -> None:
    name, service = variant
    console = visit(service.url)

    page = console.open()
    page.wait_for_load_state("networkidle")

    requires_tokens = name != "open"
    assert page.locator("#session").count() == requires_tokens
    assert page.locator("dialog").count() == requires_tokens
    assert ("/session" in console.fetched) == requires_tokens
    assert httpx.get(f"{service.url}/static/session.js").is_success == requires_tokens


def test_documentation_works_offline_and_with_the_policy(
    variant: tuple[str, Restartable], visit: Opened
) -> None:
    _, service = variant
    docs = visit(service.url)
    page = docs.open()

    page.get_by_role("link", name="API documentation").click()

    health = page.locator("#operations-health-get_health_health_get")
    health.click()
    health.get_by_role("button", name="Try it out").click()
    health.get_by_role("button", name="Execute").click()
    expect(health.locator("tbody .response-col_status").first).to_contain_text("200")
    assert docs.evaluate("violations") == []
    assert docs.errors == []


@pytest.mark.parametrize("path", ["/events/{topic}", "/export/items.ndjson", "/export/users.csv"])
def test_documentation_of_a_stream_shows_its_bytes_and_command(
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
    assert documentation.errors == []


def test_console_behind_a_prefix_stays_inside_it(
    project: Project, tmp_path: Path, visit: Opened
) -> None:
    service_port, port = free_port(), free_port()
    uvicorn = (project.python, "-m", "uvicorn", f"{project.package}.main:app")
    env = {"DATABASE_URL": f"sqlite:///{tmp_path / 'prefix.db'}"}
    project.run(project.slug, "seed", "--yes", "--rows", "1000", env=env)
    serve = listener(
        *(*uvicorn, "--root-path", "/api", "--port", str(service_port)),
        port=service_port,
        cwd=project.path,
        log=tmp_path / "log",
        env=env,
    )
    config = PREFIX_PROXY.format(port=port, service_port=service_port)
    with serve, nginx(config, {}, port=port, folder=tmp_path):
        console = visit(f"http://127.0.0.1:{port}/api")
        page = console.open()

        use(console)

        assert console.errors == []
        links = page.get_by_role("navigation").get_by_role("link")
        urls = [link.evaluate("(link) => link.href") for link in links.all()]
        assert urls == [f"{console.url}/docs", f"{console.url}/health"]
        curl = page.locator("#exports pre").first
        expect(curl).to_have_text(f"curl -N '{console.url}/export/items.ndjson'")


@SCHEMES
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_console_has_no_violations_of_axe(
    service: Restartable, visit: Opened, scheme: str, size: dict[str, int]
) -> None:
    console = visit(service.url, color_scheme=scheme, viewport=size)
    console.open()
    expect(console.table("users")).to_be_visible()
    fresh = violations(console.page)

    use(console)
    console.publish("news", '{"half": ')
    console.page.get_by_text("The same with curl").click()

    assert fresh == []
    assert violations(console.page) == []


@SCHEMES
def test_screenshots_of_the_console_are_saved(
    service: Restartable, visit: Opened, scheme: str
) -> None:
    console = visit(service.url, color_scheme=scheme, viewport=PICTURE)
    console.page.clock.install()
    console.open()
    console.follow("news weather")

    pass_a_minute(console)
    use(console)
    console.evaluate(SHOW_DEFAULT_PORT)

    assert console.save_screenshot(f"console-{scheme}").stat().st_size > 10_000


def pass_a_minute(console: Visit) -> None:
    """Publish in each second of a minute by the clock of the page, which the test moves."""
    with httpx.Client(base_url=console.url) as client:
        for second in range(60):
            # Early in a second of the page, so that all events are published within it.
            console.page.clock.run_for(
                console.evaluate("1100 - Math.floor(performance.now() % 1000)")
            )
            for number in range(5 + second // 12 + round(4 * sin(second / 6)) + second % 3):
                data = {"wind": second / 10, "station": number}
                client.post("/events/weather", json={"data": data})


def test_console_on_a_phone_needs_no_horizontal_scrolling(
    service: Restartable, visit: Opened
) -> None:
    console = visit(service.url, viewport=PHONE, has_touch=True, is_mobile=True)
    console.open()

    use(console)

    assert console.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    small = console.evaluate(
        "[...document.querySelectorAll('button, select, input:not([type=checkbox])')]"
        ".filter((control) => control.checkVisibility() && control.offsetHeight < 36)"
        ".map((control) => control.name)"
    )
    assert small == []
    console.save_screenshot("console-phone")


def test_nothing_moves_while_the_console_is_used(service: Restartable, visit: Opened) -> None:
    console = visit(service.url, viewport=DESKTOP)
    console.page.clock.install()
    console.open()

    use(console)
    pass_a_minute(console)

    expect(console.page.locator(".log li")).to_have_count(200)
    assert console.evaluate("moved") == []


FOCUSED = """
() => {
  const { activeElement } = document;
  const { outlineStyle, outlineWidth } = getComputedStyle(activeElement);
  const label = activeElement.labels?.[0];
  const labelledBy = document.getElementById(activeElement.getAttribute("aria-labelledby"));
  const texts = label && [...label.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
  const name = activeElement.ariaLabel ?? labelledBy?.textContent
    ?? texts?.map((text) => text.textContent).join("") ?? activeElement.textContent;
  return [name.trim(), outlineStyle === "solid" && parseFloat(outlineWidth) >= 2];
}
"""
"""Returns the name of the element with the focus, and whether the focus is visible."""


def test_tab_key_reaches_every_control_with_visible_focus(console: Visit) -> None:
    expect(console.table("users")).to_be_visible()
    names = []

    while True:
        console.page.keyboard.press("Tab")
        if console.evaluate("document.activeElement === document.body"):
            break
        name, visible = console.evaluate(f"({FOCUSED})()")
        assert visible, name
        names.append(name)

    assert names == [
        *("API documentation", "Health", "Topics", "Named events to include", "Replay history"),
        *("Follow", "Pause", "Clear", "Log", "Topic", "Name", "Data (JSON)", "Publish"),
        *("Request (JSON)", "Start", "The same with curl"),
        *("Format", "Read", "Save items.ndjson", "First rows of items"),
        *("Format", "Read", "Save users.ndjson", "First rows of users"),
    ]


def test_keyboard_follows_publishes_and_reads(console: Visit) -> None:
    expect(console.table("users")).to_be_visible()
    keyboard = console.page.keyboard

    press_tab(console, 3)
    keyboard.type("keys")
    keyboard.press("Enter")
    console.wait_for_state("open")
    press_tab(console, 8)
    keyboard.type("keys")
    keyboard.press("Enter")
    expect(console.entry("hello")).to_have_count(1)
    press_tab(console, 7)
    keyboard.press("c")
    press_tab(console, 1)
    keyboard.press("Enter")

    panel = console.table("items")
    expect(panel.get_by_role("status")).to_have_text("Complete: 1,000 rows.")
    expect(panel.get_by_role("link", name="Save items.csv")).to_be_visible()
    expect(panel.get_by_role("button", name="Read")).to_be_focused()


def press_tab(console: Visit, times: int) -> None:
    """Press the tab key."""
    for _ in range(times):
        console.page.keyboard.press("Tab")


def test_curl_commands_have_the_url_of_the_page(console: Visit) -> None:
    expect(console.table("users")).to_be_visible()
    console.page.get_by_text("The same with curl").click()

    *tables, events = sorted(console.page.locator("pre").all_inner_texts(), key=len)
    assert all(console.url in line for line in (*tables, *events.splitlines()))
    assert len(tables) == 2
    assert len(events.splitlines()) == 3
