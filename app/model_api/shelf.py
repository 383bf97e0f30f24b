"""The versions on a volume: the last good one, to start from when MLflow is away, and the one before."""

import json
import logging
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from covertype import artifact
from covertype.registry import LoadedModel, ModelVersion

log = logging.getLogger(__name__)

_KEPT = 2
_CURRENT = "current"
_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")


class Shelf:
    """A folder a version, by its run; `current` describes the last good one. Processes may share it."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, which is made when something is put there."""
        self._folder = folder

    def load(self, version: ModelVersion, fetch: Callable[[str], Path]) -> LoadedModel:
        """Load a version from here, after fetching it into a folder of ours if it is not here yet."""
        if _RUN_ID.fullmatch(version.run_id) is None:
            raise artifact.ArtifactError(f"the version's run has the id {version.run_id[:80]!r}")
        place = self._folder / version.run_id
        name = f"version {version.version}"
        if place.is_dir():
            try:
                return LoadedModel(version, artifact.read(place, name))
            except artifact.ArtifactError as error:
                log.warning("The copy on the volume is of no use and is fetched again: %s", error)
                # Another process may remove it too; if it stays, the rename below says so.
                shutil.rmtree(place, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=self._folder) as scratch:
            files = fetch(scratch)
            loaded = LoadedModel(version, artifact.read(files, name))
            try:
                files.rename(place)
            except OSError:
                # Another process was faster; what it put there is the same.
                if not place.is_dir():
                    raise
        return loaded

    def keep(self, version: ModelVersion) -> None:
        """Note that a version serves well, and drop all but it and the one before."""
        self._folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(version) | {"created": version.created.isoformat()})
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=self._folder, delete=False) as file:
            file.write(text)
        Path(file.name).replace(self._folder / _CURRENT)
        current = self._folder / version.run_id
        current.touch()
        others = [path for path in self._folder.iterdir() if path.is_dir() and path != current]
        others = [path for path in others if not path.name.startswith(".fetch-")]
        for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)[_KEPT - 1 :]:
            # Another process may remove it too; what stays is tried again after the next version.
            shutil.rmtree(path, ignore_errors=True)

    def last_good(self) -> LoadedModel | None:
        """Load the version that served last, None when none is here; raises what is wrong with it."""
        try:
            kept: dict[str, Any] = json.loads((self._folder / _CURRENT).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        kept["created"] = datetime.fromisoformat(kept["created"])
        kept["aliases"] = tuple(kept["aliases"])
        version = ModelVersion(**kept)
        return LoadedModel(
            version, artifact.read(self._folder / version.run_id, f"version {version.version}")
        )
