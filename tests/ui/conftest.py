"""The page run without a browser against a stub of the model API over HTTP."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

APP = Path(__file__).parents[2] / "ui" / "app.py"


def _stub_module() -> ModuleType:
    # --import-mode=importlib does not put this folder on the path.
    spec = importlib.util.spec_from_file_location("stub_api", Path(__file__).with_name("stub_api.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["stub_api"] = module
    spec.loader.exec_module(module)
    return module


stub_api = _stub_module()


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator["stub_api.StubApi"]:
    """A stub API that the page and the client are pointed at; what was read from earlier ones is forgotten."""
    with stub_api.StubApi() as running:
        monkeypatch.setenv("MODEL_API_URL", running.url)
        st.cache_data.clear()
        st.cache_resource.clear()
        yield running


@pytest.fixture
def open_page(stub: "stub_api.StubApi") -> Callable[..., AppTest]:
    """A function that opens the page, in a language."""

    def open_it(language: str = "en") -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=30)
        app.query_params["lang"] = language
        return app.run()

    return open_it
