"""The page as people meet it: a browser, the real stack, both languages."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import httpx
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import expect

from . import page as tools
from .conftest import PROJECT, Stack
from .page import LOOKS, PAGES, bring, choose_example, elevation, opened, press, settle, words

LANGUAGES = ("en", "es")


@pytest.fixture(scope="module")
def classes(stack: Stack) -> list[dict[str, Any]]:
    """The classes with an example of each, as the API gives them."""
    answer = httpx.get(f"{stack.url('model-api')}/schema", timeout=30).raise_for_status()
    return list(answer.json()["classes"])


@pytest.fixture(scope="module")
def ten_thousand(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Ten thousand real rows with their class, as a table and as files."""
    folder = tmp_path_factory.mktemp("page")
    table = pq.read_table(PROJECT / "external" / "data" / "covertype.parquet").slice(58_101, 58_101)
    table = table.take(list(range(0, 50_000, 5)))
    pq.write_table(table, folder / "cells.parquet")
    pc.write_csv(table, folder / "cells.csv")
    return {"rows": table.to_pylist(), "es": folder / "cells.csv", "en": folder / "cells.parquet"}


def number(count: int, language: str) -> str:
    return f"{count:,}".replace(",", "." if language == "es" else ",")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_person_predicts_and_says_what_is_true(
    stack: Stack, browser: Any, classes: list[dict[str, Any]], language: str
) -> None:
    said, aspen = words(language), classes[4]
    answer = httpx.post(f"{stack.url('model-api')}/predict", json=aspen["example"], timeout=30)
    expected = answer.raise_for_status().json()
    with opened(browser, stack.url("ui"), language) as page:
        expect(page.locator("html")).to_have_attribute("lang", language)
        expect(page.locator("h1")).to_have_text(said["predict"]["title"])
        choose_example(page, language, aspen)
        press(page, said["predict"]["submit"])
        result = page.locator(".st-key-result")
        expect(page.locator(".st-key-cover")).to_contain_text(said["classes"][expected["label"]])
        expect(result).to_contain_text(said["result"]["version"].format(version=expected["model_version"]))
        expect(result.locator("[data-testid=stVegaLiteChart]")).to_have_count(1)
        identity = re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", result.inner_text())[0]

        for cover_type, outcome in ((expected["prediction"], "agrees"), (6, "differs")):
            label = said["classes"][classes[cover_type]["label"]]
            page.get_by_role("combobox", name=said["feedback"]["question"]).click()
            page.get_by_role("option", name=label, exact=True).click()
            settle(page)
            press(page, said["feedback"]["send"])
            expect(result).to_contain_text(said["feedback"][outcome].format(name=label))
            stored = stack.mysql(f"SELECT cover_type FROM feedback WHERE prediction_id = '{identity}'")
            assert stored == [[str(cover_type)]]
            press(page, said["feedback"]["change"])

        # The other language: the same entries, the other words.
        other = LANGUAGES[1 - LANGUAGES.index(language)]
        page.locator(".st-key-lang").get_by_text(other, exact=True).click()
        settle(page)
        expect(page.locator("h1")).to_have_text(words(other)["predict"]["title"])
        expect(elevation(page, other)).to_have_value(str(aspen["example"]["Elevation"]))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_fault_is_told_at_its_field_and_all_at_once(stack: Stack, browser: Any, language: str) -> None:
    said = words(language)
    with opened(browser, stack.url("ui"), language) as page:
        entries = {"Slope (°)": "-4", "Vertical_Distance_To_Hydrology (m)": "-174", "Aspect (°)": "361"}
        for label, entry in entries.items():
            column, unit = label.split(" ")
            page.get_by_label(f"{said['fields'][column]} {unit}", exact=True).fill(entry)
        press(page, said["predict"]["submit"])
        minus = "\N{MINUS SIGN}"
        faults = {
            "Elevation": said["fault"]["range"].format(entry=0, minimum=1859, maximum=3858),
            "Slope": said["fault"]["negative"].format(minimum=0, maximum=66),
            "Aspect": said["fault"]["range"].format(entry=361, minimum=0, maximum=360),
            "Vertical_Distance_To_Hydrology": said["fault"]["range"].format(
                entry=f"{minus}174", minimum=f"{minus}173", maximum=601
            ),
            "Wilderness_Area": said["fault"]["choose"],
            "Soil_Type": said["fault"]["choose"],
        }
        for column, fault in faults.items():
            expect(page.locator(f".st-key-cell_{column}")).to_contain_text(fault)
        expect(page.get_by_text(said["fault"]["many"].format(count=len(faults)))).to_be_visible()
        expect(page.locator(".st-key-cover")).to_have_count(0)
        tools.picture(page, f"predict-faults-{language}")
        assert tools.barriers(page) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_ten_thousand_rows_of_a_file(
    stack: Stack, browser: Any, ten_thousand: dict[str, Any], language: str
) -> None:
    said, file = words(language), ten_thousand[language]
    records = [{name: row[name] for name in row if name != "Cover_Type"} for row in ten_thousand["rows"]]
    answer = httpx.post(f"{stack.url('model-api')}/predict/batch", json={"records": records}, timeout=120)
    expected = answer.raise_for_status().json()
    with opened(browser, tools.address(stack, "file"), language) as page:
        bring(page, file)
        rows = number(10_000, language)
        expect(page.get_by_text(said["file"]["all_good"].format(name=file.name, rows=rows))).to_be_visible()
        page.get_by_role("button", name=said["file"]["start"].format(rows=rows)).click()
        page.locator("[data-testid=stProgress]").wait_for()
        download = page.get_by_role("button", name=said["file"]["download"].format(rows=rows))
        download.wait_for(timeout=180_000)
        settle(page)
        expect(page.locator(".st-key-outcomes [data-testid=stVegaLiteChart]")).to_have_count(1)
        with page.expect_download() as begun:
            download.click()
        text = Path(begun.value.path()).read_text(encoding="utf-8-sig")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert len(lines) == 10_000
    assert lines[0]["row"] == ("1" if file.suffix == ".parquet" else "2")
    assert [int(line["prediction"]) for line in lines] == [
        one["prediction"] for one in expected["predictions"]
    ]
    assert {line["model_version"] for line in lines} == {expected["model_version"]}
    assert len({line["prediction_id"] for line in lines}) == 10_000
    assert all(
        float(line["probability"]) == pytest.approx(one["probabilities"][one["label"]], abs=1e-4)
        for line, one in zip(lines, expected["predictions"], strict=True)
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_bad_rows_of_a_file_are_listed_with_their_reasons(
    stack: Stack, browser: Any, tmp_path: Path, language: str, classes: list[dict[str, Any]]
) -> None:
    said, file = words(language), tmp_path / "cells.csv"
    good = classes[4]["example"] | {"note": "=HYPERLINK(1)"}
    rows = [good, good | {"Slope": 67}, good | {"Soil_Type": "C7744", "Aspect": ""}]
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(good))
        writer.writeheader()
        writer.writerows(rows)
    with opened(browser, tools.address(stack, "file"), language) as page:
        bring(page, file)
        listed = page.locator(".st-key-row_faults")
        for reason in (
            said["row_fault"]["range"].format(entry=67, minimum=0, maximum=66),
            said["row_fault"]["choose"],
            said["row_fault"]["blank"],
        ):
            expect(listed).to_contain_text(reason)
        press(page, said["file"]["start"].format(rows=1))
        with page.expect_download() as begun:
            page.get_by_role("button", name=said["file"]["download"].format(rows=1)).click()
        (line,) = csv.DictReader(io.StringIO(Path(begun.value.path()).read_text(encoding="utf-8-sig")))
        assert line["note"] == "'=HYPERLINK(1)"

        other = tmp_path / "other.csv"
        other.write_bytes(b"a,b\n1,2\n")
        page.locator("input[type=file]").set_input_files(other)
        page.get_by_text(said["file_problem"]["missing"].partition(":")[0]).wait_for()


def test_the_page_works_by_keyboard_alone(stack: Stack, browser: Any, classes: list[dict[str, Any]]) -> None:
    said = words("en")["predict"]
    with opened(browser, stack.url("ui"), "en") as page:
        go_to_button(page, said["example"])
        page.keyboard.press("Enter")
        page.wait_for_function("document.activeElement.closest('[role=menu]')")
        page.keyboard.press("End")
        expect(page.get_by_role("menuitem").last).to_be_focused()
        page.keyboard.press("Enter")
        expect(elevation(page, "en")).to_have_value(str(classes[-1]["example"]["Elevation"]))
        settle(page)
        go_to_button(page, said["submit"])
        page.keyboard.press("Enter")
        expect(page.locator(".st-key-cover")).to_be_visible()


def go_to_button(page: Any, name: str) -> None:
    """Press the tabulator until that button has the focus."""
    button = page.get_by_role("button", name=name, exact=True)
    for _ in range(80):
        page.keyboard.press("Tab")
        if button.evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"80 tabulators do not lead to the button {name!r}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_says_that_the_api_is_away_and_recovers_by_itself(
    stack: Stack, browser: Any, classes: list[dict[str, Any]], language: str
) -> None:
    said, example = words(language), classes[0]
    sentence = said["problem"]["unreachable"].split("**")[1]
    with opened(browser, stack.url("ui"), language) as page:
        choose_example(page, language, example)
        stack.docker("stop", f"{stack.name}-model-api")
        try:
            page.locator(".st-key-trouble").get_by_text(sentence).wait_for()
            page.get_by_role("button", name=said["predict"]["submit"], exact=True).click()
            page.locator(".st-key-result").get_by_text(sentence).wait_for()
            # The rest stays: what was entered, the other pages.
            expect(elevation(page, language)).to_have_value(str(example["example"]["Elevation"]))
            tools.picture(page, f"api-away-{language}")
            for path in PAGES:
                page.goto(tools.address(stack, path))
                settle(page)
                expect(page.locator("[data-testid=stException]")).to_have_count(0)
                expect(page.get_by_text("Traceback")).to_have_count(0)
        finally:
            stack.docker("start", f"{stack.name}-model-api")
        page.goto(stack.url("ui"))
        settle(page)
        page.locator(".st-key-trouble [data-testid=stAlert]").wait_for(state="detached", timeout=120_000)
        choose_example(page, language, example)
        press(page, said["predict"]["submit"])
        expect(page.locator(".st-key-cover")).to_be_visible()


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("path", PAGES)
def test_each_page_is_open_to_all_and_fits(
    stack: Stack, browser: Any, classes: list[dict[str, Any]], tmp_path: Path, path: str, look: str
) -> None:
    """Nothing serious by axe-core, no line wider than the screen, no traceback; and a picture is kept."""
    language = "es" if look == "dark" else "en"
    said = words(language)
    with opened(browser, tools.address(stack, path), language, look) as page:
        assert tools.barriers(page) == []
        if path == "predict":
            choose_example(page, language, classes[0])
            press(page, said["predict"]["submit"])
            expect(page.locator(".st-key-cover")).to_be_visible()
        elif path == "file":
            file = tmp_path / "cells.csv"
            rows = [item["example"] for item in classes] + [classes[0]["example"] | {"Slope": 67}]
            with file.open("w", encoding="utf-8", newline="") as out:
                writer = csv.DictWriter(out, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
            bring(page, file)
            press(page, said["file"]["start"].format(rows=len(classes)))
            expect(page.locator(".st-key-outcomes")).to_be_visible()
        assert tools.barriers(page) == []
        expect(page.locator("[data-testid=stException]")).to_have_count(0)
        width = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
        assert width <= LOOKS[look]["viewport"]["width"]
        tools.picture(page, f"{path}-{look}")
