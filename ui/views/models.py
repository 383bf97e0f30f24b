"""The page Models: the version that answers now, and every version that was ever registered."""

# Streamlit's decorators are Any where the checks run.
# mypy: disallow-untyped-decorators=False

from collections.abc import Mapping

import streamlit as st

import lookups
import panels
from answers import Serving, Version
from client import Kind, Problem
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
        st.header(t("models.serving"), anchor=False)
        serving = lookups.serving()
        if isinstance(serving, Problem):
            st.markdown(t("models.none_serving" if serving.kind is Kind.NOT_READY else "models.not_known"))
        else:
            draw_serving(t, serving)
    with st.container(key="list_title"):
        st.header(t("models.list"), anchor=False)
    versions = lookups.versions()
    if isinstance(versions, Problem):
        if isinstance(serving, Problem) and serving.kind is versions.kind:
            # The frame has said already what is wrong.
            st.markdown(t("models.not_known"))
        else:
            panels.show_problem(t, versions)
        return
    if not versions:
        st.info(t("models.empty"), icon=":material/inventory_2:")
        return
    for version in newest_first(versions):
        draw_version(t, version)


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


def newest_first(versions: tuple[Version, ...]) -> list[Version]:
    """By model, then by version number from the greatest down."""
    by_number = sorted(
        versions, key=lambda item: int(item.version) if item.version.isdigit() else 0, reverse=True
    )
    return sorted(by_number, key=lambda item: item.name)


def draw_version(t: Texts, version: Version) -> None:
    """One line on a wide screen, a card on a narrow one: number, stage and aliases, date, metrics."""
    stage = "" if version.stage == "None" else version.stage
    badges = [f":{STAGE_COLOURS.get(stage, 'gray')}-badge[{plain(stage)}]"] if stage else []
    badges += [f":blue-badge[{plain(alias)}]" for alias in version.aliases]
    number = t("result.version", version=plain(version.version))
    created = t(
        "models.created", name=plain(version.name), time=t.moment(version.created, panels.reader_zone())
    )
    with st.container(
        border=True,
        horizontal=True,
        vertical_alignment="center",
        key=f"version_{version.name}_{version.version}",
    ):
        st.markdown(f"**{number}** {' '.join(badges)}  \n:small[{created}]", width=300)
        for name in METRICS:
            st.markdown(f":small[{t(f'metrics.{name}')}]  \n{shown(t, version.metrics, name)}", width=125)


def shown(t: Texts, metrics: Mapping[str, float], name: str) -> str:
    """A metric with three decimals, or the word for unknown."""
    return t.decimal(metrics[name], 3) if name in metrics else t("unknown")
