"""The browser that is installed, and a page of it that keeps what was wrong with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, sync_playwright

from support.tools import TEMPLATE, find, lacking

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SCREENSHOTS = TEMPLATE / ".screenshots"
"""Where a run of the tests leaves what it saw."""

RECORDER = """
window.moved = [];
window.sources = [];
window.violations = [];
document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
  window.violations.push(`${violatedDirective} ${blockedURI}`));
new PerformanceObserver((list) => {
  for (const { sources } of list.getEntries()) {
    for (const { node } of sources) {
      if (!node?.parentElement?.closest(".log .scroll")) window.moved.push(node?.outerHTML);
    }
  }
}).observe({ type: "layout-shift", buffered: true });
window.EventSource = class extends EventSource {
  constructor(...parameters) {
    super(...parameters);
    window.sources.push(this);
  }
};
"""
"""Keeps what broke the policy, every EventSource, and what moved on the page, but in the log."""


def executable() -> str:
    """Return the path of a browser; without one skip the test, or fail it under CI."""
    for path in filter(None, map(find, PROGRAMS)):
        return path
    return lacking(f"none of {', '.join(PROGRAMS)} is installed")


@contextmanager
def launched() -> Iterator[Browser]:
    """Run the browser without a screen. Nothing in this thread can use asyncio meanwhile."""
    path = executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A page of a service, and all that is wrong with it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        """Errors on the console, exceptions that nobody caught, and requests to anything else."""
        self.streams: list[str] = []
        """The requests of every EventSource."""
        self.fetched: list[str] = []
        """The requests of `fetch`."""
        self.page.add_init_script(RECORDER)
        self.page.on("console", self._read)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._see)
        self.page.context.route(
            lambda url: not url.startswith((self.url, "data:")), lambda route: route.abort()
        )

    def _read(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _see(self, request: Request) -> None:
        if request.resource_type == "eventsource":
            self.streams.append(request.url.removeprefix(self.url))
        if request.resource_type == "fetch":
            self.fetched.append(request.url.removeprefix(self.url))
        if not request.url.startswith((self.url, "data:")):
            self.complaints.append(f"asked for {request.url}")

    def open(self, path: str = "/") -> Page:
        """Go to a page of the service."""
        self.page.goto(self.url + path)
        return self.page

    def ask(self, expression: str) -> Any:  # noqa: ANN401
        """Evaluate JavaScript in the page."""
        return self.page.evaluate(expression)

    def button(self, name: str, within: str = "body") -> Locator:
        """Find a button by its whole name."""
        return self.page.locator(within).get_by_role("button", name=name, exact=True)

    def follow(
        self, topics: str, *, names: str = "", history: bool = False, until: str = "open"
    ) -> None:
        """Follow topics, and wait until the connection is in a state."""
        self.page.get_by_label("Topics").fill(topics)
        self.page.get_by_label("Named events to show too").fill(names)
        self.page.get_by_label("With history").set_checked(history)
        self.button("Follow").click()
        self.until_state(until)

    def until_state(self, state: str, words: str = "") -> None:
        """Wait until the page says that the connection is in a state, and something of it."""
        self.page.locator(f".state[data-state={state}]", has_text=words).wait_for()

    def publish(self, topic: str, data: str, name: str = "") -> Locator:
        """Publish by the form; where the page says how it went."""
        form = self.page.locator("#publish")
        form.get_by_label("Topic").fill(topic)
        form.get_by_label("Name").fill(name)
        form.get_by_label("Data").fill(data)
        self.button("Publish").click()
        return form.get_by_role("status")

    def entry(self, words: str) -> Locator:
        """Find the entries of the log whose data say something."""
        return self.page.locator(".log li", has=self.page.locator("pre", has_text=words))

    def logged(self) -> list[str]:
        """List the data of the log, the oldest first."""
        return self.page.locator(".log pre").all_inner_texts()[::-1]

    def read(self, format_name: str) -> Locator:
        """Start to read an export; its part of the page."""
        panel = self.page.locator(f"[data-format={format_name}]")
        panel.get_by_role("button", name="Read").click()
        return panel

    def save_screenshot(self, name: str) -> Path:
        """Keep a picture of the whole page."""
        path = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=path, full_page=True, animations="disabled")
        return path


def violations(page: Page) -> list[str]:
    """Name what axe finds, with the elements it finds it on."""
    # Elements that fade would be measured in between.
    page.emulate_media(reduced_motion="reduce")
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{each['id']}: {[node['html'] for node in each['nodes']]}" for each in found]
