"""Requests made from the OpenAPI document, right ones and wrong ones: each answer is one that it declares."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from covertype.settings import Settings
from model_api.main import create_app

from .conftest import FakeArchive, FakeRegistry, FakeReports, listening, quick

# What is asked for, and may be asked for wrongly.
REFUSING = {"/batches/distribution", "/models/{version}/evaluation", "/promotions", "/quarantine"}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.schemas.BaseSchema]:
    """The document of an API that serves version 1, on a port of loopback."""
    registry = FakeRegistry()
    registry.production = 1
    folder: Path = tmp_path_factory.mktemp("state")
    app = create_app(registry, Settings(), quick(folder), FakeArchive(), FakeReports())
    with listening(app) as port:
        yield schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_one_that_the_document_declares(
    document: schemathesis.schemas.BaseSchema, mode: GenerationMode
) -> None:
    asked = set()
    for found in document.get_all_operations():
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and operation.method == "get" and operation.path not in REFUSING:
            continue  # takes nothing that could be wrong, or a name that may be any text

        @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def answers(case: schemathesis.Case) -> None:
            # JSON Schema calls 15.0 an integer, which this API refuses as it refuses "15".
            written = json.dumps(case.body) if isinstance(case.body, dict | list) else ""
            # And what tensors or a data frame must be to fit together no schema can say.
            refusable = re.search(r"\d\.0\b", written) or "other protocols" in case.operation.tags
            excluded = [checks.positive_data_acceptance] if refusable else []
            if case.operation.path == "/feedback":
                excluded.append(not_a_server_error)  # 503: no database here; a 500 is not declared
            case.call_and_validate(excluded_checks=excluded)

        answers()
        asked.add(operation.path)
    assert {"/predict", "/predict/batch", "/feedback", *REFUSING} <= asked
