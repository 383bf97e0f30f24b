"""The page Models: what answers now, every version with why it was promoted or not, and how good it is."""

# Streamlit's decorators are Any where the checks run.
# mypy: disallow-untyped-decorators=False

from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st

import charts
import lookups
import panels
import sheets
from answers import Evaluation, Promotion, Serving, Version
from client import Kind, Problem
from sheets import Cell, Chip, Tone
from texts import Texts, plain

METRICS = ("test_accuracy", "test_precision", "test_recall", "test_f1")
DECISIVE = "test_f1"
STAGES = {"Production": Tone.GOOD}
DECISIONS = {
    "promoted": Tone.GOOD,
    "approved": Tone.GOOD,
    "rolled back": Tone.PLAIN,
    "refused": Tone.BAD,
    "waiting": Tone.WAIT,
}
# So many lines are in sight; the older ones are one click away.
VERSIONS_IN_SIGHT, DECISIONS_IN_SIGHT = 10, 5


def show(t: Texts) -> None:
    """Draw the page, each part with its own message when it cannot be read; it looks for what is new."""
    sheets.style()
    st.title(t("models.title"), anchor=False)
    st.markdown(t("models.intro"))
    serving, versions, decisions = drawn = known()
    panels.redraw_when_new(known, drawn)
    told = () if isinstance(decisions, Problem) else decisions
    with st.container(border=True, key="serving"):
        st.header(t("models.serving"), anchor=False)
        if isinstance(serving, Problem):
            st.markdown(t("models.none_serving" if serving.kind is Kind.NOT_READY else "not_known"))
        else:
            draw_serving(t, serving)
    draw_links(t, None if isinstance(serving, Problem) else serving.name)
    st.header(t("models.list"), anchor=False)
    st.caption(t("models.own_day"))
    if isinstance(versions, Problem):
        panels.show_part(t, versions)
    elif not versions:
        st.info(t("models.empty"), icon=":material/inventory_2:")
    else:
        draw_versions(t, newest_first(versions), told)
    st.header(t("models.decisions"), anchor=False)
    st.caption(t("models.same_rows"))
    if isinstance(decisions, Problem):
        panels.show_part(t, decisions)
    elif not decisions:
        st.markdown(t("models.no_decision"))
    else:
        draw_decisions(t, decisions)
    if not isinstance(versions, Problem) and versions:
        by_number = {item.version: item for item in newest_first(versions)}
        now = "" if isinstance(serving, Problem) else serving.version
        draw_one(t, list(by_number), now)
        if len(by_number) > 1:
            draw_two(t, by_number, now, told)


def known() -> tuple[Serving | Problem, tuple[Version, ...] | Problem, tuple[Promotion, ...] | Problem]:
    """What the page is about: it is drawn anew when any of it changes."""
    return lookups.serving(), lookups.versions(), lookups.promotions()


def draw_serving(t: Texts, serving: Serving) -> None:
    """Name, version, age and metrics of the version that answers."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain(serving.name)}**", width="content")
        st.badge(
            t("result.version", version=plain(serving.version)),
            icon=":material/deployed_code:",
            color="green",
        )
        loaded = t("models.serving_since", time=t.moment(serving.loaded_at, panels.reader_zone()))
        st.markdown(loaded, width="content")
    with st.container(horizontal=True):
        for name in METRICS:
            st.metric(
                t(f"metrics.{name}"), shown(t, serving.metrics, name), help=t("metrics.help"), width=140
            )
    st.caption(f"{t('models.run')} {plain(serving.run_id)}")


def draw_links(t: Texts, model: str | None) -> None:
    """The way to MLflow and Airflow, where the page was told of one."""
    mlflow, airflow = lookups.mlflow_url(), lookups.airflow_url()
    with st.container(horizontal=True, key="links"):
        if mlflow:
            where = f"/#/models/{model}" if model else "/#/models"
            st.link_button(t("models.mlflow"), mlflow + where, icon=":material/open_in_new:")
        if airflow:
            st.link_button(t("models.airflow"), f"{airflow}/dags/DAG_p2", icon=":material/open_in_new:")


def newest_first(versions: Sequence[Version]) -> list[Version]:
    """By model, then by version number from the greatest down."""
    by_number = sorted(
        versions, key=lambda item: int(item.version) if item.version.isdigit() else 0, reverse=True
    )
    return sorted(by_number, key=lambda item: item.name)


def draw_versions(t: Texts, versions: Sequence[Version], decisions: Sequence[Promotion]) -> None:
    """A table of the versions, with the last word that was said about each."""
    last = {item.candidate: item for item in reversed(decisions)}
    heads = (
        t("models.version"),
        t("models.stage"),
        *(t(f"metrics.{name}") for name in METRICS),
        t("models.registered"),
        t("models.verdict"),
    )
    rows = []
    for item in versions:
        stage = "" if item.stage == "None" else item.stage
        chips = [Chip(stage, STAGES.get(stage, Tone.UNKNOWN if not stage else Tone.PLAIN))] if stage else []
        chips += [Chip(alias) for alias in item.aliases]
        decision = last.get(item.version)
        rows.append(
            (
                Cell(item.version),
                Cell(chips=chips) if chips else Cell("\N{EN DASH}"),
                *(Cell(shown(t, item.metrics, name), number=True) for name in METRICS),
                Cell(t.moment(item.created, panels.reader_zone())),
                Cell(t("unknown")) if decision is None else Cell(chips=[verdict(t, decision)]),
            )
        )
    sheets.show_newest(t, t("models.list"), heads, rows, VERSIONS_IN_SIGHT)


def draw_decisions(t: Texts, decisions: Sequence[Promotion]) -> None:
    """Who promoted what and why; the reason in the pipeline's own words."""
    heads = (
        t("models.version"),
        t("models.verdict"),
        t("models.against"),
        t("models.both_f1"),
        t("models.reason"),
    )
    rows = [
        (
            Cell(item.candidate),
            Cell(chips=[verdict(t, item)], note=t.moment(item.at, panels.reader_zone())),
            Cell(item.champion or t("models.nobody")),
            Cell(both(t, item)),
            Cell(item.reason, note=t("models.asked_by", who=item.asked_by or t("unknown")), language="en"),
        )
        for item in decisions
    ]
    sheets.show_newest(t, t("models.decisions"), heads, rows, DECISIONS_IN_SIGHT)


def verdict(t: Texts, decision: Promotion) -> Chip:
    """The word for a decision."""
    key = decision.decision.replace(" ", "_")
    return Chip(t.get(f"decision.{key}", decision.decision), DECISIONS.get(decision.decision, Tone.UNKNOWN))


def both(t: Texts, decision: Promotion) -> str:
    """F1 of the candidate and the champion, as the decision saw them."""
    ours = shown(t, decision.candidate_metrics, DECISIVE)
    if decision.champion is None:
        return ours
    return t("models.f1_against", ours=ours, theirs=shown(t, decision.champion_metrics, DECISIVE))


@st.fragment
def draw_one(t: Texts, versions: Sequence[str], now: str) -> None:
    """Quality by batch and confusion of one version that the reader chooses."""
    st.header(t("models.one"), anchor=False)
    start = versions.index(now) if now in versions else 0
    chosen = st.selectbox(t("models.choose"), versions, index=start, key="chosen_version", width=260)
    report = lookups.evaluation(chosen)
    if isinstance(report, Problem):
        panels.show_part(t, report)
        panels.redraw_when_new(partial(lookups.evaluation, chosen), report)
        return
    left, right = st.columns(2, gap="large")
    with left:
        draw_quality(t, report)
    with right:
        draw_confusion(t, report)


def draw_quality(t: Texts, report: Evaluation) -> None:
    """Accuracy and F1 on the test rows of each batch, as lines."""
    st.subheader(t("models.by_batch"), anchor=False)
    if not report.per_batch:
        st.markdown(t("models.no_report"))
        return
    st.caption(t("models.by_batch_help"))
    batches = sorted(report.per_batch.items())
    names = (t("metrics.test_accuracy"), t("metrics.test_f1"))
    points = [(name, batch, both[place]) for batch, both in batches for place, name in enumerate(names)]
    told = ", ".join(
        t("models.batch_alt", batch=batch, accuracy=t.percent(accuracy), f1=t.percent(f1))
        for batch, (accuracy, f1) in batches
    )
    chart = charts.quality_lines(t, points)
    st.altair_chart(chart, width="stretch", alt=t("models.by_batch_alt", told=told), key="quality")


def draw_confusion(t: Texts, report: Evaluation) -> None:
    """What each true class was taken for, in percent of its rows; the counts as a table below."""
    st.subheader(t("models.confusion"), anchor=False)
    if report.confusion is None:
        st.markdown(t("models.no_report"))
        return
    st.caption(t("models.confusion_help"))
    shares = row_shares(report.confusion)
    names = [charts.class_name(t, label) for label in report.labels]
    told = "; ".join(
        t("models.confusion_line", name=names[line], share=t.percent(cells[line] or 0))
        for line, cells in enumerate(shares)
        if cells[line] is not None
    )
    chart = charts.confusion_map(t, report.labels, shares)
    st.altair_chart(chart, width="stretch", alt=t("models.confusion_alt", told=told), key="confusion")
    with st.expander(t("models.counts")):
        rows = [
            (Cell(names[line]), *(Cell(t.whole(count), number=True) for count in counts))
            for line, counts in enumerate(report.confusion)
        ]
        sheets.show_table(t("models.counts_caption"), (t("models.true_said"), *names), rows)


def row_shares(counts: Sequence[Sequence[int]]) -> list[list[float | None]]:
    """Each count as a share of its line; None in a line without rows."""
    return [[count / total if (total := sum(line)) else None for count in line] for line in counts]


@st.fragment
def draw_two(t: Texts, versions: Mapping[str, Version], now: str, decisions: Sequence[Promotion]) -> None:
    """Two versions side by side: metrics with their differences, F1 by class as bars."""
    st.header(t("models.two"), anchor=False)
    names = list(versions)
    second = names.index(now) if now in names else 0
    first = second + 1 if second + 1 < len(names) else second - 1
    with st.container(horizontal=True):
        one = st.selectbox(t("models.first"), names, index=first, key="first_version", width=200)
        other = st.selectbox(t("models.second"), names, index=second, key="second_version", width=200)
    if one == other:
        st.markdown(t("models.choose_two"))
        return
    left, right = st.columns(2, gap="large")
    with left:
        draw_differences(t, versions[one], versions[other], decisions)
    with right:
        draw_class_bars(t, one, other)


def draw_differences(t: Texts, one: Version, other: Version, decisions: Sequence[Promotion]) -> None:
    """The metrics of both, and what the second has more or less; and what a decision saw of the two."""
    heads = (
        t("models.measure"),
        *(t("result.version", version=item.version) for item in (one, other)),
        t("models.difference"),
    )
    rows = [
        (
            Cell(t(f"metrics.{name}")),
            Cell(shown(t, one.metrics, name), number=True),
            Cell(shown(t, other.metrics, name), number=True),
            Cell(
                t.difference(other.metrics[name] - one.metrics[name], 3)
                if name in one.metrics and name in other.metrics
                else t("unknown"),
                number=True,
            ),
        )
        for name in METRICS
    ]
    st.subheader(t("models.metrics"), anchor=False)
    sheets.show_table(t("models.two"), heads, rows, small=True)
    pair = {one.version, other.version}
    for item in decisions:
        if item.champion is not None and {item.candidate, item.champion} == pair:
            ours, theirs = (
                shown(t, metrics, DECISIVE) for metrics in (item.candidate_metrics, item.champion_metrics)
            )
            st.markdown(
                t(
                    "models.decided",
                    candidate=plain(item.candidate),
                    champion=plain(item.champion),
                    ours=ours,
                    theirs=theirs,
                )
            )
            return
    st.markdown(t("models.undecided"))


def draw_class_bars(t: Texts, one: str, other: str) -> None:
    """F1 of each class, the two versions side by side."""
    st.subheader(t("models.by_class"), anchor=False)
    series = []
    for version in (one, other):
        name, report = t("result.version", version=version), lookups.evaluation(version)
        if isinstance(report, Problem):
            panels.show_part(t, report)
            panels.redraw_when_new(partial(lookups.evaluation, version), report)
        elif not report.classes:
            st.markdown(t("models.no_report_of", version=plain(version)))
        else:
            series.append((name, [(item.label, item.f1) for item in report.classes]))
    if series:
        told = "; ".join(
            f"{name}: "
            + ", ".join(f"{charts.class_name(t, label)} {t.decimal(f1, 3)}" for label, f1 in classes)
            for name, classes in series
        )
        chart = charts.class_bars(t, series)
        st.altair_chart(chart, width="stretch", alt=t("models.by_class_alt", told=told), key="class_bars")


def shown(t: Texts, metrics: Mapping[str, float], name: str) -> str:
    """A metric with three decimals, or the word for unknown."""
    return t.decimal(metrics[name], 3) if name in metrics else t("unknown")
