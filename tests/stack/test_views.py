"""Models, Data and State in Chromium, after ten batches: what the pages show is what the stack has."""

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from .conftest import Stack
from .page import opened, picture, settle, words

# A page is drawn by a server that has more to do; five seconds, as it is by default, are not many.
expect.set_options(timeout=30_000)

LANGUAGES = pytest.mark.parametrize("language", ["en", "es"])


def answer(stack: Stack, path: str) -> Any:
    """What the model API says."""
    return httpx.get(f"{stack.url('model-api')}{path}", timeout=60).raise_for_status().json()


def wait_for_charts(page: Any, count: int) -> None:
    """Wait until so many charts are drawn."""
    page.locator("[data-testid=stVegaLiteChart] :is(canvas, svg.marks)").nth(count - 1).wait_for()


@LANGUAGES
def test_models_shows_every_version_and_the_last_decision(stack: Stack, browser: Any, language: str) -> None:
    said = words(language)
    newest = sorted((int(version["version"]) for version in answer(stack, "/models")), reverse=True)[:10]
    ((reason, asked_by),) = stack.mysql("SELECT reason, request FROM promotions ORDER BY id DESC LIMIT 1")
    with opened(browser, f"{stack.url('ui')}/models", language) as page:
        wait_for_charts(page, 3)
        serving = said["result"]["version"].format(version=answer(stack, "/model")["version"])
        expect(page.locator(".st-key-serving")).to_contain_text(serving)
        lines = page.get_by_role("table", name=said["models"]["list"]).first.locator("tbody tr")
        expect(lines.locator("th")).to_have_text([str(number) for number in newest])
        expect(lines.filter(has_text="Production")).to_have_count(1)
        last = page.get_by_role("table", name=said["models"]["decisions"]).first.locator("tbody tr").first
        expect(last).to_contain_text(reason)
        expect(last).to_contain_text(asked_by)
        picture(page, f"ten-batches-models-{language}")


def test_the_links_lead_to_the_model_in_mlflow_and_to_the_runs_in_airflow(stack: Stack, browser: Any) -> None:
    said = words("en")["models"]
    with opened(browser, f"{stack.url('ui')}/models", "en") as page:
        runs = page.get_by_role("link", name=said["airflow"])
        expect(runs).to_have_attribute("href", f"{stack.url('airflow')}/dags/DAG_p2")
        page.goto(page.get_by_role("link", name=said["mlflow"]).get_attribute("href"))
        page.get_by_text("champion").first.wait_for()
        assert page.url.startswith(stack.url("mlflow"))


@LANGUAGES
def test_data_shows_the_batches_of_the_ledger(stack: Stack, browser: Any, language: str) -> None:
    said = words(language)["data"]
    ((batches, rows),) = stack.mysql(
        "SELECT COUNT(DISTINCT IF(refused, NULL, batch)), SUM(rows_new) FROM raw_batches WHERE `group` = 1"
    )
    with opened(browser, f"{stack.url('ui')}/data", language) as page:
        # One chart of the requests, one of the chosen batch, and one of each after the first.
        wait_for_charts(page, 1 + int(batches))
        heading = said["of_ten"].format(count=batches, all=10, group=1)
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
        expect(page.locator(".strip").first.locator("li.good")).to_have_count(int(batches))
        whole = f"{int(rows):,}".replace(",", "." if language == "es" else ",")
        expect(page.get_by_test_id("stMetric").filter(has_text=said["new"])).to_contain_text(whole)
        drift = re.compile(r"(Batch|Lote) \d+ (against batch|frente al lote) 1: \d+[.,]\d")
        expect(page.get_by_text(drift)).to_be_visible()
        picture(page, f"ten-batches-data-{language}")


@LANGUAGES
def test_state_shows_the_services_the_model_and_green_runs(stack: Stack, browser: Any, language: str) -> None:
    said = words(language)
    state, serving = answer(stack, "/state"), answer(stack, "/model")
    green = next(run for run in state["runs"] if run["state"] == "success" and len(run["tasks"]) == 6)
    with opened(browser, f"{stack.url('ui')}/state", language) as page:
        cards = page.locator(".services li")
        expect(cards).to_have_count(6)
        for name in ("model-api", "mlflow", "minio", "mysql-data-store"):
            expect(cards.filter(has_text=name).first.locator(".chip.good")).to_contain_text(
                said["health"]["up"]
            )
        expect(page.get_by_text(f"{serving['name']} {serving['version']}", exact=True)).to_be_visible()
        line = page.get_by_role("row").filter(has_text=green["run_id"])
        expect(line.locator(".chip.good").first).to_contain_text(said["run"]["success"])
        # The run and its six tasks.
        expect(line.locator(".chip.good")).to_have_count(7)
        picture(page, f"ten-batches-state-{language}")


def test_a_service_that_hangs_is_told_with_what_to_do_and_the_rest_stays(stack: Stack, browser: Any) -> None:
    said = words("en")
    with opened(browser, f"{stack.url('ui')}/state", "en") as page:
        card = page.locator(".services li").filter(has_text=said["role"]["mlflow"])
        expect(card.locator(".chip")).to_contain_text(said["health"]["up"])
        stack.docker("pause", f"{stack.name}-mlflow")
        try:
            expect(card.locator(".chip")).to_contain_text(said["health"]["down"], timeout=60_000)
            expect(card).to_contain_text("make up")
            database = page.locator(".services li").filter(has_text=said["role"]["mysql-data-store"])
            expect(database.locator(".chip")).to_contain_text(said["health"]["up"])
            picture(page, "state-without-mlflow-en")
            page.goto(f"{stack.url('ui')}/models")
            page.get_by_role("table", name=said["models"]["decisions"]).first.wait_for()
        finally:
            stack.docker("unpause", f"{stack.name}-mlflow")
        # By itself, as soon as it answers.
        page.get_by_role("table", name=said["models"]["list"]).first.wait_for()
        settle(page)
