"""What predictions cost, a line each, and what a correct one costs."""

from __future__ import annotations

from dataclasses import dataclass

from setpoint.core.clock import DAY
from setpoint.core.metric import Metric
from setpoint.core.model import Model, Task
from setpoint.core.window import Window
from setpoint.stats import intervals
from setpoint.stats.estimate import Estimate
from setpoint.store.states import StateTable

_MONTH = 365.25 / 12 * DAY


@dataclass(frozen=True, slots=True)
class CostLine:
    """One line of the bill.

    Attributes:
        name: `calls`, `retries`, `shadow`, `predictions`, `compute`, `outcomes` or `monthly`.
        usd: The amount; None when it is unknown.
        rows: What was billed.
        unpriced: How many of them have no known price.
    """

    name: str
    usd: float | None
    rows: int
    unpriced: int = 0


def bill(
    model: Model, spending: StateTable, requests: int, compute_seconds: float, outcomes: int, window: Window
) -> list[CostLine]:
    """Return every line of the window's bill; the fixed monthly cost in proportion to time.

    Args:
        model: The declaration, for its flat rates.
        spending: The spending state.
        requests: All predictions, from tallies.
        compute_seconds: From tallies.
        outcomes: Outcomes that arrived, for the labelling cost.
        window: The window that is billed.
    """
    lines: list[CostLine] = []
    for name in sorted({str(key) for key in spending.key("line")}):
        line = spending.only(line=name)
        unpriced = int(line.total("unpriced"))
        lines.append(CostLine(name, None if unpriced else line.total("usd"), int(line.total("rows")), unpriced))
    rates = model.rates
    if rates.per_prediction_usd is not None:
        lines.append(CostLine("predictions", rates.per_prediction_usd * requests, requests))
    if rates.per_compute_second_usd is not None:
        lines.append(CostLine("compute", rates.per_compute_second_usd * compute_seconds, requests))
    if rates.per_outcome_usd is not None:
        lines.append(CostLine("outcomes", rates.per_outcome_usd * outcomes, outcomes))
    if rates.per_month_usd is not None:
        lines.append(CostLine("monthly", rates.per_month_usd * window.length / _MONTH, 1))
    return lines


def tokens_per_request(spending: StateTable, requests: int) -> Metric:
    """Return the tokens a request took in all its calls and retries; shadow rows are no requests.

    Args:
        spending: The spending state.
        requests: All predictions, from tallies.
    """
    name = "tokens_per_request"
    asked = spending.without(line="shadow")
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
    known = state.where(lambda key: _success(key, model) is not None)
    rows = int(known.total("rows"))
    unpriced = int(known.total("unpriced"))
    if unpriced:
        why = f"{unpriced:,} of {rows:,} predictions with an outcome have no known price"
        return Metric(name, None, None, None, "usd", "lower", rows, why)
    if model.task is Task.REGRESSION and model.success.tolerance is None:
        why = "nothing says what counts as correct: declare success.tolerance"
        return Metric(name, None, None, None, "usd", "lower", rows, why)
    right = known.where(lambda key: _success(key, model) == 1)
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


def success_counts(state: StateTable, model: Model) -> tuple[float, float]:
    """Return the weight of correct predictions and of those whose correctness is known."""
    known = state.where(lambda key: _success(key, model) is not None)
    return known.where(lambda key: _success(key, model) == 1).total("weight"), known.total("weight")


def _success(key: dict[str, object], model: Model) -> int | None:
    if model.task is Task.REGRESSION:
        return None if key["success"] is None else int(key["success"] == 1)
    if key["decision"] is None or key["outcome"] is None:
        return None
    return int(key["decision"] == key["outcome"])
