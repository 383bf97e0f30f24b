"""Progress for people: one line a task that works, on a descriptor beside the full log.

`bin/playbook` sends Ansible's own output to a log file and names a second descriptor in PROGRESS_FD. There
this callback says which step runs, what takes long, what changed, what a `debug` task reports and why a task
failed. Without PROGRESS_FD it is silent, and `ansible-playbook` typed by hand prints what it always prints.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: progress
    type: notification
    short_description: progress lines on a descriptor of their own
    description: Says which step runs, what changed, and why a task failed.
"""

# Tasks that may take minutes, with the reason: said once they have not ended at once.
SLOW = {
    "Install Debian's engine": "installs packages",
    "Bootstrap Debian trixie": "builds a Debian image, about a minute",
    "Build a stand-in on Debian's image": "builds an image from packages, one to two minutes",
    "Check the bundle, and that it fits": "reads all of it for its checksums",
    "Load the images of the bundle": "one to two minutes",
    "Write images, Terraform, wheels and packages, with their checksums": "packs images: two to six minutes",
    "Wait for a Terraform that an interrupted command left at work": "it ends what it has begun",
    "Compile it in a container": "no provider registry answers: four to six minutes, once a machine",
    "Apply terraform/external": "builds an image on a first run, one to two minutes",
    "Apply terraform/stack": "builds six images on a first run: eight to fifteen minutes; two otherwise",
    "Wait until the run has ended (it gathers a batch, trains and registers a model)": "one to two minutes",
}
HINT_SECONDS = 3
HEARTBEAT_SECONDS = 30


class CallbackModule(CallbackBase):
    """Write progress lines to the descriptor that PROGRESS_FD names."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "progress"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        descriptor = os.environ.get("PROGRESS_FD")
        self.disabled = descriptor is None
        if descriptor is not None:
            self._out = os.fdopen(int(descriptor), "w", buffering=1, encoding="utf-8")
        self._began = time.monotonic()
        self._changed = 0
        self._ended = threading.Event()
        self._task = ""
        self._play = self._plays = 0
        self._task_began = self._began

    def _say(self, text: str) -> None:
        elapsed = int(time.monotonic() - self._began)
        self._out.write(f"[{elapsed // 60:2d}:{elapsed % 60:02d}] {text}\n")

    def v2_playbook_on_start(self, playbook: Any) -> None:
        self._plays = len(playbook.get_plays())
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        while not self._ended.wait(1):
            seconds = int(time.monotonic() - self._task_began)
            if seconds == HINT_SECONDS and self._task in SLOW:
                self._say(f"  {self._task} ({SLOW[self._task]})")
            elif seconds and seconds % HEARTBEAT_SECONDS == 0:
                self._say(f"  … {self._task}: {seconds // 60} min {seconds % 60:02d} s")

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._play += 1
        step = f"Step {self._play} of {self._plays}: " if self._plays > 1 else ""
        self._say(f"{step}{play.get_name()}")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        # No templating of the name here: what is secret stays in the task.
        self._task, self._task_began = task.get_name().split(" : ")[-1], time.monotonic()

    def v2_runner_on_ok(self, result: Any) -> None:
        task, data = result.task, result.result
        if task.action in ("debug", "ansible.builtin.debug"):
            self._out.write(f"{data.get('msg', '')}\n")
            self._changed += bool(data.get("changed"))
        elif data.get("changed") and "results" not in data:
            self._changed += 1
            self._say(f"  changed: {self._task}")
        elif data.get("changed"):
            count = sum(1 for item in data["results"] if item.get("changed"))
            self._changed += 1
            self._say(f"  changed: {self._task} ({count})")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if ignore_errors:
            return
        data = result.result
        failed = [
            item for item in data.get("results", []) if isinstance(item, dict) and item.get("failed")
        ] or [data]
        for item in failed:
            if item.get("censored") or item.get("_ansible_no_log"):
                reason = "its output holds secrets and is not shown"
            else:
                reason = item.get("stderr") or item.get("msg") or item.get("stdout") or "no reason given"
            self._say(f"FAILED: {self._task}\n{str(reason).strip()}")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._say(f"UNREACHABLE: {result.host}: {result.result.get('msg', '')}")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._ended.set()
        failed = any(stats.failures.values()) or any(stats.dark.values())
        if not failed:
            self._say(f"changes: {self._changed}" if self._changed else "no changes")
