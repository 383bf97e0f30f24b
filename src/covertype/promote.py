"""Whether a candidate replaces the champion: a pure decision on figures that both earned on the same test
rows.
"""

from collections.abc import Mapping
from typing import NamedTuple

from covertype.evaluate import DECISIVE_METRIC


class Decision(NamedTuple):
    """Promote or not, and the reason in words and numbers."""

    promote: bool
    reason: str


def decide(candidate: Mapping[str, float], champion: Mapping[str, float] | None, margin: float) -> Decision:
    """Promote the first model of all, and any whose macro-F1 beats the champion's by more than `margin`.

    A figure that is not a number never promotes: no comparison with it holds.
    """
    ours = candidate[DECISIVE_METRIC]
    if not 0 <= ours <= 1:
        return Decision(False, f"The candidate's macro-F1 is {ours}: no such score exists.")
    if champion is None:
        return Decision(True, f"No model was in Production; macro-F1 {ours:.4f}.")
    theirs = champion[DECISIVE_METRIC]
    gain = ours - theirs
    verdict = (
        f"macro-F1 {ours:.4f} against the champion's {theirs:.4f} (gain {gain:+.4f}, margin {margin:.4f})"
    )
    if gain > margin:
        return Decision(True, f"Better on the same rows: {verdict}.")
    return Decision(False, f"Not better on the same rows: {verdict}.")
