"""The page in a browser: opened in a language, judged by axe-core, and kept as pictures."""

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from .conftest import PROJECT, Stack

# What is expected may take as long as on a machine that does much else.
expect.set_options(timeout=60_000)

SCREENSHOTS = PROJECT / "build" / "screenshots"
AXE = PROJECT / "build" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
LOCALES = {"en": "en-GB", "es": "es-CO"}
PAGES = ("predict", "file", "models", "data", "state")
WIDE, PHONE = {"width": 1280, "height": 1000}, {"width": 390, "height": 844}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": WIDE},
    "dark": {"color_scheme": "dark", "viewport": WIDE},
    "phone": {"color_scheme": "light", "viewport": PHONE},
}


def address(stack: Stack, name: str) -> str:
    """The URL of one of the pages; the first of them has none of its own."""
    return stack.url("ui") if name == PAGES[0] else f"{stack.url('ui')}/{name}"


@cache
def words(language: str) -> dict[str, dict[str, str]]:
    """The page's own texts, by section and key."""
    return tomllib.loads((PROJECT / "ui" / "texts" / f"{language}.toml").read_text(encoding="utf-8"))


@contextmanager
def opened(browser: Any, url: str, language: str, look: str = "light") -> Iterator[Any]:
    """The page at a URL, in a browser of its own that asks for the language."""
    context = browser.new_context(locale=LOCALES[language], timezone_id="America/Bogota", **LOOKS[look])
    try:
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(url)
        settle(page)
        yield page
    finally:
        context.close()


def settle(page: Any) -> None:
    """Wait until the page is drawn and no run of it is under way."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    page.locator("h1").first.wait_for()
    page.wait_for_function("!document.querySelector('[data-stale=true]')")


def picture(page: Any, name: str) -> None:
    """The whole page as a picture: it scrolls inside itself, so the window is made as high as it is."""
    size = page.viewport_size
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": max(size["height"], min(height, 6_000))})
    settle(page)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled")
    page.set_viewport_size(size)


def barriers(page: Any) -> list[str]:
    """What axe-core calls serious or critical, each with where it is and why."""
    settle(page)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document)")
    assert found["passes"], "axe-core has judged nothing"
    return [
        f"{issue['impact']}: {issue['id']} at {node['target']}: {node['failureSummary']}"
        for issue in found["violations"]
        if issue["impact"] in {"serious", "critical"}
        for node in issue["nodes"]
    ]


def bring(page: Any, file: Path) -> None:
    """Upload a file on the page File and wait until it was read."""
    page.locator("input[type=file]").set_input_files(file)
    page.locator(".st-key-upload").get_by_text(file.name).wait_for()
    page.get_by_text(f"{file.name}:").wait_for()
    settle(page)


def choose_example(page: Any, language: str, item: dict[str, Any]) -> None:
    """Fill the form with the example of a class, and wait until it stands there."""
    said = words(language)
    page.get_by_role("button", name=said["predict"]["example"]).click()
    page.get_by_role("menuitem", name=said["classes"][item["label"]]).click()
    expect(elevation(page, language)).to_have_value(str(item["example"]["Elevation"]))
    settle(page)


def elevation(page: Any, language: str) -> Any:
    """The form's first field."""
    return page.get_by_label(f"{words(language)['fields']['Elevation']} (m)", exact=True)


def press(page: Any, name: str) -> None:
    """Press the button with that name."""
    page.get_by_role("button", name=name, exact=True).click()


def watch(page: Any, selector: str) -> None:
    """Note from now on whether such an element comes, however soon it goes again: see `was_seen`."""
    page.evaluate(
        """selector => {
            window.seen = false;
            const look = () => { window.seen ||= document.querySelector(selector) !== null; };
            new MutationObserver(look).observe(document.body, {childList: true, subtree: true});
        }""",
        selector,
    )


def was_seen(page: Any) -> bool:
    """Whether what is watched for has come."""
    return bool(page.evaluate("window.seen"))
