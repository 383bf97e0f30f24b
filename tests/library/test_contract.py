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


def row(**change: object) -> list[object]:
    record = {name: str(value) for name, value in contract.EXAMPLE.items()} | {"Cover_Type": "4"}
    return [(record | change)[name] for name in contract.COLUMNS]


def test_real_rows_keep_the_contract(forest: pd.DataFrame) -> None:
    rows = forest.sample(5_000, random_state=1).astype("str").to_numpy().tolist()
    assert contract.sort_out(rows) == (rows, [])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("Aspect", "361"),
        ("Vertical_Distance_To_Hydrology", "-174"),
        ("Hillshade_3pm", ""),
        ("Slope", "3.0"),
        ("Slope", "03"),
        ("Slope", "-0"),
        ("Slope", "3\n"),
        ("Slope", "٣"),
        ("Slope", "9" * 40),
        ("Slope", 3),
        ("Slope", None),
        ("Slope", True),
        ("Slope", [["3"]]),
        ("Elevation", "high"),
        ("Wilderness_Area", "rawah"),
        ("Wilderness_Area", "\ud800"),
        ("Wilderness_Area", {"a": []}),
        ("Soil_Type", "C7744"),
        ("Cover_Type", "7"),
    ],
)
def test_one_bad_value_sets_its_row_aside(column: str, value: object) -> None:
    rows = [row(), row(**{column: value}), row()]
    kept, bad = contract.sort_out(rows)
    assert bad == [1]
    assert kept == [row(), row()]
    refusal = contract.refusal(1, rows[1])
    assert refusal.position == 1
    assert [reason.partition(" = ")[0] for reason in refusal.reasons] == [column]


@pytest.mark.parametrize("shape", [[], row()[:-1], [*row(), "1"], "text", None, 1, {"Slope": "3"}])
def test_a_row_of_another_shape_is_set_aside(shape: object) -> None:
    assert contract.sort_out([shape, row()]) == ([row()], [0])
    assert contract.refusal(0, shape).reasons == ("not a list of 13 strings",)


def test_every_reason_is_given() -> None:
    refusal = contract.refusal(7, row(Slope="67", Soil_Type="C0000", Elevation=2596))
    assert str(refusal) == (
        "row 7: Elevation = 2596, expected text with an integer from 1859 to 3858, "
        "Slope = '67', expected text with an integer from 0 to 66, "
        "Soil_Type = 'C0000', expected one of 40 known values"
    )


def test_nothing_but_bad_rows_leaves_none() -> None:
    for rows in ([row(Slope="67")], [1, 2]):
        assert contract.sort_out(rows) == ([], list(range(len(rows))))


def test_a_description_is_short_whatever_came() -> None:
    deep: list[object] = []
    for _ in range(900):
        deep = [deep]
    for strange in ("x" * 10_000_000, ["x" * 1_000_000] * 13, deep, [deep] * 13, [10**4000] * 13):
        refusal = contract.refusal(0, strange)
        assert len(refusal.received) < 2_000
        assert len(", ".join(refusal.reasons)) < 4_000


def test_frame_of_records_has_the_contract_s_order_and_types() -> None:
    frame = contract.features_frame([dict(reversed(contract.EXAMPLE.items()))])
    assert tuple(frame.columns) == contract.FEATURES
    assert {str(frame[name].dtype) for name in contract.NUMERIC_FEATURES} == {"int64"}
    assert frame.iloc[0].to_dict() == contract.EXAMPLE
