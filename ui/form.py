"""The form without a screen: its fields (from the API's schema), their groups, the faults of an entry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Where each column stands on the page; a column that is not named here comes last, under "other".
GROUPS: dict[str, tuple[str, ...]] = {
    "terrain": ("Elevation", "Aspect", "Slope"),
    "place": ("Wilderness_Area", "Soil_Type"),
    "distances": (
        "Horizontal_Distance_To_Hydrology",
        "Vertical_Distance_To_Hydrology",
        "Horizontal_Distance_To_Roadways",
        "Horizontal_Distance_To_Fire_Points",
    ),
    "light": ("Hillshade_9am", "Hillshade_Noon", "Hillshade_3pm"),
}
OTHER = "other"

type Value = int | str | None


@dataclass(frozen=True)
class Field:
    """One column: a category when it has options, else a whole number from minimum to maximum in `unit`."""

    name: str
    options: tuple[str, ...]
    minimum: int
    maximum: int
    unit: str
    description: str


@dataclass(frozen=True)
class CoverClass:
    """One class: its number, its name as the API has it, and a complete record that is of it."""

    number: int
    label: str
    example: Mapping[str, int | str]


@dataclass(frozen=True)
class Form:
    """The fields in the schema's order, and the classes; none where the API does not list them."""

    fields: tuple[Field, ...]
    classes: tuple[CoverClass, ...]

    def groups(self) -> list[tuple[str, list[Field]]]:
        """Fields by group, in the order of the page; groups without a field are left out."""
        by_name = {field.name: field for field in self.fields}
        placed = [
            (group, [by_name[name] for name in names if name in by_name]) for group, names in GROUPS.items()
        ]
        known = {name for names in GROUPS.values() for name in names}
        placed.append((OTHER, [field for field in self.fields if field.name not in known]))
        return [(group, fields) for group, fields in placed if fields]


@dataclass(frozen=True)
class Fault:
    """What is wrong with one entry: the key of its text, and the numbers and words that the text names."""

    key: str
    values: Mapping[str, int | str]


def read_schema(body: Any) -> Form:
    """The form of a JSON schema of one record.

    Raises ValueError, TypeError or KeyError when the schema says too little.
    """
    fields = tuple(_field(name, rules) for name, rules in body["properties"].items())
    if not fields:
        raise ValueError("a schema without fields")
    names = {field.name for field in fields}
    classes = tuple(
        CoverClass(int(item["class"]), str(item["label"]), item["example"])
        for item in body.get("classes", ())
        if set(item["example"]) == names
    )
    return Form(fields, classes)


def _field(name: str, rules: Any) -> Field:
    if "enum" in rules:
        options = tuple(str(option) for option in rules["enum"])
        return Field(name, options, 0, 0, "", str(rules.get("description", "")))
    if rules["type"] != "integer":
        raise ValueError(f"{name} is of type {rules['type']!r}, which this form does not know")
    minimum, maximum = int(rules["minimum"]), int(rules["maximum"])
    return Field(name, (), minimum, maximum, str(rules.get("unit", "")), str(rules.get("description", "")))


def check(fields: Sequence[Field], entries: Mapping[str, Value]) -> dict[str, Fault]:
    """Every fault of the entries, by column; an empty dict when a prediction can be asked for."""
    faults = {field.name: _fault(field, entries.get(field.name)) for field in fields}
    return {name: fault for name, fault in faults.items() if fault is not None}


def _fault(field: Field, entry: Value) -> Fault | None:
    if field.options:
        return None if entry in field.options else Fault("choose", {})
    limits: dict[str, int | str] = {"minimum": field.minimum, "maximum": field.maximum, "unit": field.unit}
    if not isinstance(entry, int):
        return Fault("number", limits)
    if entry < 0 <= field.minimum:
        return Fault("negative", limits)
    if not field.minimum <= entry <= field.maximum:
        return Fault("range", {**limits, "entry": entry})
    return None
