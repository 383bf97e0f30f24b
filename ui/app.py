"""The page's frame: language, navigation and the state of the model API; each page is one file in views/."""

from functools import partial
from pathlib import Path

import streamlit as st

import lookups
import panels
from client import Problem
from texts import LANGUAGES, Texts, language_of, texts_of
from views import models, predict

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
    state = head.container(width="content")
    t = choose_language(head)
    page = st.navigation(
        [
            st.Page(
                partial(predict.show, t),
                title=t("predict.nav"),
                icon=":material/forest:",
                url_path="predict",
                default=True,
            ),
            st.Page(
                partial(models.show, t),
                title=t("models.nav"),
                icon=":material/deployed_code:",
                url_path="models",
            ),
        ],
        position="top",
    )
    st.set_page_config(page_title=f"{page.title} · {t('title')}")
    with state:
        panels.status_strip(t, panels.status())
    now = lookups.serving()
    # Always there, so that trouble and its end do not make the browser draw the page below anew.
    with st.container(key="trouble"):
        if isinstance(now, Problem):
            panels.show_problem(t, now)
            st.caption(t("status.page_works"))
    page.run()


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
