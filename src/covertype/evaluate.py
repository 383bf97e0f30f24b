"""How good a model is on rows that it has never learnt from: figures only, no files and no servers."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.inspection import permutation_importance
from sklearn.metrics import accuracy_score, log_loss, precision_recall_fscore_support
from sklearn.pipeline import Pipeline

from covertype import contract

DECISIVE_METRIC = "test_f1"

_CLASSES = list(contract.CLASSES)


class BrokenModel(RuntimeError):
    """A model whose answers are none: not a number, no probabilities, or classes that do not exist."""


@dataclass(frozen=True)
class Answers:
    """What a model said about n rows and what is true: classes (n) and probabilities of all seven (n x 7)."""

    truth: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]

    def of(self, chosen: npt.NDArray[np.bool_ | np.int64]) -> "Answers":
        """The answers about some of the rows, by a mask or by positions."""
        return Answers(self.truth[chosen], self.predicted[chosen], self.probabilities[chosen])


def ask(pipeline: Pipeline, rows: pd.DataFrame) -> Answers:
    """The model's answers about `rows` (n x 13 or more columns).

    Raises ValueError on no rows and BrokenModel on answers that are none.
    """
    if rows.empty:
        raise ValueError("There are no test rows to score a model on.")
    known = np.asarray(pipeline.classes_)
    if not set(known) <= set(_CLASSES):
        raise BrokenModel(f"It knows the classes {known.tolist()}, the contract {_CLASSES}.")
    given = np.asarray(pipeline.predict_proba(rows[list(contract.FEATURES)]), dtype=np.float64)
    if given.shape != (len(rows), len(known)):
        raise BrokenModel(f"It gives probabilities of the shape {given.shape} for {len(rows)} rows.")
    if not np.isfinite(given).all():
        raise BrokenModel(f"{int((~np.isfinite(given)).any(axis=1).sum())} rows have no finite probability.")
    if (given < 0).any() or not np.allclose(given.sum(axis=1), 1, atol=1e-4):
        raise BrokenModel("Its probabilities are negative or do not add up to 1.")
    probabilities = np.zeros((len(rows), len(_CLASSES)))
    probabilities[:, known.astype(int)] = given
    return Answers(
        rows[contract.TARGET].to_numpy(dtype=np.int64),
        known[given.argmax(axis=1)].astype(np.int64),
        probabilities,
    )


def score(answers: Answers) -> dict[str, float]:
    """Accuracy, the macro means over the classes that occur, balanced accuracy and log-loss.

    Names: test_accuracy, test_precision, test_recall, test_f1, test_balanced_accuracy, test_log_loss. A class
    that is never predicted counts as 0.
    """
    # The classes of the truth alone, so that two models are judged over the same ones whatever each of them
    # predicts.
    occurring = np.unique(answers.truth)
    precision, recall, f1, _ = precision_recall_fscore_support(
        answers.truth, answers.predicted, labels=occurring, average="macro", zero_division=0.0
    )
    return {
        "test_accuracy": float(accuracy_score(answers.truth, answers.predicted)),
        "test_precision": float(precision),
        "test_recall": float(recall),
        DECISIVE_METRIC: float(f1),
        # The macro recall by its other name, under which people look for it.
        "test_balanced_accuracy": float(recall),
        "test_log_loss": float(log_loss(answers.truth, answers.probabilities, labels=_CLASSES)),
    }


def per_class(answers: Answers) -> pd.DataFrame:
    """One line a class of the truth: class, label, precision, recall, f1, rows."""
    occurring = np.unique(answers.truth)
    precision, recall, f1, rows = precision_recall_fscore_support(
        answers.truth, answers.predicted, labels=occurring, zero_division=0.0
    )
    return pd.DataFrame(
        {
            "class": occurring,
            "label": [contract.CLASSES[int(number)] for number in occurring],
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "rows": rows,
        }
    )


def per_batch(answers: Answers, batches: npt.NDArray[np.int64]) -> dict[int, dict[str, float]]:
    """The figures of `score` for the rows of each batch of the source, by its number."""
    return {int(number): score(answers.of(batches == number)) for number in np.unique(batches)}


def confusion(answers: Answers) -> npt.NDArray[np.int64]:
    """7 x 7 counts: line = true class, column = predicted class."""
    counts = np.zeros((len(_CLASSES), len(_CLASSES)), dtype=np.int64)
    np.add.at(counts, (answers.truth, answers.predicted), 1)
    return counts


def calibration(answers: Answers, bins: int = 10) -> pd.DataFrame:
    """How sure the model was against how often it was right, in equal steps of its highest probability.

    One line a step that has rows: confidence (mean), accuracy, rows.
    """
    sure = answers.probabilities.max(axis=1)
    step = np.minimum((sure * bins).astype(int), bins - 1)
    frame = pd.DataFrame({"step": step, "confidence": sure, "right": answers.predicted == answers.truth})
    table = frame.groupby("step").agg(
        confidence=("confidence", "mean"), accuracy=("right", "mean"), rows=("right", "size")
    )
    return table.reset_index(drop=True)


def calibration_error(table: pd.DataFrame) -> float:
    """Mean distance between sureness and accuracy, weighted by rows (expected calibration error)."""
    return float(np.average((table["confidence"] - table["accuracy"]).abs(), weights=table["rows"]))


def importance(pipeline: Pipeline, rows: pd.DataFrame, most: int, seed: int) -> pd.Series:
    """Loss of macro-F1 when one of the 12 features is shuffled, on at most `most` rows; the greatest
    first.
    """
    sample = rows if len(rows) <= most else rows.sample(most, random_state=seed)
    found = permutation_importance(
        pipeline,
        sample[list(contract.FEATURES)],
        sample[contract.TARGET],
        scoring="f1_macro",
        n_repeats=2,
        random_state=seed,
    )
    return pd.Series(found.importances_mean, index=list(contract.FEATURES)).sort_values(ascending=False)


def baseline(trains: pd.DataFrame, tests: pd.DataFrame) -> Answers:
    """The answers of a model that always says the commonest class of the training rows."""
    features = list(contract.FEATURES)
    dummy = DummyClassifier(strategy="most_frequent").fit(trains[features], trains[contract.TARGET])
    return ask(dummy, tests)


def renamed(figures: Mapping[str, float], prefix: str, old: str = "test") -> dict[str, float]:
    """The figures under another name: test_f1 becomes <prefix>_f1."""
    return {f"{prefix}_{name.removeprefix(f'{old}_')}": value for name, value in figures.items()}
