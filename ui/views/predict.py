"""The page Predict: one record by hand, every fault at its field, the answer beside the form."""

import html
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import httpx
import streamlit as st

import lookups
import panels
from answers import Prediction
from client import ApiError, Kind, Problem
from form import CoverClass, Fault, Field, Form, Value, check
from texts import Texts, plain

COLUMNS = {"terrain": 3, "place": 2, "distances": 2, "light": 3, "other": 2}
MODEL = "model"


@dataclass(frozen=True)
class Said:
    """The true class that a reader told of the last prediction, and what kept it from being stored."""

    cover_type: int
    problem: Problem | None


@dataclass(frozen=True)
class Answer:
    """What came of the last press of the button, when, and the state of the API at that time."""

    outcome: Prediction | Problem
    at: datetime
    status: object


def show(t: Texts) -> None:
    """Draw the page. The form that was drawn last stays while the API is away."""
    st.title(t("predict.title"), anchor=False)
    st.markdown(t("predict.intro"))
    with st.container(key="schema_state"):
        form = known_form(t)
    if form is None:
        return
    if form.classes:
        st.menu_button(
            t("predict.example"),
            form.classes,
            format_func=lambda item: class_name(t, item.label),
            icon=":material/auto_fix_high:",
            help=t("predict.example_help"),
            on_click=fill,
            key="example",
        )
    left, right = st.columns([5, 3], gap="large")
    with left:
        draw_form(t, form)
    with right, st.container(border=True, key="result"):
        draw_result(t, form)


def known_form(t: Texts) -> Form | None:
    """The form of the API; while the API does not say, the one drawn last, so that nothing typed is lost."""
    form = lookups.form()
    if isinstance(form, Form):
        st.session_state["known_form"] = form
        return form
    known: Form | None = st.session_state.get("known_form")
    if known is None:
        st.info(t("predict.waiting_form"), icon=":material/schedule:")
    # What the frame has said already is not said twice; it also draws the page anew when the trouble is over.
    said = isinstance(lookups.serving(), Problem)
    if known is None or not said:
        panels.wait_for(t, form, lookups.form, quiet=said)
    return known


def draw_form(t: Texts, form: Form) -> None:
    """The fields by group, the choice of model and the buttons."""
    faults: dict[str, Fault] = st.session_state.get("faults", {})
    with st.container(key="record"):
        # Always there: were it to come and go, the browser would draw every field below anew.
        banner = st.empty()
        if faults:
            words = t("fault.one") if len(faults) == 1 else t("fault.many", count=len(faults))
            banner.error(words, icon=":material/edit_note:")
        for group, fields in form.groups():
            with st.container(border=True):
                st.header(t(f"groups.{group}"), anchor=False)
                width = COLUMNS[group]
                for start in range(0, len(fields), width):
                    cells = st.columns(width)
                    for cell, field in zip(cells, fields[start : start + width], strict=False):
                        with cell, st.container(key=f"cell_{field.name}"):
                            draw_field(t, field, faults.get(field.name))
        draw_models(t)
        with st.container(horizontal=True):
            st.button(
                t("predict.submit"),
                type="primary",
                icon=":material/forest:",
                on_click=submit,
                args=(form,),
                key="submit",
            )
            st.button(t("predict.clear"), type="tertiary", on_click=clear, args=(form,), key="clear")


def draw_field(t: Texts, field: Field, fault: Fault | None) -> None:
    """One field: label with unit, help, entry, and below it the allowed range or what is wrong.

    An entry travels with the next action on the page: nothing is drawn anew while the reader types, and
    nothing is lost on the way to the other page and back.
    """
    name = name_of(t, field.name)
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
            on_change="ignore",
            persist_state="session",
        )
        allowed = t("predict.options", count=len(field.options))
    else:
        # No limits on the entry itself: the browser would drop what is outside them without a word.
        st.number_input(
            label,
            step=1,
            format="%d",
            help=help_text,
            key=key_of(field.name),
            on_change="ignore",
            persist_state="session",
        )
        shown_unit = unit if unit in ("", "°") else f"\N{NO-BREAK SPACE}{unit}"
        rule = "predict.range_negative" if field.minimum < 0 else "predict.range"
        allowed = t(rule, minimum=field.minimum, maximum=field.maximum, unit=shown_unit)
    if fault is None:
        st.html(f'<p class="range">{html.escape(allowed)}</p>')
    else:
        st.markdown(f":red[:material/error: {t(f'fault.{fault.key}', **fault.values)}]")


def draw_models(t: Texts) -> None:
    """The choice of model, from the API's list; while the API is away, from the list it gave last."""
    answer = lookups.model_names()
    if not isinstance(answer, Problem):
        st.session_state["known_models"] = answer
    names: tuple[str, ...] | None = st.session_state.get("known_models")
    if names is None:
        st.caption(t("predict.models_unknown"))
    elif not names:
        st.caption(t("predict.no_models"))
    else:
        st.selectbox(
            t("predict.model"), names, key=key_of(MODEL), on_change="ignore", persist_state="session"
        )


def draw_result(t: Texts, form: Form) -> None:
    """The answer to the last press of the button, or what is missing for one."""
    record = st.session_state.pop("pending", None)
    if record is not None:
        with st.spinner(t("result.working")):
            st.session_state["answer"] = ask(record)
        if st.session_state.get("faults"):
            st.rerun()
    answer: Answer | None = st.session_state.get("answer")
    if answer is not None and isinstance(answer.outcome, Problem) and answer.status != panels.status():
        # The trouble of that time has passed or become another, which the frame tells.
        answer = st.session_state["answer"] = None
    faults: dict[str, Fault] = st.session_state.get("faults", {})
    if answer is None:
        st.header(t("result.title"), anchor=False)
        names = ", ".join(name_of(t, name) for name in faults)
        words = t("result.faulty", names=html.escape(names)) if faults else t("result.empty")
        st.html(f'<div class="waiting">{words}</div>')
    elif isinstance(answer.outcome, Problem):
        panels.show_problem(t, answer.outcome)
    else:
        draw_prediction(t, answer.outcome, answer.at)
        if form.classes:
            st.divider()
            draw_feedback(t, form.classes, answer.outcome)


def draw_prediction(t: Texts, prediction: Prediction, at: datetime) -> None:
    """The class with its name, the probability of each class as bars, and what computed them."""
    name = class_name(t, prediction.label)
    st.caption(t("result.eyebrow"))
    with st.container(key="cover"):
        st.header(name, anchor=False)
    share = t.percent(prediction.probabilities[prediction.label])
    about = t.get(f"about.{prediction.label}", "")
    st.markdown(f"**{t('result.sure', probability=share)}**  \n{about}")
    draw_bars(t, prediction)
    st.badge(
        t("result.version", version=plain(prediction.model_version)),
        icon=":material/deployed_code:",
        color="green",
    )
    when = t.moment(at, panels.reader_zone())
    st.caption(t("result.made", time=when, id=plain(prediction.prediction_id)))


def draw_bars(t: Texts, prediction: Prediction) -> None:
    """One bar per class, the likeliest first; the predicted one in the theme's colour."""
    likeliest_first = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    bars = [panels.Bar(class_name(t, label), share, t.percent(share)) for label, share in likeliest_first]
    told = ", ".join(f"{bar.name} {bar.words}" for bar in bars)
    st.caption(t("result.chart"))
    panels.bars(
        bars,
        class_name(t, prediction.label),
        t("result.kind"),
        t("result.probability"),
        t("result.chart_alt", bars=told),
    )


def draw_feedback(t: Texts, classes: tuple[CoverClass, ...], prediction: Prediction) -> None:
    """A way to say what the true class was: once for each prediction, until the reader changes it."""
    said: Said | None = st.session_state.get("said")
    labels = {item.number: item.label for item in classes}
    if said is not None and said.problem is None:
        agrees = "feedback.agrees" if said.cover_type == prediction.cover_type else "feedback.differs"
        st.success(t(agrees, name=class_name(t, labels[said.cover_type])), icon=":material/task_alt:")
        st.button(
            t("feedback.change"),
            type="tertiary",
            icon=":material/edit:",
            on_click=partial(st.session_state.pop, "said"),
            key="change",
        )
        return
    st.selectbox(
        t("feedback.question"),
        list(labels),
        index=None,
        format_func=lambda number: class_name(t, labels[number]),
        placeholder=t("predict.choose"),
        help=t("feedback.help"),
        key="truth",
        persist_state="session",
    )
    st.button(
        t("feedback.send"),
        icon=":material/send:",
        disabled=st.session_state["truth"] is None,
        on_click=say,
        args=(prediction.prediction_id,),
        key="say",
    )
    if said is not None and said.problem is not None:
        draw_feedback_problem(t, said.problem)


def draw_feedback_problem(t: Texts, problem: Problem) -> None:
    """Why the true class is not stored, and what to do."""
    if problem.status == httpx.codes.NOT_FOUND:
        st.warning(t("feedback.unknown"), icon=":material/search_off:")
    elif problem.status == httpx.codes.SERVICE_UNAVAILABLE:
        st.warning(t("feedback.away", detail=plain(problem.detail.rstrip("."))), icon=":material/cloud_off:")
    else:
        panels.show_problem(t, problem)


def say(prediction_id: str) -> None:
    """On the press of the button: send the chosen class."""
    cover_type: int = st.session_state["truth"]
    try:
        lookups.api().feedback(prediction_id, cover_type)
    except ApiError as error:
        st.session_state["said"] = Said(cover_type, error.problem)
    else:
        st.session_state["said"] = Said(cover_type, None)


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
    return Answer(outcome, datetime.now(UTC), panels.status())


def submit(form: Form) -> None:
    """On the press of the button: check all entries; ask only when none is at fault."""
    entries = {field.name: entry_of(field.name) for field in form.fields}
    faults = check(form.fields, entries)
    forget_answer()
    st.session_state["faults"] = faults
    if not faults:
        st.session_state["pending"] = {name: value for name, value in entries.items() if value is not None}


def fill() -> None:
    """Put the example of the chosen class into the form."""
    chosen: CoverClass = st.session_state["example"]
    for name, value in chosen.example.items():
        st.session_state[key_of(name)] = value
    forget_answer()


def clear(form: Form) -> None:
    """Every field as at the start: numbers 0, categories blank."""
    for field in form.fields:
        st.session_state[key_of(field.name)] = None if field.options else 0
    forget_answer()


def forget_answer() -> None:
    """What was said of an earlier entry is over."""
    st.session_state["faults"] = {}
    st.session_state["answer"] = st.session_state["said"] = st.session_state["truth"] = None


def class_name(t: Texts, label: str) -> str:
    """What a class is called on the page."""
    return t.get(f"classes.{label}", plain(label))


def name_of(t: Texts, column: str) -> str:
    """What a column is called on the page."""
    return t.get(f"fields.{column}", column.replace("_", " "))


def key_of(name: str) -> str:
    """The widget's key for a column; its container has the CSS class st-key-<key>."""
    return f"field_{name}"


def entry_of(name: str) -> Value:
    """What stands in a field."""
    value: Value = st.session_state.get(key_of(name))
    return value
