"""Whether a candidate replaces the champion: a pure decision on what both said about the same test rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from covertype import contract, evaluate
from covertype.evaluate import DECISIVE_METRIC, Answers

_SIDE = len(contract.CLASSES)


class Decision(NamedTuple):
    """Promote or not, and the reason in words and numbers."""

    promote: bool
    reason: str


@dataclass(frozen=True)
class Rules:
    """What a candidate must do: gain more than `margin` in macro-F1, beyond noise, and lose no class.

    Noise is what differs among `samples` bootstrap samples of the test rows: `confidence` of them must agree.
    """

    margin: float
    tolerance: float
    confidence: float
    samples: int
    seed: int


def decide(
    candidate: Answers | str, champion: Answers | str | None, baseline: Mapping[str, float], rules: Rules
) -> Decision:
    """Judge a candidate against the champion (None: there is none) on the same rows.

    A text in place of answers says why that model gives none. Such a candidate is never promoted; such a
    champion never stands in the way of a candidate that beats the baseline.
    """
    if isinstance(candidate, str):
        return Decision(False, f"The candidate is broken: {candidate}")
    ours, floor = evaluate.score(candidate)[DECISIVE_METRIC], baseline[DECISIVE_METRIC]
    if not ours > floor:
        return Decision(
            False, f"macro-F1 {ours:.4f} is not above {floor:.4f}, that of always saying the commonest class."
        )
    if champion is None:
        return Decision(True, f"No model was in Production; macro-F1 {ours:.4f} (baseline {floor:.4f}).")
    if isinstance(champion, str):
        return Decision(
            True, f"The model in Production cannot be used any more ({champion}); macro-F1 {ours:.4f}."
        )
    return _compare(candidate, champion, rules)


def _compare(candidate: Answers, champion: Answers, rules: Rules) -> Decision:
    ours = evaluate.score(candidate)[DECISIVE_METRIC]
    theirs = evaluate.score(champion)[DECISIVE_METRIC]
    gains, losses = resample(candidate, champion, rules)
    least = float(np.quantile(gains, 1 - rules.confidence))
    verdict = (
        f"macro-F1 {ours:.4f} against the champion's {theirs:.4f} on the same {len(candidate.truth)} rows "
        f"(gain {ours - theirs:+.4f}, margin {rules.margin:.4f}; "
        f"in {rules.confidence:.0%} of the bootstrap at least {least:+.4f})"
    )
    if not ours - theirs > rules.margin:
        return Decision(False, f"Not better: {verdict}.")
    if not least > 0:
        return Decision(False, f"The gain may be noise: {verdict}.")
    if fallen := _fallen(candidate, champion, losses, rules):
        return Decision(False, f"Better on the whole, but {'; '.join(fallen)}: {verdict}.")
    return Decision(True, f"Better: {verdict}.")


def _fallen(
    candidate: Answers, champion: Answers, losses: npt.NDArray[np.float64], rules: Rules
) -> list[str]:
    """Each class whose F1 falls by more than the tolerance, beyond noise.

    F1, not recall: a class that is named less often and more rightly has not got worse.
    """
    now, before = (evaluate.per_class(answers).set_index("class")["f1"] for answers in (candidate, champion))
    surest = np.quantile(losses, 1 - rules.confidence, axis=0)
    return [
        f"{contract.CLASSES[number]} falls from F1 {before[number]:.3f} to {now[number]:.3f}"
        for number in now.index
        if before[number] - now[number] > rules.tolerance and surest[number] > 0
    ]


def resample(
    candidate: Answers, champion: Answers, rules: Rules
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Paired bootstrap: gains in macro-F1 (samples) and losses of F1 by class (samples x 7).

    A sample of rows is a draw of the 7 x 7 x 7 counts of (true, candidate's, champion's class): the same, and
    a thousand draws take milliseconds.
    """
    cells = (candidate.truth * _SIDE + candidate.predicted) * _SIDE + champion.predicted
    counts = np.bincount(cells, minlength=_SIDE**3)
    drawn = np.random.default_rng(rules.seed).multinomial(len(cells), counts / len(cells), size=rules.samples)
    drawn = drawn.reshape(rules.samples, _SIDE, _SIDE, _SIDE)
    ours, theirs = (_f1(drawn.sum(axis=axis)) for axis in (3, 2))
    # The classes of the whole test set; one that a sample misses is 0 on both sides there.
    occurring = np.unique(candidate.truth)
    gains = (ours[:, occurring] - theirs[:, occurring]).mean(axis=1)
    return gains, theirs - ours


def _f1(confusions: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """F1 of each class (n x 7) of n confusion matrices; 0 where a class does not occur."""
    right = np.diagonal(confusions, axis1=1, axis2=2).astype(np.float64)
    both = confusions.sum(axis=2) + confusions.sum(axis=1)
    return np.divide(2 * right, both, out=np.zeros_like(right), where=both > 0)
