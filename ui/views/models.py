"""The page Models: the version that answers now, and every version that was ever registered."""

from collections.abc import Mapping

import pandas as pd
import streamlit as st

import lookups
import panels
from client import Problem, Serving, Version
from texts import Texts, plain

METRICS = ("test_accuracy", "test_precision", "test_recall", "test_f1")
STAGE_COLOURS = {"Production": "green", "Staging": "blue", "Archived": "gray"}


def show(t: Texts) -> None:
    """Draw the page; the list looks for new versions by itself."""
    st.title(t("models.title"), anchor=False)
    st.markdown(t("models.intro"))
    draw_all(t)


@st.fragment(run_every=lookups.LOOK_EVERY)
def draw_all(t: Texts) -> None:
    """The serving version and the list, each with its own message when it cannot be read."""
    with st.container(border=True, key="serving"):
        st.subheader(t("models.serving"), anchor=False)
        serving = lookups.serving()
        if isinstance(serving, Problem):
            st.markdown(t("models.none_serving"))
        else:
            draw_serving(t, serving)
    st.subheader(t("models.list"), anchor=False)
    versions = lookups.versions()
    if isinstance(versions, Problem):
        if not isinstance(serving, Problem) or versions.kind is not serving.kind:
            panels.show_problem(t, versions)
        return
    if not versions:
        st.info(t("models.empty"), icon=":material/inventory_2:")
        return
    table = versions_table(t, versions)
    with st.container(key="versions"):
        st.table(table, border="horizontal", hide_index=True)


def draw_serving(t: Texts, serving: Serving) -> None:
    """Name, version, age and metrics of the version that answers."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain(serving.name)}**", width="content")
        st.badge(t("result.version", version=plain(serving.version)), icon=":material/deployed_code:", color="green")
        loaded = t("models.serving_since", time=t.moment(serving.loaded_at, panels.reader_zone()))
        st.markdown(f":gray[{loaded}]", width="content")
    named = metrics_shown(serving.metrics)
    if named:
        for column, name in zip(st.columns(len(named)), named, strict=True):
            column.metric(t.get(f"metrics.{name}", name), t.decimal(serving.metrics[name], 3), help=t("metrics.help"))
    st.caption(f"{t('models.run')} `{serving.run_id}`")


def metrics_shown(metrics: Mapping[str, float]) -> list[str]:
    """The four metrics of the contract in their order, those that there are."""
    return [name for name in METRICS if name in metrics]


def versions_table(t: Texts, versions: tuple[Version, ...]) -> pd.DataFrame:
    """A row per version, the newest first: stage and aliases as badges, metrics, date."""
    newest_first = sorted(versions, key=lambda item: (item.name, int(item.version) if item.version.isdigit() else 0))
    zone = panels.reader_zone()
    rows = []
    for item in reversed(newest_first):
        stage = "" if item.stage in ("", "None") else item.stage
        row = {
            t("models.model"): plain(item.name),
            t("models.version"): plain(item.version),
            t("models.stage"): f":{STAGE_COLOURS.get(stage, 'gray')}-badge[{plain(stage)}]" if stage else t("models.none"),
            t("models.aliases"): " ".join(f":blue-badge[{plain(alias)}]" for alias in item.aliases) or t("models.none"),
        }
        for name in METRICS:
            known = item.metrics.get(name)
            row[t(f"metrics.{name}")] = t("unknown") if known is None else t.decimal(known, 3)
        row[t("models.created")] = t.moment(item.created, zone)
        rows.append(row)
    table = pd.DataFrame(rows)
    one_model = table[t("models.model")].nunique() == 1
    return table.drop(columns=t("models.model")) if one_model else table
