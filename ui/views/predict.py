"""The page Predict: one record by hand, every fault at its field, the answer beside the form."""

from dataclasses import dataclass
from datetime import UTC, datetime

import altair as alt
import pandas as pd
import streamlit as st

import lookups
import panels
from client import ApiError, Kind, Prediction, Problem
from form import Fault, Field, Form, Value, check
from texts import Texts, plain

COLUMNS = {"terrain": 3, "place": 2, "distances": 2, "light": 3, "other": 2}
MODEL = "model"
TREES = (
    '<svg viewBox="0 0 120 60" aria-hidden="true" fill="currentColor"><path d="M60 4l12 16h-6l10 13h-6l9 12H41l9-12'
    'h-6l10-13h-6z"/><rect x="57" y="45" width="6" height="9"/><path d="M24 20l8 11h-4l7 9h-4l6 8H11l6-8h-4l7-9h-4z"/>'
    '<rect x="22" y="48" width="4" height="6"/><path d="M97 16l9 12h-5l8 10h-5l7 9H83l7-9h-5l8-10h-5z"/>'
    '<rect x="95" y="47" width="4" height="7"/></svg>'
)


@dataclass(frozen=True)
class Answer:
    """What came of the last press of the button, and when."""

    outcome: Prediction | Problem
    at: datetime


def show(t: Texts) -> None:
    """Draw the page. The form that was drawn last stays while the API is away."""
    st.title(t("predict.title"), anchor=False)
    st.markdown(t("predict.intro"))
    form = lookups.form()
    if isinstance(form, Problem):
        # A service in trouble as a whole is told once, above; this is for a schema that alone fails.
        known: Form | None = st.session_state.get("known_form")
        if known is None:
            st.info(t("predict.waiting_form"), icon=":material/schedule:")
            panels.wait_for(t, form, lookups.form)
            return
        form = known
    st.session_state["known_form"] = form
    left, right = st.columns([5, 3], gap="large")
    with left:
        draw_form(t, form)
    with right, st.container(border=True, key="result"):
        draw_result(t)


def draw_form(t: Texts, form: Form) -> None:
    """The fields by group, the choice of model and the buttons."""
    faults: dict[str, Fault] = st.session_state.get("faults", {})
    with st.form("record", border=False):
        if faults:
            words = t("fault.one") if len(faults) == 1 else t("fault.many", count=len(faults))
            st.error(words, icon=":material/edit_note:")
        for group, fields in form.groups():
            with st.container(border=True):
                st.subheader(t(f"groups.{group}"), anchor=False)
                width = COLUMNS[group]
                for start in range(0, len(fields), width):
                    cells = st.columns(width)
                    for cell, field in zip(cells, fields[start : start + width], strict=False):
                        with cell, st.container(key=f"cell_{field.name}"):
                            draw_field(t, field, faults.get(field.name))
        draw_models(t)
        with st.container(horizontal=True):
            st.form_submit_button(
                t("predict.submit"), type="primary", icon=":material/forest:", on_click=submit, args=(form,), key="submit"
            )
            if form.examples:
                st.form_submit_button(
                    t("predict.example"), icon=":material/auto_fix_high:", on_click=fill, args=(form,), key="example"
                )
            st.form_submit_button(t("predict.clear"), type="tertiary", on_click=clear, args=(form,), key="clear")


def draw_field(t: Texts, field: Field, fault: Fault | None) -> None:
    """One field: label with unit, help, entry, and below it the allowed range or what is wrong."""
    name = t.get(f"fields.{field.name}", field.name.replace("_", " "))
    unit = t.get(f"units.{field.unit}", field.unit)
    help_text = t.get(f"help.{field.name}", plain(field.description)) or None
    label = f"{name} ({unit})" if unit else name
    if field.options:
        st.selectbox(
            label,
            field.options,
            index=None,
            placeholder=t("predict.choose"),
            help=help_text,
            key=key_of(field.name),
            persist_state="session",
        )
        allowed = t("predict.options", count=len(field.options))
    else:
        # No limits on the entry itself: the browser would drop what is outside them without a word.
        st.number_input(
            label, value=0, step=1, format="%d", help=help_text, key=key_of(field.name), persist_state="session"
        )
        shown_unit = unit if unit in ("", "°") else f"\N{NO-BREAK SPACE}{unit}"
        rule = "predict.range_negative" if field.minimum < 0 else "predict.range"
        allowed = t(rule, minimum=field.minimum, maximum=field.maximum, unit=shown_unit)
    if fault is None:
        st.html(f'<p class="range">{allowed}</p>')
    else:
        st.markdown(f":red[:material/error: {t(f'fault.{fault.key}', **fault.values)}]")


def draw_models(t: Texts) -> None:
    """The choice of model, from the API's list."""
    names = lookups.model_names()
    if isinstance(names, Problem) or not names:
        st.caption(t("predict.no_models"))
    else:
        st.selectbox(t("predict.model"), names, key=key_of(MODEL), persist_state="session")


def draw_result(t: Texts) -> None:
    """The answer to the last press of the button, or what is missing for one."""
    st.subheader(t("result.title"), anchor=False)
    record = st.session_state.pop("pending", None)
    if record is not None:
        with st.spinner(t("result.working")):
            st.session_state["answer"] = ask(record)
        if st.session_state.get("faults"):
            st.rerun()
    answer: Answer | None = st.session_state.get("answer")
    if answer is None:
        words = t("result.faulty") if st.session_state.get("faults") else t("result.empty")
        st.html(f'<div class="waiting">{TREES}<p>{words}</p></div>')
    elif isinstance(answer.outcome, Problem):
        panels.show_problem(t, answer.outcome)
    else:
        draw_prediction(t, answer.outcome, answer.at)


def draw_prediction(t: Texts, prediction: Prediction, at: datetime) -> None:
    """The class with its name, the probability of each class as bars, and what computed them."""
    name = t.get(f"classes.{prediction.label}", plain(prediction.label))
    st.caption(t("result.eyebrow"))
    st.markdown(f"## {name}")
    share = t.percent(prediction.probabilities[prediction.label])
    st.markdown(f"**{t('result.sure', probability=share)}**")
    about = t.get(f"about.{prediction.label}", "")
    if about:
        st.markdown(about)
    draw_bars(t, prediction)
    st.badge(t("result.version", version=plain(prediction.model_version)), icon=":material/deployed_code:", color="green")
    when = t.moment(at, panels.reader_zone())
    st.caption(t("result.made", time=when, id=f"`{prediction.prediction_id}`"))


def draw_bars(t: Texts, prediction: Prediction) -> None:
    """One bar per class, the likeliest first; the predicted one in the theme's colour."""
    dark = st.context.theme.type == "dark"
    rows = [
        {
            "kind": t.get(f"classes.{label}", label),
            "share": share,
            "text": t.percent(share),
            "colour": ("#5BB589" if dark else "#2E6B4A") if label == prediction.label else ("#59665E" if dark else "#B9B6A6"),
        }
        for label, share in sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    ]
    frame = pd.DataFrame(rows)
    order = list(frame["kind"])
    base = alt.Chart(frame).encode(
        y=alt.Y("kind:N", sort=order, title=None, axis=alt.Axis(labelLimit=170, ticks=False, domain=False)),
        x=alt.X("share:Q", title=None, axis=None, scale=alt.Scale(domain=[0, 1.22])),
        tooltip=[
            alt.Tooltip("kind:N", title=t("result.kind")),
            alt.Tooltip("text:N", title=t("result.probability")),
        ],
    )
    bars = base.mark_bar(cornerRadiusEnd=4, height=16).encode(color=alt.Color("colour:N", scale=None))
    words = base.mark_text(align="left", dx=6, color="#E7ECE5" if dark else "#1D2721").encode(text="text:N")
    chart = (bars + words).properties(height=32 * len(rows))
    told = ", ".join(f"{row['kind']} {row['text']}" for row in rows)
    st.markdown(f"**{t('result.chart')}**")
    st.altair_chart(chart, width="stretch", alt=t("result.chart_alt", bars=told))


def ask(record: dict[str, int | str]) -> Answer:
    """Ask for a prediction; values that the API refuses become faults at their fields."""
    model = st.session_state.get(key_of(MODEL))
    try:
        outcome: Prediction | Problem = lookups.api().predict(record, model)
    except ApiError as error:
        outcome = error.problem
        if outcome.kind is Kind.REFUSED:
            st.session_state["faults"] = {
                name: Fault("refused", {"detail": plain(message)})
                for name, message in outcome.fields.items()
                if name in record
            }
    return Answer(outcome, datetime.now(UTC))


def submit(form: Form) -> None:
    """On the press of the button: check all entries; ask only when none is at fault."""
    entries = {field.name: entry_of(field.name) for field in form.fields}
    faults = check(form.fields, entries)
    st.session_state["faults"] = faults
    st.session_state["answer"] = None
    if not faults:
        st.session_state["pending"] = {name: value for name, value in entries.items() if value is not None}


def fill(form: Form) -> None:
    """Put the next of the schema's examples into the form."""
    turn = st.session_state.get("examples_shown", 0)
    st.session_state["examples_shown"] = turn + 1
    for name, value in form.examples[turn % len(form.examples)].items():
        st.session_state[key_of(name)] = value
    st.session_state["faults"] = {}
    st.session_state["answer"] = None


def clear(form: Form) -> None:
    """Every field as at the start: numbers 0, categories blank."""
    for field in form.fields:
        st.session_state[key_of(field.name)] = None if field.options else 0
    st.session_state["faults"] = {}
    st.session_state["answer"] = None


def key_of(name: str) -> str:
    """The widget's key for a column; its container has the CSS class st-key-<key>."""
    return f"field_{name}"


def entry_of(name: str) -> Value:
    """What stands in a field."""
    value: Value = st.session_state.get(key_of(name))
    return value
