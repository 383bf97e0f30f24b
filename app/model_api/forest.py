"""A forest in the form that answers fastest, made from scikit-learn's; the walk itself is `trees.c`."""

import ctypes
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

type Probabilities = npt.NDArray[np.float64]

LIBRARY = Path(os.environ.get("MODEL_API_TREES", "/opt/model-api/trees.so"))

_NODE = np.dtype([("threshold", "<f4"), ("place", "<u4")])
_CHILD_BITS, _COLUMN_BITS = 24, 8
# Nodes, roots, how many trees; leaves, how many classes; rows, how many columns and rows; what is found.
_ADDRESS, _NUMBER = ctypes.c_void_p, ctypes.c_int64
_CALL: list[Any] = [_ADDRESS, _ADDRESS, _NUMBER, _ADDRESS, _NUMBER, _ADDRESS, _NUMBER, _NUMBER, _ADDRESS]
# Letting other threads run costs more than a few rows do.
_FEW_ROWS = 32


class Inconvertible(ValueError):
    """A forest that has no such form; the message says why."""


class Forest:
    """Trees, nodes and leaves in three arrays, as `trees.c` describes them."""

    # A row has one column more than the trees know, with minus infinity: the one that leaves ask.
    PADDING = 1

    def __init__(
        self, nodes: npt.NDArray[Any], roots: npt.NDArray[np.int64], leaves: npt.NDArray[np.float64]
    ) -> None:
        """Take the arrays, which must fit together: nothing is checked in a walk."""
        self._arrays = {"nodes": nodes, "roots": roots, "leaves": leaves}
        self._classes = leaves.shape[1]
        self._head = (nodes.ctypes.data, roots.ctypes.data, len(roots), leaves.ctypes.data, self._classes)
        # The same function twice: once without letting other threads run.
        self._few, self._many = (
            ctypes.PyDLL(str(LIBRARY)).probabilities,
            ctypes.CDLL(str(LIBRARY)).probabilities,
        )
        for call in (self._few, self._many):
            call.argtypes, call.restype = _CALL, None

    @classmethod
    def of(cls, forest: Any) -> "Forest":
        """Convert a fitted forest of scikit-learn; raises Inconvertible when its trees are too large."""
        trees = [estimator.tree_ for estimator in forest.estimators_]
        columns = forest.n_features_in_
        if columns >= 2**_COLUMN_BITS or max(tree.node_count for tree in trees) >= 2**_CHILD_BITS:
            raise Inconvertible("it has too many columns, or a tree too many nodes")
        # Most leaves say the same: one class, for sure.
        chances = np.concatenate([tree.value[tree.children_left < 0, 0] for tree in trees])
        leaves, rows = np.unique(chances, axis=0, return_inverse=True)
        if len(leaves) >= 2**_CHILD_BITS:
            raise Inconvertible("it has too many different leaves")  # a float counts no further
        ends = np.cumsum([np.count_nonzero(tree.children_left < 0) for tree in trees])
        parts = [
            _nodes(tree, own, columns)
            for tree, own in zip(trees, np.split(rows.ravel(), ends[:-1]), strict=True)
        ]
        roots = np.cumsum([0, *map(len, parts[:-1])], dtype=np.int64)
        return cls(np.concatenate(parts), roots, np.ascontiguousarray(leaves, dtype=np.float64))

    def probabilities(self, rows: npt.NDArray[np.float32]) -> Probabilities:
        """Of the forest's own classes, for rows that have the padding; the same bits as scikit-learn's."""
        found = np.zeros((len(rows), self._classes))
        walk = self._few if len(rows) < _FEW_ROWS else self._many
        walk(*self._head, rows.ctypes.data, rows.shape[1], len(rows), found.ctypes.data)
        return found

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What `__init__` takes, to be written to a file."""
        return self._arrays


def _nodes(tree: Any, leaf_rows: npt.NDArray[np.int64], padding_column: int) -> npt.NDArray[Any]:
    left, right = tree.children_left, tree.children_right
    inner = left >= 0
    # Children in pairs, in the order of their parents.
    pairs = 1 + 2 * np.arange(np.count_nonzero(inner))
    place = np.zeros(len(left), dtype=np.int64)
    place[left[inner]], place[right[inner]] = pairs, pairs + 1
    # Each node has one parent, but the root: then every walk stays in the tree, and ends.
    if (np.sort(place) != np.arange(len(place))).any() or (tree.feature[inner] >= padding_column).any():
        raise Inconvertible("one of its trees is no tree")
    found = np.empty(len(left), dtype=_NODE)
    found["threshold"][place[inner]] = _not_above(tree.threshold[inner])
    found["place"][place[inner]] = (tree.feature[inner] << _CHILD_BITS) + pairs
    found["threshold"][place[~inner]] = leaf_rows
    found["place"][place[~inner]] = (padding_column << _CHILD_BITS) + place[~inner]
    return found


def _not_above(thresholds: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The greatest float32 that is not above: a float32 is at most the one where it is at most the other."""
    near = thresholds.astype(np.float32)
    return np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near)
