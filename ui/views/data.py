"""The page Data: what the source has brought, what was set aside and why, and how the batches drift."""

# Streamlit's decorators are Any where the checks run.
# mypy: disallow-untyped-decorators=False

import html
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st

import charts
import lookups
import panels
import sheets
from answers import Batch, Distribution, Quarantine
from client import Problem
from form import GROUPS
from sheets import Cell, Chip, Tone
from texts import Texts

# The source has so many batches for each group.
BATCHES = 10
TARGET = "Cover_Type"
COLUMNS = (*(name for names in GROUPS.values() for name in names), TARGET)
# Of requests and of rows set aside so many are listed; of these rows so many are in sight.
LISTED, IN_SIGHT = 50, 5
# From these shares of moved rows on, a batch is called different, and very different.
DIFFERENT, VERY_DIFFERENT = 0.1, 0.25
# A reason as the pipeline writes it: column, value, rule. Several stand in one text.
NEXT_REASON = re.compile(r"; (?=\w+ = |not a list)")
REASON = re.compile(r"(\w+) = .*, expected (.+)", re.DOTALL)
INTEGER_RULE = re.compile(r"text with an integer from (-?\d+) to (-?\d+)")
CATEGORY_RULE = re.compile(r"one of (\d+) known values")


def show(t: Texts) -> None:
    """Draw the page, each part with its own message when it cannot be read; it looks for what is new."""
    sheets.style()
    st.title(t("data.title"), anchor=False)
    st.markdown(t("data.intro"))
    batches, aside = drawn = known()
    panels.redraw_when_new(known, drawn)
    if isinstance(batches, Problem):
        panels.show_part(t, batches)
    elif not batches:
        st.info(t("data.empty"), icon=":material/inventory_2:")
    else:
        draw_strips(t, batches)
        draw_sums(t, batches)
        draw_requests(t, batches)
    draw_drift(t)
    draw_quarantine(t, aside)


def known() -> tuple[tuple[Batch, ...] | Problem, Quarantine | Problem]:
    """What the page is about: it is drawn anew when any of it changes."""
    return lookups.batches(), lookups.quarantine()


def draw_strips(t: Texts, batches: Sequence[Batch]) -> None:
    """Which of the source's ten batches are there; one strip for each group that was asked."""
    for group in dict.fromkeys(item.group for item in batches):
        of_group = [item for item in batches if item.group == group]
        here = {item.batch for item in of_group if not item.refused}
        st.header(t("data.of_ten", count=len(here), all=BATCHES, group=group), anchor=False)
        lines = []
        for number in range(1, BATCHES + 1):
            tone, word = Tone.UNKNOWN, t("data.not_yet")
            if number in here:
                tone, word = Tone.GOOD, t("data.here")
            elif any(item.batch == number for item in of_group):
                tone, word = Tone.BAD, t("data.refused")
            sign = "" if tone is Tone.UNKNOWN else f'<span aria-hidden="true">{sheets.SIGNS[tone]}</span> '
            lines.append(f'<li class="{tone}"><b>{number}</b> <small>{sign}{html.escape(word)}</small></li>')
        label = html.escape(t("data.strip", group=group), quote=True)
        st.html(f'<ol class="strip" aria-label="{label}">{"".join(lines)}</ol>')


def draw_sums(t: Texts, batches: Sequence[Batch]) -> None:
    """Rows received, kept, repeated and set aside, in all."""
    repeated = [item.repeated for item in batches if item.repeated is not None]
    with st.container(horizontal=True):
        st.metric(
            t("data.received"),
            t.whole(sum(item.rows for item in batches)),
            help=t("data.received_help"),
            width=170,
        )
        st.metric(t("data.new"), t.whole(sum(item.new for item in batches)), width=170)
        st.metric(t("data.repeated"), t.whole(sum(repeated)), help=t("data.repeated_help"), width=170)
        bad = sum(item.quarantined for item in batches)
        st.metric(t("data.quarantined"), t.whole(bad), help=t("data.quarantined_help"), width=170)


def draw_requests(t: Texts, batches: Sequence[Batch]) -> None:
    """What became of the rows of each request, as bars and as a table."""
    st.header(t("data.requests"), anchor=False)
    st.caption(t("data.requests_help"))
    fates = (t("data.new"), t("data.repeated"), t("data.quarantined"))
    bars, asked = [], Counter[tuple[int, int]]()
    for item in reversed(batches[: 3 * BATCHES]):
        asked[item.group, item.batch] += 1
        again = asked[item.group, item.batch]
        name = str(item.batch) if again == 1 else f"{item.batch} ({again})"
        numbers = (item.new, item.repeated or 0, item.quarantined)
        bars += [(name, fate, number) for fate, number in zip(fates, numbers, strict=True)]
    st.altair_chart(
        charts.batch_bars(t, bars, fates), width="stretch", alt=t("data.requests_alt"), key="requests"
    )
    heads = (
        t("data.batch"),
        t("data.when"),
        t("data.received"),
        *fates,
        t("data.outcome"),
    )
    rows = [
        (
            Cell(t("data.batch_of", batch=item.batch, group=item.group)),
            Cell(t.moment(item.received, panels.reader_zone()), note=item.asked_by),
            Cell(t.whole(item.rows), number=True),
            Cell(t.whole(item.new), number=True),
            Cell("\N{EN DASH}" if item.repeated is None else t.whole(item.repeated), number=True),
            Cell(t.whole(item.quarantined), number=True),
            Cell(
                chips=[Chip(t("data.refused"), Tone.BAD) if item.refused else Chip(t("data.here"), Tone.GOOD)]
            ),
        )
        for item in batches[:LISTED]
    ]
    with st.expander(t("data.as_table")):
        sheets.show_table(t("data.requests"), heads, rows)


@st.fragment
def draw_drift(t: Texts) -> None:
    """The distribution of a column in each batch over that of the first, with a number for the difference."""
    st.header(t("data.drift"), anchor=False)
    st.markdown(t("data.drift_help"))
    with st.container(horizontal=True):
        column = st.selectbox(
            t("data.column"),
            COLUMNS,
            format_func=lambda name: t.get(f"fields.{name}", name),
            key="drift_column",
            width=320,
        )
        found = lookups.distribution(column)
        later = [] if isinstance(found, Problem) else list(found.counts)[1:]
        if later:
            chosen = st.selectbox(
                t("data.closely"),
                later,
                index=len(later) - 1,
                format_func=lambda number: t("data.batch_number", batch=number),
                key="drift_batch",
                width=200,
            )
    if isinstance(found, Problem):
        panels.show_part(t, found)
        panels.redraw_when_new(partial(lookups.distribution, column), found)
    elif not later:
        st.info(t("data.one_batch"), icon=":material/inventory_2:")
    else:
        draw_distribution(t, found, chosen)


def draw_distribution(t: Texts, found: Distribution, chosen: int) -> None:
    """One batch closely, and all of them small, each with the share of its rows that moved."""
    first = next(iter(found.counts))
    shares = {batch: shares_of(counts) for batch, counts in found.counts.items()}
    top = max(max(every) for every in shares.values())
    moved = {batch: distance(shares[first], every) for batch, every in shares.items()}
    names = [class_or_bin(t, found, name) for name in found.bins]
    column = t.get(f"fields.{found.column}", found.column)

    def draw(batch: int, *, small: bool) -> None:
        chart = charts.shares_of(
            t, names, shares[first], shares[batch], top=top, is_number=found.is_number, small=small
        )
        told = t("data.drift_alt", column=column, batch=batch, first=first, moved=t.percent(moved[batch]))
        key = f"drift_{'small' if small else 'large'}_{batch}"
        st.altair_chart(chart, width="stretch", alt=told, key=key)

    with st.container(border=True):
        words = t(f"moved.{word_of(moved[chosen])}")
        share = t.percent(moved[chosen])
        st.markdown(t("data.moved", batch=chosen, first=first, share=share, words=words))
        draw(chosen, small=False)
        st.caption(t("data.legend", first=first, batch=chosen))
    st.subheader(t("data.each_batch", column=column), anchor=False)
    with st.container(key="multiples"):
        for batch in list(found.counts)[1:]:
            with st.container(key=f"multiple_{batch}", gap="xsmall"):
                st.markdown(
                    t("data.small_title", batch=batch, share=t.percent(moved[batch])),
                    help=t(f"moved.{word_of(moved[batch])}"),
                )
                draw(batch, small=True)


def class_or_bin(t: Texts, found: Distribution, name: str) -> str:
    """The name of a bin: classes are in the page's language."""
    return charts.class_name(t, name) if found.column == TARGET else name


def shares_of(counts: Sequence[int]) -> list[float]:
    """Counts as shares of their sum; zeros where there is no row."""
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]


def distance(one: Sequence[float], other: Sequence[float]) -> float:
    """Total variation distance: the share of rows that would have to change their bin to make both alike."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / 2


def word_of(moved: float) -> str:
    """The key of the words for that distance."""
    if moved < DIFFERENT:
        return "alike"
    return "different" if moved < VERY_DIFFERENT else "very_different"


def draw_quarantine(t: Texts, found: Quarantine | Problem) -> None:
    """How many rows were set aside, by reason, and the last of them."""
    st.header(t("data.quarantine"), anchor=False)
    if isinstance(found, Problem):
        panels.show_part(t, found)
        return
    if not found.rows:
        st.markdown(t("data.none_aside"))
        return
    st.caption(t("data.quarantine_help", total=t.whole(found.total), listed=t.whole(len(found.rows))))
    draw_reasons(t, reasons_of(found), len(found.rows))
    st.subheader(t("data.last_rows"), anchor=False)
    heads = (t("data.batch"), t("data.when"), t("data.position"), t("data.reasons"), t("data.as_it_came"))
    rows = [
        (
            Cell(t("data.batch_of", batch=item.batch, group=item.group)),
            Cell(t.moment(item.received_at, panels.reader_zone())),
            Cell(t.whole(item.position), number=True),
            Cell(item.reasons, language="en"),
            Cell(note=item.received),
        )
        for item in found.rows[:LISTED]
    ]
    sheets.show_newest(t, t("data.last_rows"), heads, rows, IN_SIGHT)


def reasons_of(found: Quarantine) -> Mapping[tuple[str, str], int]:
    """(column, broken rule) -> rows; the column is empty where the whole row is no row."""
    counted = Counter[tuple[str, str]]()
    for item in found.rows:
        for reason in NEXT_REASON.split(item.reasons):
            told = REASON.fullmatch(reason)
            counted[(told[1], told[2]) if told else ("", reason)] += 1
    return dict(counted.most_common())


def draw_reasons(t: Texts, reasons: Mapping[tuple[str, str], int], rows: int) -> None:
    """A line for each reason, with a bar for its share of the rows."""
    heads = (t("data.column"), t("data.rule"), t("data.rows"), t("data.share"))
    lines = [
        (
            Cell(t.get(f"fields.{column}", column) or t("data.whole_row")),
            told_rule(t, rule),
            Cell(t.whole(count), number=True),
            Cell(t.percent(count / rows), share=count / rows),
        )
        for (column, rule), count in reasons.items()
    ]
    sheets.show_table(t("data.by_reason"), heads, lines)


def told_rule(t: Texts, rule: str) -> Cell:
    """A rule in the page's language where it is one of the known ones, else as the pipeline has it."""
    if match := INTEGER_RULE.fullmatch(rule):
        return Cell(t("data.integer_rule", low=int(match[1]), high=int(match[2])))
    if match := CATEGORY_RULE.fullmatch(rule):
        return Cell(t("data.category_rule", count=match[1]))
    return Cell(rule, language="en")
