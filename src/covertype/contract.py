"""What one observation is: columns, ranges, categories and classes, written once for the whole project.

Figures are those of the real data set (UCI Covertype, 581,012 rows of 30 m x 30 m cells in Roosevelt National
Forest, Colorado).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd


class Range(NamedTuple):
    """An integer column: the least and the greatest value of the data, its unit and what it measures."""

    minimum: int
    maximum: int
    unit: str
    description: str


RANGES: dict[str, Range] = {
    "Elevation": Range(1859, 3858, "m", "Elevation above sea level"),
    "Aspect": Range(0, 360, "degrees", "Direction that the slope faces, clockwise from north"),
    "Slope": Range(0, 66, "degrees", "Steepness of the ground"),
    "Horizontal_Distance_To_Hydrology": Range(
        0, 1397, "m", "Horizontal distance to the nearest surface water"
    ),
    "Vertical_Distance_To_Hydrology": Range(
        -173, 601, "m", "Height above the nearest surface water; negative where the water lies higher"
    ),
    "Horizontal_Distance_To_Roadways": Range(0, 7117, "m", "Horizontal distance to the nearest road"),
    "Hillshade_9am": Range(0, 254, "index", "Illumination at 9 am on the summer solstice"),
    "Hillshade_Noon": Range(0, 254, "index", "Illumination at noon on the summer solstice"),
    "Hillshade_3pm": Range(0, 254, "index", "Illumination at 3 pm on the summer solstice"),
    "Horizontal_Distance_To_Fire_Points": Range(
        0, 7173, "m", "Horizontal distance to the nearest ignition point of a past wildfire"
    ),
}

# `Commanche` is the spelling of the data.
WILDERNESS_AREAS: tuple[str, ...] = ("Cache", "Commanche", "Neota", "Rawah")
# fmt: off
SOIL_TYPES: tuple[str, ...] = (
    "C2702", "C2703", "C2704", "C2705", "C2706", "C2717", "C3501", "C3502", "C4201", "C4703",
    "C4704", "C4744", "C4758", "C5101", "C5151", "C6101", "C6102", "C6731", "C7101", "C7102",
    "C7103", "C7201", "C7202", "C7700", "C7701", "C7702", "C7709", "C7710", "C7745", "C7746",
    "C7755", "C7756", "C7757", "C7790", "C8703", "C8707", "C8708", "C8771", "C8772", "C8776",
)
# fmt: on
CATEGORIES: dict[str, tuple[str, ...]] = {"Wilderness_Area": WILDERNESS_AREAS, "Soil_Type": SOIL_TYPES}
CATEGORY_DESCRIPTIONS: dict[str, str] = {
    "Wilderness_Area": "Wilderness area that the cell belongs to",
    "Soil_Type": "Soil type, by its code of the United States Forest Service",
}

CLASSES: dict[int, str] = {
    0: "Spruce/Fir",
    1: "Lodgepole Pine",
    2: "Ponderosa Pine",
    3: "Cottonwood/Willow",
    4: "Aspen",
    5: "Douglas-fir",
    6: "Krummholz",
}

TARGET = "Cover_Type"
NUMERIC_FEATURES: tuple[str, ...] = tuple(RANGES)
FEATURES: tuple[str, ...] = (*NUMERIC_FEATURES, *CATEGORIES)
COLUMNS: tuple[str, ...] = (*FEATURES, TARGET)

EXAMPLE: dict[str, int | str] = {
    "Elevation": 2596,
    "Aspect": 51,
    "Slope": 3,
    "Horizontal_Distance_To_Hydrology": 258,
    "Vertical_Distance_To_Hydrology": 0,
    "Horizontal_Distance_To_Roadways": 510,
    "Hillshade_9am": 221,
    "Hillshade_Noon": 232,
    "Hillshade_3pm": 148,
    "Horizontal_Distance_To_Fire_Points": 6279,
    "Wilderness_Area": "Rawah",
    "Soil_Type": "C7745",
}


class Violation(NamedTuple):
    """Why one row is refused: its position in the payload, the column and the value that broke a rule, and
    the rule.
    """

    row: int
    column: str
    value: str
    rule: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.column} = {self.value!r}, expected {self.rule}"


def record_schema() -> dict[str, Any]:
    """JSON schema (2020-12) of one record, the 12 features without the target, with ranges, categories and an
    example.
    """
    properties: dict[str, Any] = {
        name: {
            "type": "integer",
            "minimum": limits.minimum,
            "maximum": limits.maximum,
            "unit": limits.unit,
            "description": f"{limits.description} ({limits.unit})",
        }
        for name, limits in RANGES.items()
    }
    for name, values in CATEGORIES.items():
        properties[name] = {
            "type": "string",
            "enum": list(values),
            "description": CATEGORY_DESCRIPTIONS[name],
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Forest cover observation",
        "type": "object",
        "properties": properties,
        "required": list(FEATURES),
        "additionalProperties": False,
        "examples": [dict(EXAMPLE)],
    }


def features_frame(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Frame of n x 12 from records with valid values: integers as int64, categories as str, columns in the
    contract's order.
    """
    return as_typed(pd.DataFrame.from_records(list(records), columns=list(FEATURES)))


def as_typed(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with every column of the contract that it has in the contract's type; raises ValueError on a
    value that does not fit.
    """
    types: dict[str, str] = {
        name: "str" if name in CATEGORIES else "int64" for name in frame.columns if name in COLUMNS
    }
    return frame.astype(types)


def violations(frame: pd.DataFrame) -> list[Violation]:
    """Every value of a frame of text (n x 13, the contract's columns) that breaks the contract, in the order
    of rows.
    """
    found: list[Violation] = []
    for name in COLUMNS:
        column = frame[name]
        if name in CATEGORIES:
            valid = column.isin(CATEGORIES[name])
            rule = f"one of {len(CATEGORIES[name])} known values"
        else:
            low, high = (min(CLASSES), max(CLASSES)) if name == TARGET else RANGES[name][:2]
            # Canonical integers only, so that one observation has one text and thereby one key.
            canonical = column.str.fullmatch(r"0|-?[1-9][0-9]{0,8}").astype(bool)
            valid = canonical & column.where(canonical, str(low)).astype("int64").between(low, high)
            rule = f"an integer from {low} to {high}"
        found += [
            Violation(int(row), name, str(column.iloc[row]), rule) for row in (~valid).to_numpy().nonzero()[0]
        ]
    return sorted(found)
