"""A version is fetched, checked and converted in a process of its own: `python -m model_api.conversion`.

What that needs - MLflow, scikit-learn, hundreds of megabytes for a moment - the process that answers never
loads, and no request waits for it.
"""

import json
import logging
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from covertype import artifact, contract, registry
from covertype.artifact import Artifact
from covertype.prepare import TerrainFeatures
from covertype.settings import Settings
from covertype.version import ModelVersion
from model_api import logs
from model_api.engine import Engine, ForestEngine, PipelineEngine, Record
from model_api.forest import Forest, Inconvertible
from model_api.model import ServingModel, UnfitModel
from model_api.shelf import Proof, Shelf

log = logging.getLogger(__name__)

_SAMPLE_ROWS = 500
_NICENESS = 10  # whoever answers requests comes first


def checked(version: ModelVersion, found: Artifact) -> ServingModel:
    """Accept a version that answers its own input example sensibly; raise UnfitModel otherwise."""
    if unknown := set(map(int, found.pipeline.classes_)) - set(contract.CLASSES):
        raise UnfitModel(f"it knows classes that the contract does not: {sorted(unknown)}")
    examples = found.example.to_dict("records")
    if not examples:
        raise UnfitModel("it has no input example")
    engine, note = engine_for(found.pipeline, [*examples, *sample()])
    model = ServingModel(version, engine, note)
    # As many as the smallest and a large request have: there is more than one way of computing.
    for records in (examples, examples * 50):
        if not np.allclose(model.probabilities(records).sum(axis=1), 1, atol=1e-4):
            raise UnfitModel("its answers to its own input example are no probabilities")
    return model


def engine_for(pipeline: Any, records: Sequence[Record]) -> tuple[Engine, str | None]:
    """The fastest engine that says what the pipeline says of these records, and why it is no converted
    forest.
    """
    steps = getattr(pipeline, "named_steps", {})
    model = steps.get("model")
    if not isinstance(steps.get("prepare"), TerrainFeatures) or not isinstance(
        model, ExtraTreesClassifier | RandomForestClassifier
    ):
        return PipelineEngine(pipeline), f"{type(model or pipeline).__name__} is no forest"
    slow = PipelineEngine(pipeline)
    try:
        fast = ForestEngine(Forest.of(model), slow.classes)
    except Inconvertible as error:
        return slow, str(error)
    expected = slow.probabilities(records)
    one_by_one = np.vstack([fast.probabilities([record]) for record in records])
    for found in (fast.probabilities(records), one_by_one):
        # To the last bit: then no tie between classes can be decided otherwise.
        if not np.array_equal(found, expected):
            log.warning("The converted forest is not used: it differs by %g", np.abs(found - expected).max())
            return slow, "the converted forest gives other probabilities than the pipeline"
    return fast, None


def sample() -> list[Record]:
    """Valid records from all over the contract's ranges, the same ones each time."""
    choose = random.Random(0)  # noqa: S311 - no secret
    return [
        {name: choose.randint(limits.minimum, limits.maximum) for name, limits in contract.RANGES.items()}
        | {name: choose.choice(values) for name, values in contract.CATEGORIES.items()}
        for _ in range(_SAMPLE_ROWS)
    ]


def convert(settings: Settings, shelf: Shelf, version: ModelVersion) -> None:
    """Have a version on the shelf: fetched, if its files are not there, and ready to be served."""
    with shelf.busy():
        if shelf.is_ready(version):
            return  # another process was waiting for the same
        found = _read(settings, shelf, version)
        model = checked(version, found)
        records = sample()
        proof = Proof(model.engine_note, records, model.engine.probabilities(records))
        shelf.put(version, model.engine, proof)


def _read(settings: Settings, shelf: Shelf, version: ModelVersion) -> Artifact:
    name = f"version {version.version}"
    if (files := shelf.files(version)) is not None:
        try:
            artifact.verify(files, version)
            return artifact.read(files, name)
        except artifact.ArtifactError as error:
            log.warning("The copy on the volume is of no use and is fetched again: %s", error)
    with shelf.scratch() as folder:
        files = registry.fetch(settings, version, str(folder))
        found = artifact.read(files, name)
        shelf.take(version, files)
    return found


def main() -> int:
    """Convert what standard input asks for; the answer is the reason why it cannot be, or nothing."""
    logs.configure()
    os.nice(_NICENESS)
    asked = json.load(sys.stdin)
    try:
        convert(
            Settings(**asked["settings"]),
            Shelf(Path(asked["shelf"])),
            ModelVersion.of(asked["version"], asked["version"]["tags"], ()),
        )
    except Exception as error:  # noqa: BLE001 - a broken artifact can raise anything
        print(logs.reason(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
