"""The numbers that a model sees of an observation, by numpy alone: serving needs them without what learning
needs.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from covertype import contract

# The measures that place a cell on the ground. Cells near one another are near in their sums and differences
# too, and a tree, which cuts along one number at a time, cuts along those (docs/experiments.md).
_PLACE = (
    "Elevation",
    "Vertical_Distance_To_Hydrology",
    "Horizontal_Distance_To_Hydrology",
    "Horizontal_Distance_To_Roadways",
    "Horizontal_Distance_To_Fire_Points",
)
# What each combination takes of each of them. In float32 sums of whole numbers are exact, in any order.
_COMBINED = {
    "Elevation-Rise": (1, -1, 0, 0, 0),
    "5*Elevation-Water": (5, 0, -1, 0, 0),
    "5*Elevation+Roads": (5, 0, 0, 1, 0),
    "5*Elevation-Roads": (5, 0, 0, -1, 0),
    "5*Elevation+Fire": (5, 0, 0, 0, 1),
    "5*Elevation-Fire": (5, 0, 0, 0, -1),
    "10*Elevation+Roads+Fire": (10, 0, 0, 1, 1),
    "10*Elevation-Roads-Fire": (10, 0, 0, -1, -1),
    "10*Elevation+Roads-Fire": (10, 0, 0, 1, -1),
    "10*Elevation-Roads+Fire": (10, 0, 0, -1, 1),
    "Water+Roads": (0, 0, 1, 1, 0),
    "Water-Roads": (0, 0, 1, -1, 0),
    "2*Water+Roads": (0, 0, 2, 1, 0),
    "2*Water-Roads": (0, 0, 2, -1, 0),
    "Water+2*Roads": (0, 0, 1, 2, 0),
    "Water-2*Roads": (0, 0, 1, -2, 0),
    "Water+Fire": (0, 0, 1, 0, 1),
    "Water-Fire": (0, 0, 1, 0, -1),
    "2*Water+Fire": (0, 0, 2, 0, 1),
    "2*Water-Fire": (0, 0, 2, 0, -1),
    "Water+2*Fire": (0, 0, 1, 0, 2),
    "Water-2*Fire": (0, 0, 1, 0, -2),
    "Roads+Fire": (0, 0, 0, 1, 1),
    "Roads-Fire": (0, 0, 0, 1, -1),
    "2*Roads+Fire": (0, 0, 0, 2, 1),
    "2*Roads-Fire": (0, 0, 0, 2, -1),
    "Roads+2*Fire": (0, 0, 0, 1, 2),
    "Roads-2*Fire": (0, 0, 0, 1, -2),
    "Water+Roads+Fire": (0, 0, 1, 1, 1),
    "Water+Roads-Fire": (0, 0, 1, 1, -1),
    "Water-Roads+Fire": (0, 0, 1, -1, 1),
    "Water-Roads-Fire": (0, 0, 1, -1, -1),
}
_RISE, _WATER = (contract.NUMERIC_FEATURES.index(_PLACE[position]) for position in (1, 2))
_MEASURED = len(contract.NUMERIC_FEATURES)
_WEIGHTS = np.zeros((_MEASURED, len(_COMBINED)), dtype=np.float32)
_WEIGHTS[[contract.NUMERIC_FEATURES.index(name) for name in _PLACE]] = np.array(list(_COMBINED.values())).T
_TO_WATER = _MEASURED + len(_COMBINED)

NAMES: tuple[str, ...] = (
    *contract.NUMERIC_FEATURES,
    *_COMBINED,
    "Distance_To_Water",
    *(f"{name}={value}" for name, values in contract.CATEGORIES.items() for value in values),
)

_measures = itemgetter(*contract.NUMERIC_FEATURES)
_kinds = itemgetter(*contract.CATEGORIES)
# Of each value of each category, the column that is 1 where a row has it.
_INDICATORS = [
    {value: NAMES.index(f"{name}={value}") for value in values}
    for name, values in contract.CATEGORIES.items()
]


def numbers(
    measured: npt.ArrayLike, indicators: Sequence[Sequence[int] | npt.NDArray[np.int64]], padding: int = 0
) -> npt.NDArray[np.float32]:
    """n x 87 numbers, in the order of `NAMES`, from the measured columns (n x 10) and, for each category, the
    column that is 1 in each row; `padding` columns with minus infinity follow.
    """
    given = np.asarray(measured, dtype=np.float32)
    found = np.zeros((len(given), len(NAMES) + padding), dtype=np.float32)
    found[:, :_MEASURED] = given
    found[:, _MEASURED:_TO_WATER] = given.dot(_WEIGHTS)
    np.hypot(given[:, _RISE], given[:, _WATER], out=found[:, _TO_WATER])
    for columns in indicators:
        if len(given) == 1:  # an index array costs more than all else
            found[0, columns[0]] = 1
        else:
            found[np.arange(len(given)), columns] = 1
    if padding:
        found[:, len(NAMES) :] = -np.inf
    return found


def of_records(records: Sequence[Mapping[str, int | str]], padding: int = 0) -> npt.NDArray[np.float32]:
    """The same from records with valid values, without a frame, which costs milliseconds.

    Raises KeyError on an unknown category or a missing column.
    """
    kinds = zip(*map(_kinds, records), strict=True)
    indicators = [
        [columns[value] for value in values] for columns, values in zip(_INDICATORS, kinds, strict=True)
    ]
    return numbers([_measures(record) for record in records], indicators, padding)


def indicator(category: str, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The columns of the values of a category that are at these positions in the contract."""
    return positions + NAMES.index(f"{category}={contract.CATEGORIES[category][0]}")
