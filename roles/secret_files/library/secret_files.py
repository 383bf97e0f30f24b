#!/usr/bin/python
"""Generate secrets, and render each for the service that mounts it.

One module rather than a loop of copies: the values never leave the machine that keeps them, and a run that
changes nothing costs one call instead of forty.
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: secret_files
short_description: Generate secrets once, as files that only their one user can read
description:
  - Makes one random value a name, in V(values/) under O(dir), readable by root alone; what exists is kept.
  - Writes each value in the shape that a service reads to a file that the service's user alone can read.
  - Puts owners and modes right. Returns names, never values.
  - Replaces values in three steps, each of which may be cut short and made again. V(begin) writes new values
    beside the old ones, in V(pending/); V(commit) puts them in the place of the old ones; V(end) forgets that
    there was anything to replace. What must happen in between is the caller's.
options:
  dir:
    description: Folder for all of it.
    type: path
    required: true
  values:
    description: Names of the values.
    type: list
    elements: str
    required: true
  mounted:
    description:
      - Files that services mount.
      - Each with O(mounted[].file), O(mounted[].value), O(mounted[].owner), O(mounted[].template).
    type: list
    elements: dict
    required: true
  rotation:
    description: Step of a replacement of values.
    type: str
    choices: [none, begin, commit, end]
    default: none
  rotate:
    description: Names of the values that V(begin) replaces; all when empty.
    type: list
    elements: str
    default: []
author: The covertype developers
"""

RETURN = r"""
files:
  description: Paths of what was missing or had another text, owner or mode.
  type: list
  returned: always
pending:
  description: Names of the values that are being replaced.
  type: list
  returned: always
"""

SECRET_BYTES = 32  # in URL-safe base64 also the exact shape of a Fernet key


def write(path: Path, text: str, owner: int, mode: int) -> None:
    """Write a file whole or not at all; nobody else can read it at any moment."""
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    written = Path(name)
    os.chown(written, owner, owner)
    written.chmod(mode)
    written.replace(path)


def right(path: Path, owner: int, mode: int) -> bool:
    """Whether owner and mode are as they should be."""
    status = path.stat()
    return (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (owner, owner, mode)


def ensure_folder(path: Path, mode: int, check: bool) -> bool:
    """Have a folder of root with this mode; return whether that was (or would be) a change."""
    if path.is_dir() and right(path, 0, mode):
        return False
    if not check:
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, 0, 0)
        path.chmod(mode)
    return True


def ensure_file(path: Path, text: str | None, owner: int, mode: int, check: bool) -> bool:
    """Have a file with this text, owner and mode; return whether that was (or would be) a change."""
    if path.is_file() and path.read_text(encoding="utf-8") == text and right(path, owner, mode):
        return False
    if not check and text is not None:
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            # The same file stays: a container that mounts it goes on with it, and with the right mode.
            path.chmod(mode)
            os.chown(path, owner, owner)
        else:
            write(path, text, owner, mode)
    return True


def new_value() -> str:
    """A random value."""
    return base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def value_of(file: Path, folder: Path, mounted: list[dict[str, Any]], name: str) -> str | None:
    """The value in a file; without it, as a file that a service mounts still has it: a new one would lock
    everybody out. None where it has never been.
    """
    if file.is_file():
        return file.read_text(encoding="utf-8").strip()
    for item in mounted:
        path = folder / item["file"]
        if item["value"] == name and path.is_file():
            before, after = item["template"].split("{value}")
            return path.read_text(encoding="utf-8").strip().removeprefix(before).removesuffix(after) or None
    return None


def begin(folder: Path, names: list[str], check: bool) -> list[Path]:
    """Write a new value beside each old one; one that is there already, of a rotation cut short, stays."""
    pending = folder / "pending"
    begun = [pending / name for name in names if not (pending / name).is_file()]
    if begun and not check:
        ensure_folder(pending, 0o700, check)
        for path in begun:
            write(path, new_value(), 0, 0o600)
    return begun


def refuse(module: AnsibleModule, folder: Path, names: list[str], rotate: list[str]) -> None:
    """Fail when a name is unknown, or there is nothing to replace yet."""
    if unknown := {item["value"] for item in module.params["mounted"]} - set(names):
        module.fail_json(msg=f"no such value: {', '.join(sorted(unknown))}")
    if strangers := sorted(set(rotate) - set(names)):
        module.fail_json(
            msg=f"There is no secret {', '.join(strangers)}. There are: {', '.join(sorted(names))}"
        )
    if module.params["rotation"] == "begin" and not (folder / "values").is_dir():
        module.fail_json(msg=f"There are no secrets in {folder} yet; make up makes them.")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "dir": {"type": "path", "required": True},
            "values": {"type": "list", "elements": "str", "required": True},
            "mounted": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "file": {"type": "str", "required": True},
                    "value": {"type": "str", "required": True, "no_log": False},  # a name
                    "owner": {"type": "int", "required": True},
                    "template": {"type": "str", "default": "{value}"},
                },
            },
            "rotation": {
                "type": "str",
                "choices": ["none", "begin", "commit", "end"],
                "default": "none",
            },
            "rotate": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    check = module.check_mode
    folder = Path(module.params["dir"])
    names = module.params["values"]
    rotation, rotate = module.params["rotation"], module.params["rotate"] or names
    refuse(module, folder, names, rotate)

    changed = []
    if rotation == "begin":
        changed += map(str, begin(folder, rotate, check))
    pending = {path.name: path for path in sorted((folder / "pending").glob("*")) if path.name in names}

    for path, mode in [(folder, 0o711), (folder / "values", 0o700)]:
        if ensure_folder(path, mode, check):
            changed.append(f"{path}/")

    values: dict[str, str | None] = {}
    for name in names:
        path = folder / "values" / name
        source = pending[name] if rotation == "commit" and name in pending else path
        values[name] = value_of(source, folder, module.params["mounted"], name)
        if values[name] == "":
            module.fail_json(msg=f"{path} is empty: put the value back from a backup, or destroy the stack")
        if values[name] is None and not check:
            values[name] = new_value()
        if ensure_file(path, values[name], 0, 0o600, check):
            changed.append(str(path))

    for item in module.params["mounted"]:
        path = folder / item["file"]
        if ensure_folder(path.parent, 0o711, check):
            changed.append(f"{path.parent}/")
        value = values[item["value"]]
        text = None if value is None else item["template"].replace("{value}", value) + "\n"
        if ensure_file(path, text, item["owner"], 0o400, check):
            changed.append(str(path))

    # Last: as long as a name is pending, the next run goes on where this one was cut short.
    if rotation == "end" and pending:
        changed += map(str, pending.values())
        if not check:
            shutil.rmtree(folder / "pending")
            pending = {}

    module.exit_json(changed=bool(changed), files=changed, pending=list(pending))


if __name__ == "__main__":
    main()
