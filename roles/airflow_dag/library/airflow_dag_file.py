#!/usr/bin/python
"""Ask Airflow how it has read a DAG file.

One module rather than a loop of tasks: whether a file was read is told by three answers of the API together,
and waiting ends with the first of them that settles it.
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

DOCUMENTATION = r"""
module: airflow_dag_file
short_description: Ask Airflow how it has read a DAG file
description:
  - Asks until Airflow has read the file as it is now, well or badly, or until O(wait_seconds) have passed.
  - Changes nothing; a file that Airflow knows it is asked to read at once.
  - Returns RV(outcome) with V(read), V(import_error), V(other_dags), V(unread) or V(no_file).
options:
  url:
    description: URL of Airflow's API server.
    type: str
    required: true
  session:
    description: Headers of a session.
    type: dict
    required: true
  dag_id:
    description: DAG that the file is to hold.
    type: str
    required: true
  path:
    description: The file, in the root of the folder that Airflow reads.
    type: path
    required: true
  wait_seconds:
    description: How long to wait.
    type: int
    default: 0
author: The covertype developers
"""

PAUSE_SECONDS = 1
NOT_FOUND = 404


class Airflow:
    """The API, with a session."""

    def __init__(self, url: str, session: dict[str, str]) -> None:
        self._url, self._headers = f"{url}/api/v2", session

    def ask(self, path: str, *, method: str = "GET", accept: str = "application/json") -> str | None:
        """Text of the answer; nothing where the API knows no such thing."""
        try:
            with open_url(
                f"{self._url}/{path}", method=method, headers={**self._headers, "Accept": accept}, timeout=30
            ) as answer:
                text: str = answer.read().decode()
                return text
        except HTTPError as error:
            if error.code == NOT_FOUND:
                return None
            raise

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        text = self.ask(f"dags/{quote(dag_id)}")
        return None if text is None else json.loads(text)

    def source(self, dag_id: str) -> str | None:
        return self.ask(f"dagSources/{quote(dag_id)}", accept="text/plain")

    def import_errors(self, file: str) -> list[dict[str, Any]]:
        text = self.ask(f"importErrors?{urlencode({'filename': file})}")
        return [] if text is None else json.loads(text)["import_errors"]

    def dags_of(self, file: str) -> list[dict[str, Any]]:
        text = self.ask("dags?limit=1000")
        dags = [] if text is None else json.loads(text)["dags"]
        return [dag for dag in dags if dag["relative_fileloc"] == file]


def reading(airflow: Airflow, dag_id: str, path: Path) -> dict[str, Any]:
    """How Airflow has read the file as it is now, by what it says at this moment."""
    written = path.stat().st_mtime

    def since(moment: str | None) -> bool:
        return moment is not None and datetime.fromisoformat(moment).timestamp() >= written

    for error in airflow.import_errors(path.name):
        if since(error["timestamp"]):
            return {"outcome": "import_error", "traceback": error["stack_trace"]}
    dag = airflow.dag(dag_id)
    if dag and not dag["is_stale"]:
        source = airflow.source(dag_id)
        if source is not None and source.strip() == path.read_text(encoding="utf-8").strip():
            return {"outcome": "read", "paused": dag["is_paused"]}
    others = [other["dag_id"] for other in airflow.dags_of(path.name) if since(other["last_parsed_time"])]
    if others and dag_id not in others:
        return {"outcome": "other_dags", "dags": others}
    return {"outcome": "unread", "file_token": dag["file_token"] if dag else None}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "session": {"type": "dict", "required": True, "no_log": True},
            "dag_id": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
            "wait_seconds": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    url, path = module.params["url"], Path(module.params["path"])
    if not path.is_file():
        module.exit_json(changed=False, outcome="no_file")
    airflow = Airflow(url, module.params["session"])
    deadline = time.monotonic() + module.params["wait_seconds"]
    hurried = module.check_mode
    try:
        while True:
            found = reading(airflow, module.params["dag_id"], path)
            token = found.pop("file_token", None)
            if found["outcome"] != "unread" or time.monotonic() >= deadline:
                break
            if token and not hurried:  # a file that Airflow knows is read at once when it is asked to
                airflow.ask(f"parseDagFile/{token}", method="PUT")
                hurried = True
            time.sleep(PAUSE_SECONDS)
    except (URLError, TimeoutError) as error:
        module.fail_json(msg=f"Airflow at {url} does not answer any more: {error}")
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
