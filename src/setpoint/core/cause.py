"""What may have caused a change of a metric, how much of it that explains, and what follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

CauseKind = Literal[
    "contract_break",
    "missing_up",
    "new_value",
    "unit_changed",
    "columns_swapped",
    "constant_feature",
    "stale_feature",
    "value_range",
    "feature_version",
    "input_source",
    "model_version",
    "cohort",
    "prompt",
    "provider_model",
    "price",
    "retries",
    "upstream_slow",
    "cache_broken",
    "threshold_changed",
    "outcome_source",
    "outcome_delay",
    "never_learned",
    "never_served",
    "traffic_mix",
    "announced",
]
Remedy = Literal["rollback", "hotfix", "retrain", "ignore", "investigate"]

# How likely a cause of a kind that fits is the cause, by judgement and not by counting incidents: what rows show to be
# peculiar goes before what holds for many rows, and what was only announced comes last. They settle ties: of 80 faults
# of bench/causes.py 78 come first with them, and 70 when all are alike.
PRIORS: Mapping[CauseKind, float] = {
    "contract_break": 0.95,
    "columns_swapped": 0.95,
    "unit_changed": 0.9,
    "missing_up": 0.9,
    "new_value": 0.9,
    "stale_feature": 0.9,
    "constant_feature": 0.9,
    "threshold_changed": 0.9,
    "price": 0.9,
    "retries": 0.9,
    "cache_broken": 0.9,
    "never_learned": 0.9,
    "never_served": 0.9,
    "model_version": 0.85,
    "feature_version": 0.85,
    "outcome_source": 0.85,
    "outcome_delay": 0.85,
    "provider_model": 0.85,
    "prompt": 0.85,
    "upstream_slow": 0.85,
    "input_source": 0.75,
    "value_range": 0.7,
    "cohort": 0.65,
    "traffic_mix": 0.6,
    "announced": 0.3,
}
UNCHECKED = 0.6
"""The share that a cause counts as explaining where nothing can be recomputed, by judgement: all rows since are hit."""

_REMEDIES: Mapping[CauseKind, tuple[Remedy, str]] = {
    "model_version": ("rollback", "the version before it answered well, and can again"),
    "prompt": ("rollback", "go back to the prompt of before"),
    "threshold_changed": ("rollback", "the scores are as good as before: put the threshold back"),
    "provider_model": ("hotfix", "pin the provider's model of before; an older version of ours would call the same"),
    "price": ("investigate", "as much is used as before, at another price: ask whether it is still worth it"),
    "cohort": ("investigate", "only this cohort is hit: look at what is peculiar to it"),
    "never_learned": (
        "retrain",
        "nothing changed, so no rollback helps: train with more rows of it, or decide them apart",
    ),
    "never_served": (
        "investigate",
        "nothing changed, so no rollback helps: look what the model lacks to tell its rows apart",
    ),
    "traffic_mix": ("ignore", "other rows came, and each group of them fares as before; look again in 14 days"),
    "outcome_delay": ("ignore", "outcomes come later, not fewer: judge again when they are there"),
    "outcome_source": ("hotfix", "look whether the new source means the same by an outcome; the model may be well"),
    "announced": ("investigate", "it was changed at that time, and no rows tell whether it did this"),
}
_DATA = ("hotfix", "mend what delivers the inputs; an older version would read the same, so no rollback helps")
_SERVING = ("hotfix", "the model answers as before: mend what it waits for, or limit what that costs")


@dataclass(frozen=True, slots=True)
class Cause:
    """What may have caused a change.

    Attributes:
        kind: What sort of cause.
        subject: The feature, version, cohort or source it is about.
        explained: The share of the change that is gone when the metric is recomputed without it, 0 to 1; None
            where that cannot be recomputed.
        at: When it began, microseconds.
        recency: How well that fits the time of the change, 0 to 1.
        said: One sentence.
        ask: The team or source to ask; empty when nobody is known.
    """

    kind: CauseKind
    subject: str
    explained: float | None
    at: int
    recency: float
    said: str
    ask: str = ""

    @property
    def prior(self) -> float:
        """How likely a cause of this kind is the one, 0 to 1: a judgement of ours, see `PRIORS`."""
        return PRIORS[self.kind]

    @property
    def score(self) -> float:
        """By what causes are ranked, 0 to 1.

        Example:
            >>> Cause("price", "small", 0.5, 0, 1.0, "").score
            0.45
        """
        return (UNCHECKED if self.explained is None else self.explained) * self.recency * self.prior

    @property
    def remedy(self) -> tuple[Remedy, str]:
        """What is to be done if this is it, and why."""
        serving = self.kind in {"retries", "upstream_slow", "cache_broken"}
        return _REMEDIES.get(self.kind, _SERVING if serving else _DATA)


def ranked(causes: Iterable[Cause]) -> list[Cause]:
    """Return causes, the most likely first."""
    return sorted(causes, key=lambda cause: (-cause.score, cause.kind, cause.subject))


def common(found: Sequence[Sequence[Cause]]) -> list[Cause]:
    """Return the causes of several models that one thing happened to, by what each explains on average.

    Args:
        found: The causes of each model; what is none of a model's explains nothing there.

    Example:
        >>> price = Cause("price", "small", 0.8, 0, 1.0, "")
        >>> prompt = Cause("prompt", "p2", 0.9, 0, 1.0, "")
        >>> [(one.kind, round(one.explained or 0.0, 2)) for one in common([[prompt, price], [price]])]
        [('price', 0.8), ('prompt', 0.45)]
    """
    each: dict[tuple[str, str], list[Cause]] = {}
    for causes in found:
        for cause in causes:
            each.setdefault((cause.kind, cause.subject), []).append(cause)
    told: list[Cause] = []
    for same in each.values():
        shares = [UNCHECKED if one.explained is None else one.explained for one in same]
        is_unchecked = len(same) == len(found) and all(one.explained is None for one in same)
        share = None if is_unchecked else sum(shares) / len(found)
        told.append(replace(same[0], explained=share, recency=sum(one.recency for one in same) / len(same)))
    return ranked(told)
