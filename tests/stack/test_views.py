"""Models, Data and State in Chromium, after ten batches: what the pages show is what the stack has."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from .conftest import PROJECT, Stack

SHOTS = PROJECT / "build" / "screenshots"
TITLES = {
    "models": {"en": "Models", "es": "Modelos"},
    "data": {"en": "The batches received", "es": "Los lotes recibidos"},
    "state": {"en": "State of the pipeline", "es": "Estado del sistema"},
}
LANGUAGES = pytest.mark.parametrize("language", ["en", "es"])
OpenView = Callable[..., Any]


@pytest.fixture
def open_view(stack: Stack, browser_page: Any) -> OpenView:
    """A function that opens a page in a language and gives it once so many charts are drawn."""

    def open_it(name: str, language: str = "en", charts: int = 0) -> Any:
        browser_page.goto(f"{stack.url('ui')}/{name}?lang={language}")
        browser_page.get_by_role("heading", name=TITLES[name][language], exact=True).wait_for()
        if charts:
            drawn = browser_page.locator("[data-testid=stVegaLiteChart] :is(canvas, svg.marks)")
            drawn.nth(charts - 1).wait_for()
        SHOTS.mkdir(parents=True, exist_ok=True)
        browser_page.screenshot(path=SHOTS / f"stack-{name}-{language}.png", full_page=True)
        return browser_page

    return open_it


def answer(stack: Stack, path: str) -> Any:
    """What the model API says."""
    return httpx.get(f"{stack.url('model-api')}{path}", timeout=60).raise_for_status().json()


@LANGUAGES
def test_models_shows_every_version_and_the_last_decision(
    stack: Stack, open_view: OpenView, language: str
) -> None:
    from playwright.sync_api import expect

    page = open_view("models", language, charts=3)
    word = {"en": "Version", "es": "Versión"}[language]
    expect(page.locator(".st-key-serving")).to_contain_text(f"{word} {answer(stack, '/model')['version']}")
    name = {"en": "All versions", "es": "Todas las versiones"}[language]
    lines = page.get_by_role("table", name=name).first.locator("tbody tr")
    newest = sorted((int(version["version"]) for version in answer(stack, "/models")), reverse=True)[:10]
    expect(lines.locator("th")).to_have_text([str(number) for number in newest])
    expect(lines.filter(has_text="Production")).to_have_count(1)
    ((reason, asked_by),) = stack.mysql("SELECT reason, request FROM promotions ORDER BY id DESC LIMIT 1")
    name = {"en": "Who promoted what, and why", "es": "Quién promovió qué, y por qué"}[language]
    last = page.get_by_role("table", name=name).first.locator("tbody tr").first
    expect(last).to_contain_text(reason)
    expect(last).to_contain_text(asked_by)


def test_the_links_lead_to_the_model_in_mlflow_and_to_the_runs_in_airflow(
    stack: Stack, open_view: OpenView
) -> None:
    from playwright.sync_api import expect

    page = open_view("models")
    runs = page.get_by_role("link", name="Open the runs in Airflow")
    expect(runs).to_have_attribute("href", f"{stack.url('airflow')}/dags/DAG_p2")
    link = page.get_by_role("link", name="Open in MLflow")
    page.goto(link.get_attribute("href"))
    page.get_by_text("champion").first.wait_for()
    assert page.url.startswith(stack.url("mlflow"))


@LANGUAGES
def test_data_shows_the_batches_of_the_ledger(stack: Stack, open_view: OpenView, language: str) -> None:
    from playwright.sync_api import expect

    ((batches, rows),) = stack.mysql(
        "SELECT COUNT(DISTINCT IF(refused, NULL, batch)), SUM(rows_new) FROM raw_batches WHERE `group` = 1"
    )
    # One chart of the requests, one of the chosen batch, and one of each after the first.
    page = open_view("data", language, charts=1 + int(batches))
    heading = {"en": f"{batches} of 10 batches, group 1", "es": f"{batches} de 10 lotes, grupo 1"}
    expect(page.get_by_role("heading", name=heading[language])).to_be_visible()
    expect(page.locator(".strip").first.locator("li.good")).to_have_count(int(batches))
    whole = f"{int(rows):,}"
    new = page.get_by_test_id("stMetric").filter(has_text={"en": "New", "es": "Nuevas"}[language])
    expect(new).to_contain_text(whole if language == "en" else whole.replace(",", "."))
    drift = page.get_by_text(re.compile(r"(Batch|Lote) \d+ (against batch|frente al lote) 1: \d+[.,]\d"))
    expect(drift).to_be_visible()


@LANGUAGES
def test_state_shows_the_services_the_model_and_green_runs(
    stack: Stack, open_view: OpenView, language: str
) -> None:
    from playwright.sync_api import expect

    page = open_view("state", language)
    up, done = {"en": ("up", "done"), "es": ("funciona", "hecha")}[language]
    cards = page.locator(".services li")
    expect(cards).to_have_count(6)
    for name in ("model-api", "mlflow", "minio", "mysql-data-store"):
        expect(cards.filter(has_text=name).locator(".chip.good")).to_contain_text(up)
    serving = answer(stack, "/model")
    expect(page.get_by_text(f"{serving['name']} {serving['version']}", exact=True)).to_be_visible()
    told = answer(stack, "/state")["runs"]
    green = next(run for run in told if run["state"] == "success" and len(run["tasks"]) == 6)
    line = page.get_by_role("row").filter(has_text=green["run_id"])
    expect(line.locator(".chip.good").first).to_contain_text(done)
    expect(line.locator(".chip.good")).to_have_count(7)


def test_a_service_that_hangs_is_told_with_what_to_do_and_the_rest_stays(
    stack: Stack, open_view: OpenView
) -> None:
    from playwright.sync_api import expect

    page = open_view("state")
    card = page.locator(".services li").filter(has_text="mlflow").first
    expect(card.locator(".chip")).to_contain_text("up")
    stack.docker("pause", f"{stack.name}-mlflow")
    try:
        expect(card.locator(".chip")).to_contain_text("down")
        expect(card).to_contain_text("make up")
        expect(page.locator(".services li").filter(has_text="mysql-data-store")).to_contain_text("up")
        page.get_by_role("link", name="Models").click()
        page.get_by_role("table", name="Who promoted what, and why").first.wait_for()
        page.screenshot(path=SHOTS / "stack-models-without-mlflow.png", full_page=True)
    finally:
        stack.docker("unpause", f"{stack.name}-mlflow")
    page.get_by_role("table", name="All versions").first.wait_for()
    page.get_by_role("link", name="State").click()
    expect(card.locator(".chip")).to_contain_text("up")
