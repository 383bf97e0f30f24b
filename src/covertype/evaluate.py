"""How good a model is on rows that it has never learnt from."""

import pandas as pd
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from sklearn.pipeline import Pipeline

from covertype import contract

DECISIVE_METRIC = "test_f1"


def score(pipeline: Pipeline, rows: pd.DataFrame) -> dict[str, float]:
    """Accuracy and the macro means of precision, recall and F1 over the classes that occur in `rows` (n x 13
    or more columns).

    Names: test_accuracy, test_precision, test_recall, test_f1. A class that is never predicted counts as 0.
    Raises ValueError on no rows.
    """
    if rows.empty:
        raise ValueError("There are no test rows to score a model on.")
    truth = rows[contract.TARGET].to_numpy()
    predicted = pipeline.predict(rows[list(contract.FEATURES)])
    # The classes of the truth alone, so that two models are judged over the same ones whatever each of them
    # predicts.
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, predicted, labels=sorted(set(truth)), average="macro", zero_division=0.0
    )
    return {
        "test_accuracy": float(accuracy_score(truth, predicted)),
        "test_precision": float(precision),
        "test_recall": float(recall),
        DECISIVE_METRIC: float(f1),
    }
