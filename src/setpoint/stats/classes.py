"""Quality over several classes from counts of answered class by class that came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from setpoint.stats.classification import FEWEST_ROWS, BinaryState
from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import effective_size, share_of_variance
from setpoint.stats.special import FloatArray

PRIOR = 0.5
"""Rows added to both sides of a class's recall before its variance is taken, which is then never 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """Weighted counts of rows by the class that came and the class that was answered.

    Attributes:
        classes: Their names, sorted.
        weights: Weight of the rows, shape (classes, classes): `weights[came, answered]`.
        weight_of_squares: Sum of squared weights of all rows.
    """

    classes: tuple[str, ...]
    weights: FloatArray
    weight_of_squares: float

    @classmethod
    def of(cls, cells: Mapping[tuple[str, str], float], weight_of_squares: float) -> Confusion:
        """Return the counts of some cells.

        Args:
            cells: Weight by (class that came, class that was answered).
            weight_of_squares: Sum of squared weights of all rows.

        Example:
            >>> counts = Confusion.of({("cat", "cat"): 3.0, ("dog", "cat"): 1.0}, 4.0)
            >>> counts.classes, counts.weights.tolist()
            (('cat', 'dog'), [[3.0, 0.0], [1.0, 0.0]])
        """
        classes = tuple(sorted({name for pair in cells for name in pair}))
        place = {name: n for n, name in enumerate(classes)}
        weights = np.zeros((len(classes), len(classes)))
        for (came, answered), weight in cells.items():
            weights[place[came], place[answered]] += weight
        return cls(classes, weights, weight_of_squares)

    @property
    def rows(self) -> float:
        """Effective number of rows."""
        return effective_size(float(self.weights.sum()), self.weight_of_squares)

    def one_against_rest(self, name: str) -> BinaryState:
        """Return the counts of one class as those of a yes-or-no model that says whether it is this one.

        Args:
            name: One of the classes.
        """
        place = self.classes.index(name)
        total, came = float(self.weights.sum()), float(self.weights[place].sum())
        answered, both = float(self.weights[:, place].sum()), float(self.weights[place, place])
        row = self.weight_of_squares / total if total else 0.0
        return BinaryState(
            positive_weight=came,
            negative_weight=total - came,
            positive_weight_of_squares=came * row,
            negative_weight_of_squares=(total - came) * row,
            true_positives=both,
            false_positives=answered - both,
            false_negatives=came - both,
            true_negatives=max(total - came - answered + both, 0.0),
        )


def macro_recall(counts: Confusion) -> Estimate:
    """Return the mean over classes of the share of their rows that were answered right: the balanced accuracy.

    The variance is that of independent shares, each with half a row added to both of its sides.

    Args:
        counts: Counts of the window.

    Returns:
        Between 0 and 1; unknown when a class came fewer than 10 times.

    Example:
        >>> macro_recall(Confusion.of({("cat", "cat"): 30.0, ("dog", "cat"): 10.0, ("dog", "dog"): 10.0}, 50.0)).value
        0.75

    Source: Brodersen et al. (2010), ICPR; Wilson's interval by `share_of_variance`.
    """
    missing = _missing(counts)
    if missing:
        return Estimate.unknown(missing)
    came = counts.weights.sum(axis=1)
    rows = came * counts.rows / float(came.sum())
    right = np.diag(counts.weights) / came
    prior = (right * rows + PRIOR) / (rows + 2.0 * PRIOR)
    variance = float(np.sum(prior * (1.0 - prior) / rows)) / len(came) ** 2
    return share_of_variance(float(right.mean()), variance, counts.rows)


def macro_f1(counts: Confusion) -> Estimate:
    """Return the mean over classes of F1, the harmonic mean of a class's precision and recall.

    The variance is the delta method's, of a multinomial sample of pairs of classes.

    Args:
        counts: Counts of the window.

    Returns:
        Between 0 and 1; unknown when a class came fewer than 10 times.

    Example:
        >>> counts = Confusion.of({("cat", "cat"): 30.0, ("dog", "cat"): 10.0, ("dog", "dog"): 10.0}, 50.0)
        >>> round(macro_f1(counts).value, 4)
        0.7619

    Source: Takahashi, Yamamoto, Kuchiba & Koyama (2022), Applied Intelligence 52; Wilson's interval by
    `share_of_variance`, since the symmetric one does not hold at small n.
    """
    missing = _missing(counts)
    if missing:
        return Estimate.unknown(missing)
    shares = counts.weights / float(counts.weights.sum())
    both = shares.sum(axis=0) + shares.sum(axis=1)
    scores = 2.0 * np.diag(shares) / both
    # How the mean moves with the share of a cell: a wrong answer lowers the F1 of two classes.
    slope = scores / both
    gradient = -(slope[:, np.newaxis] + slope[np.newaxis, :])
    gradient[np.diag_indices_from(gradient)] += 2.0 / both
    gradient /= len(scores)
    mean = float(np.sum(shares * gradient))
    variance = (float(np.sum(shares * gradient**2)) - mean**2) / (counts.rows - 1.0)
    return share_of_variance(float(scores.mean()), variance, counts.rows)


def _missing(counts: Confusion) -> str:
    """Return which class came too rarely; empty when none did."""
    if not counts.classes:
        return "no answers with outcomes in this window"
    total = float(counts.weights.sum())
    came = counts.weights.sum(axis=1) * counts.rows / total
    rarest = int(np.argmin(came))
    short = int(np.ceil(FEWEST_ROWS - came[rarest] - 1e-9))
    if short <= 0:
        return ""
    others = int(np.count_nonzero(came < FEWEST_ROWS - 1e-9)) - 1
    more = f", and {others} more classes came fewer than {FEWEST_ROWS} times" if others else ""
    return f"needs {short} more outcomes of class {counts.classes[rarest]!r}{more}"
