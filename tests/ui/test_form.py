"""What may be entered, and what is said about the rest."""

from typing import Any

import pytest
from stub_api import EXAMPLE, schema

from form import Fault, Form, check, read_schema


@pytest.fixture
def form() -> Form:
    return read_schema(schema())


def test_every_column_of_the_schema_is_on_the_page_once(form: Form) -> None:
    placed = [field.name for _, fields in form.groups() for field in fields]
    assert sorted(placed) == sorted(EXAMPLE)
    assert [group for group, _ in form.groups()] == ["terrain", "place", "distances", "light"]


def test_an_unknown_column_is_shown_too() -> None:
    body = schema()
    body["properties"]["Snow_Depth"] = {"type": "integer", "minimum": 0, "maximum": 9}
    group, fields = read_schema(body).groups()[-1]
    assert (group, [field.name for field in fields]) == ("other", ["Snow_Depth"])


def test_each_class_has_its_example_and_a_schema_without_them_is_still_a_form(form: Form) -> None:
    assert [item.number for item in form.classes] == list(range(7))
    assert all(check(form.fields, item.example) == {} for item in form.classes)
    body = schema()
    del body["classes"]
    assert read_schema(body) == Form(form.fields, ())


def test_an_example_has_no_fault_and_only_the_vertical_distance_may_be_negative(form: Form) -> None:
    assert check(form.fields, EXAMPLE) == {}
    negative = {name: -1 if isinstance(value, int) else value for name, value in EXAMPLE.items()}
    faults = check(form.fields, negative)
    assert {fault.key for fault in faults.values()} == {"negative"}
    assert set(EXAMPLE) - set(faults) == {"Vertical_Distance_To_Hydrology", "Wilderness_Area", "Soil_Type"}


def test_the_empty_form_lacks_an_elevation_and_the_categories(form: Form) -> None:
    empty = {field.name: None if field.options else 0 for field in form.fields}
    faults = check(form.fields, empty)
    assert {name: fault.key for name, fault in faults.items()} == {
        "Elevation": "range",
        "Wilderness_Area": "choose",
        "Soil_Type": "choose",
    }
    assert faults["Elevation"].values == {"minimum": 1859, "maximum": 3858, "unit": "m", "entry": 0}


@pytest.mark.parametrize(
    ("column", "entry", "fault"),
    [
        ("Slope", 66, None),
        ("Slope", 67, "range"),
        ("Slope", None, "number"),
        ("Vertical_Distance_To_Hydrology", -173, None),
        ("Vertical_Distance_To_Hydrology", -174, "range"),
        ("Soil_Type", "C7744", "choose"),
    ],
)
def test_the_edges(form: Form, column: str, entry: Any, fault: str | None) -> None:
    found: Fault | None = check(form.fields, {**EXAMPLE, column: entry}).get(column)
    assert (found.key if found else None) == fault


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        {"properties": {}},
        {"properties": {"A": {"type": "integer"}}},
        {"properties": {"A": {"type": "object"}}},
    ],
)
def test_a_schema_that_says_too_little_is_refused(body: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_schema(body)
