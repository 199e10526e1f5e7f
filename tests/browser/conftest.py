"""A real Chromium against a live server. Playwright's loop runs in this process: no xdist, and the ORM is told so."""

import email
import os
import re
from collections.abc import Callable, Iterator
from email import policy
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PASSWORD = "Prova-pec-2026"
PATIENCE = 30_000  # milliseconds that a page has on a busy machine
# A 404 or 4xx the test asked for is no complaint, nor is a live summary that gave way to that of a later choice, as
# hx-sync says. A broken policy or script is.
NO_COMPLAINT = re.compile(r"Failed to load resource|^htmx:(afterRequest|sendAbort)\b")
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def new_page(browser, live_server) -> Iterator[Callable[..., Page]]:
    """new_page(width=1280, dark=False, js=True) → a page of a visitor of its own; its console must stay clean."""
    contexts, complaints = [], []

    def make(*, width: int = 1280, dark: bool = False, js: bool = True) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            base_url=live_server.url,
            color_scheme="dark" if dark else "light",
            java_script_enabled=js,
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: complaints.append(str(e)))
        return page

    yield make
    for context in contexts:
        context.close()
    assert [c for c in complaints if not NO_COMPLAINT.search(c)] == []


@pytest.fixture
def page(new_page) -> Page:
    return new_page()


@pytest.fixture
def sign_in() -> Callable[..., None]:
    def go(page: Page, login: str, *, tab: str = "account") -> None:
        page.goto(f"/accesso/?con={tab}")
        page.locator("input[name=login]").fill(login)
        page.locator("input[name=password]").fill(PASSWORD)
        page.get_by_role("button", name="Accedi").click()
        page.wait_for_load_state()
        assert "/accesso/" not in page.url, page.inner_text("main")

    return go


@pytest.fixture
def mails(settings) -> Callable[[], str]:
    """Sends what is queued, and returns all that lies in the mail folder as one text."""
    from pecportal.relay import send_queue

    def read() -> str:
        send_queue()
        texts = []
        for path in sorted(Path(settings.EMAIL_FILE_PATH).glob("*.log")):
            for raw in re.split(r"^-{79}$", path.read_text(), flags=re.M):
                if not raw.strip():
                    continue
                message = email.message_from_bytes(raw.strip().encode(), policy=policy.default)
                body = message.get_body(("plain",))
                texts.append(f"To: {message['To']}\nSubject: {message['Subject'].strip()}\n{body.get_content()}")
        return "\n".join(texts)

    return read


@pytest.fixture
def axe() -> Callable[[Page], list[str]]:
    """Serious and critical findings of axe on a page, one line each."""

    def run(page: Page) -> list[str]:
        found = Axe().run(page).response["violations"]
        return [
            f"{v['id']}: {node['html'][:160]}"
            for v in found
            if v["impact"] in ("serious", "critical")
            for node in v["nodes"]
        ]

    return run
