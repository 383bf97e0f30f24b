"""The pages Models, Data and State as a reader meets them, run without a browser."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from stub_api import StubApi, good_answers
from stub_reports import CLASSES, evaluation

import answers
from client import ModelApi
from views import data, models, state

type OpenView = Callable[..., AppTest]

VIEWS = ("models", "data", "state")
# What each page is made from, besides the frame's own calls.
CALLS = {
    "models": ("GET /models", "GET /promotions?limit=200", "GET /models/3/evaluation"),
    "data": (
        "GET /batches",
        "GET /quarantine?limit=1000",
        "GET /batches/distribution?column=Elevation",
    ),
    "state": ("GET /state",),
}


@pytest.fixture
def open_view(stub: StubApi) -> OpenView:
    """A function that draws one page without its frame: AppTest cannot go to a page that is a function."""

    def open_it(name: str, language: str = "en") -> AppTest:
        show = f"{name}.show(texts_of({language!r}))"
        script = f"from texts import texts_of\nfrom views import {name}\n\n{show}\n"
        return AppTest.from_string(script, default_timeout=60).run()

    return open_it


def words(app: AppTest) -> str:
    """All that the page says."""
    assert not app.exception
    kinds = (
        *(app.title, app.header, app.subheader, app.markdown, app.caption),
        *(app.error, app.warning, app.info, app.success),
    )
    said = [str(element.value) for kind in kinds for element in kind]
    return "\n".join([*said, *(str(element.proto.body) for element in app.get("html"))])


def look_again(app: AppTest) -> AppTest:
    """What the page does by itself after a few seconds."""
    st.cache_data.clear()
    return app.run()


def alternatives(app: AppTest) -> list[str]:
    """The text alternative of each chart."""
    return [str(chart.proto.alt) for chart in app.get("vega_lite_chart")]


def metrics(app: AppTest) -> dict[str, str]:
    """Label -> value of each big number."""
    return {str(metric.label): str(metric.value) for metric in app.metric}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("language", ["en", "es"])
def test_every_page_is_drawn_in_both_languages_and_every_chart_has_words(
    open_view: OpenView, name: str, language: str
) -> None:
    app = open_view(name, language)
    assert not app.exception
    assert not app.error
    assert not app.warning
    assert all(len(alternative) > 20 for alternative in alternatives(app))


@pytest.mark.parametrize(("name", "call"), [(name, call) for name, calls in CALLS.items() for call in calls])
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((503, {"detail": "mysql-data-store does not answer"}), "mysql\\-data\\-store does not answer"),
        ((200, {"rows": "many"}), "makes no sense"),
    ],
)
def test_a_part_fails_alone_says_why_and_recovers(
    open_view: OpenView, stub: StubApi, name: str, call: str, answer: tuple[int, Any], told: str
) -> None:
    whole = words(open_view(name))
    stub.answers[call] = answer
    st.cache_data.clear()
    app = open_view(name)
    said = words(app)
    assert told in said
    # The headings of the other parts are there, and so is what stands below them.
    assert len(app.header) >= 2
    assert len(said) > len(told) + 500
    stub.answers = good_answers()
    assert told not in words(look_again(app))
    assert len(words(app)) == pytest.approx(len(whole), rel=0.05)


def test_what_the_frame_has_said_is_not_said_again(open_view: OpenView, stub: StubApi) -> None:
    stub.stop()
    app = open_view("models")
    assert not app.error
    assert words(app).count("Not known at the moment.") >= 2


def test_models_lists_every_version_and_the_one_serving(open_view: OpenView) -> None:
    app = open_view("models")
    assert list(metrics(app).values()) == ["0.933", "0.912", "0.866", "0.888"]
    said = words(app)
    rows = re.findall(r'scope="row" data-label="Version"><div><span>(\d)</span>', said)
    assert rows[:6] == ["6", "5", "4", "3", "2", "1"]
    assert 'class="chip good"><span aria-hidden="true">✓</span> Production</span>' in said
    assert 'class="chip plain">champion</span>' in said


def test_models_without_the_registry_still_shows_what_serves(open_view: OpenView, stub: StubApi) -> None:
    stub.answers["GET /models"] = (503, {"detail": "the model registry does not answer"})
    app = open_view("models")
    assert app.metric[0].value == "0.933"
    assert "the model registry does not answer" in app.warning[0].value
    stub.answers["GET /models"] = (200, [])
    assert "No version is registered yet" in words(look_again(app))


def test_missing_metrics_are_unknown_and_never_zero(open_view: OpenView, stub: StubApi) -> None:
    stub.answers["GET /model"] = (200, {**stub.answers["GET /model"][1], "metrics": {}})
    assert set(metrics(open_view("models")).values()) == {"unknown"}


def test_models_tells_who_promoted_what_and_why(open_view: OpenView) -> None:
    said = words(open_view("models"))
    assert "waits for approval" in said
    assert "Better on the whole, but Aspen falls from F1 0.812 to 0.744" in said
    assert "asked by scheduled__2026-11-25T10:00:00+00:00" in said
    assert "0.888 against 0.841" in said
    assert "none in Production" in said


def test_the_version_that_serves_is_looked_at_first_and_another_on_request(open_view: OpenView) -> None:
    app = open_view("models")
    assert app.selectbox(key="chosen_version").value == "3"
    quality, confusion, bars = alternatives(app)
    assert "batch 1: accuracy 94.7%" in quality
    assert "Cottonwood/Willow 76.4%" in confusion
    assert "Version 2: Spruce/Fir 0.924" in bars
    app.selectbox(key="chosen_version").set_value("1").run()
    assert "batch 1: accuracy 91.3%" in alternatives(app)[0]
    app.selectbox(key="first_version").set_value("3").run()
    assert "Choose two different versions." in words(app)


def test_two_versions_are_compared_with_what_the_decision_saw(open_view: OpenView) -> None:
    app = open_view("models")
    assert "the decision saw F1 0.888 for version 3 against 0.841 for version 2" in words(app)
    app.selectbox(key="first_version").set_value("6").run()
    said = words(app)
    assert "the decision saw F1 0.901 for version 6 against 0.888 for version 3" in said
    assert "\N{MINUS SIGN}0.060" in said
    app.selectbox(key="second_version").set_value("1").run()
    assert "No decision has compared these two" in words(app)


def test_a_version_without_a_report_says_so(open_view: OpenView, stub: StubApi) -> None:
    bare = {**evaluation(3), "per_batch": [], "classes": [], "confusion": None}
    stub.answers["GET /models/3/evaluation"] = (200, bare)
    said = words(open_view("models"))
    assert said.count("This version has no such report.") == 2
    assert "Version 3 has no report by class." in said


def test_links_lead_to_mlflow_and_airflow_where_the_page_knows_them(
    open_view: OpenView, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not open_view("models").get("link_button")
    monkeypatch.setenv("MLFLOW_URL", "http://127.0.0.1:5000")
    monkeypatch.setenv("AIRFLOW_URL", "http://127.0.0.1:8080")
    links = [str(link.proto.url) for link in open_view("models").get("link_button")]
    assert links == [
        "http://127.0.0.1:5000/#/models/modelo_covertype_vf",
        "http://127.0.0.1:8080/dags/DAG_p2",
    ]


def test_words_from_outside_are_shown_and_never_markup(open_view: OpenView, stub: StubApi) -> None:
    evil = "<img src=x onerror=alert(1)>"
    status, decisions = stub.answers["GET /promotions?limit=200"]
    stub.answers["GET /promotions?limit=200"] = (
        status,
        [{**decisions[0], "reason": evil, "request": evil, "decision": evil}, *decisions[1:]],
    )
    status, aside = stub.answers["GET /quarantine?limit=1000"]
    rows = [{**aside["rows"][0], "received": evil, "reasons": evil}]
    stub.answers["GET /quarantine?limit=1000"] = (status, {"total": 1, "rows": rows})
    status, now = stub.answers["GET /state"]
    services = [{**now["services"][0], "name": evil, "detail": evil, "status": evil}, *now["services"][1:]]
    stub.answers["GET /state"] = (status, {**now, "services": services})
    for name in VIEWS:
        said = words(open_view(name))
        assert "<img" not in said
        assert "&lt;img" in said


def test_data_counts_batches_and_rows(open_view: OpenView, stub: StubApi) -> None:
    app = open_view("data")
    assert "10 of 10 batches, group 1" in words(app)
    assert metrics(app) == {
        "Rows received": "69,720",
        "New": "63,225",
        "Repeated": "622",
        "Set aside": "2,967",
    }
    # Without batch 10 and the second, accepted answer for batch 7: one not yet there, one refused.
    status, lines = stub.answers["GET /batches"]
    left = [line for line in lines if line["batch"] != 10 and (line["batch"] != 7 or line["refused"])]
    stub.answers["GET /batches"] = (status, left)
    said = words(look_again(app))
    assert "8 of 10 batches, group 1" in said
    strip = next(part for part in said.split("\n") if part.startswith('<ol class="strip"'))
    assert [strip.count(word) for word in (">received<", "received</small>", "refused", "not yet")] == [
        0,
        8,
        1,
        1,
    ]


def test_no_batch_yet_is_said(open_view: OpenView, stub: StubApi) -> None:
    stub.answers["GET /batches"] = (200, [])
    stub.answers["GET /quarantine?limit=1000"] = (200, {"total": 0, "rows": []})
    stub.answers["GET /batches/distribution?column=Elevation"] = (
        200,
        {"column": "Elevation", "kind": "number", "bins": ["low", "high"], "batches": []},
    )
    said = words(open_view("data"))
    assert "No batch has been received yet" in said
    assert "No row is set aside." in said
    assert "Drift shows from the second batch on." in said


def test_drift_is_a_number_for_every_batch_and_follows_the_column(open_view: OpenView) -> None:
    app = open_view("data")
    assert "**Batch 10 against batch 1: 76.5%** of the rows moved" in words(app)
    assert len(app.get("vega_lite_chart")) == 1 + 1 + 9
    app.selectbox(key="drift_batch").set_value(2).run()
    assert "**Batch 2 against batch 1: 12.9%** of the rows moved \N{EN DASH} clearly different." in words(app)
    app.selectbox(key="drift_column").set_value("Cover_Type").run()
    assert "Every batch against the first: Forest cover (the class)" in words(app)


@pytest.mark.parametrize(
    ("one", "other", "moved"), [([10, 10], [1, 1], 0.0), ([4, 0], [0, 9], 1.0), ([3, 1], [1, 1], 0.25)]
)
def test_the_distance_of_distributions(one: list[int], other: list[int], moved: float) -> None:
    assert data.distance(data.shares_of(one), data.shares_of(other)) == moved


def test_reasons_are_counted_one_by_one(open_view: OpenView) -> None:
    def row(reasons: str) -> answers.BadRow:
        return answers.BadRow(1, 1, 0, None, "[]", reasons)

    found = answers.Quarantine(
        9,
        (
            row("Slope = '9; a', expected text with an integer from 0 to 66; Soil_Type = '', expected one"),
            row("Slope = '-4', expected text with an integer from 0 to 66"),
            row("not a list of 13 strings"),
        ),
    )
    assert data.reasons_of(found) == {
        ("Slope", "text with an integer from 0 to 66"): 2,
        ("Soil_Type", "one"): 1,
        ("", "not a list of 13 strings"): 1,
    }
    said = words(open_view("data"))
    assert "a whole number from 0 to 66" in said
    assert "2,967 in all; the last 60 of them" in said


def test_shares_of_a_confusion_matrix_are_of_the_true_class() -> None:
    assert models.row_shares([[3, 1], [0, 0]]) == [[0.75, 0.25], [None, None]]


def test_state_says_that_all_is_well(open_view: OpenView) -> None:
    app = open_view("state")
    assert app.success[0].value == "All is well: all 6 services work."
    assert metrics(app) == {
        "In all": "12,843",
        "Last 24 hours": "3,120",
        "Last hour": "214",
        "Median time": "4.6\N{NO-BREAK SPACE}ms",
        "Slow ones (95%)": "11.8\N{NO-BREAK SPACE}ms",
    }
    said = words(app)
    assert "5 h 3 min ago".replace(" ", "\N{NO-BREAK SPACE}", 3) in said
    assert "91.7%" in said
    assert "ingest: failed" in said
    assert "ingest: SourceUnavailable: no answer from data-api" in said
    assert said.count("the batch brought no new row") == 1


def test_state_says_unknown_and_never_zero(open_view: OpenView, stub: StubApi) -> None:
    status, now = stub.answers["GET /state"]
    unknown = dict.fromkeys(("model", "predictions", "latency_ms", "live_accuracy", "runs"))
    services = [{**item, "status": "unknown", "last_seen": None} for item in now["services"]]
    stub.answers["GET /state"] = (status, {**now, **unknown, "services": services})
    app = open_view("state")
    assert set(metrics(app).values()) == {"unknown"}
    assert "0 of 6 services are known to work" in app.warning[0].value
    assert "last seen: unknown" in words(app)
    assert [element.value for element in app.markdown].count("unknown") == 3


def test_state_names_what_is_down_and_what_to_do(open_view: OpenView, stub: StubApi) -> None:
    status, now = stub.answers["GET /state"]
    services = [
        {**item, "status": "down" if item["name"] in {"minio", "data-api"} else item["status"]}
        for item in now["services"]
    ]
    stub.answers["GET /state"] = (status, {**now, "services": services})
    app = open_view("state")
    assert "Down: minio, data-api" in app.error[0].value
    said = words(app)
    assert said.count("What to do:") == 2
    assert "Predictions go on with the loaded model; no new model can be stored." in said


def test_without_the_api_state_knows_that_it_is_down_and_nothing_else(
    open_view: OpenView, stub: StubApi
) -> None:
    stub.stop()
    app = open_view("state")
    assert "Down: model-api" in app.error[0].value
    said = words(app)
    assert said.count("What to do:") == 1
    assert said.count("unknown</span>") == len(state.SERVICES) - 1
    assert "The system says:" not in said
    assert set(metrics(app).values()) == {"unknown"}


def test_the_client_reads_every_report(stub: StubApi) -> None:
    api = ModelApi(stub.url)
    assert len(api.batches()) == 12
    assert api.batches()[4].repeated is None  # refused: nothing of it was kept
    assert api.promotions()[-1].champion is None
    assert api.evaluation("3").labels == CLASSES
    assert api.distribution("Slope").is_number
    assert not api.distribution("Soil_Type").is_number
    assert api.quarantine().total == 2967
    assert api.state().latency == answers.Latency(4.6, 11.8, 2210)


@pytest.mark.parametrize(
    ("call", "change"),
    [
        ("GET /state", {"latency_ms": {"p50": float("nan"), "p95": 1, "requests": 1}}),
        ("GET /state", {"predictions": {"total": -1, "last_hour": 0, "last_day": 0, "latest": None}}),
        ("GET /state", {"at": None}),
        ("GET /models/3/evaluation", {"confusion": {"labels": list(CLASSES), "counts": [[1]]}}),
        ("GET /models/3/evaluation", {"per_batch": [{"batch": 1, "accuracy": 93, "f1": 88}]}),
        ("GET /batches/distribution?column=Elevation", {"bins": ["only one"]}),
    ],
)
def test_reports_that_make_no_sense_are_called_so(
    open_view: OpenView, stub: StubApi, call: str, change: dict[str, Any]
) -> None:
    status, body = stub.answers[call]
    stub.answers[call] = (status, {**body, **change})
    name = next(name for name, calls in CALLS.items() if call in calls)
    assert "makes no sense" in words(open_view(name))
