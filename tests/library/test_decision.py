import math

import numpy as np
import pandas as pd
import pytest

from covertype import contract, evaluate, promote
from covertype.evaluate import Answers, BrokenModel

RULES = promote.Rules(margin=0.001, tolerance=0.05, confidence=0.95, samples=500, seed=1)
COMMONEST = {"test_f1": 0.1}


def answers(truth: list[int], predicted: list[int]) -> Answers:
    return Answers(np.array(truth), np.array(predicted), np.eye(7)[predicted])


def test_scores_computed_by_hand() -> None:
    # Class 0: precision 2/3, recall 1; class 1: precision 1, recall 1/2.
    undecided = np.array([[0.5, 0.5] + [0.0] * 5] * 4)
    scores = evaluate.score(Answers(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]), undecided))
    assert scores == pytest.approx(
        {
            "test_accuracy": 3 / 4,
            "test_precision": 5 / 6,
            "test_recall": 3 / 4,
            "test_f1": (4 / 5 + 2 / 3) / 2,
            "test_balanced_accuracy": 3 / 4,
            "test_log_loss": math.log(2),
        }
    )


def test_a_class_that_is_never_met_counts_as_zero_and_a_foreign_one_not_at_all() -> None:
    assert evaluate.score(answers([0, 0, 3], [0, 0, 6]))["test_f1"] == pytest.approx(1 / 2)


def test_figures_by_class_and_by_batch() -> None:
    said = answers([0, 0, 4, 4], [0, 4, 4, 4])
    table = evaluate.per_class(said).set_index("label")
    assert table.loc["Spruce/Fir"].to_dict() == pytest.approx(
        {"class": 0, "precision": 1, "recall": 1 / 2, "f1": 2 / 3, "rows": 2}
    )
    assert table.loc["Aspen", "precision"] == pytest.approx(2 / 3)
    by_batch = evaluate.per_batch(said, np.array([1, 2, 1, 1]))
    assert {number: figures["test_accuracy"] for number, figures in by_batch.items()} == {1: 1, 2: 0}
    assert evaluate.confusion(said)[0, 4] == 1
    assert evaluate.confusion(said).sum() == 4


def test_calibration_compares_sureness_with_truth() -> None:
    sure = np.array([[0.95, 0.05], [0.91, 0.09], [0.4, 0.6]])
    table = evaluate.calibration(
        Answers(np.array([0, 1, 1]), np.array([0, 0, 1]), np.hstack([sure, np.zeros((3, 5))]))
    )
    assert table["rows"].tolist() == [1, 2]
    assert table["accuracy"].tolist() == [1, 0.5]
    assert evaluate.calibration_error(table) == pytest.approx((0.4 * 1 + 0.43 * 2) / 3)


class Model:
    """Gives the same probabilities for every row."""

    def __init__(self, probabilities: list[float], classes: tuple[int, ...] = (0, 1)) -> None:
        self.classes_ = np.array(classes)
        self.probabilities = probabilities

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        assert tuple(rows.columns) == contract.FEATURES
        return np.array([self.probabilities] * len(rows))


def rows_of(classes: list[int]) -> pd.DataFrame:
    return contract.features_frame([contract.EXAMPLE] * len(classes)).assign(Cover_Type=classes)


def test_answers_are_spread_over_all_classes() -> None:
    said = evaluate.ask(Model([0.3, 0.7], classes=(2, 5)), rows_of([2, 5]))  # type: ignore[arg-type]
    assert said.predicted.tolist() == [5, 5]
    assert said.probabilities[0].tolist() == [0, 0, 0.3, 0, 0, 0.7, 0]


def test_no_rows_no_scores() -> None:
    with pytest.raises(ValueError, match="no test rows"):
        evaluate.ask(Model([0.5, 0.5]), rows_of([]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Model([math.nan, 1.0]), "no finite probability"),
        (Model([math.inf, 0.0]), "no finite probability"),
        (Model([0.7, 0.7]), "add up to 1"),
        (Model([-0.5, 1.5]), "negative"),
        (Model([1.0]), "shape"),
        (Model([0.5, 0.5], classes=(0, 9)), "classes"),
    ],
)
def test_a_broken_model_is_told(model: Model, message: str) -> None:
    with pytest.raises(BrokenModel, match=message):
        evaluate.ask(model, rows_of([0, 1]))  # type: ignore[arg-type]


def with_errors(errors: dict[int, int], rows: int = 400) -> Answers:
    """`rows` rows of each of three true classes, of which so many are taken for class 6."""
    true = [number for number in (0, 1, 4) for _ in range(rows)]
    said = [6 if row < errors.get(number, 0) else number for number in (0, 1, 4) for row in range(rows)]
    return answers(true, said)


# Among eight rows of a class one error costs much F1, and means nothing.
RARE_TRUTH = [0] * 400 + [4] * 8
GUESSING = with_errors({0: 400, 1: 400, 4: 380})

CASES = {
    # candidate, champion, promoted, what the reason says
    "the first": (with_errors({}), None, True, "No model was in Production"),
    "better": (with_errors({0: 20, 1: 20, 4: 20}), with_errors({0: 60, 1: 60, 4: 60}), True, "Better: "),
    "equal": (with_errors({0: 20}), with_errors({0: 20}), False, "Not better"),
    "worse": (with_errors({0: 60}), with_errors({0: 20}), False, "Not better"),
    "within the margin": (with_errors({}, 4000), with_errors({0: 6}, 4000), False, "Not better"),
    "within noise": (with_errors({0: 20}), with_errors({1: 25}), False, "may be noise"),
    "one row of a few": (with_errors({0: 1}, 12), with_errors({0: 2}, 12), False, "may be noise"),
    "a class falls": (
        with_errors({4: 80}),
        with_errors({0: 150, 1: 150}),
        False,
        "Aspen falls from F1",
    ),
    "a class falls a little": (with_errors({4: 20}), with_errors({0: 150, 1: 150}), True, "Better: "),
    "a rare class falls by chance": (
        answers(RARE_TRUTH, [0] * 400 + [4] * 7 + [0]),
        answers(RARE_TRUTH, [1] * 200 + [0] * 200 + [4] * 8),
        True,
        "Better: ",
    ),
    "broken": ("it has NaN", None, False, "broken: it has NaN"),
    "broken, and the champion is gone": ("it has NaN", "no files any more", False, "broken"),
    "the champion is gone": (with_errors({0: 60}), "no files", True, "cannot be used any more (no files)"),
    "the champion is gone, and it guesses": (GUESSING, "no files", False, "commonest class"),
    "the first, and it guesses": (GUESSING, None, False, "commonest class"),
}


@pytest.mark.parametrize(("candidate", "champion", "promoted", "reason"), CASES.values(), ids=CASES.keys())
def test_decisions(
    candidate: Answers | str, champion: Answers | str | None, promoted: bool, reason: str
) -> None:
    decision = promote.decide(candidate, champion, COMMONEST, RULES)
    assert (decision.promote, reason in decision.reason) == (promoted, True), decision.reason


def test_the_bootstrap_agrees_with_drawing_rows() -> None:
    random = np.random.default_rng(3)
    truth = random.integers(0, 7, 800)

    def right_in(share: float) -> Answers:
        said = np.where(random.random(800) < share, truth, random.integers(0, 7, 800))
        return Answers(truth, said, np.eye(7)[said])

    candidate, champion = right_in(0.8), right_in(0.6)
    gains, _ = promote.resample(candidate, champion, RULES)
    drawn = []
    for _ in range(150):
        counts = np.bincount(random.integers(0, 800, 800), minlength=800)
        ours, theirs = (
            evaluate.score(said.of(np.repeat(np.arange(800), counts)))["test_f1"]
            for said in (candidate, champion)
        )
        drawn.append(ours - theirs)
    assert gains.mean() == pytest.approx(np.mean(drawn), abs=0.006)
    assert gains.std() == pytest.approx(np.std(drawn), rel=0.25)


def test_the_same_models_get_the_same_decision() -> None:
    pair = with_errors({0: 20}), with_errors({1: 60})
    assert promote.decide(*pair, COMMONEST, RULES) == promote.decide(*pair, COMMONEST, RULES)
