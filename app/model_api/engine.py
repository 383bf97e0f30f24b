"""How a pipeline's probabilities are computed: scikit-learn's numbers, faster where that can be."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import treelite
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from covertype import contract
from covertype.prepare import TerrainFeatures

log = logging.getLogger(__name__)

Record = dict[str, int | str]
type Probabilities = npt.NDArray[np.float64]

SCIKIT_LEARN = "scikit-learn"
TREELITE = "treelite"

# Treelite walks row by row through all trees; scikit-learn tree by tree through all rows, after milliseconds
# of its own. From about so many rows on the latter is faster (docs/decisions/0011).
FEW_ROWS = 32
TOLERANCE = 1e-5
_TIE = 1e-9


class Engine:
    """Probabilities of a pipeline's own classes (n x k) by scikit-learn, for any kind of model."""

    name = SCIKIT_LEARN

    def __init__(self, pipeline: Any) -> None:
        """Take a fitted pipeline: 12 columns in, classes out."""
        self._pipeline = pipeline
        self.classes = [int(code) for code in pipeline.classes_]

    def probabilities(self, records: Sequence[Record]) -> Probabilities:
        """Ask the pipeline once for all records."""
        known: Probabilities = self._pipeline.predict_proba(contract.features_frame(records))
        return known


class ForestEngine(Engine):
    """A forest behind the library's own preparation: no frame, and few rows go through Treelite."""

    name = TREELITE

    def __init__(self, pipeline: Any) -> None:
        """Convert the forest: a fifth of a second and its size in memory, once a version."""
        super().__init__(pipeline)
        self._prepare: TerrainFeatures = pipeline["prepare"]
        self._forest = pipeline["model"]
        self._converted = treelite.sklearn.import_model(self._forest)

    def probabilities(self, records: Sequence[Record]) -> Probabilities:
        """Walk the trees in the way that is faster for so many records."""
        rows = self._prepare.transform_records(records)
        if len(records) < FEW_ROWS:
            found = self._by_treelite(rows)
            # Where two classes are all but equal the order of a sum decides, and scikit-learn's counts.
            if all(best - second > _TIE for *_, second, best in map(sorted, found.tolist())):
                return found
        known: Probabilities = self._forest.predict_proba(rows)
        return known

    def check(self, records: Sequence[Record]) -> None:
        """Raise ValueError unless both ways give what the pipeline itself gives for these records."""
        expected = super().probabilities(records)
        rows = self._prepare.transform_records(records)
        for found in (self._by_treelite(rows), self._forest.predict_proba(rows)):
            if found.shape != expected.shape or not np.allclose(found, expected, rtol=0, atol=TOLERANCE):
                raise ValueError("the converted forest gives other probabilities than the pipeline")
            if (found.argmax(axis=1) != expected.argmax(axis=1)).any():
                raise ValueError("the converted forest gives other classes than the pipeline")

    def _by_treelite(self, rows: npt.NDArray[np.float32]) -> Probabilities:
        found: Probabilities = treelite.gtil.predict(self._converted, rows, nthread=1)
        return found.reshape(len(rows), -1)


def engine_for(pipeline: Any, sample: Sequence[Record]) -> tuple[Engine, str | None]:
    """The fastest engine that agrees with the pipeline on the sample, and why it is no converted forest."""
    steps = getattr(pipeline, "named_steps", {})
    model = steps.get("model")
    if not isinstance(steps.get("prepare"), TerrainFeatures) or not isinstance(
        model, ExtraTreesClassifier | RandomForestClassifier
    ):
        return Engine(pipeline), f"{type(model or pipeline).__name__} is no forest"
    try:
        engine = ForestEngine(pipeline)
        engine.check(sample)
    except (ValueError, treelite.TreeliteError) as error:
        log.warning("Served by scikit-learn: %s", error)
        return Engine(pipeline), str(error)
    return engine, None
