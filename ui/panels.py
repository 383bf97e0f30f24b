"""Pieces that every page shows: what the API is doing, and what failed and what to do about it."""

# Streamlit's decorators are Any where the checks run.
# mypy: disallow-untyped-decorators=False

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import altair
import pandas as pd
import streamlit as st

import lookups
from client import Kind, Problem
from texts import Texts, plain


def reader_zone() -> tzinfo:
    """The time zone of the reader's browser; UTC when it names none that is known here."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def show_problem(t: Texts, problem: Problem) -> None:
    """What failed and what to do, as a message on the page."""
    words = t(
        f"problem.{problem.kind}",
        call=plain(problem.call),
        url=problem.url,
        detail=plain(problem.detail.rstrip(".")),
        seconds=f"{problem.seconds:g}",
    )
    if problem.kind in {Kind.NOT_READY, Kind.AWAY}:
        st.warning(words, icon=":material/hourglass_empty:")
    else:
        st.error(words, icon=":material/cloud_off:")


def show_part(t: Texts, problem: Problem) -> None:
    """The problem of one part of a page, in a word where the frame says already what is wrong."""
    frame = lookups.serving()
    if isinstance(frame, Problem) and (frame.kind, frame.detail) == (problem.kind, problem.detail):
        st.markdown(t("not_known"))
    else:
        show_problem(t, problem)


@st.fragment(run_every=lookups.LOOK_EVERY)
def redraw_when_new(ask: Callable[[], object], drawn: object) -> None:
    """Look every few seconds whether `ask` gives another answer than what was drawn; then draw the page anew.

    Meanwhile nothing on the page moves: charts keep still and what is open stays open.
    """
    if ask() != drawn:
        st.rerun()


def wait_for[T](t: Texts, problem: Problem, ask: Callable[[], T | Problem], *, quiet: bool = False) -> None:
    """The problem of a lookup, with a button to retry; the page is drawn anew as soon as there is an answer.

    `quiet` leaves out the message, for a problem that the page shows elsewhere.
    """
    if not quiet:
        show_problem(t, problem)
    _retry(t, ask)


@st.fragment(run_every=lookups.LOOK_EVERY)
def _retry(t: Texts, ask: Callable[[], object]) -> None:
    if st.button(t("retry"), icon=":material/refresh:", on_click=lookups.forget, key="retry"):
        st.rerun()
    if not isinstance(ask(), Problem):
        st.rerun()


@dataclass(frozen=True)
class Bar:
    """One bar of a chart: its name, its length as a share (0..1) of all, and the words at its end."""

    name: str
    share: float
    words: str


def bars(bars: Sequence[Bar], chosen: str | None, title: str, unit: str, alt: str) -> None:
    """Bars from top to bottom, told apart by their names; the chosen one in the theme's colour."""
    dark = st.context.theme.type == "dark"
    ink = "#E7ECE5" if dark else "#0E1511"
    likely, others = ("#5BB589", "#59665E") if dark else ("#2E6B4A", "#B9B6A6")
    frame = pd.DataFrame(
        {
            "name": [bar.name for bar in bars],
            "share": [bar.share for bar in bars],
            "words": [bar.words for bar in bars],
            "colour": [likely if chosen in {None, bar.name} else others for bar in bars],
        }
    )
    longest = max(frame["share"].max(), 0.01)
    base = altair.Chart(frame).encode(
        y=altair.Y(
            "name:N",
            sort=list(frame["name"]),
            title=None,
            axis=altair.Axis(labelLimit=170, labelColor=ink, labelFontSize=13, ticks=False, domain=False),
        ),
        x=altair.X("share:Q", title=None, axis=None, scale=altair.Scale(domain=[0, longest * 1.35])),
        tooltip=[altair.Tooltip("name:N", title=title), altair.Tooltip("words:N", title=unit)],
    )
    drawn = base.mark_bar(cornerRadiusEnd=4, height=16).encode(color=altair.Color("colour:N", scale=None))
    words = base.mark_text(align="left", dx=6, color=ink, fontSize=13).encode(text="words:N")
    st.altair_chart((drawn + words).properties(height=32 * len(frame)), width="stretch", alt=alt)


def status() -> object:
    """What the whole page depends on; the page is drawn anew when it changes."""
    now = lookups.serving()
    return now.kind if isinstance(now, Problem) else (now.name, now.version)


@st.fragment(run_every=lookups.LOOK_EVERY)
def status_strip(t: Texts, drawn_with: object) -> None:
    """One line: which version answers, or what keeps it from answering; looks again every few seconds."""
    now = lookups.serving()
    if isinstance(now, Problem):
        ready = now.kind is Kind.NOT_READY
        st.badge(
            t("status.not_ready" if ready else "status.down"),
            icon=":material/hourglass_empty:" if ready else ":material/cloud_off:",
            color="orange" if ready else "red",
        )
    else:
        words = t("status.serving", name=plain(now.name), version=plain(now.version))
        st.badge(words, icon=":material/check_circle:", color="green")
    if status() != drawn_with:
        st.rerun()
