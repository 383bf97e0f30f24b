import jsonschema
import pandas as pd
import pytest

from covertype import contract


def test_ranges_categories_and_classes_are_those_of_the_real_data(forest: pd.DataFrame) -> None:
    assert tuple(forest.columns) == contract.COLUMNS
    for name, limits in contract.RANGES.items():
        assert (forest[name].min(), forest[name].max()) == (limits.minimum, limits.maximum), name
    for name, values in contract.CATEGORIES.items():
        assert sorted(forest[name].unique()) == sorted(values)
    assert sorted(forest[contract.TARGET].unique()) == list(contract.CLASSES)


def test_only_the_height_above_water_may_be_negative() -> None:
    negative = [name for name, limits in contract.RANGES.items() if limits.minimum < 0]
    assert negative == ["Vertical_Distance_To_Hydrology"]


def test_schema_accepts_its_own_example() -> None:
    schema = contract.record_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(schema["examples"][0], schema)


@pytest.mark.parametrize(
    "change",
    [
        {"Slope": 67},
        {"Slope": -1},
        {"Elevation": "2596"},
        {"Elevation": 2596.5},
        {"Wilderness_Area": "Comanche"},
        {"Soil_Type": "C7744"},
        {"Cover_Type": 1},
    ],
)
def test_schema_refuses(change: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(contract.EXAMPLE | change, contract.record_schema())


def test_schema_misses_each_missing_feature() -> None:
    for name in contract.FEATURES:
        record = {key: value for key, value in contract.EXAMPLE.items() if key != name}
        with pytest.raises(jsonschema.ValidationError, match=name):
            jsonschema.validate(record, contract.record_schema())


def texts(**change: str) -> pd.DataFrame:
    record = {name: str(value) for name, value in contract.EXAMPLE.items()} | {"Cover_Type": "4"}
    return pd.DataFrame([record, record | change], columns=list(contract.COLUMNS), dtype="str")


def test_real_rows_do_not_violate_the_contract(forest: pd.DataFrame) -> None:
    rows = forest.sample(5_000, random_state=1).astype("str")
    assert contract.violations(rows) == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("Aspect", "361"),
        ("Vertical_Distance_To_Hydrology", "-174"),
        ("Hillshade_3pm", ""),
        ("Slope", "3.0"),
        ("Slope", "03"),
        ("Slope", "-0"),
        ("Slope", "٣"),
        ("Slope", "9" * 40),
        ("Elevation", "high"),
        ("Wilderness_Area", "rawah"),
        ("Soil_Type", "C7744"),
        ("Cover_Type", "7"),
    ],
)
def test_violation_names_row_column_and_value(column: str, value: str) -> None:
    (found,) = contract.violations(texts(**{column: value}))
    assert found[:3] == (1, column, value)


def test_frame_of_records_has_the_contract_s_order_and_types() -> None:
    frame = contract.features_frame([dict(reversed(contract.EXAMPLE.items()))])
    assert tuple(frame.columns) == contract.FEATURES
    assert {str(frame[name].dtype) for name in contract.NUMERIC_FEATURES} == {"int64"}
    assert frame.iloc[0].to_dict() == contract.EXAMPLE
