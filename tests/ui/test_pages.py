"""The pages as a reader meets them, run without a browser."""

from collections.abc import Callable

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from stub_api import EXAMPLE, NAME, StubApi, good_answers

import client

type OpenPage = Callable[..., AppTest]


def press(app: AppTest, label: str) -> AppTest:
    """Press the button with that label."""
    return next(button for button in app.button if button.label == label).click().run()


def words(app: AppTest) -> str:
    """All that the page says."""
    assert not app.exception
    kinds = (app.title, app.header, app.markdown, app.caption, app.error, app.warning, app.info)
    said = [str(element.value) for kind in kinds for element in kind]
    return "\n".join([*said, *(str(element.proto.body) for element in app.get("html"))])


def look_again(app: AppTest) -> AppTest:
    """What the page does by itself after a few seconds."""
    st.cache_data.clear()
    return app.run()


def test_the_form_starts_at_zero_with_blank_categories_and_shows_the_ranges(open_page: OpenPage) -> None:
    app = open_page()
    assert len(app.number_input) == 10
    assert {entry.value for entry in app.number_input} == {0}
    assert {entry.label: entry.value for entry in app.selectbox} == {
        "Wilderness area": None,
        "Soil type": None,
        "Model": NAME,
    }
    assert app.number_input(key="field_Elevation").label == "Elevation (m)"
    assert all(entry.help for entry in app.number_input)
    said = words(app)
    assert "1859 to 3858\N{NO-BREAK SPACE}m" in said
    assert "\N{MINUS SIGN}173 to 601\N{NO-BREAK SPACE}m, may be negative" in said
    assert f"Serving {NAME}, version 3".replace("_", r"\_") in said


def test_all_faults_are_told_at_once_and_nothing_is_asked(open_page: OpenPage, stub: StubApi) -> None:
    app = open_page()
    app.number_input(key="field_Slope").set_value(-4)
    press(app, "Predict")
    said = words(app)
    assert "4 fields need your attention." in said
    assert "0 is outside 1859 to 3858." in said
    assert "Cannot be negative: 0 to 66." in said
    assert said.count("Choose one of the list.") == 2
    assert "To correct: Elevation, Slope, Wilderness area, Soil type." in said
    assert stub.posted == []


def test_an_example_gives_a_prediction(open_page: OpenPage, stub: StubApi) -> None:
    app = press(press(open_page(), "Fill with an example"), "Predict")
    assert stub.posted == [{**EXAMPLE, "model": NAME}]
    said = words(app)
    assert "Aspen" in [header.value for header in app.header]
    assert "with a probability of 87.0%" in said
    assert "Version 3" in said
    assert len(app.get("vega_lite_chart")) == 1


def test_the_page_speaks_spanish_and_keeps_what_was_entered(open_page: OpenPage) -> None:
    app = press(open_page("es"), "Rellenar con un ejemplo")
    assert app.title[0].value == "¿Qué crece aquí?"
    app = press(app, "Predecir")
    assert "Álamo temblón" in [header.value for header in app.header]
    app.segmented_control(key="lang").set_value("en").run()
    assert app.number_input(key="field_Elevation").value == EXAMPLE["Elevation"]
    assert app.number_input(key="field_Elevation").label == "Elevation (m)"


def test_clear_empties_the_form(open_page: OpenPage) -> None:
    app = press(press(open_page(), "Fill with an example"), "Clear")
    assert {entry.value for entry in app.number_input} == {0}
    assert app.selectbox(key="field_Soil_Type").value is None


def test_a_value_that_only_the_api_refuses_is_told_at_its_field(open_page: OpenPage, stub: StubApi) -> None:
    stub.answers["POST /predict"] = (422, {"detail": [{"loc": ["body", "Slope"], "msg": "too steep"}]})
    app = press(press(open_page(), "Fill with an example"), "Predict")
    said = words(app)
    assert "Refused: too steep." in said
    assert "One field needs your attention." in said


def test_an_api_that_goes_away_and_comes_back(open_page: OpenPage, stub: StubApi) -> None:
    app = press(open_page(), "Fill with an example")
    stub.answers = dict.fromkeys(stub.answers, (500, {"detail": "out of memory"}))
    app = look_again(app)
    assert "**The model API failed on GET /model**: out of memory." in words(app)
    # What was typed is still there, and the button still says what is wrong.
    assert app.number_input(key="field_Elevation").value == EXAMPLE["Elevation"]
    assert "failed on POST /predict" in words(press(app, "Predict"))
    stub.answers = good_answers()
    app = look_again(app)
    assert "failed on" not in words(app)
    assert "Aspen" in [header.value for header in press(app, "Predict").header]


def test_a_page_opened_while_the_api_is_away_says_so_and_gets_its_form_later(
    open_page: OpenPage, stub: StubApi
) -> None:
    good, stub.answers = stub.answers, {}
    app = open_page()
    assert "**The model API refused GET /model**" in words(app)
    assert "The form appears as soon as" in words(app)
    assert not app.number_input
    stub.answers = good
    assert len(look_again(app).number_input) == 10


def test_an_unreachable_api_is_named_with_what_to_do(
    open_page: OpenPage, stub: StubApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.stop()
    said = words(open_page())
    assert "**The model API does not answer**" in said
    assert "`make status`" in said


def test_a_slow_api_is_called_slow(
    open_page: OpenPage, stub: StubApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "READ_SECONDS", 0.2)
    stub.silent.add("GET /model")
    app = open_page()
    assert "**The model API is too slow**: no answer to GET /model within 0.2 s." in words(app)
    assert len(app.number_input) == 10


def test_without_a_model_the_form_is_there_and_the_reason_too(open_page: OpenPage, stub: StubApi) -> None:
    stub.answers["GET /model"] = stub.answers["POST /predict"] = (503, {"detail": "no Production version"})
    stub.answers["GET /listar_modelos"] = (200, {"modelos_disponibles": []})
    app = open_page()
    assert "no Production version" in app.warning[0].value
    assert "No model is listed as available" in words(app)
    assert len(app.number_input) == 10
