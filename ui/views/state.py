"""The page State: whether all is well, which part is not, and what to do then. Unknown is a word, never 0."""

# Streamlit's decorators are Any where the checks run.
# mypy: disallow-untyped-decorators=False

import html
from collections.abc import Sequence
from datetime import UTC, datetime

import streamlit as st

import lookups
import panels
import sheets
from answers import Current, Latency, LiveAccuracy, Run, Service, State, Traffic
from client import Kind, Problem
from sheets import Cell, Chip, Tone
from texts import Texts

SERVICES = ("model-api", "mlflow", "minio", "mysql-data-store", "airflow-scheduler", "data-api")
HEALTH = {"up": Tone.GOOD, "down": Tone.BAD}
RUN_STATES = {
    "success": Tone.GOOD,
    "failed": Tone.BAD,
    "running": Tone.WAIT,
    "up_for_retry": Tone.WAIT,
    "skipped": Tone.PLAIN,
}


def show(t: Texts) -> None:
    """Draw the page; all of it looks again every few seconds."""
    sheets.style()
    st.title(t("state.title"), anchor=False)
    st.markdown(t("state.intro"))
    draw_all(t)


@st.fragment(run_every=lookups.LOOK_EVERY)
def draw_all(t: Texts) -> None:
    """The whole state; when the API does not tell it, what can be said without it."""
    found = lookups.state()
    if isinstance(found, Problem):
        panels.show_part(t, found)
        found = without_answer(found)
    draw_verdict(t, found)
    st.header(t("state.services"), anchor=False)
    draw_services(t, found.services, found.at)
    left, right = st.columns(2, gap="large")
    with left:
        st.header(t("state.model"), anchor=False)
        draw_model(t, found.model, found.at)
        st.header(t("state.accuracy"), anchor=False)
        st.caption(t("state.accuracy_help"))
        draw_accuracy(t, found.accuracy)
    with right:
        st.header(t("state.predictions"), anchor=False)
        draw_traffic(t, found.traffic, found.latency, found.at)
    st.header(t("state.runs"), anchor=False)
    draw_runs(t, found.runs, found.at)


def without_answer(problem: Problem) -> State:
    """What is known when the API does not tell its state: that it does not answer, and nothing else."""
    away = "down" if problem.kind is Kind.UNREACHABLE else "unknown"
    services = [Service(name, away if name == SERVICES[0] else "unknown", None, "") for name in SERVICES]
    return State(datetime.now(UTC), tuple(services), None, None, None, None, None)


def draw_verdict(t: Texts, found: State) -> None:
    """In one sentence whether all is well."""
    down = [item.name for item in found.services if item.status == "down"]
    up = [item.name for item in found.services if item.status == "up"]
    when = f"{found.at.astimezone(panels.reader_zone()):%H:%M:%S}"
    if down:
        st.error(t("state.some_down", names=", ".join(down)), icon=":material/error:")
    elif len(up) == len(found.services):
        st.success(t("state.all_up", count=len(up)), icon=":material/check_circle:")
    else:
        st.warning(t("state.some_unknown", up=len(up), count=len(found.services)), icon=":material/help:")
    st.caption(t("state.as_of", time=when))


def draw_services(t: Texts, services: Sequence[Service], now: datetime) -> None:
    """A card for each: name, health in a word, when it was last seen, and what to do when it is down."""
    cards = []
    for item in services:
        tone = HEALTH.get(item.status, Tone.UNKNOWN)
        word = t(f"health.{item.status if item.status in HEALTH else 'unknown'}")
        seen = t("unknown") if item.last_seen is None else ago(t, item.last_seen, now)
        lines = [
            f'<span class="name"><span>{html.escape(item.name)}</span>{sheets.chip(Chip(word, tone))}</span>',
            f"<p>{html.escape(t.get(f'role.{item.name}', ''))}</p>",
            f'<p class="faint">{html.escape(t("state.last_seen", when=seen))}</p>',
        ]
        # A service that works says nothing more than that; the rest is told in the API's own words.
        if item.detail and item.status != "up":
            lines.append(f'<p class="faint">{html.escape(t("state.told", detail=item.detail))}</p>')
        if item.status == "down":
            lines.append(f"<p><b>{html.escape(t('state.to_do'))}</b> {advice(t, item.name)}</p>")
        cards.append(f'<li class="{tone}">{"".join(lines)}</li>')
    label = html.escape(t("state.services"), quote=True)
    st.html(f'<ul class="services" aria-label="{label}">{"".join(cards)}</ul>')


def advice(t: Texts, name: str) -> str:
    """What to do when that service is down, as HTML with its commands set apart."""
    words = html.escape(t.get(f"advice.{name}", "") or t("state.any_advice", name=name))
    pieces = words.split("`")
    return "".join(f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces))


def draw_model(t: Texts, model: Current | None, now: datetime) -> None:
    """Which version serves, and its age."""
    if model is None:
        st.markdown(t("unknown"))
        return
    heads = (t("state.what"), t("state.known"))
    zone = panels.reader_zone()
    rows = [
        (Cell(t("models.version")), Cell(f"{model.name} {model.version}")),
        (
            Cell(t("state.promoted")),
            Cell(since(t, model.promoted_at, now), note=noted(t.moment(model.promoted_at, zone), t)),
        ),
        (
            Cell(t("state.loaded")),
            Cell(since(t, model.loaded_at, now), note=noted(t.moment(model.loaded_at, zone), t)),
        ),
        (Cell(t("models.run")), Cell(note=model.run_id)),
    ]
    sheets.show_table(t("state.model"), heads, rows, small=True)


def draw_traffic(t: Texts, traffic: Traffic | None, latency: Latency | None, now: datetime) -> None:
    """How many predictions there were, and how long they took."""
    counts = (None, None, None) if traffic is None else (traffic.total, traffic.last_day, traffic.last_hour)
    with st.container(horizontal=True):
        for label, count in zip(
            (t("state.total"), t("state.last_day"), t("state.last_hour")), counts, strict=True
        ):
            st.metric(label, t.whole(count), width=150)
    with st.container(horizontal=True):
        half, most = (None, None) if latency is None else (latency.p50, latency.p95)
        st.metric(t("state.p50"), milliseconds(t, half), help=t("state.p50_help"), width=150)
        st.metric(t("state.p95"), milliseconds(t, most), help=t("state.p95_help"), width=150)
    latest = None if traffic is None else traffic.latest
    st.caption(t("state.latest", when=since(t, latest, now)))
    if latency is not None:
        st.caption(t("state.measured", count=t.whole(latency.requests)))


def milliseconds(t: Texts, time: float | None) -> str:
    """A time with its unit, or the word for unknown."""
    return t("unknown") if time is None else f"{t.decimal(time, 1)}\N{NO-BREAK SPACE}ms"


def draw_accuracy(t: Texts, accuracy: Sequence[LiveAccuracy] | None) -> None:
    """How often each version was right, of what people have told."""
    if accuracy is None:
        st.markdown(t("unknown"))
        return
    if not accuracy:
        st.markdown(t("state.no_feedback"))
        return
    heads = (t("models.version"), t("state.right"), t("state.feedback"), t("metrics.test_accuracy"))
    rows = [
        (
            Cell(item.version),
            Cell(t.whole(item.right), number=True),
            Cell(t.whole(item.feedback), number=True),
            Cell(t.percent(item.accuracy), number=True),
        )
        for item in accuracy
    ]
    sheets.show_table(t("state.accuracy"), heads, rows, small=True)


def draw_runs(t: Texts, runs: Sequence[Run] | None, now: datetime) -> None:
    """The last runs of the DAG, each task with its result."""
    if runs is None:
        st.markdown(t("unknown"))
        return
    if not runs:
        st.markdown(t("state.no_run"))
        return
    heads = (t("state.started"), t("state.result"), t("state.took"), t("state.tasks"))
    rows = [
        (
            Cell(t.moment(run.started, panels.reader_zone()), note=f"{run.dag} · {run.name}"),
            Cell(chips=[state_chip(t, run.state)]),
            Cell(took(t, run, now)),
            Cell(
                chips=[task_chip(t, task.name, task.state) for task in run.tasks],
                note=details(run),
            ),
        )
        for run in runs
    ]
    sheets.show_table(t("state.runs"), heads, rows)


def details(run: Run) -> str:
    """What the tasks said, each thing once and by the first who said it."""
    first: dict[str, str] = {}
    for task in run.tasks:
        if task.detail:
            first.setdefault(task.detail, task.name)
    return "; ".join(f"{name}: {detail}" for detail, name in first.items())


def state_chip(t: Texts, state: str) -> Chip:
    """The word for the state of a run."""
    known = state if state in RUN_STATES else "unknown"
    return Chip(t(f"run.{known}"), RUN_STATES.get(state, Tone.UNKNOWN))


def task_chip(t: Texts, name: str, state: str) -> Chip:
    """A task with its state, in words where it is not simply done."""
    chip = state_chip(t, state)
    return Chip(name if state == "success" else f"{name}: {chip.text}", chip.tone)


def took(t: Texts, run: Run, now: datetime) -> str:
    """How long a run took, or has taken so far."""
    if run.started is None:
        return t("unknown")
    if run.ended is not None:
        return t.span((run.ended - run.started).total_seconds())
    if run.state == "running":
        return t("state.so_far", span=t.span((now - run.started).total_seconds()))
    return t("unknown")


def since(t: Texts, moment: datetime | None, now: datetime) -> str:
    """How long ago, or the word for unknown."""
    return t("unknown") if moment is None else ago(t, moment, now)


def ago(t: Texts, moment: datetime, now: datetime) -> str:
    """How long ago something was; clocks that differ by a little make no future."""
    return t("state.ago", span=t.span(max(0.0, (now - moment).total_seconds())))


def noted(words: str, t: Texts) -> str:
    """A note, unless it would only say unknown again."""
    return "" if words == t("unknown") else words
