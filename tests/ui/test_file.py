"""The page File as a reader meets it, run without a browser."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from stub_api import EXAMPLE, StubApi, good_answers
from test_pages import look_again, press, words
from test_upload import as_csv, as_parquet

from views import file


@pytest.fixture
def page(stub: StubApi) -> AppTest:
    """The page without its frame, in English: AppTest cannot switch to a page that is a function."""
    script = "from texts import texts_of\nfrom views import file\n\nfile.show(texts_of('en'))\n"
    return AppTest.from_string(script, default_timeout=60).run()


def bring(app: AppTest, content: bytes, name: str = "cells.csv") -> AppTest:
    app.file_uploader(key="upload").set_value((name, content, "text/csv"))
    return app.run()


def many(count: int) -> list[dict[str, Any]]:
    return [EXAMPLE | {"Elevation": 1859 + number % 2000} for number in range(count)]


@pytest.mark.parametrize(("write", "name"), [(as_csv, "cells.csv"), (as_parquet, "cells.parquet")])
def test_ten_thousand_rows_are_predicted_in_parts(
    page: AppTest, stub: StubApi, write: Any, name: str
) -> None:
    app = bring(page, write(*many(10_000)), name)
    assert f"{name}: all rows are good (10,000).".replace(".csv", r"\.csv").replace(
        ".parquet", r"\.parquet"
    ) in [element.value for element in app.success]
    assert stub.posted == []
    app = press(app, "Predict the good rows (10,000)")
    assert [len(body["records"]) for body in stub.posted] == [file.ROWS_A_CALL] * 10
    assert [record for body in stub.posted for record in body["records"]] == many(10_000)
    assert {metric.label: metric.value for metric in app.metric} == {"Rows": "10,000", "Version": "3"}
    assert len(app.dataframe[0].value) == 10_000
    assert app.download_button(key="download").label == "Download the predictions (10,000)"
    assert len(app.get("vega_lite_chart")) == 1
    assert not [button.label for button in app.button]


def test_bad_rows_are_listed_and_left_out(page: AppTest, stub: StubApi) -> None:
    app = bring(page, as_csv(EXAMPLE, EXAMPLE | {"Slope": 99}, EXAMPLE | {"Soil_Type": "<b>C1</b>"}, EXAMPLE))
    said = words(app)
    assert r"cells\.csv: good rows 2, rows to correct 2. Only the good ones are predicted." in said
    assert "99 is outside 0 to 66." in said
    assert "&lt;b&gt;C1&lt;/b&gt;" in said
    press(app, "Predict the good rows (2)")
    assert [len(body["records"]) for body in stub.posted] == [2]


def test_a_file_without_a_good_row_offers_no_prediction(page: AppTest) -> None:
    app = bring(page, as_csv(EXAMPLE | {"Slope": 99}))
    assert "No row can be predicted." in words(app)
    assert not app.button


def test_a_file_that_cannot_be_used_says_why_and_another_one_helps(page: AppTest) -> None:
    app = bring(page, b"a,b\n1,2\n")
    assert "Columns are missing: Elevation, Aspect," in words(app)
    app = bring(app, as_csv(EXAMPLE))
    assert not app.error
    assert app.button(key="go").label == "Predict the good rows (1)"
    app.file_uploader(key="upload").set_value(None)
    assert not app.run().button


def test_names_from_a_file_are_no_markup(page: AppTest) -> None:
    app = bring(page, as_csv(EXAMPLE | {"x": 1, "y": 2}).replace(b",x,y", b",[x](y),[x](y)"))
    assert r"Columns are there twice: \[x\]\(y\)." in app.error[0].value


def test_the_classes_of_the_file_are_compared(page: AppTest) -> None:
    rows = [EXAMPLE | {"Cover_Type": cover} for cover in (4, 4, 4, 1)]
    app = press(bring(page, as_csv(*rows)), "Predict the good rows (4)")
    assert {metric.label: metric.value for metric in app.metric}["Right"] == "75.0%"


def test_what_is_there_stays_when_the_api_goes_and_a_button_continues(page: AppTest, stub: StubApi) -> None:
    answered = good_answers()["POST /predict/batch"][1]

    def twice(body: Any) -> Any:
        if len(stub.posted) == 2:
            stub.answers["POST /predict/batch"] = (500, {"detail": "out of memory"})
        return answered(body)

    stub.answers["POST /predict/batch"] = (200, twice)
    app = press(bring(page, as_csv(*many(3_500))), "Predict the good rows (3,500)")
    said = words(app)
    assert "**The model API failed on POST /predict/batch**: out of memory." in said
    assert "2,000 of 3,500 rows are predicted and kept." in said
    assert len(app.dataframe[0].value) == 2_000
    assert app.download_button(key="download").label == "Download the predictions (2,000)"

    stub.stop()
    app = press(app, "Continue with the rest (1,500)")
    assert "**The model API does not answer**" in words(app)
    assert len(app.dataframe[0].value) == 2_000


def test_it_continues_with_the_rows_that_are_missing(page: AppTest, stub: StubApi) -> None:
    stub.answers["POST /predict/batch"] = (503, {"detail": "no model"})
    app = press(bring(page, as_csv(*many(1_500))), "Predict the good rows (1,500)")
    assert not app.dataframe
    stub.answers = good_answers()
    app = press(look_again(app), "Predict the good rows (1,500)")
    # An answer for other rows than those asked for is nonsense, and nothing of it is kept.
    assert len(app.dataframe[0].value) == 1_500
    assert len(stub.posted) == 3


def test_an_answer_with_too_few_predictions_is_nonsense(page: AppTest, stub: StubApi) -> None:
    stub.answers["POST /predict/batch"] = (200, {"predictions": [], "model_version": "3"})
    app = press(bring(page, as_csv(EXAMPLE)), "Predict the good rows (1)")
    assert "makes no sense" in words(app)
    assert not app.dataframe
