"""From an observation to what a model learns from; it travels inside the logged model, so training and
serving cannot disagree.
"""

from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from covertype import contract, terrain

TEST_SHARE = 0.2


def is_test_row(row_key: bytes) -> bool:
    """Whether a row tests (one in five) or trains: its key decides, for ever and whatever batch brings it."""
    return int.from_bytes(row_key[:8]) < TEST_SHARE * 2**64


def split(observations: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training rows and test rows of a frame that has a `row_key` column."""
    tests = observations["row_key"].map(is_test_row).to_numpy(dtype=bool)
    return observations[~tests], observations[tests]


def share(trains: pd.DataFrame, fraction: float) -> pd.DataFrame:
    """That share of the training rows, chosen by their keys: the same rows in every run, and a smaller share
    is part of a greater one.
    """
    if fraction >= 1:
        return trains
    # Not the bytes that decide between training and testing.
    limit = int(fraction * 2**64)
    return trains[[int.from_bytes(key[8:16]) < limit for key in trains["row_key"]]]


class TerrainFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The 12 features as float32 numbers: 10 measured, 33 derived, 44 indicators of the contract's fixed
    categories.

    Nothing is learnt from data: the same row gives the same numbers in every batch. A category that the
    contract does not know, or a missing column, is an error.
    """

    def fit(self, X: pd.DataFrame, y: object = None) -> Self:  # noqa: ARG002 - scikit-learn's signature
        """Remember the columns' names only."""
        self._check(X)
        self.feature_names_in_ = np.asarray(contract.FEATURES, dtype=object)
        self.n_features_in_ = len(contract.FEATURES)
        return self

    def transform(self, X: pd.DataFrame) -> npt.NDArray[np.float32]:
        """n x 87 numbers from n x 12 columns of the contract, in any order; raises ValueError on unknown
        categories.
        """
        check_is_fitted(self, "n_features_in_")
        self._check(X)
        measured = X[list(contract.NUMERIC_FEATURES)].to_numpy(dtype=np.float32)
        return terrain.numbers(
            measured, [terrain.indicator(name, _positions(X[name])) for name in contract.CATEGORIES]
        )

    def get_feature_names_out(
        self,
        input_features: object = None,  # noqa: ARG002 - scikit-learn's signature
    ) -> npt.NDArray[np.object_]:
        """The 87 names, in the order of `transform`."""
        return np.asarray(terrain.NAMES, dtype=object)

    @staticmethod
    def _check(frame: pd.DataFrame) -> None:
        if missing := [name for name in contract.FEATURES if name not in frame.columns]:
            raise ValueError(f"Columns are missing: {', '.join(missing)}")


def _positions(column: pd.Series) -> npt.NDArray[np.int64]:
    """Of each row, which of the contract's values it has."""
    positions = pd.Index(contract.CATEGORIES[str(column.name)]).get_indexer(pd.Index(column))
    if (positions < 0).any():
        unknown = sorted({str(value) for value in column[positions < 0]})
        raise ValueError(f"{column.name} has unknown values: {', '.join(unknown[:5])}")
    return np.asarray(positions)
