"""What the page reads from the API, kept for seconds and for all readers: many open pages cost one call."""

# Streamlit's decorators are Any where the checks run.
# mypy: disallow-untyped-decorators=False

from collections.abc import Callable

import streamlit as st

from answers import Serving, Version
from client import ApiError, ModelApi, Problem, from_environment
from form import Form

# The page looks again this often; an answer is kept for a little less, so that each look is a new one.
LOOK_EVERY = 5.0
KEPT = 4.0


@st.cache_resource(show_spinner=False)
def api() -> ModelApi:
    """The page's one client of the model API."""
    return from_environment()


# Problems are answers too, and kept: a slow API is waited for once and not by every reader.
@st.cache_data(ttl=KEPT, show_spinner=False)
def form() -> Form | Problem:
    """The form of GET /schema, or why there is none."""
    return _answer(api().form)


@st.cache_data(ttl=KEPT, show_spinner=False)
def serving() -> Serving | Problem:
    """The version that answers now, or why there is none."""
    return _answer(api().serving)


@st.cache_data(ttl=KEPT, show_spinner=False)
def model_names() -> tuple[str, ...] | Problem:
    """The models that a prediction can be asked of, or why they are not known."""
    return _answer(api().model_names)


@st.cache_data(ttl=KEPT, show_spinner=False)
def versions() -> tuple[Version, ...] | Problem:
    """All registered versions, or why they are not known."""
    return _answer(api().versions)


def forget() -> None:
    """Make the next lookups ask the API, whatever they knew."""
    st.cache_data.clear()


def _answer[T](ask: Callable[[], T]) -> T | Problem:
    try:
        return ask()
    except ApiError as error:
        return error.problem
