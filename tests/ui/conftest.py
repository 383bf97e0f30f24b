"""The page run without a browser against a stub of the model API over HTTP."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

# --import-mode=importlib does not put this folder on the path.
sys.path.insert(0, str(Path(__file__).parent))

from stub_api import StubApi

APP = Path(__file__).parents[2] / "ui" / "app.py"


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubApi]:
    """A stub API that the page and the client are pointed at; earlier ones are forgotten."""
    with StubApi() as running:
        monkeypatch.setenv("MODEL_API_URL", running.url)
        st.cache_data.clear()
        st.cache_resource.clear()
        yield running


@pytest.fixture
def open_page(stub: StubApi) -> Callable[..., AppTest]:
    """A function that opens the page, in a language."""

    def open_it(language: str = "en") -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=30)
        app.query_params["lang"] = language
        return app.run()

    return open_it
