"""A measured number as the bar for what comes."""

from __future__ import annotations

import math

from setpoint.core.metric import QUALITY_METRICS
from setpoint.core.model import Expectation, Task
from setpoint.stats.estimate import Estimate


def worse_end(task: Task, metric: str, found: Estimate, measured_on: str) -> Expectation | None:
    """Return the end of the interval on the worse side as a bar, rounded so that it is never stricter.

    Args:
        task: What the model answers.
        metric: One of the task's metrics.
        found: What was measured.
        measured_on: On which rows, in words.

    Returns:
        None when the metric is unknown, has no such end, or no direction is better.

    Example:
        >>> worse_end(Task.BINARY, "auc", Estimate(0.7, 0.68123, 0.72), "later.parquet").at_least
        0.6812
    """
    better = next(known.better for known in QUALITY_METRICS[task] if known.name == metric)
    end = found.low if better == "higher" else found.high
    if found.value is None or end is None or better == "none":
        return None
    source = f"{metric} {found.value:.4g} measured on {measured_on}; the bar is the worse end of its 95 % interval"
    scale = 10.0 ** (3 - math.floor(math.log10(abs(end)))) if end else 1.0
    rounded = math.floor(end * scale) if better == "higher" else math.ceil(end * scale)
    bar = float(f"{rounded / scale:.6g}")
    return Expectation(metric, at_least=bar, source=source) if better == "higher" else Expectation(
        metric, at_most=bar, source=source
    )  # fmt: skip


def lowers(before: Expectation, after: Expectation | None) -> bool:
    """Return whether a bar asks less than the one before.

    Example:
        >>> lowers(Expectation("auc", at_least=0.72), Expectation("auc", at_least=0.69))
        True
    """
    if after is None:
        return True
    least = before.at_least is not None and (after.at_least is None or after.at_least < before.at_least)
    most = before.at_most is not None and (after.at_most is None or after.at_most > before.at_most)
    return least or most
