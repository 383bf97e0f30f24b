import numpy as np
import pandas as pd
import pytest

from covertype import contract, prepare, tables, terrain


def test_a_key_is_that_of_the_values_as_text() -> None:
    # Stored keys decide for ever who tests: this digest may never change.
    texts = tuple(map(str, (*contract.EXAMPLE.values(), 4)))
    assert tables.row_key(texts).hex() == "012dee1cde8233afa76e8a25294dc1d6e63378b124a293515754904b1cf88cc2"


def test_one_row_in_five_tests_and_its_key_alone_decides(
    observations: pd.DataFrame, forest: pd.DataFrame
) -> None:
    keys = [
        tables.row_key(row) for row in forest.head(20_000).astype("str").itertuples(index=False, name=None)
    ]
    assert np.mean([prepare.is_test_row(key) for key in keys]) == pytest.approx(0.2, abs=0.01)

    trains, tests = prepare.split(observations)
    assert len(trains) + len(tests) == len(observations)
    assert set(trains["row_key"]).isdisjoint(tests["row_key"])
    again, _ = prepare.split(observations.sample(frac=0.5, random_state=1))
    assert set(again["row_key"]) <= set(trains["row_key"])


@pytest.mark.parametrize(
    ("key", "tests"),
    [(b"\x00" * 32, True), (b"\x33" * 32, True), (b"\x34" * 32, False), (b"\xff" * 32, False)],
)
def test_the_lowest_fifth_of_keys_tests(key: bytes, tests: bool) -> None:
    assert prepare.is_test_row(key) is tests


def test_features_of_a_known_row() -> None:
    record = contract.EXAMPLE | {
        "Horizontal_Distance_To_Hydrology": 300,
        "Vertical_Distance_To_Hydrology": -40,
    }
    frame = contract.features_frame([record])
    transformer = prepare.TerrainFeatures().fit(frame)
    names = transformer.get_feature_names_out()
    values = dict(zip(names, transformer.transform(frame)[0].tolist(), strict=True))
    assert values["Elevation"] == 2596
    assert values["Elevation-Rise"] == 2636
    assert values["5*Elevation-Water"] == 12_680
    assert values["Distance_To_Water"] == pytest.approx(302.6549, abs=1e-3)
    assert (values["Water+Roads"], values["Water-Roads"]) == (810, -210)
    assert (values["2*Water+Fire"], values["Water-2*Fire"]) == (6879, -12_258)
    assert (values["Roads+Fire"], values["Roads-Fire"]) == (6789, -5769)
    assert values["10*Elevation-Roads+Fire"] == 25_960 - 510 + 6279
    assert values["Water-Roads-Fire"] == 300 - 510 - 6279
    switched_on = [name for name in names if "=" in name and values[name] == 1]
    assert switched_on == ["Wilderness_Area=Rawah", "Soil_Type=C7745"]
    assert len(names) == len(values) == 87


def test_the_same_row_gives_the_same_numbers_whatever_comes_with_it(observations: pd.DataFrame) -> None:
    rows = observations[list(contract.FEATURES)]
    whole = prepare.TerrainFeatures().fit(rows).transform(rows)
    shuffled_columns = rows.iloc[[5]][list(reversed(contract.FEATURES))]
    alone = prepare.TerrainFeatures().fit(shuffled_columns).transform(shuffled_columns)
    np.testing.assert_array_equal(whole[[5]], alone)
    assert whole.dtype == np.float32


def test_unknown_categories_and_missing_columns_are_errors() -> None:
    frame = contract.features_frame([contract.EXAMPLE])
    transformer = prepare.TerrainFeatures().fit(frame)
    with pytest.raises(ValueError, match="Soil_Type has unknown values: C7744"):
        transformer.transform(frame.assign(Soil_Type="C7744"))
    with pytest.raises(ValueError, match="Columns are missing: Aspect, Slope"):
        transformer.transform(frame.drop(columns=["Slope", "Aspect"]))


def test_records_give_the_numbers_of_their_frame(forest: pd.DataFrame) -> None:
    rows = forest.head(5_000)[list(contract.FEATURES)]
    transformer = prepare.TerrainFeatures().fit(rows)
    records = rows.to_dict("records")
    numbers = terrain.of_records(records)
    assert numbers.dtype == np.float32
    assert (numbers == transformer.transform(rows)).all()
    assert (terrain.of_records(records[7:8]) == numbers[7:8]).all()
    with pytest.raises(KeyError, match="C7744"):
        terrain.of_records([records[0] | {"Soil_Type": "C7744"}])
