"""How the API shows MLflow who asks, where MLflow wants to know."""

import configparser
from collections.abc import Generator
from pathlib import Path

import httpx

CREDENTIALS = "~/.mlflow/credentials"  # where MLflow's own client looks


class Login(httpx.Auth):
    """The user and password that MLflow's own client would send, read from its file each time: they may be
    replaced. Without the file MLflow asks for none.
    """

    def __init__(self) -> None:
        """Read nothing yet."""
        self._file = Path(CREDENTIALS).expanduser()

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        """See httpx.Auth."""
        if self._file.is_file():
            config = configparser.ConfigParser(interpolation=None)
            config.read_string(self._file.read_text(encoding="utf-8"))
            user, password = (config["mlflow"][f"mlflow_tracking_{key}"] for key in ("username", "password"))
            yield from httpx.BasicAuth(user, password).auth_flow(request)
        else:
            yield request
