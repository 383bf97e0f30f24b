"""The page's frame: language, navigation and the state of the model API; each page is one file in views/."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import streamlit as st

import gate
import lookups
import panels
from client import Problem
from texts import LANGUAGES, Texts, language_of, texts_of
from views import data, file, models, predict, state

ASSETS = Path(__file__).parent / "assets"
ICON = str(ASSETS / "tree.svg")


def main() -> None:
    """Draw the frame and the chosen page."""
    st.set_page_config(page_title="Covertype", page_icon=ICON, layout="wide", menu_items={})
    st.html(ASSETS / "page.css")
    st.logo(ICON, size="large")
    head = st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="head"
    )
    strip = head.container(width="content")
    t = choose_language(head)
    admitted = gate.is_open(t)
    # Also before the password, when nothing of it is drawn: the address stays the one that was asked for.
    page = st.navigation(pages(t), position="top" if admitted else "hidden")
    if not admitted:
        return
    st.set_page_config(page_title=f"{page.title} · {t('title')}")
    with strip:
        panels.status_strip(t, panels.status())
    now = lookups.serving()
    # Always there, so that trouble and its end do not make the browser draw the page below anew.
    with st.container(key="trouble"):
        if isinstance(now, Problem):
            panels.show_problem(t, now)
            st.caption(t("status.page_works"))
    page.run()


def pages(t: Texts) -> list[st.Page]:
    """The pages in the order of the navigation; the first is where a visitor arrives."""

    def page(show: Callable[[Texts], None], path: str, title: str, icon: str) -> st.Page:
        return st.Page(
            partial(show, t), url_path=path, title=title, icon=f":material/{icon}:", default=path == "predict"
        )

    return [
        page(predict.show, "predict", t("predict.nav"), "forest"),
        page(file.show, "file", t("file.nav"), "table_view"),
        page(models.show, "models", t("models.nav"), "deployed_code"),
        page(data.show, "data", t("data.nav"), "stacked_line_chart"),
        page(state.show, "state", t("state.nav"), "monitor_heart"),
    ]


def choose_language(place: st.delta_generator.DeltaGenerator) -> Texts:
    """The texts of the language chosen on the page or in the address (?lang=es); at first the browser's."""
    language = place.segmented_control(
        "Idioma · Language",
        list(LANGUAGES),
        default=language_of(st.context.locale),
        required=True,
        key="lang",
        bind="query-params",
        label_visibility="collapsed",
    )
    # Screen readers choose their voice by the document's language, which Streamlit does not set.
    st.html(f"<script>document.documentElement.lang = {language!r}</script>", unsafe_allow_javascript=True)
    return texts_of(language or language_of(st.context.locale))


main()
