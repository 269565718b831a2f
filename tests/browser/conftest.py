from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from falrt.local import LocalOptions, LocalServer
from falrt.server.playground import create_playground
from tests.browser.threads import serving_in_thread

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


# Not for the session: Playwright's loop would run in the main thread until its end, and no other test could run one.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The system's Chromium, with a camera that shows a test picture."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="Playwright's Python package is not installed"
    )
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """`open_page(url, **options of a context)`: a page whose errors and calls to other hosts fail the test.

    With `storage=` it may call that host too.
    """
    contexts, wrong = [], []

    def make(url: str, *, storage: str = "blob:", **options: Any) -> Any:
        origin = "/".join(url.split("/")[:3])
        context = chromium.new_context(**{"permissions": ["camera"], **options})
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"error on the page: {error}"))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((origin, storage, "blob:", "data:"))
                else wrong.append(f"a call to {request.url}")
            ),
        )
        page.goto(url)
        return page

    yield make
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="session")
def stand_in() -> Iterator[LocalServer]:
    with LocalServer(LocalOptions(speed=20)) as server:
        yield server


@pytest.fixture(scope="session")
def playground(stand_in: LocalServer) -> Iterator[str]:
    """The playground before the stand-in: its URL."""
    with serving_in_thread(create_playground(key="local", base_url=stand_in.url, offline=True)) as url:
        yield url
