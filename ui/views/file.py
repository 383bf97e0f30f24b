"""The page File."""

import streamlit as st

from texts import Texts


def show(t: Texts) -> None:
    """Draw the page."""
    st.title(t("file.title"), anchor=False)
