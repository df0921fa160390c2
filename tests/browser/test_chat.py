"""Chat in a browser: a page with `useChat`, and the console's panel."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from browser.conftest import Opened, install
from support.browser import Visit, violations
from support.node import build
from support.project import Bake, Project
from support.service import Restartable

WORDS = [f"word-{number}" for number in range(40)]
QUESTION = " ".join(WORDS)
ANSWER = f"You asked: {QUESTION}"
HTML = '<!doctype html><html lang="en"><title>Chat</title><div id="root"></div>'
HTML += '<script src="/page.js"></script>'

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def ai_sdk_project(bake: Bake, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Generate and install a project with chat for the AI SDK."""
    folder = tmp_path_factory.mktemp("ai-sdk")
    return install(bake, folder, chat="ai-sdk", ndjson=False, csv=False)


@pytest.fixture(scope="module")
def ai_sdk(ai_sdk_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run it; return its URL."""
    folder = tmp_path_factory.mktemp("service")
    # A browser closes a stream with a delay.
    service = Restartable(ai_sdk_project, folder, MAX_STREAMS_PER_CLIENT="1000")
    with service.running():
        yield service.url


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the page with `useChat`; return its script."""
    return build("page.mjs", tmp_path_factory.mktemp("page"))


@pytest.fixture
def open_page(visit: Opened, script: str) -> OpenPage:
    """A function that opens the page of a chat, as if the service had it."""

    def open_page(url: str, chat: str) -> Page:
        page = visit(url).page

        def fulfil(route: Route) -> None:
            is_script = route.request.url.endswith(".js")
            kind = "text/javascript" if is_script else "text/html"
            route.fulfill(body=script if is_script else HTML, content_type=kind)

        page.context.route(f"{url}/page*", fulfil)
        page.goto(f"{url}/page?chat={chat}")
        return page

    return open_page


def send(page: Page, text: str = QUESTION) -> None:
    """Send a message."""
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name="Send").click()


def expect_begun(page: Page) -> None:
    """Wait until a part of the answer is shown."""
    expect(page.locator("[data-role=assistant]").last).to_contain_text("word-2")


def expect_whole(page: Page) -> None:
    """Wait for one whole answer."""
    expect(page.locator("[data-role=assistant]")).to_have_text([ANSWER])
    expect(page.get_by_role("status")).to_have_text("ready")


def test_use_chat_streams_the_answer(ai_sdk: str, open_page: OpenPage) -> None:
    page = open_page(ai_sdk, "streamed")

    send(page)

    expect_begun(page)
    expect(page.get_by_role("status")).to_have_text("streaming")
    expect_whole(page)


def test_use_chat_resumes_after_reload(ai_sdk: str, open_page: OpenPage) -> None:
    page = open_page(ai_sdk, "reloaded")
    send(page)
    expect_begun(page)

    page.reload()

    expect(page.get_by_role("status")).to_have_text("streaming")
    expect_whole(page)


@pytest.fixture
def tabs(ai_sdk: str, open_page: OpenPage, request: pytest.FixtureRequest) -> tuple[Page, Page]:
    """Two tabs of a chat, of which the first has begun to show an answer."""
    page = open_page(ai_sdk, request.node.name)
    send(page)
    expect_begun(page)
    other = page.context.new_page()
    other.goto(page.url)
    return page, other


def test_use_chat_in_second_tab_shows_the_same_answer(tabs: tuple[Page, Page]) -> None:
    for page in tabs:
        expect_whole(page)


def test_use_chat_stops_the_answer_everywhere(tabs: tuple[Page, Page]) -> None:
    page, other = tabs
    expect_begun(other)

    page.get_by_role("button", name="Stop").click()

    for each in (page, other):
        expect(each.get_by_role("status")).to_have_text("ready")
        expect(each.locator("[data-role=assistant]")).not_to_contain_text(WORDS[-1])
    page.reload()
    expect(page.get_by_role("status")).to_have_text("ready")


def test_use_chat_shows_a_failure(
    ai_sdk_project: Project, tmp_path: Path, open_page: OpenPage
) -> None:
    with Restartable(ai_sdk_project, tmp_path, MODEL_FAILS_AFTER="4").running() as service:
        page = open_page(service.url, "failed")

        send(page)

        expect(page.get_by_role("status")).to_have_text("The model failed to answer.")
        expect(page.locator("[data-role=assistant]")).to_have_text("You asked: word-0 word-1")


@pytest.fixture(scope="module")
def openai(bake: Bake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a project with chat for OpenAI's clients; return its URL."""
    folder = tmp_path_factory.mktemp("openai")
    project = install(bake, folder, chat="openai", ndjson=False, csv=False)
    service = Restartable(project, folder, MAX_STREAMS_PER_CLIENT="1000")
    with service.running():
        yield service.url


def ask(console: Visit) -> Locator:
    """Ask in the console; return the place of the outcome."""
    form = console.page.locator("#chat")
    form.get_by_label("Message").fill(QUESTION)
    console.button("Send").click()
    return form.get_by_role("status")


@pytest.fixture(params=["openai", "ai_sdk"])
def console(request: pytest.FixtureRequest, visit: Opened) -> Visit:
    """Open the console of a service with chat."""
    console = visit(request.getfixturevalue(request.param))
    console.open()
    return console


def test_console_shows_the_answer_as_it_comes(console: Visit) -> None:
    outcome = ask(console)

    expect_begun(console.page)
    expect(outcome).to_have_text("Waiting for the answer.")
    expect(outcome).to_have_text("Answered.")
    expect(console.page.locator("#chat li")).to_have_text([QUESTION, ANSWER])
    assert console.evaluate("violations") == []
    assert console.errors == []
    assert violations(console.page) == []


def test_console_of_another_machine_needs_no_https(console: Visit) -> None:
    console.page.add_init_script("delete Crypto.prototype.randomUUID")
    console.open()

    expect(ask(console)).to_have_text("Answered.")


def test_console_continues_the_conversation(console: Visit) -> None:
    expect(ask(console)).to_have_text("Answered.")
    console.page.reload()

    expect(ask(console)).to_have_text("Answered.")

    messages = console.page.locator("#chat li")
    expect(messages).to_have_text([QUESTION, ANSWER, QUESTION, ANSWER])
    console.button("New chat").click()
    expect(messages).to_have_count(0)


def test_console_stops_the_answer(console: Visit) -> None:
    outcome = ask(console)
    expect_begun(console.page)

    console.button("Stop answer").click()

    expect(outcome).to_have_text("The answer was stopped.")
    expect(console.page.locator("[data-role=assistant]")).not_to_contain_text(WORDS[-1])
    expect(console.button("Send")).to_be_enabled()


def test_console_resumes_the_answer_after_reload(ai_sdk: str, visit: Opened) -> None:
    console = visit(ai_sdk)
    console.open()
    ask(console)
    expect_begun(console.page)

    console.page.reload()

    expect(console.page.locator("#chat").get_by_role("status")).to_have_text("Answered.")
    expect(console.page.locator("#chat li")).to_have_text([QUESTION, ANSWER])


def test_console_says_that_a_reload_stopped_the_answer(openai: str, visit: Opened) -> None:
    console = visit(openai)
    console.open()
    ask(console)
    expect_begun(console.page)

    console.page.reload()

    outcome = console.page.locator("#chat").get_by_role("status")
    expect(outcome).to_have_text("The answer was stopped by the reload.")
    expect_begun(console.page)


def test_console_shows_a_failure(ai_sdk_project: Project, tmp_path: Path, visit: Opened) -> None:
    with Restartable(ai_sdk_project, tmp_path, MODEL_FAILS_AFTER="4").running() as service:
        console = visit(service.url)
        console.open()

        expect(ask(console)).to_have_text("The model failed to answer.")

        answer = console.page.locator("[data-role=assistant]")
        expect(answer).to_have_text("You asked: word-0 word-1")
