"""The page Data."""

import streamlit as st

from texts import Texts


def show(t: Texts) -> None:
    """Draw the page."""
    st.title(t("data.title"), anchor=False)
