"""One checked version of the model, and the answers that it gives."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from covertype import contract
from covertype.version import ModelVersion
from model_api import metrics
from model_api.engine import Engine, Record
from model_api.forest import Probabilities

_LABELS = tuple(contract.CLASSES.values())
_CODES = tuple(contract.CLASSES)
_VARIANTS = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


class UnfitModel(Exception):
    """The version loads, but does not classify the contract's features into the contract's classes."""


@dataclass(frozen=True)
class ServingModel:
    """One checked version. Immutable: a request that holds it gets all of its answer from this version."""

    registered: ModelVersion
    engine: Engine
    engine_note: str | None
    loaded_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def probabilities(self, records: Sequence[Record]) -> Probabilities:
        """Give n x 7 probabilities for n records, in the order of the contract's classes.

        The model is called once. A class that the version has never seen has probability 0.
        """
        known = self.engine.probabilities(records)
        if self.engine.classes == list(_CODES):
            return known
        full = np.zeros((len(records), len(_CODES)))
        full[:, [_CODES.index(code) for code in self.engine.classes]] = known
        return full

    def classes(self, records: Sequence[Record]) -> list[int]:
        """Give the likeliest class of each record."""
        return [_CODES[place] for place in self.probabilities(records).argmax(axis=1).tolist()]

    def predict(self, records: Sequence[Record]) -> list[dict[str, Any]]:
        """Give one answer per record, in their order, shaped like `schemas.Prediction`."""
        version = str(self.registered.version)
        probabilities = self.probabilities(records)
        best = probabilities.argmax(axis=1).tolist()
        for place in set(best):
            metrics.labelled(metrics.PREDICTIONS, version, _LABELS[place]).inc(best.count(place))
        return [
            {
                "prediction": _CODES[place],
                "label": _LABELS[place],
                "probabilities": dict(zip(_LABELS, row, strict=True)),
                "model_version": version,
                "prediction_id": identity,
            }
            for place, row, identity in zip(best, probabilities.tolist(), random_ids(len(best)), strict=True)
        ]


def random_ids(count: int) -> list[str]:
    """Give random UUIDs (version 4); `uuid.uuid4` takes ten times as long for many."""
    text = os.urandom(16 * count).hex()
    return [
        f"{text[at : at + 8]}-{text[at + 8 : at + 12]}-4{text[at + 13 : at + 16]}-"
        f"{_VARIANTS[text[at + 16]]}{text[at + 17 : at + 20]}-{text[at + 20 : at + 32]}"
        for at in range(0, 32 * count, 32)
    ]
