"""How a model's probabilities are computed: scikit-learn's numbers, faster where that can be."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from covertype import contract, terrain
from model_api.forest import Forest, Probabilities

Record = Mapping[str, int | str]

SCIKIT_LEARN = "scikit-learn"
COMPACT_FOREST = "compact forest"


class Engine(Protocol):
    """Something that knows a model's classes, and their probabilities for valid records."""

    @property
    def name(self) -> str:
        """What `/model` says of it."""

    @property
    def classes(self) -> list[int]:
        """The model's own classes, in the order of its answers."""

    def probabilities(self, records: Sequence[Record]) -> Probabilities:
        """Of each record and class (n x k)."""


class PipelineEngine:
    """A pipeline of any kind, by scikit-learn."""

    name = SCIKIT_LEARN

    def __init__(self, pipeline: Any) -> None:
        """Take a fitted pipeline: 12 columns in, classes out."""
        self._pipeline = pipeline
        self.classes = [int(code) for code in pipeline.classes_]

    def probabilities(self, records: Sequence[Record]) -> Probabilities:
        """See Engine."""
        known: Probabilities = self._pipeline.predict_proba(contract.features_frame(records))
        return known


class ForestEngine:
    """A forest behind the library's own preparation, without scikit-learn and without a frame."""

    name = COMPACT_FOREST

    def __init__(self, forest: Forest, classes: list[int]) -> None:
        """Take a converted forest, and what its columns of probabilities stand for."""
        self.forest = forest
        self.classes = classes

    def probabilities(self, records: Sequence[Record]) -> Probabilities:
        """See Engine."""
        return self.forest.probabilities(terrain.of_records(records, Forest.PADDING))
