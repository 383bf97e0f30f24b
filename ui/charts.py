"""The charts of Models and Data. Colours are near Okabe and Ito's; shapes and numbers say the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from texts import Texts


@dataclass(frozen=True)
class Palette:
    """The colours of one theme: text, what was before, two that are told apart, and the ends of a scale."""

    ink: str
    past: str
    first: str
    second: str
    weak: str
    strong: str
    on_strong: str


LIGHT = Palette("#0E1511", "#C4C0B0", "#0072B2", "#C2540A", "#F2F0E7", "#0B4F80", "#FFFFFF")
DARK = Palette("#E7ECE5", "#59665E", "#56B4E9", "#E69F00", "#1C2420", "#8CCBF2", "#0E1712")

# A line of a chart of several: what it stands for, where on the x axis, how high.
type Point = tuple[str, int, float]


def palette() -> Palette:
    """The colours of the reader's theme."""
    return DARK if st.context.theme.type == "dark" else LIGHT


def axis(**options: Any) -> alt.Axis:
    """An axis whose words have the colour of text."""
    ink = palette().ink
    return alt.Axis(labelColor=ink, titleColor=ink, ticks=False, **options)


def legend(**options: Any) -> alt.Legend:
    """A legend above the chart, without a title."""
    return alt.Legend(title=None, orient="top", labelColor=palette().ink, **options)


def class_name(t: Texts, label: str) -> str:
    """A class of forest, in the page's language."""
    return t.get(f"classes.{label}", label)


def quality_lines(t: Texts, points: Sequence[Point]) -> alt.Chart:
    """Accuracy and F1 over the batches: a line with circles, and a dashed one with diamonds."""
    colours = palette()
    rows = [
        {"measure": measure, "batch": batch, "value": value, "text": t.percent(value)}
        for measure, batch, value in points
    ]
    frame = pd.DataFrame(rows)
    names = list(dict.fromkeys(frame["measure"]))
    signs = legend(symbolSize=90)
    base = alt.Chart(frame).encode(
        x=alt.X("batch:O", title=t("models.batch"), axis=axis(labelAngle=0)),
        y=alt.Y(
            "value:Q",
            title=None,
            scale=alt.Scale(domain=[_floor(frame["value"].min()), 1]),
            axis=axis(format=".0%", tickCount=5),
        ),
        tooltip=[
            alt.Tooltip("batch:O", title=t("models.batch")),
            alt.Tooltip("measure:N", title=t("models.measure")),
            alt.Tooltip("text:N", title=t("models.value")),
        ],
    )
    colour = alt.Scale(domain=names, range=[colours.first, colours.second])
    dashes = alt.Scale(domain=names, range=[[1, 0], [5, 4]])
    shapes = alt.Scale(domain=names, range=["circle", "diamond"])
    lines = base.mark_line(strokeWidth=2).encode(
        color=alt.Color("measure:N", scale=colour, legend=None),
        strokeDash=alt.StrokeDash("measure:N", scale=dashes, legend=None),
    )
    marks = base.mark_point(filled=True, size=70, opacity=1).encode(
        color=alt.Color("measure:N", scale=colour, legend=signs),
        shape=alt.Shape("measure:N", scale=shapes, legend=signs),
    )
    # Each layer has its own legend then, and the lines have none.
    return (lines + marks).resolve_scale(color="independent", shape="independent").properties(height=260)


def _floor(least: float) -> float:
    """The nearest tenth below, so that small differences are seen; the axis says where it begins."""
    return max(0.0, int(least * 10 - 0.5) / 10)


def confusion_map(t: Texts, labels: Sequence[str], shares: Sequence[Sequence[float | None]]) -> alt.Chart:
    """Lines are true classes, columns what was said; a cell has its share of its line, in percent."""
    colours = palette()
    names = [class_name(t, label) for label in labels]
    rows = [
        {
            "true": names[line],
            "said": names[column],
            "share": share,
            "number": f"{100 * share:.0f}",
            "text": t.percent(share),
        }
        for line, cells in enumerate(shares)
        for column, share in enumerate(cells)
        if share is not None
    ]
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X(
            "said:N",
            sort=names,
            title=None,
            axis=axis(labelAngle=-45, labelLimit=160, labelOverlap=False, orient="top", domain=False),
        ),
        y=alt.Y(
            "true:N",
            sort=names,
            title=None,
            axis=axis(labelLimit=160, domain=False),
        ),
        tooltip=[
            alt.Tooltip("true:N", title=t("models.true")),
            alt.Tooltip("said:N", title=t("models.said")),
            alt.Tooltip("text:N", title=t("models.share")),
        ],
    )
    cells = base.mark_rect(cornerRadius=3, stroke=None).encode(
        color=alt.Color(
            "share:Q",
            scale=alt.Scale(domain=[0, 1], range=[colours.weak, colours.strong], interpolate="rgb"),
            legend=None,
        )
    )
    words = base.mark_text(fontSize=12).encode(
        text="number:N",
        color=alt.condition("datum.share > 0.45", alt.value(colours.on_strong), alt.value(colours.ink)),
    )
    return (cells + words).properties(height=380)


def class_bars(t: Texts, series: Sequence[tuple[str, Sequence[tuple[str, float]]]]) -> alt.Chart:
    """F1 of each class for one or two versions, side by side, each bar with its number."""
    colours = palette()
    rows = [
        {"kind": class_name(t, label), "version": name, "f1": f1, "text": t.decimal(f1, 3)}
        for name, classes in series
        for label, f1 in classes
    ]
    frame = pd.DataFrame(rows)
    versions = [name for name, _ in series]
    base = alt.Chart(frame).encode(
        y=alt.Y(
            "kind:N",
            sort=list(dict.fromkeys(frame["kind"])),
            title=None,
            axis=axis(labelLimit=160, domain=False),
        ),
        yOffset=alt.YOffset("version:N", sort=versions),
        x=alt.X("f1:Q", title=None, axis=None, scale=alt.Scale(domain=[0, 1.15])),
        tooltip=[
            alt.Tooltip("kind:N", title=t("result.kind")),
            alt.Tooltip("version:N", title=t("models.version")),
            alt.Tooltip("text:N", title="F1"),
        ],
    )
    bars = base.mark_bar(cornerRadiusEnd=3).encode(
        color=alt.Color(
            "version:N",
            scale=alt.Scale(domain=versions, range=[colours.first, colours.second]),
            legend=legend(),
        )
    )
    words = base.mark_text(align="left", dx=5, color=colours.ink, fontSize=12).encode(text="text:N")
    return (bars + words).properties(height=44 * len(set(frame["kind"])) + 30)


def batch_bars(t: Texts, rows: Sequence[tuple[str, str, int]], kinds: Sequence[str]) -> alt.Chart:
    """Rows of each request by what became of them, one on top of the other: (request, kind, rows)."""
    colours = palette()
    told = [
        {"request": request, "kind": kind, "rows": number, "text": t.whole(number)}
        for request, kind, number in rows
    ]
    frame = pd.DataFrame(told)
    return (
        alt.Chart(frame)
        .mark_bar(stroke=None)
        .encode(
            x=alt.X(
                "request:N",
                sort=list(dict.fromkeys(frame["request"])),
                title=t("models.batch"),
                axis=axis(labelAngle=0),
            ),
            y=alt.Y("rows:Q", title=t("data.rows"), axis=axis(tickCount=4, format="~s")),
            color=alt.Color(
                "kind:N",
                sort=list(kinds),
                scale=alt.Scale(domain=list(kinds), range=[colours.first, colours.past, colours.second]),
                legend=legend(),
            ),
            tooltip=[
                alt.Tooltip("request:N", title=t("models.batch")),
                alt.Tooltip("kind:N", title=t("data.fate")),
                alt.Tooltip("text:N", title=t("data.rows")),
            ],
        )
        .properties(height=240)
    )


def shares_of(
    t: Texts,
    bins: Sequence[str],
    first: Sequence[float],
    batch: Sequence[float],
    *,
    top: float,
    is_number: bool,
    small: bool,
) -> alt.Chart:
    """Shares of the bins in a batch over those in the first, in grey, up to `top`; `small` has no axes."""
    colours = palette()
    places = pd.DataFrame(
        {
            "bin": bins,
            "first": first,
            "batch": batch,
            "first_text": [t.percent(share) for share in first],
            "batch_text": [t.percent(share) for share in batch],
        }
    )
    bins_axis = None if small else axis(labelAngle=-45, labelOverlap=True, labelLimit=110)
    shares_axis = None if small else axis(format=".0%", tickCount=4)
    gap = alt.Scale(paddingInner=0 if is_number else 0.15)
    height = alt.Scale(domain=[0, top])
    base = alt.Chart(places).encode(
        x=alt.X("bin:N", sort=list(bins), title=None, axis=bins_axis, scale=gap),
        tooltip=[
            alt.Tooltip("bin:N", title=t("data.bin")),
            alt.Tooltip("first_text:N", title=t("data.first")),
            alt.Tooltip("batch_text:N", title=t("data.this")),
        ],
    )
    width = alt.RelativeBandSize(1)
    ground = base.mark_bar(color=colours.past, stroke=None, width=width)
    over = (
        base.mark_line(color=colours.first, strokeWidth=2, interpolate="step")
        if is_number
        else base.mark_tick(color=colours.first, thickness=3)
    )
    return (
        ground.encode(y=alt.Y("first:Q", title=None, axis=shares_axis, scale=height))
        + over.encode(y=alt.Y("batch:Q", title=None, axis=shares_axis, scale=height))
    ).properties(height=84 if small else 260)
