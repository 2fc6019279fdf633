"""What a replayed incident comes to: when it began and was seen, by what, what was decided, and what others saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from setpoint.core.metric import number
from setpoint.stats.classification import BinaryState
from setpoint.stats.distances import psi_expected
from setpoint.stats.ranking import auc

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class UsualRule:
    """What a rule that is in common use says of the same rows.

    Attributes:
        name: The rule, such as `PSI of the score > 0.2`.
        value: What it measured, in words.
        alarms: Whether it alarms.
    """

    name: str
    value: str
    alarms: bool


@dataclass(frozen=True)
class Report:
    """A replayed incident in short.

    Attributes:
        name: Of the replay.
        fault: What went wrong.
        began: When, in words; empty when nothing was made to go wrong.
        seen: When it was seen, and how soon that is; empty when nothing was.
        by: What saw it.
        decided: What was decided, and what was done.
        because: Why, a line each.
        unseen: What it would have cost unseen.
        rules: What the usual rules say.
        measured: What else was measured, by its name.
    """

    name: str
    fault: str
    began: str = ""
    seen: str = ""
    by: str = ""
    decided: str = ""
    because: tuple[str, ...] = ()
    unseen: str = ""
    rules: Sequence[UsualRule] = field(default_factory=tuple)
    measured: Sequence[tuple[str, str]] = ()

    def line(self) -> str:
        """Return the result in one line."""
        if not self.began:
            return f"{self.name}: {self.fault}: {self.decided}"
        others = " and ".join(one.name for one in self.rules if one.alarms) or "none"
        seen = f"seen {self.seen or 'not at all'}"
        return f"{self.name}: {self.fault}: {seen}; {self.decided}; usual rules that alarm: {others}"

    def text(self) -> str:
        """Return the report, some lines."""
        told = [
            ("what", self.fault),
            ("began", self.began or "nothing was made to go wrong"),
            ("seen", self.seen or "nothing was seen"),
            ("by", self.by),
            ("decided", self.decided),
            *(("because", said) for said in self.because),
            ("unseen", self.unseen),
            *self.measured,
            *((f"{one.name}", f"{one.value}: {'alarms' if one.alarms else 'sees nothing'}") for one in self.rules),
        ]
        kept = [(name, said) for name, said in told if said]
        width = max(len(name) for name, _ in kept)
        return "\n".join([self.name, *(f"  {name.ljust(width)}  {said}" for name, said in kept)])


def usual_rules(
    before: NDArray[Any], since: NDArray[Any], *, outcomes_before: NDArray[Any], outcomes_since: NDArray[Any]
) -> list[UsualRule]:
    """Return what PSI over ten bins, a KS test and a fall of AUC say about scores before a change and since.

    Args:
        before: Scores before it.
        since: Scores since, shape (n,).
        outcomes_before: 1 where the outcome was yes, else 0; as long as the scores before.
        outcomes_since: As long as the scores since.
    """
    import numpy as np  # noqa: PLC0415 — the demo's extra brings it
    from scipy import stats  # noqa: PLC0415 — as above

    edges = np.quantile(before, np.linspace(0.0, 1.0, 11)[1:-1])
    counts = [
        np.bincount(np.searchsorted(edges, scores), minlength=10).astype(np.float64) for scores in (before, since)
    ]
    shares = [np.maximum(one / one.sum(), 1e-4) for one in counts]
    psi = float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
    by_chance = psi_expected(counts[0], counts[1]).value or 0.0
    p = float(cast("Any", stats.ks_2samp(before, since)).pvalue)
    found = [
        UsualRule("PSI of the score > 0.2", f"{psi:.3f}, {by_chance:.3f} by chance", psi > _PSI),
        UsualRule("KS of the score, p < 0.05", f"p = {p:.2g}", p < _P),
    ]
    areas = [
        auc(BinaryState.from_rows(outcomes.astype(np.float64), scores=scores)).value
        for outcomes, scores in ((outcomes_before, before), (outcomes_since, since))
    ]
    if areas[0] is None or areas[1] is None:
        return [*found, UsualRule("AUC falls by 0.05", "unknown", alarms=False)]
    said = f"{number(areas[0], 'ratio')} to {number(areas[1], 'ratio')}, once outcomes came"
    return [*found, UsualRule("AUC falls by 0.05", said, areas[0] - areas[1] > _P)]


_PSI, _P = 0.2, 0.05
