"""Bars that no model can meet or miss: a metric that its task lacks, a value beyond the metric's range."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from setpoint.core.metric import QUALITY_METRICS, QualityMetric
from setpoint.declare.problems import Problem, did_you_mean
from setpoint.declare.source import Path, Source, dotted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from setpoint.declare.schema import ModelDeclaration, QualityDeclaration

_FEWEST_PERCENT, _PERCENT = 10.0, 100.0  # 85 is probably 85 %; 1.5 is a slip of another kind


def impossible_bars(declaration: ModelDeclaration, source: Source) -> list[Problem]:
    """Return what is wrong with the bars of a declaration whose shape holds.

    Args:
        declaration: All keys, those of `defaults.yaml` too: what a bar may be depends on the task.
        source: What it was validated from.
    """
    metrics = {metric.name: metric for metric in (*_proxy_rates(declaration), *QUALITY_METRICS[declaration.task])}
    found: list[tuple[Path, str, str]] = []
    for name, bar in declaration.quality.items():
        if name not in metrics:
            message = f"a {declaration.task} model has no metric of this name"
            found.append((("quality", name), message, _known(name, declaration.task, list(metrics))))
            continue
        if name == "within_tolerance" and declaration.success.tolerance is None:
            message = "found no success.tolerance, expected one: it says what is within tolerance"
            found.append((("quality", name), message, "write success: {tolerance: ...}"))
        if name.startswith("judge_") and not declaration.has_judge:
            message = "found no judge among the outcomes, expected one"
            found.append((("quality", name), message, "write outcomes: {people: {final: true}, llm: {judge: true}}"))
        found += [(("quality", name, key), *words) for key, words in _beyond(bar, metrics[name])]
    return [Problem(*source.place(path), dotted(path), message, hint) for path, message, hint in found]


def _proxy_rates(declaration: ModelDeclaration) -> list[QualityMetric]:
    """Return the rates of outcomes that are not final: the final one's is the base rate."""
    kinds = declaration.to_model("").outcomes
    return [QualityMetric(f"{kind.name}_rate", "ratio", "none") for kind in kinds if not (kind.final or kind.judge)]


def _known(name: str, task: str, names: Sequence[str]) -> str:
    """Return which metric was meant: one of another task, one spelled alike, or any."""
    for other, metrics in QUALITY_METRICS.items():
        if other != task and name in {metric.name for metric in metrics}:
            return f"it is a metric of {other} models: change task, or the metric"
    return did_you_mean(name, names) or f"the metrics are {', '.join(names)}"


def _beyond(bar: QualityDeclaration, metric: QualityMetric) -> Iterator[tuple[str, tuple[str, str]]]:
    for key, value in (("at_least", bar.at_least), ("at_most", bar.at_most)):
        if value is not None and not metric.lowest <= value <= metric.highest:
            is_percent = metric.highest == 1.0 and _FEWEST_PERCENT <= value <= _PERCENT
            hint = f"write {value:g} % as {value / _PERCENT:g}" if is_percent else ""
            yield key, (f"found {value:g}, expected {_range(metric)}", hint)


def _range(metric: QualityMetric) -> str:
    if math.isinf(metric.highest):
        return f"at least {metric.lowest:g}"
    if math.isinf(metric.lowest):
        return f"at most {metric.highest:g}"
    return f"{metric.lowest:g} to {metric.highest:g}"
