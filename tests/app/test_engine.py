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
from model_api import engine
from model_api.engine import SCIKIT_LEARN, TREELITE, engine_for

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
    assert (made.name, note) == (TREELITE, None)

    expected = pipeline.predict_proba(asked[FEATURES])
    few = engine.FEW_ROWS - 1
    starts = range(0, len(records), few)
    for found in (
        made.probabilities(records),
        np.vstack([made.probabilities(records[start : start + few]) for start in starts]),
    ):
        assert len(found) >= 50_000
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


@pytest.mark.parametrize("classes", [[0, 1], [1, 4, 6]])
def test_a_forest_that_has_not_seen_every_class_is_converted_too(classes: list[int]) -> None:
    rows = random_observations(300, 3)
    rows = rows[rows[contract.TARGET].isin(classes)]
    pipeline = tiny_pipeline(1).fit(rows[FEATURES], rows[contract.TARGET])
    made, note = engine_for(pipeline, records_of(rows))
    assert (made.name, note, made.classes) == (TREELITE, None, classes)
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
    other = engine.treelite.sklearn.import_model(tiny_pipeline(2)["model"])
    monkeypatch.setattr(engine.treelite.sklearn, "import_model", lambda _forest: other)
    rows = random_observations(300, 3)
    made, note = engine_for(tiny_pipeline(1), records_of(rows))
    assert made.name == SCIKIT_LEARN
    assert note == "the converted forest gives other probabilities than the pipeline"
    assert (made.probabilities(records_of(rows)) == tiny_pipeline(1).predict_proba(rows[FEATURES])).all()


def test_a_tie_is_decided_as_scikit_learn_decides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = random_observations(300, 3)
    made, _ = engine_for(tiny_pipeline(1), records_of(rows))
    assert isinstance(made, engine.ForestEngine)
    tied = np.array([[0.5 - 1e-16, 0.5, 0, 0, 0, 0, 0]])
    monkeypatch.setattr(made, "_by_treelite", lambda _rows: tied)
    found = made.probabilities(records_of(rows)[:1])
    assert (found == tiny_pipeline(1).predict_proba(rows[FEATURES][:1])).all()
