"""Signing in on the console of a service with tokens, and what the browser may do then."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from browser.conftest import Opened
from support.browser import Visit, violations
from support.project import Project
from support.service import Restartable

EVERYTHING = "may-do-everything"
READER = "may-only-read"


@pytest.fixture(scope="module")
def guarded(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restartable]:
    """Run the default project with two tokens."""
    tokens = {EVERYTHING: ["events", "publish", "export"], READER: ["events", "export"]}
    folder = tmp_path_factory.mktemp("guarded")
    with Restartable(project, folder, API_TOKENS=json.dumps(tokens)).running() as service:
        yield service


@pytest.fixture
def console(guarded: Restartable, visit: Opened) -> Visit:
    """Open the console of the service with tokens."""
    console = visit(guarded.url)
    console.open()
    return console


def sign_in(console: Visit, token: str) -> None:
    """Type a token into the dialog."""
    console.button("Sign in", "nav").click()
    dialog = console.page.get_by_role("dialog")
    dialog.get_by_label("Token").fill(token)
    dialog.get_by_role("button", name="Sign in").click()


def test_who_has_no_token_is_asked_for_one_and_sees_nothing(console: Visit) -> None:
    console.follow("news", until="refused")
    panel = console.read("csv")

    expect(console.button("Sign in", "nav")).to_be_visible()
    console.until_state("refused", "A valid token is needed.")
    expect(panel.get_by_role("status")).to_contain_text("A valid token is needed.")


def test_a_wrong_token_is_said_to_be_wrong(console: Visit) -> None:
    sign_in(console, "mistaken")

    dialog = console.page.get_by_role("dialog")
    expect(dialog.get_by_role("status")).to_contain_text("A valid token is needed.")
    expect(dialog.get_by_label("Token")).to_be_focused()


@pytest.mark.parametrize("wrong", ["", "two words", "ключ"])
def test_what_can_be_no_token_is_not_sent(console: Visit, wrong: str) -> None:
    sign_in(console, wrong)

    expect(console.page.get_by_role("dialog")).to_be_visible()
    assert console.fetched == ["/session"]


def test_who_signed_in_reads_and_publishes(console: Visit) -> None:
    sign_in(console, EVERYTHING)
    expect(console.button("Sign out", "nav")).to_be_visible()

    console.follow("mine")
    expect(console.publish("mine", '"published"')).to_contain_text("Stored as")
    panel = console.read("ndjson")

    expect(console.entry("published")).to_have_count(1)
    expect(panel.get_by_role("status")).to_contain_text("Complete")
    assert console.complaints == []


def test_a_session_outlives_the_page_and_publishes_nothing(console: Visit) -> None:
    sign_in(console, EVERYTHING)
    expect(console.button("Sign out", "nav")).to_be_visible()

    console.page.reload()

    expect(console.button("Sign out", "nav")).to_be_visible()
    console.follow("mine")
    expect(console.publish("mine", "1")).to_contain_text("The scope publish is needed.")


def test_a_token_that_only_reads_publishes_nothing(console: Visit) -> None:
    sign_in(console, READER)
    expect(console.button("Sign out", "nav")).to_be_visible()

    console.follow("mine")
    expect(console.publish("mine", "1")).to_contain_text("The scope publish is needed.")


def test_who_signed_out_is_out(console: Visit) -> None:
    sign_in(console, EVERYTHING)
    console.button("Sign out", "nav").click()
    expect(console.button("Sign in", "nav")).to_be_visible()

    console.follow("mine", until="refused")

    expect(console.publish("mine", "1")).to_contain_text("A valid token is needed.")


def test_the_page_can_read_neither_token_nor_session(console: Visit) -> None:
    sign_in(console, EVERYTHING)
    expect(console.button("Sign out", "nav")).to_be_visible()

    (session,) = console.page.context.cookies()
    assert session.get("httpOnly")
    assert session.get("sameSite") == "Strict"
    assert console.ask("document.cookie") == ""
    assert console.ask("document.documentElement.outerHTML").count(EVERYTHING) == 0
    assert console.ask("[localStorage.length, sessionStorage.length]") == [0, 0]


def test_the_dialog_is_left_by_the_keyboard_with_nothing_kept(console: Visit) -> None:
    console.button("Sign in", "nav").focus()
    console.page.keyboard.press("Enter")
    dialog = console.page.get_by_role("dialog")
    expect(dialog.get_by_label("Token")).to_be_focused()
    console.page.keyboard.type(EVERYTHING)
    assert violations(console.page) == []

    console.page.keyboard.press("Escape")

    expect(dialog).to_be_hidden()
    expect(console.button("Sign in", "nav")).to_be_focused()
    expect(console.page.locator("#sign-in input")).to_have_value("")


def test_without_tokens_there_is_nothing_to_sign_in_to(service: Restartable, visit: Opened) -> None:
    console = visit(service.url)

    with console.page.expect_response("**/session"):
        console.open()
    console.page.wait_for_load_state("networkidle")

    expect(console.page.locator("#session")).to_be_hidden()
