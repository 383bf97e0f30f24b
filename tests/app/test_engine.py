"""The converted forest and scikit-learn agree, and what cannot be converted is served all the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

from covertype import contract
from covertype.prepare import TerrainFeatures
from model_api import conversion
from model_api.conversion import engine_for
from model_api.engine import COMPACT_FOREST, SCIKIT_LEARN, ForestEngine
from model_api.forest import Forest, Inconvertible

from .conftest import random_observations, tiny_pipeline

FEATURES = list(contract.FEATURES)
FOREST = Path(__file__).parents[2] / "external/data/covertype.parquet"


def records_of(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return rows[FEATURES].to_dict("records")


@pytest.fixture(scope="module")
def forest() -> pd.DataFrame:
    rows = pd.read_parquet(FOREST).sample(64_000, random_state=1)
    return contract.as_typed(rows.reset_index(drop=True))


@pytest.mark.parametrize("kind", [ExtraTreesClassifier, RandomForestClassifier])
def test_classes_and_probabilities_are_those_of_the_pipeline_on_real_rows(
    forest: pd.DataFrame, kind: type
) -> None:
    learnt, asked = forest[:8_000], forest[8_000:]
    model = kind(n_estimators=12, class_weight="balanced", criterion="entropy", random_state=2)
    pipeline = Pipeline([("prepare", TerrainFeatures()), ("model", model)])
    pipeline.fit(learnt[FEATURES], learnt[contract.TARGET])
    records = records_of(asked)
    made, note = engine_for(pipeline, records[:100])
    assert (made.name, note) == (COMPACT_FOREST, None)

    expected = pipeline.predict_proba(asked[FEATURES])
    # One walk is made for many rows, another one for few.
    starts = range(0, len(records), 5)
    for found in (
        made.probabilities(records),
        np.vstack([made.probabilities(records[start : start + 5]) for start in starts]),
    ):
        assert len(found) >= 50_000
        assert np.array_equal(found, expected), "not the same bits"


@pytest.mark.parametrize("classes", [[0, 1], [1, 4, 6]])
def test_a_forest_that_has_not_seen_every_class_is_converted_too(classes: list[int]) -> None:
    rows = random_observations(300, 3)
    rows = rows[rows[contract.TARGET].isin(classes)]
    pipeline = tiny_pipeline(1).fit(rows[FEATURES], rows[contract.TARGET])
    made, note = engine_for(pipeline, records_of(rows))
    assert (made.name, note, made.classes) == (COMPACT_FOREST, None, classes)
    np.testing.assert_allclose(
        made.probabilities(records_of(rows)[:5]), pipeline.predict_proba(rows[FEATURES][:5]), atol=1e-12
    )


def test_another_kind_of_model_is_served_by_scikit_learn() -> None:
    rows = random_observations(300, 3)
    model = DecisionTreeClassifier(max_depth=4)
    pipeline = Pipeline([("prepare", TerrainFeatures()), ("model", model)])
    pipeline.fit(rows[FEATURES], rows[contract.TARGET])
    made, note = engine_for(pipeline, records_of(rows))
    assert (made.name, note) == (SCIKIT_LEARN, "DecisionTreeClassifier is no forest")
    assert (made.probabilities(records_of(rows)) == pipeline.predict_proba(rows[FEATURES])).all()


def test_a_conversion_that_answers_otherwise_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Forest.of(tiny_pipeline(2)["model"])
    monkeypatch.setattr(conversion.Forest, "of", lambda _forest: other)
    rows = random_observations(300, 3)
    made, note = engine_for(tiny_pipeline(1), records_of(rows))
    assert made.name == SCIKIT_LEARN
    assert note == "the converted forest gives other probabilities than the pipeline"
    assert (made.probabilities(records_of(rows)) == tiny_pipeline(1).predict_proba(rows[FEATURES])).all()


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 33, 64])
@pytest.mark.parametrize("trees", [1, 15, 16, 40])
def test_however_rows_and_trees_fill_the_lanes_of_a_walk(rows: int, trees: int) -> None:
    learnt = random_observations(400, 7)
    pipeline = tiny_pipeline(1).set_params(model__n_estimators=trees, model__max_depth=None)
    pipeline.fit(learnt[FEATURES], learnt[contract.TARGET])
    asked = random_observations(rows, 8)[FEATURES]
    made, note = engine_for(pipeline, records_of(asked))
    assert (made.name, note) == (COMPACT_FOREST, None)
    assert np.array_equal(made.probabilities(records_of(asked)), pipeline.predict_proba(asked))


def test_a_threshold_between_two_float32_numbers_decides_as_in_double() -> None:
    pipeline = tiny_pipeline(1)
    tree = pipeline["model"].estimators_[0].tree_
    rows = random_observations(50, 4)
    numbers = pipeline["prepare"].transform(rows[FEATURES])
    inner = tree.children_left >= 0
    # Just below a value that occurs: in float32 the two are the same.
    tree.threshold[inner] = [numbers[7, column] - 1e-7 for column in tree.feature[inner]]
    made, note = engine_for(pipeline, records_of(rows))
    assert (made.name, note) == (COMPACT_FOREST, None)


def test_trees_that_are_none_are_not_converted() -> None:
    pipeline = tiny_pipeline(1)
    tree = pipeline["model"].estimators_[0].tree_
    tree.children_right[0] = tree.children_left[0]  # a node with two parents, and one with none
    with pytest.raises(Inconvertible, match="tree"):
        Forest.of(pipeline["model"])


def test_what_is_converted_is_small() -> None:
    made, _ = engine_for(tiny_pipeline(1), records_of(random_observations(9, 3)))
    assert isinstance(made, ForestEngine)
    nodes = sum(estimator.tree_.node_count for estimator in tiny_pipeline(1)["model"].estimators_)
    assert made.forest.arrays()["nodes"].nbytes == 8 * nodes
