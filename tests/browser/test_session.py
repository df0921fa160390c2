"""The console of a service with tokens: signing in, reading and publishing."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from browser.conftest import Opened
from support.browser import Visit, violations
from support.project import Project
from support.service import Restartable

FULL_TOKEN = "token-with-all-scopes"  # noqa: S105
READER_TOKEN = "token-that-only-reads"  # noqa: S105
TOKEN_REQUIRED = "A valid token is required."  # noqa: S105


@pytest.fixture(scope="module")
def guarded(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restartable]:
    """Run the default project with two tokens."""
    tokens = {FULL_TOKEN: ["events", "publish", "export"], READER_TOKEN: ["events", "export"]}
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
    """Enter a token in the dialog."""
    console.button("Sign in", "nav").click()
    dialog = console.page.get_by_role("dialog")
    dialog.get_by_label("Token").fill(token)
    dialog.get_by_role("button", name="Sign in").click()


def test_console_without_a_token_shows_no_data(console: Visit) -> None:
    console.follow("news", until="rejected")
    panel = console.read("users", "csv")

    expect(console.button("Sign in", "nav")).to_be_visible()
    console.wait_for_state("rejected", TOKEN_REQUIRED)
    expect(panel.get_by_role("status")).to_contain_text(TOKEN_REQUIRED)
    expect(panel.locator("table")).to_be_hidden()


def test_unknown_token_is_rejected_in_the_dialog(console: Visit) -> None:
    sign_in(console, "unknown")

    dialog = console.page.get_by_role("dialog")
    expect(dialog.get_by_role("status")).to_contain_text(TOKEN_REQUIRED)
    expect(dialog.get_by_label("Token")).to_be_focused()


@pytest.mark.parametrize("text", ["", "two words", "ключ"])
def test_malformed_token_is_not_sent(console: Visit, text: str) -> None:
    expect(console.table("users")).to_be_visible()
    sign_in(console, text)

    expect(console.page.get_by_role("dialog")).to_be_visible()
    assert sorted(console.fetched) == ["/openapi.json", "/session"]


def test_full_token_reads_and_publishes(console: Visit) -> None:
    sign_in(console, FULL_TOKEN)
    expect(console.button("Sign out", "nav")).to_be_visible()

    console.follow("mine")
    expect(console.publish("mine", '"published"')).to_contain_text("Published")
    panel = console.read("users", "ndjson")

    expect(console.entry("published")).to_have_count(1)
    expect(panel.get_by_role("status")).to_contain_text("Complete")
    assert console.errors == []


def test_session_after_a_reload_reads_and_needs_the_token_to_publish(console: Visit) -> None:
    sign_in(console, FULL_TOKEN)
    expect(console.button("Sign out", "nav")).to_be_visible()
    console.page.reload()
    expect(console.button("Sign out", "nav")).to_be_visible()
    console.follow("mine")

    outcome = console.publish("mine", "1")
    console.button("Start").click()

    expect(outcome).to_have_text(
        "A session cannot publish. Sign out, and sign in again with the token."
    )
    expect(console.page.locator("#run .outcome")).to_have_text(
        "A session cannot start runs. Sign out, and sign in again with the token."
    )
    console.button("Sign out", "nav").click()
    sign_in(console, FULL_TOKEN)
    expect(console.button("Sign out", "nav")).to_be_visible()
    expect(console.publish("mine", "1")).to_contain_text("Published")


def test_reader_token_does_not_publish(console: Visit) -> None:
    sign_in(console, READER_TOKEN)
    expect(console.button("Sign out", "nav")).to_be_visible()

    console.follow("mine")
    expect(console.publish("mine", "1")).to_contain_text("The scope publish is required.")


def test_sign_out_ends_the_session(console: Visit) -> None:
    sign_in(console, FULL_TOKEN)
    console.button("Sign out", "nav").click()
    expect(console.button("Sign in", "nav")).to_be_visible()

    console.follow("mine", until="rejected")

    expect(console.publish("mine", "1")).to_contain_text(TOKEN_REQUIRED)


def test_expired_session_is_signed_out(console: Visit) -> None:
    sign_in(console, FULL_TOKEN)
    expect(console.button("Sign out", "nav")).to_be_visible()

    console.page.context.clear_cookies()
    panel = console.read("users", "csv")

    expect(panel.get_by_role("status")).to_contain_text(TOKEN_REQUIRED)
    sign_in(console, FULL_TOKEN)
    expect(console.button("Sign out", "nav")).to_be_visible()


def test_page_cannot_read_the_token_or_the_session(console: Visit) -> None:
    sign_in(console, FULL_TOKEN)
    expect(console.button("Sign out", "nav")).to_be_visible()

    (session,) = console.page.context.cookies()
    assert session.get("httpOnly")
    assert session.get("sameSite") == "Strict"
    assert console.evaluate("document.cookie") == ""
    assert console.evaluate("document.documentElement.outerHTML").count(FULL_TOKEN) == 0
    assert console.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]


def test_dialog_closed_by_keyboard_keeps_no_token(console: Visit) -> None:
    console.button("Sign in", "nav").focus()
    console.page.keyboard.press("Enter")
    dialog = console.page.get_by_role("dialog")
    expect(dialog.get_by_label("Token")).to_be_focused()
    console.page.keyboard.type(FULL_TOKEN)
    assert violations(console.page) == []

    console.page.keyboard.press("Escape")

    expect(dialog).to_be_hidden()
    expect(console.button("Sign in", "nav")).to_be_focused()
    expect(console.page.locator("#sign-in input")).to_have_value("")


def test_service_without_tokens_hides_the_button(service: Restartable, visit: Opened) -> None:
    console = visit(service.url)

    with console.page.expect_response("**/session"):
        console.open()
    console.page.wait_for_load_state("networkidle")

    expect(console.page.locator("#session")).to_be_hidden()
