"""The versions on a volume: the last good one, to start from when MLflow is away, the one before, and the
challenger.
"""

import fcntl
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from covertype.version import CHALLENGER, CHAMPION, ModelVersion
from model_api.engine import Engine, ForestEngine, Record
from model_api.forest import Forest, Probabilities

# Which version has a role is written in a file of this name.
_ROLES = {CHAMPION: "current", CHALLENGER: "challenger"}
_BEFORE = 1  # versions that are kept although they have no role
_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
# The files of the registry, as they were registered; beside them what was made of them. The proof is written
# last.
_FILES, _FOREST, _PROOF = "files", "forest.npz", "proof.json"
_SCRATCH = ".fetch-"


class NotReady(Exception):
    """The version is not here, not converted, or damaged: it has to be converted."""


@dataclass(frozen=True)
class Proof:
    """What a checked version answered to a sample; `note` says why it is no converted forest, if so."""

    note: str | None
    records: Sequence[Record]
    probabilities: Probabilities


class Shelf:
    """A folder a version, by its run. Processes may share it; one at a time changes it."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, which is made when something is put there."""
        self._folder = folder

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self._folder

    def files(self, version: ModelVersion) -> Path | None:
        """The files of a version as the registry has them, None when they are not here."""
        files = self._place(version) / _FILES
        return files if files.is_dir() else None

    def engine(self, version: ModelVersion) -> tuple[Engine | None, str | None]:
        """The converted forest of a version and no note; or none, and the note why scikit-learn has to serve.

        Raises NotReady also when it does not say what it said when it was checked.
        """
        place = self._place(version)
        try:
            proof = json.loads((place / _PROOF).read_text(encoding="utf-8"))
            if proof["note"] is not None:
                return None, proof["note"]
            with np.load(place / _FOREST) as arrays:  # whose checksums are looked at
                engine = ForestEngine(
                    Forest(arrays["nodes"], arrays["roots"], arrays["leaves"]), proof["classes"]
                )
            found = engine.probabilities(proof["records"])
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise NotReady(f"version {version.version} on the volume: {error!r}") from error
        if not np.array_equal(found, np.array(proof["probabilities"])):
            raise NotReady(f"version {version.version} on the volume gives other answers than it did")
        return engine, None

    def is_ready(self, version: ModelVersion) -> bool:
        """Whether `engine` has an answer."""
        try:
            self.engine(version)
        except NotReady:
            return False
        return True

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for the block, from which `take` can move files."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=self._folder) as folder:
            yield Path(folder)

    def take(self, version: ModelVersion, files: Path) -> None:
        """Move a version's files here; those that were here are gone."""
        place = self._place(version)
        if place.exists():
            shutil.rmtree(place)
        place.mkdir()
        files.rename(place / _FILES)

    def put(self, version: ModelVersion, engine: Engine, proof: Proof) -> None:
        """Write down what was made of a version's files."""
        place = self._place(version)
        (place / _PROOF).unlink(missing_ok=True)
        if isinstance(engine, ForestEngine):
            np.savez(place / _FOREST, **engine.forest.arrays())
        text = {
            "note": proof.note,
            "classes": engine.classes,
            "records": list(proof.records),
            "probabilities": proof.probabilities.tolist(),
        }
        self._write(place / _PROOF, text)

    def keep(self, version: ModelVersion, role: str = CHAMPION) -> None:
        """Note that a version serves well in a role, and drop all without a role but the one before."""
        text = asdict(version) | {"created": version.created.isoformat()}
        self._write(self._folder / _ROLES[role], text)
        if (place := self._place(version)).is_dir():
            place.touch()
        used = [kept.run_id for kept in map(self.kept, _ROLES) if kept is not None]
        others = [path for path in self._folder.iterdir() if path.is_dir() and path.name not in used]
        others = [path for path in others if not path.name.startswith(_SCRATCH)]
        for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)[_BEFORE:]:
            # Another process may remove it too; what stays is tried again after the next version.
            shutil.rmtree(path, ignore_errors=True)

    def kept(self, role: str) -> ModelVersion | None:
        """The version that served last in a role, None when there was none."""
        try:
            kept: dict[str, Any] = json.loads((self._folder / _ROLES[role]).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        kept["created"] = datetime.fromisoformat(kept["created"])
        kept["aliases"] = tuple(kept["aliases"])
        return ModelVersion(**kept)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Wait until no other process changes a version, and keep them waiting for the block."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _place(self, version: ModelVersion) -> Path:
        if _RUN_ID.fullmatch(version.run_id) is None:
            raise NotReady(f"the version's run has the id {version.run_id[:80]!r}")
        return self._folder / version.run_id

    @staticmethod
    def _write(path: Path, text: dict[str, Any]) -> None:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            json.dump(text, file)
        Path(file.name).replace(path)
