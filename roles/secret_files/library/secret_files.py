#!/usr/bin/python
"""Generate secrets once, and render each for the service that mounts it.

One module rather than a loop of copies: the values never leave the machine that keeps them, and a run that
changes nothing costs one call instead of forty.
"""

from __future__ import annotations

import base64
import os
import secrets
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: secret_files
short_description: Generate secrets once, as files that only their one user can read
description:
  - Makes one random value a name, in V(values/) under O(dir), readable by root alone; what exists is kept.
  - Writes each value in the shape that a service reads to a file that the service's user alone can read.
  - Puts owners and modes right. Returns names, never values.
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
author: The covertype developers
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
        write(path, text, owner, mode)
    return True


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
        },
        supports_check_mode=True,
    )
    check = module.check_mode
    folder = Path(module.params["dir"])
    unknown = {item["value"] for item in module.params["mounted"]} - set(module.params["values"])
    if unknown:
        module.fail_json(msg=f"no such value: {', '.join(sorted(unknown))}")

    changed = []
    for path, mode in [(folder, 0o711), (folder / "values", 0o700)]:
        if ensure_folder(path, mode, check):
            changed.append(f"{path}/")

    values: dict[str, str | None] = {}
    for name in module.params["values"]:
        path = folder / "values" / name
        if path.is_file():
            values[name] = path.read_text(encoding="utf-8").strip()
            if not values[name]:
                module.fail_json(
                    msg=f"{path} is empty: put the value back from a backup, or destroy the stack"
                )
        else:
            values[name] = (
                None if check else base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
            )
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

    module.exit_json(changed=bool(changed), files=changed)


if __name__ == "__main__":
    main()
