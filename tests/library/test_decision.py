import math

import pandas as pd
import pytest

from covertype import contract, evaluate, promote


class Always:
    """Predicts what it is told, in order."""

    def __init__(self, predictions: list[int]) -> None:
        self.predictions = predictions

    def predict(self, rows: pd.DataFrame) -> list[int]:
        assert tuple(rows.columns) == contract.FEATURES
        return self.predictions


def rows_of(classes: list[int]) -> pd.DataFrame:
    return contract.features_frame([contract.EXAMPLE] * len(classes)).assign(Cover_Type=classes)


def test_scores_computed_by_hand() -> None:
    # Class 0: precision 2/3, recall 1; class 1: precision 1, recall 1/2.
    scores = evaluate.score(Always([0, 0, 0, 1]), rows_of([0, 0, 1, 1]))  # type: ignore[arg-type]
    assert scores == pytest.approx(
        {
            "test_accuracy": 3 / 4,
            "test_precision": 5 / 6,
            "test_recall": 3 / 4,
            "test_f1": (4 / 5 + 2 / 3) / 2,
        }
    )


def test_a_class_that_is_never_met_counts_as_zero_and_a_foreign_one_not_at_all() -> None:
    scores = evaluate.score(Always([0, 0, 6]), rows_of([0, 0, 3]))  # type: ignore[arg-type]
    assert scores["test_f1"] == pytest.approx(1 / 2)


def test_no_rows_no_scores() -> None:
    with pytest.raises(ValueError, match="no test rows"):
        evaluate.score(Always([]), rows_of([]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("candidate", "champion", "margin", "promoted"),
    [
        (0.1, None, 0.0, True),
        (0.9, 0.8, 0.0, True),
        (0.8, 0.8, 0.0, False),
        (0.7, 0.8, 0.0, False),
        (0.81, 0.8, 0.02, False),
        (0.83, 0.8, 0.02, True),
        (math.nan, 0.8, 0.0, False),
        (math.nan, None, 0.0, False),
        (math.inf, None, 0.0, False),
    ],
)
def test_decisions(candidate: float, champion: float | None, margin: float, promoted: bool) -> None:
    decision = promote.decide(
        {"test_f1": candidate}, None if champion is None else {"test_f1": champion}, margin
    )
    assert decision.promote is promoted
    assert f"{candidate:.4f}"[:4] in decision.reason
