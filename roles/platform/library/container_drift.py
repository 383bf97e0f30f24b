#!/usr/bin/python
"""Find which containers of the stack must be made anew, and why.

What a job made lies in a service and not in its container, so neither the engine nor Terraform can see that
it is gone. The job itself can: a copy of its container, with CHECK=true in the environment, compares and
changes nothing. One module rather than tasks: all copies run at once, and the plan waits for the slowest.
"""

from __future__ import annotations

import json
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from ansible_collections.community.docker.plugins.module_utils.common_api import (
    AnsibleDockerClient,
    RequestException,
)

DOCUMENTATION = r"""
module: container_drift
short_description: Find which containers of the stack must be made anew, and why
description:
  - Names the jobs that failed, the jobs whose effect is not what they made any more, and the services that
    read a secret file which was written after they had started.
  - A job is asked by a copy of its container whose environment says CHECK=true. It prints one difference a
    line and ends with 0 (all is as it made it), 3 (something differs) or 4 (something is gone, and those who
    used it must start again). Only jobs that have CHECK in their environment know how.
  - Changes nothing; the copies are removed.
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
  followers:
    description: Services that must start again when what a job made was gone, by the job.
    type: dict
    default: {}
author: The covertype developers
"""

RETURN = r"""
differences:
  description: One sentence for each difference; it begins with the container's name without the stack's.
  type: list
  returned: always
replace:
  description: Full names of the containers that put it right when they are made anew.
  type: list
  returned: always
containers:
  description: Containers that are there, without the name of the stack.
  type: list
  returned: always
running:
  description: Those of them that run now.
  type: list
  returned: always
"""

DIFFERS, GONE = 3, 4


def environment(container: dict[str, Any]) -> dict[str, str]:
    """The environment of a container."""
    return dict(entry.split("=", 1) for entry in container["Config"]["Env"])


def remove(client: AnsibleDockerClient, container: str) -> None:
    """Remove a container, if there is one, and the volumes without a name that its image asked for."""
    try:
        client.delete_call("/containers/{0}", container, params={"force": True, "v": True})
    except RequestException as error:
        if error.response is None or error.response.status_code != HTTPStatus.NOT_FOUND:
            raise


def start_check(client: AnsibleDockerClient, job: dict[str, Any]) -> str:
    """Start a copy of a job's container that only compares; returns its name."""
    name = job["Name"].removeprefix("/") + "-check"
    remove(client, name)  # of a run that was killed
    networks = job["NetworkSettings"]["Networks"]
    client.post_json_to_json(
        "/containers/create",
        data={
            **{key: job["Config"][key] for key in ("Entrypoint", "Cmd", "User", "WorkingDir", "Hostname")},
            "Image": job["Image"],
            "Labels": job["Config"]["Labels"] | {"role": "check"},
            "Env": [f"{key}={value}" for key, value in (environment(job) | {"CHECK": "true"}).items()],
            "HostConfig": job["HostConfig"],
            "NetworkingConfig": {"EndpointsConfig": {network: {} for network in networks}},
        },
        params={"name": name},
    )
    client.post_call("/containers/{0}/start", name)
    return name


def log_of(client: AnsibleDockerClient, container: str) -> list[str]:
    """Lines of both streams, of which the engine sends frames with a header of eight bytes."""
    data = client.get_binary("/containers/{0}/logs", container, params={"stdout": 1, "stderr": 1})
    text = b""
    while data:
        size = int.from_bytes(data[4:8])
        text, data = text + data[8 : 8 + size], data[8 + size :]
    return [line.strip() for line in text.decode(errors="replace").splitlines() if line.strip()]


def answer(client: AnsibleDockerClient, check: str) -> tuple[int, list[str]]:
    """The exit code of a check that was started, and its lines."""
    code = int(client.post_to_json("/containers/{0}/wait", check)["StatusCode"])
    return code, log_of(client, check)


def failed(job: dict[str, Any]) -> bool:
    """Whether a job ended badly, or was never started."""
    state = job["State"]
    return not state["Running"] and (state["ExitCode"] != 0 or state["Status"] == "created")


def newer_files(service: dict[str, Any]) -> list[str]:
    """Names of the files that a running service mounts and that were written after it had started."""
    if not service["State"]["Running"]:
        return []
    started = datetime.fromisoformat(service["State"]["StartedAt"]).timestamp()
    sources = sorted(Path(mount["Source"]) for mount in service["Mounts"] if mount["Type"] == "bind")
    return [source.name for source in sources if source.is_file() and source.stat().st_mtime > started]


class Drift:
    """What was found so far."""

    def __init__(self, followers: dict[str, list[str]]) -> None:
        """Begin with nothing."""
        self.differences: list[str] = []
        self.replace: set[str] = set()
        self._followers = followers

    def note(self, name: str, *texts: str) -> None:
        """A container that must be made anew, with its reasons."""
        self.differences.extend(f"{name}: {text}" for text in texts)
        self.replace.add(name)

    def note_unknown(self, name: str, reason: str) -> None:
        """A job that cannot compare, since its service does not answer, is run again: it is idempotent."""
        self.note(name, f"cannot tell whether what it made is there ({reason})")

    def note_answer(self, name: str, code: int, lines: list[str]) -> None:
        """What a job said about its effect."""
        if code in (DIFFERS, GONE):
            self.note(name, *lines)
        elif code != 0:
            self.note_unknown(name, lines[-1] if lines else "it says nothing")
        for follower in self._followers.get(name, []) if code == GONE else []:
            self.note(follower, f"used what {name} made and must start again")

    def look_at(self, name: str, container: dict[str, Any]) -> bool:
        """What the engine's record tells; returns whether the container is a job that can be asked more."""
        role = container["Config"]["Labels"].get("role")
        if role is None and (newer := newer_files(container)):
            self.note(name, f"runs with older secrets than are in its files ({', '.join(newer)})")
        elif role == "job" and failed(container):
            self.note(name, f"failed with exit code {container['State']['ExitCode']}")
            return False
        return role == "job" and "CHECK" in environment(container)


def containers_of(client: AnsibleDockerClient, stack: str) -> dict[str, dict[str, Any]]:
    """The engine's records of the stack's containers, by their names without the stack's."""
    filters = json.dumps({"label": [f"stack={stack}"]})
    listed = client.get_json("/containers/json", params={"all": 1, "filters": filters})
    names = {record["Names"][0]: record["Id"] for record in listed}
    return {
        name.removeprefix(f"/{stack}-"): client.get_json("/containers/{0}/json", identity)
        for name, identity in sorted(names.items())
        if name.startswith(f"/{stack}-")
    }


def main() -> None:
    client = AnsibleDockerClient(
        argument_spec={
            "stack": {"type": "str", "required": True},
            "followers": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    stack = client.module.params["stack"]
    containers = containers_of(client, stack)
    drift = Drift(client.module.params["followers"])
    checks: dict[str, str] = {}
    try:
        for name, container in containers.items():
            if drift.look_at(name, container):
                try:
                    checks[name] = start_check(client, container)
                except RequestException as error:
                    drift.note_unknown(name, str(error))
        for name, check in checks.items():
            try:
                drift.note_answer(name, *answer(client, check))
            except RequestException as error:
                drift.note_unknown(name, str(error))
    finally:
        for container in containers.values():
            if "CHECK" in environment(container):
                remove(client, container["Name"].removeprefix("/") + "-check")

    client.module.exit_json(
        changed=False,
        containers=list(containers),
        differences=drift.differences,
        replace=sorted(f"{stack}-{name}" for name in drift.replace),
        running=[name for name, container in containers.items() if container["State"]["Running"]],
    )


if __name__ == "__main__":
    main()
