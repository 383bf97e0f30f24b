"""What variables turn on, all at once: the page's password, a key, a limit, a second process, a challenger.

The last test turns it off again, by way of `make down`.
"""

from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from . import page as tools
from .conftest import Stack, wait_until
from .page import opened, press, words
from .test_model_api import NAME

ASKED = {
    "MODEL_API_KEY_REQUIRED": "true",
    "MODEL_API_RATE_LIMIT": "600/minute",
    "MODEL_API_SHADOW": "true",
    "MODEL_API_WORKERS": "2",
    "UI_PROTECTED": "true",
}


@pytest.fixture(scope="module")
def key(stack: Stack) -> str:
    """The model API's key, with all of the variables set; test_edge leaves them so."""
    if not ASKED.items() <= stack.variables.items():
        stack.variables |= ASKED
        done = stack.make("up")
        assert done.returncode == 0, done.stdout[-5000:]
    return (stack.secrets / "values" / "model-api-key").read_text(encoding="utf-8").strip()


def test_all_checks_hold_with_them(stack: Stack, key: str) -> None:
    verify = stack.make("verify")
    assert verify.returncode == 0, verify.stdout[-3000:]


def test_the_page_asks_for_its_password(stack: Stack, key: str, browser: Any) -> None:
    password = (stack.secrets / "values" / "ui-password").read_text(encoding="utf-8").strip()
    said = words("en")["gate"]
    with opened(browser, tools.address(stack, "models"), "en") as page:
        expect(page.locator("h1")).to_have_text(said["title"])
        assert "modelo" not in page.content()
        assert tools.barriers(page) == []
        tools.picture(page, "password-light")
        page.get_by_label(said["password"], exact=True).fill("wrong")
        press(page, said["open"])
        expect(page.get_by_text(said["wrong"])).to_be_visible()
        page.get_by_label(said["password"], exact=True).fill(password)
        press(page, said["open"])
        expect(page.locator(".st-key-gate")).to_have_count(0)
        expect(page.locator("h1")).to_have_text(words("en")["models"]["title"])
        # The page has the API's key: what it shows comes from there.
        expect(page.locator(".st-key-serving")).to_contain_text(NAME)


def test_two_processes_a_challenger_and_a_limit(stack: Stack, key: str) -> None:
    api, mine = stack.url("model-api"), {"X-API-Key": key}
    assert httpx.get(f"{api}/schema", timeout=30).status_code == 401
    with httpx.Client(base_url=api, headers=mine, timeout=30) as client:
        current = client.get("/model").raise_for_status().json()["version"]
        other = next(one["version"] for one in client.get("/models").json() if one["version"] != current)
        alias = f"{stack.url('mlflow')}/api/2.0/mlflow/registered-models/alias"
        told = {"name": NAME, "alias": "challenger", "version": other}
        httpx.post(alias, json=told, timeout=30).raise_for_status()
        # Each of the two processes takes it up; a new connection reaches any of them.
        wait_until(
            lambda: total(stack, "model_api_swaps_total", 'role="challenger"'),
            lambda swaps: swaps >= 2,
            seconds=120,
        )
        example = client.get("/schema").raise_for_status().json()["examples"][0]
        before = {name: total(stack, name) for name in COUNTED}
        for _ in range(60):
            answer = httpx.post(f"{api}/predict", json=example, headers=mine, timeout=30)
            assert answer.raise_for_status().json()["model_version"] == current
        wait_until(
            lambda: {name: total(stack, name) for name in COUNTED},
            lambda now: now == {name: count + 60 for name, count in before.items()},
            seconds=30,
        )
        refused = [client.get("/schema").status_code for _ in range(1_300)]
        assert refused.count(429) > 0, "600 a minute of each of two processes"
    httpx.request("DELETE", alias, json={"name": NAME, "alias": "challenger"}, timeout=30).raise_for_status()


def test_down_and_up_without_them_keep_rows_and_model(stack: Stack, key: str) -> None:
    before = kept(stack, {"X-API-Key": key})
    down = stack.make("down")
    assert down.returncode == 0, down.stdout[-3000:]
    assert not stack.labelled("container")
    assert not stack.labelled("network")
    assert stack.labelled("volume")

    for name in ASKED:
        del stack.variables[name]
    up = stack.make("up")
    assert up.returncode == 0, up.stdout[-3000:]
    assert kept(stack, {}) == before


COUNTED = ("model_api_predictions_total", "model_api_shadow_rows_total")


def kept(stack: Stack, headers: dict[str, str]) -> tuple[list[list[str]], str, str]:
    """Rows in MySQL, and the version that answers with its run."""
    url = f"{stack.url('model-api')}/model"
    # The limit of the test before may still hold.
    answer = wait_until(
        lambda: httpx.get(url, headers=headers, timeout=30), lambda answer: answer.status_code != 429, 90
    )
    model = answer.raise_for_status().json()
    return stack.mysql("SELECT COUNT(*) FROM raw_observations"), model["version"], model["run_id"]


def total(stack: Stack, name: str, label: str = "") -> float:
    """The sum of a metric's samples that have a label, whichever process counted them."""
    text = httpx.get(f"{stack.url('model-api')}/metrics", timeout=30).text
    lines = [
        line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} ")) and label in line
    ]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)
