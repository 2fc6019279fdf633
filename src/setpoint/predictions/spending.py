"""What predictions cost, a line each, and what a correct one costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from setpoint.core.clock import DAY
from setpoint.core.metric import Metric, counted
from setpoint.core.model import Model, Rates, Task
from setpoint.core.window import Window
from setpoint.stats import intervals
from setpoint.stats.estimate import Estimate
from setpoint.store.states import StateTable

_MONTH = 365.25 / 12 * DAY


@dataclass(frozen=True, slots=True)
class CostLine:
    """One line of the bill.

    Attributes:
        name: `calls`, `retries`, `judging`, `predictions`, `compute`, `shadow`, `outcomes`, `monthly`, `uncosted`, or
            the name of a kind of outcome that costs something.
        usd: The amount; None when it is unknown.
        rows: What was billed.
        unpriced: How many of them have no known price.
        unknown: Why there is no amount; empty when there is one.
        is_shared: Whether it belongs to no prediction of its own, and is spread over all of them.
    """

    name: str
    usd: float | None
    rows: int
    unpriced: int = 0
    unknown: str = ""
    is_shared: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """What flat rates are billed for.

    Attributes:
        predictions: All of them, kept or not.
        compute_seconds: Of all of them together.
        without_compute: How many have no compute time: what they cost by the second is unknown, not nothing.
    """

    predictions: int = 0
    compute_seconds: float = 0.0
    without_compute: int = 0


def bill(
    model: Model,
    spending: StateTable,
    asked: Usage,
    shadow: Usage,
    *,
    outcomes: Mapping[str, int],
    lived: Window | None,
) -> list[CostLine]:
    """Return every line of the window's bill; the fixed monthly cost in proportion to time.

    The line `shadow` is all that shadow rows cost: their calls and their flat rates. So the lines of a
    window in which every row is kept add up to the costs of its rows.

    Args:
        model: The declaration, for its flat rates.
        spending: The spending state.
        asked: All predictions but shadow rows.
        shadow: The shadow rows.
        outcomes: Outcomes that arrived by kind, for what a label or a judge's grade costs.
        lived: The part of the window that has passed with the model in use; None when nothing has a time.
    """
    rates = model.rates
    names = sorted({str(key) for key in spending.key("line")} - {"shadow"})
    lines = [_called(name, spending.only(line=name)) for name in names]
    if rates.per_prediction_usd is not None:
        lines.append(_predicted("predictions", rates.per_prediction_usd, asked))
    if rates.per_compute_second_usd is not None:
        lines.append(_computed("compute", rates.per_compute_second_usd, asked))
    lines += _shadow(rates, spending.only(line="shadow"), shadow)
    if rates.per_outcome_usd is not None:
        labels = outcomes.get(model.final_kind, 0)
        lines.append(CostLine("outcomes", rates.per_outcome_usd * labels, labels, is_shared=True))
    for kind in model.outcomes:
        if kind.cost_usd is not None:
            count = outcomes.get(kind.name, 0)
            lines.append(CostLine(kind.name, kind.cost_usd * count, count, is_shared=True))
    if rates.per_month_usd is not None:
        usd = None if lived is None else rates.per_month_usd * lived.length / _MONTH
        why = "" if lived else "a monthly cost is declared and the predictions have no times"
        lines.append(CostLine("monthly", usd, 1, unknown=why, is_shared=True))
    return lines


def _called(name: str, calls: StateTable) -> CostLine:
    unpriced = int(calls.total("unpriced"))
    why = f"{counted(unpriced, 'call')} with no known price" if unpriced else ""
    usd = None if unpriced else calls.total("usd")
    return CostLine(name, usd, int(calls.total("rows")), unpriced, why, is_shared=name == "judging")


def _predicted(name: str, rate: float, usage: Usage) -> CostLine:
    return CostLine(name, rate * usage.predictions, usage.predictions)


def _computed(name: str, rate: float, usage: Usage) -> CostLine:
    missing = usage.without_compute
    if missing:
        noun = "shadow prediction" if name == "shadow" else "prediction"
        why = f"{counted(missing, noun)} without compute_seconds, which a rate is declared for"
        return CostLine(name, None, usage.predictions, missing, why)
    return CostLine(name, rate * usage.compute_seconds, usage.predictions)


def _shadow(rates: Rates, calls: StateTable, usage: Usage) -> list[CostLine]:
    """Return the one line of shadow rows; none when nothing of theirs is billed."""
    parts = [_called("shadow", calls)] if len(calls) else []
    if rates.per_prediction_usd is not None and usage.predictions:
        parts.append(_predicted("shadow", rates.per_prediction_usd, usage))
    if rates.per_compute_second_usd is not None and usage.predictions:
        parts.append(_computed("shadow", rates.per_compute_second_usd, usage))
    if not parts:
        return []
    unknown = next((part for part in parts if part.usd is None), None)
    if unknown is not None:
        return [unknown]
    # The parts bill the same rows in several ways: rows are predictions once a flat rate bills those.
    return [CostLine("shadow", sum(part.usd or 0.0 for part in parts), parts[-1].rows)]


def tokens_per_request(spending: StateTable, requests: int) -> Metric:
    """Return the tokens a request took in all its calls and retries; shadow rows are no requests.

    Args:
        spending: The spending state.
        requests: All predictions, from tallies.
    """
    name = "tokens_per_request"
    asked = spending.without(line="shadow").without(line="judging")
    tokens = asked.total("input_tokens") + asked.total("output_tokens")
    if not tokens or not requests:
        return Metric(name, None, None, None, "tokens", "lower", requests, "no tokens were recorded")
    return Metric(name, tokens / requests, None, None, "tokens", "lower", requests)


def cost_per_success(state: StateTable, model: Model, *, overhead_usd: float = 0.0) -> Metric:
    """Return the cost of one correct prediction, over the predictions whose outcome is known.

    Numerator and denominator come from the same rows; costs that belong to no row (monthly,
    labelling) are spread over them. The interval is Fieller's for a ratio of means.

    Args:
        state: The quality state of root rows.
        model: The declaration.
        overhead_usd: Cost a row, in dollars, to be added to every row.
    """
    name = "cost_per_success_usd"
    known, right = _judged(state)
    rows = int(known.total("rows"))
    unpriced = int(known.total("unpriced"))
    if unpriced:
        why = f"{unpriced:,} of {rows:,} predictions with an outcome have no known price"
        return Metric(name, None, None, None, "usd", "lower", rows, why)
    if model.task is Task.REGRESSION and model.success.tolerance is None:
        why = "nothing says what counts as correct: declare success.tolerance"
        return Metric(name, None, None, None, "usd", "lower", rows, why)
    weight, successes = known.total("weight"), right.total("weight")
    cost = known.total("cost") + overhead_usd * weight
    squares = known.total("cost_squares") + 2 * overhead_usd * known.total("cost") + overhead_usd**2 * weight
    cross = right.total("cost") + overhead_usd * successes
    found = (
        intervals.ratio_of_means(
            weight,
            cost,
            successes,
            sum_xx=squares,
            sum_yy=successes,
            sum_xy=cross,
            effective_total=intervals.effective_size(weight, known.total("weight_squares")),
        )
        if rows
        else Estimate.unknown("no outcome has arrived for this window")
    )
    return Metric(name, found.value, found.low, found.high, "usd", "lower", rows, found.reason)


def _judged(state: StateTable) -> tuple[StateTable, StateTable]:
    """Return the rows of which it is known whether they were correct, and those that were."""
    if "success" in state.kind.keys:
        return state.without(success=None), state.only(success=1)
    known = state.without(decision=None).without(outcome=None)
    decision, outcome = np.array(known.key("decision")), np.array(known.key("outcome"))
    return known, known.take(decision == outcome)
