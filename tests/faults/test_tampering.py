"""A model's files are changed in the bucket, by somebody who has got MLflow's key."""

import time

import httpx
from tests.faults.promise import Figures, require_answers
from tests.stack.conftest import Stack, wait_until
from tests.stack.load import Load
from tests.stack.test_model_api import NAME, promote, run_of, serving


def artifact_url(stack: Stack, version: str) -> str:
    """Where MLflow gives and takes the description of a version's model."""
    mlflow = f"{stack.url('mlflow')}/api/2.0"
    asked = {"run_id": run_of(stack, version)}
    run = httpx.get(f"{mlflow}/mlflow/runs/get", params=asked, timeout=30).raise_for_status().json()["run"]
    (model,) = run["outputs"]["model_outputs"]
    found = httpx.get(f"{mlflow}/mlflow/logged-models/{model['model_id']}", timeout=30)
    location = found.raise_for_status().json()["model"]["info"]["artifact_uri"]
    path = location.removeprefix("mlflow-artifacts:/").strip("/")
    return f"{mlflow}/mlflow-artifacts/artifacts/{path}/MLmodel"


def other_version(stack: Stack, but: str) -> str:
    """A version that does not serve, and was registered with its checksum."""
    url = f"{stack.url('mlflow')}/api/2.0/mlflow/model-versions/search"
    found = httpx.get(url, params={"filter": f"name = '{NAME}'"}, timeout=30).raise_for_status().json()
    return next(
        one["version"]
        for one in found["model_versions"]
        if one["version"] != but and "artifact_sha256" in {tag["key"] for tag in one.get("tags", [])}
    )


def test_a_model_that_was_changed_in_the_bucket_is_refused(
    stack: Stack, load: Load, figures: Figures
) -> None:
    """Promise: a version whose files are not those that were registered serves nobody; the API says so, and
    answers on from the last good one.
    """
    before = serving(stack)["version"]
    other = other_version(stack, before)
    url = artifact_url(stack, other)
    whole = httpx.get(url, timeout=30).raise_for_status().content
    alias = f"{stack.url('mlflow')}/api/2.0/mlflow/registered-models/alias"
    began = time.monotonic()
    try:
        httpx.put(url, content=whole + b"# harmless\n", timeout=30).raise_for_status()
        stack.docker(
            "exec",
            f"{stack.name}-model-api",
            "rm",
            "-rf",
            f"/var/lib/model-api/models/{run_of(stack, other)}",
        )
        told = {"name": NAME, "alias": "champion", "version": other}
        httpx.post(alias, json=told, timeout=30).raise_for_status()
        wait_until(
            lambda: serving(stack)["problem"],
            lambda problem: f"version {other} is not what was registered" in (problem or ""),
            120,
        )
        figures.note("a changed model: until it was refused", time.monotonic() - began)
        assert serving(stack)["version"] == before
    finally:
        promote(stack, before)
        httpx.put(url, content=whole, timeout=30).raise_for_status()
    require_answers(load)
    assert {answer["model_version"] for _, answer in load.answers} == {before}
