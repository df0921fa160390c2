"""A browser, and pages in it that record errors and requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, sync_playwright

from support.tools import TEMPLATE, find, lacking

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SCREENSHOTS = TEMPLATE / ".screenshots"
"""The folder for the screenshots of the last run."""

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
"""Records violations of the policy, every EventSource, and layout shifts outside the log."""


def executable() -> str:
    """Return the path of a browser; without one skip the test, or fail it under CI."""
    for path in filter(None, map(find, PROGRAMS)):
        return path
    return lacking(f"none of {', '.join(PROGRAMS)} is installed")


@contextmanager
def launched() -> Iterator[Browser]:
    """Run a headless browser. Meanwhile nothing in this thread can use asyncio."""
    path = executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A page of a service, with its errors and requests."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.errors: list[str] = []
        """Messages on the browser's console, uncaught exceptions and requests to other hosts."""
        self.streams: list[str] = []
        """The paths that an EventSource requested."""
        self.fetched: list[str] = []
        """The paths that `fetch` requested."""
        self.page.add_init_script(RECORDER)
        self.page.on("console", self._record_message)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._record_request)
        self.page.context.route(
            lambda url: not url.startswith((self.url, "data:")), lambda route: route.abort()
        )

    def _record_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _record_request(self, request: Request) -> None:
        if request.resource_type == "eventsource":
            self.streams.append(request.url.removeprefix(self.url))
        if request.resource_type == "fetch":
            self.fetched.append(request.url.removeprefix(self.url))
        if not request.url.startswith((self.url, "data:")):
            self.errors.append(f"request to {request.url}")

    def open(self, path: str = "/") -> Page:
        """Open a page of the service."""
        self.page.goto(self.url + path)
        return self.page

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401
        """Evaluate JavaScript in the page."""
        return self.page.evaluate(expression)

    def button(self, name: str, within: str = "body") -> Locator:
        """Return the button with this whole name."""
        return self.page.locator(within).get_by_role("button", name=name, exact=True)

    def follow(
        self, topics: str, *, names: str = "", history: bool = False, until: str = "open"
    ) -> None:
        """Follow topics, and wait for a state of the connection."""
        self.page.get_by_label("Topics").fill(topics)
        self.page.get_by_label("Named events to include").fill(names)
        self.page.get_by_label("Replay history").set_checked(history)
        self.button("Follow").click()
        self.wait_for_state(until)

    def wait_for_state(self, state: str, text: str = "") -> None:
        """Wait for a state of the connection, with a text."""
        self.page.locator(f".state[data-state={state}]", has_text=text).wait_for()

    def publish(self, topic: str, data: str, name: str = "") -> Locator:
        """Publish with the form; return the place of its outcome."""
        form = self.page.locator("#publish")
        form.get_by_label("Topic").fill(topic)
        form.get_by_label("Name").fill(name)
        form.get_by_label("Data").fill(data)
        self.button("Publish").click()
        return form.get_by_role("status")

    def entry(self, text: str) -> Locator:
        """Return the entries of the log whose data contain a text."""
        return self.page.locator(".log li", has=self.page.locator("pre", has_text=text))

    def logged(self) -> list[str]:
        """Return the data in the log, the oldest first."""
        return self.page.locator(".log pre").all_inner_texts()[::-1]

    def table(self, name: str) -> Locator:
        """Return the panel of an exported table."""
        return self.page.get_by_role("form", name=name, exact=True)

    def read(self, table: str, extension: str) -> Locator:
        """Start to read an export; return the panel of its table."""
        panel = self.table(table)
        panel.get_by_label("Format").select_option(extension)
        panel.get_by_role("button", name="Read").click()
        return panel

    def save_screenshot(self, name: str) -> Path:
        """Save a screenshot of the whole page; return its path."""
        path = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=path, full_page=True, animations="disabled")
        return path


def violations(page: Page) -> list[str]:
    """Return the rules of axe that the page violates, with the elements."""
    # The colours of an element that fades would be measured halfway.
    page.emulate_media(reduced_motion="reduce")
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{each['id']}: {[node['html'] for node in each['nodes']]}" for each in found]
