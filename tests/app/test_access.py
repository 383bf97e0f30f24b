"""The key, asked of every call but those of probes, and how often one may ask."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from covertype import contract
from covertype.settings import Settings
from model_api import access
from model_api.access import OPEN
from model_api.main import create_app
from model_api.settings import ApiSettings

from .conftest import FakeRegistry, quick, wait_until
from .test_operation import metric

KEY = "correct-horse-battery-staple"
RECORD = dict(contract.EXAMPLE)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "api-key"
    file.write_text(f"{KEY}\n")
    return file


@pytest.fixture
def locked(registry: FakeRegistry, tmp_path: Path, key_file: Path) -> Iterator[TestClient]:
    """The API with a key, serving version 1."""
    registry.production = 1
    settings = quick(tmp_path).model_copy(update={"key_file": key_file})
    with TestClient(create_app(registry, Settings(), settings)) as client:
        wait_until(lambda: client.get("/ready").status_code == 200, "version 1 is served")
        yield client


def test_every_call_but_the_open_ones_needs_the_key(locked: TestClient) -> None:
    paths = locked.get("/openapi.json").json()["paths"]
    asked = 0
    for path, operations in paths.items():
        for method in operations:
            answer = locked.request(method, path, headers={"x-api-key": f"{KEY}x"})
            assert (answer.status_code == 401) == (path not in OPEN), path
            assert path in OPEN or locked.request(method, path, headers={"x-api-key": KEY}).status_code != 401
            asked += path not in OPEN
    assert asked > 8
    assert locked.get("/docs").status_code == 200


@pytest.mark.parametrize("given", [None, "", KEY[:-1], f"{KEY}{KEY}", "Schlüssel".encode("latin-1")])
def test_without_the_key_401_says_what_is_missing(locked: TestClient, given: str | bytes | None) -> None:
    answer = locked.post("/predict", json=RECORD, headers={} if given is None else {"x-api-key": given})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "ApiKey"
    assert answer.json() == {"detail": "This call needs the key of this API in the header X-API-Key"}
    assert answer.headers["x-request-id"]


def test_with_the_key_it_answers_and_the_document_says_how(locked: TestClient) -> None:
    assert locked.post("/predict", json=RECORD, headers={"X-API-Key": KEY}).json()["model_version"] == "1"
    document = locked.get("/openapi.json").json()
    assert document["components"]["securitySchemes"] == {
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    }
    assert document["paths"]["/predict"]["post"]["security"] == [{"key": []}]
    assert "security" not in document["paths"]["/health"]["get"]


def test_an_empty_key_is_no_key(registry: FakeRegistry, tmp_path: Path, key_file: Path) -> None:
    key_file.write_text("\n")
    with pytest.raises(ValueError, match="holds no key"):
        create_app(registry, Settings(), quick(tmp_path).model_copy(update={"key_file": key_file}))


def test_without_the_variable_nothing_asks_for_a_key(client: TestClient) -> None:
    assert client.post("/predict", json=RECORD).status_code == 200
    assert "securitySchemes" not in client.get("/openapi.json").json()["components"]


def test_who_asks_too_often_waits_and_probes_never_do(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.production = 1
    settings = quick(tmp_path).model_copy(update={"rate_limit": "3/minute"})
    with TestClient(create_app(registry, Settings(), settings)) as client:
        wait_until(lambda: client.get("/ready").status_code == 200, "version 1 is served")
        codes = [client.post("/predict", json=RECORD).status_code for _ in range(5)]
        assert codes == [200, 200, 200, 429, 429]
        refused = client.post("/predict", json=RECORD)
        assert 50 <= int(refused.headers["retry-after"]) <= 60
        assert refused.json()["detail"].startswith("More than 3 per 1 minute; try again in ")
        assert client.get("/health").status_code == 200
        assert metric(client, "model_api_requests_total", status="429") >= 3


def test_the_limit_is_of_each_address(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.production = 1
    app = create_app(registry, Settings(), quick(tmp_path).model_copy(update={"rate_limit": "1/hour"}))
    with TestClient(app, client=("10.0.0.1", 1)) as one:
        wait_until(lambda: one.get("/ready").status_code == 200, "version 1 is served")
        other = TestClient(app, client=("10.0.0.2", 1))
        assert [caller.get("/model").status_code for caller in (one, other, one)] == [200, 200, 429]


def test_behind_the_edge_the_limit_is_of_whom_it_tells(
    registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it alone: another one that sends the header is counted as what it is."""
    names = {"edge": "10.0.0.9"}

    def look_up(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if host not in names:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (names[host], 0))]

    registry.production = 1
    monkeypatch.setattr(access, "_EDGE_SECONDS", 0)
    limited = {"rate_limit": "1/hour", "edge": "edge"}
    app = create_app(registry, Settings(), quick(tmp_path).model_copy(update=limited))

    def ask(peer: str, told: str) -> int:
        caller = TestClient(app, client=(peer, 1), headers={"X-Forwarded-For": told})
        return caller.get("/model").status_code

    with TestClient(app) as probe:
        wait_until(lambda: probe.get("/ready").status_code == 200, "version 1 is served")
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        assert [ask("10.0.0.9", told) for told in ("192.0.2.1", "192.0.2.2", "192.0.2.1")] == [200, 200, 429]
        assert [ask("10.0.0.8", told) for told in ("192.0.2.3", "192.0.2.4")] == [200, 429]
        # The edge is made anew at another address; somebody else may have the old one.
        names["edge"] = "10.0.0.7"
        assert ask("10.0.0.7", "192.0.2.5") == 200
        assert ask("10.0.0.9", "192.0.2.6") == 200
        assert ask("10.0.0.9", "192.0.2.7") == 429
        names.clear()
        assert ask("10.0.0.7", "192.0.2.8") == 200
        assert ask("10.0.0.7", "192.0.2.9") == 429


def test_what_is_no_limit_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="rate_limit"):
        ApiSettings(rate_limit="often")
