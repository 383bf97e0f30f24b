"""The pages as a reader meets them, run without a browser."""

from collections.abc import Callable

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from stub_api import EXAMPLE, NAME, StubApi, good_answers
from stub_reports import CLASSES

import client

type OpenPage = Callable[..., AppTest]


def press(app: AppTest, label: str) -> AppTest:
    """Press the button with that label."""
    return next(button for button in app.button if button.label == label).click().run()


def fill(app: AppTest, number: int = 0) -> AppTest:
    """Fill the form with the example of a class."""
    return app.menu_button(key="example").click_index(number).run()


def words(app: AppTest) -> str:
    """All that the page says."""
    assert not app.exception
    kinds = (app.title, app.header, app.markdown, app.caption, app.error, app.warning, app.info, app.success)
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
    app = press(fill(open_page()), "Predict")
    assert stub.posted == [{**EXAMPLE, "Elevation": 2500, "model": NAME}]
    said = words(app)
    assert "Aspen" in [header.value for header in app.header]
    assert "with a probability of 87.0%" in said
    assert "Version 3" in said
    assert len(app.get("vega_lite_chart")) == 1


def test_there_is_an_example_of_each_class(open_page: OpenPage) -> None:
    app = open_page()
    assert app.menu_button(key="example").options == list(CLASSES)
    assert fill(app, 6).number_input(key="field_Elevation").value == 2506


def tell(app: AppTest, number: int, label: str = "Send") -> AppTest:
    """Say what the true class was."""
    app.selectbox(key="truth").set_value(number).run()
    return press(app, label)


def test_the_true_class_is_said_once_and_can_be_changed(open_page: OpenPage, stub: StubApi) -> None:
    app = press(fill(open_page()), "Predict")
    assert app.button(key="say").disabled
    app = tell(app, 4)
    assert stub.posted[-1] == {"prediction_id": "5f0c7d1e-6a51-4a53-9d41-0b8a54d4b5cd", "cover_type": 4}
    assert "Noted: Aspen. The model was right." in words(app)
    assert not [button for button in app.button if button.label == "Send"]
    app = tell(press(app, "Change it"), 6)
    assert stub.posted[-1]["cover_type"] == 6
    assert "Noted: Krummholz. The model was wrong." in words(app)
    # Another prediction is another question.
    app = press(app, "Predict")
    assert "Noted" not in words(app)
    assert app.selectbox(key="truth").value is None


def test_a_true_class_that_is_not_stored_is_told_and_sent_again(open_page: OpenPage, stub: StubApi) -> None:
    app = press(fill(open_page()), "Predict")
    stub.answers["POST /feedback"] = (404, {"detail": "There is no prediction 'x'"})
    app = tell(app, 4)
    assert "does not know this prediction any more" in words(app)
    stub.answers["POST /feedback"] = (503, {"detail": "the database of predictions does not answer"})
    app = press(app, "Send")
    assert "Not stored: the database of predictions does not answer." in words(app)
    assert app.selectbox(key="truth").value == 4
    stub.answers["POST /feedback"] = (500, b"")
    assert "**The model API failed on POST /feedback**" in words(press(app, "Send"))
    stub.answers = good_answers()
    assert "Noted: Aspen." in words(press(app, "Send"))


def test_the_page_speaks_spanish_and_keeps_what_was_entered(open_page: OpenPage) -> None:
    app = fill(open_page("es"))
    assert app.title[0].value == "¿Qué crece aquí?"
    app = press(app, "Predecir")
    assert "Álamo temblón" in [header.value for header in app.header]
    app.segmented_control(key="lang").set_value("en").run()
    assert app.number_input(key="field_Elevation").value == 2500
    assert app.number_input(key="field_Elevation").label == "Elevation (m)"


def test_clear_empties_the_form(open_page: OpenPage) -> None:
    app = press(fill(open_page()), "Clear")
    assert {entry.value for entry in app.number_input} == {0}
    assert app.selectbox(key="field_Soil_Type").value is None


def test_a_value_that_only_the_api_refuses_is_told_at_its_field(open_page: OpenPage, stub: StubApi) -> None:
    stub.answers["POST /predict"] = (422, {"detail": [{"loc": ["body", "Slope"], "msg": "too steep"}]})
    app = press(fill(open_page()), "Predict")
    said = words(app)
    assert "Refused: too steep." in said
    assert "One field needs your attention." in said


def test_an_api_that_goes_away_and_comes_back(open_page: OpenPage, stub: StubApi) -> None:
    app = fill(open_page())
    stub.answers = dict.fromkeys(stub.answers, (500, {"detail": "out of memory"}))
    app = look_again(app)
    assert "**The model API failed on GET /model**: out of memory." in words(app)
    # What was typed is still there, and the button still says what is wrong.
    assert app.number_input(key="field_Elevation").value == 2500
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
