"""How the API shows MLflow who asks."""

from pathlib import Path

import httpx

from model_api.registry import Login


def shown(file: Path) -> str | None:
    """What a request says of who sends it."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    with httpx.Client(transport=httpx.MockTransport(answer), auth=Login(file)) as client:
        client.get("http://mlflow:5000/").raise_for_status()
    return seen[0].headers.get("authorization")


def written(file: Path, password: str) -> None:
    file.write_text(
        f"[mlflow]\nmlflow_tracking_username = model-api\nmlflow_tracking_password = {password}\n"
    )


def test_without_a_file_nobody_is_named(tmp_path: Path) -> None:
    assert shown(tmp_path / "credentials") is None


def test_the_file_is_read_each_time_as_it_may_be_replaced(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    for password in ("100%first", "second"):
        written(file, password)
        expected = httpx.BasicAuth("model-api", password)
        request = next(expected.auth_flow(httpx.Request("GET", "http://mlflow:5000/")))
        assert shown(file) == request.headers["authorization"]
