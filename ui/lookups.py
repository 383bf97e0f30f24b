"""What the page reads from the API, kept for seconds and for all readers: many open pages cost one call."""

# Streamlit's decorators are Any where the checks run.
# mypy: disallow-untyped-decorators=False

import os
from collections.abc import Callable
from functools import partial

import streamlit as st

from answers import (
    Batch,
    Distribution,
    Evaluation,
    Promotion,
    Quarantine,
    Serving,
    State,
    Version,
)
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


@st.cache_data(ttl=KEPT, show_spinner=False)
def promotions() -> tuple[Promotion, ...] | Problem:
    """The decisions about versions, or why they are not known."""
    return _answer(api().promotions)


@st.cache_data(ttl=KEPT, show_spinner=False)
def evaluation(version: str) -> Evaluation | Problem:
    """The report of a version, or why it is not known."""
    return _answer(partial(api().evaluation, version))


@st.cache_data(ttl=KEPT, show_spinner=False)
def batches() -> tuple[Batch, ...] | Problem:
    """The requests to the data source, or why they are not known."""
    return _answer(api().batches)


@st.cache_data(ttl=KEPT, show_spinner=False)
def distribution(column: str) -> Distribution | Problem:
    """The distribution of a column in each batch, or why it is not known."""
    return _answer(partial(api().distribution, column))


@st.cache_data(ttl=KEPT, show_spinner=False)
def quarantine() -> Quarantine | Problem:
    """The rows set aside, or why they are not known."""
    return _answer(api().quarantine)


@st.cache_data(ttl=KEPT, show_spinner=False)
def state() -> State | Problem:
    """The whole pipeline as the API knows it, or why nothing is known."""
    return _answer(api().state)


def mlflow_url() -> str | None:
    """Where a reader's browser finds MLflow (MLFLOW_URL); None when the page was not told."""
    return os.environ.get("MLFLOW_URL", "").rstrip("/") or None


def airflow_url() -> str | None:
    """Where a reader's browser finds Airflow (AIRFLOW_URL); None when the page was not told."""
    return os.environ.get("AIRFLOW_URL", "").rstrip("/") or None


def forget() -> None:
    """Make the next lookups ask the API, whatever they knew."""
    st.cache_data.clear()


def _answer[T](ask: Callable[[], T]) -> T | Problem:
    try:
        return ask()
    except ApiError as error:
        return error.problem
