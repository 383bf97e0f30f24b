"""A folder whose manifest knows each of its files: what bin/bundle and bin/backup write and read.

The standard library is enough: a check comes before there is a virtual environment.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "manifest.json"


class Refused(Exception):
    """Why a folder cannot be used or written, in words for people."""


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contents(folder: Path) -> dict[str, Path]:
    """The files of a folder by name; it has no links, which might lead out of it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise Refused(f"{path.relative_to(folder)} is no plain file. Copy it again.")
        if path.is_file() and path != folder / MANIFEST:
            found[path.relative_to(folder).as_posix()] = path
    return found


def seal(folder: Path, version: int, **entries: Any) -> dict[str, Any]:
    """Write the manifest of a folder whose files are all there, and return it."""
    manifest = {
        "format": version,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        **entries,
        "files": {
            name: {"size": path.stat().st_size, "sha256": digest(path)}
            for name, path in contents(folder).items()
        },
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def read(folder: Path, version: int, maker: str, cure: str) -> dict[str, Any]:
    """The manifest of a folder, as long as it is of the format that is read here."""
    if not (folder / MANIFEST).is_file():
        raise Refused(f"there is no {MANIFEST} in it. Name the folder that {maker} wrote.")
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != version:
            other = manifest["format"]
            raise Refused(f"its format is {other} and {version} is read here. {cure}")
        [(entry["size"], entry["sha256"]) for entry in manifest["files"].values()]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refused(f"{MANIFEST} is damaged. Copy it again.") from None
    return dict(manifest)


def compare(folder: Path, manifest: dict[str, Any]) -> None:
    """Refuse a folder that has other files than its manifest says."""
    # Only what lies in the folder is opened, so a name in the manifest cannot lead elsewhere.
    files, found = manifest["files"], contents(folder)
    for name in sorted(files.keys() ^ found.keys()):
        what = "is missing" if name in files else "does not belong to it"
        raise Refused(f"{name} {what}. Copy it again.")
    for name, entry in files.items():
        size = found[name].stat().st_size
        if size != entry["size"]:
            raise Refused(f"{name} has {size} bytes instead of {entry['size']}. Copy it again.")
    for name, entry in files.items():
        if digest(found[name]) != entry["sha256"]:
            raise Refused(f"{name} is damaged: its checksum is another. Copy it again.")
