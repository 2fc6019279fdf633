"""What predictions cost, a line each, and what a correct one costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from setpoint.core.clock import DAY, MICROS
from setpoint.core.metric import Metric, counted
from setpoint.core.model import Model, Task
from setpoint.core.rates import Rates
from setpoint.core.window import Window
from setpoint.stats import intervals
from setpoint.stats.estimate import Estimate, Z
from setpoint.store.states import StateTable

_MONTH = 365.25 / 12 * DAY


@dataclass(frozen=True, slots=True)
class CostLine:
    """One line of the bill.

    Attributes:
        name: `calls`, `retries`, `cached`, `judging`, `predictions`, `compute`, `shadow`, `outcomes`, `monthly`,
            `idle`, `uncosted`, or the name of a kind of outcome that costs something.
        at_least_usd: What is known of the amount: all of it, or the part of it that has a price.
        rows: What was billed.
        unpriced: How many of them have no known price.
        unknown: Why the amount is not known; empty when it is.
        is_shared: Whether it belongs to no prediction of its own, and is spread over all of them.
        error_usd: Half of the 95 % interval of the amount; 0 when it is counted.
    """

    name: str
    at_least_usd: float
    rows: int
    unpriced: int = 0
    unknown: str = ""
    is_shared: bool = False
    error_usd: float = 0.0

    @property
    def usd(self) -> float | None:
        """The amount; None when it is unknown."""
        return None if self.unknown else self.at_least_usd


@dataclass(frozen=True, slots=True)
class Came:
    """How many outcomes came, each of which costs something.

    Attributes:
        count: How many; when rows are sampled, what the outcomes of kept rows stand for.
        error: Half of the 95 % interval of that; 0 when every row is kept.
    """

    count: int
    error: float = 0.0

    @classmethod
    def weighed(cls, weight: float, weight_squares: float) -> Self:
        """Return how many outcomes there were, from the weights of those whose row was kept.

        A row is kept with a chance of its own, whatever becomes of others (Horvitz and Thompson).
        """
        return cls(round(weight), Z * math.sqrt(max(weight_squares - weight, 0.0)))


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


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a window in which prices stay, and what was used in it.

    Attributes:
        rates: The prices.
        asked: All predictions but shadow rows.
        shadow: The shadow rows.
        outcomes: Outcomes that arrived, for the labelling cost.
        lived: The part that has passed with the model in use; None when nothing has a time.
        unpriced: Predictions of which no call tells the cost.
    """

    rates: Rates
    asked: Usage
    shadow: Usage
    outcomes: Came
    lived: Window | None
    unpriced: int = 0


def bill(spending: StateTable, stretches: Sequence[Stretch]) -> list[CostLine]:
    """Return every line of the window's bill; the fixed monthly cost in proportion to time.

    The line `shadow` is all that shadow rows cost: their calls and their flat rates. So the lines of a
    window in which every row is kept add up to the costs of its rows.

    Args:
        spending: The spending state.
        stretches: The parts of the window, each with its prices.
    """
    names = sorted({str(key) for key in spending.key("line")} - {"shadow"})
    asked = [(one.rates, one.asked) for one in stretches]
    shadow = [(one.rates, one.shadow) for one in stretches]
    lines = [
        *(_called(name, spending.only(line=name)) for name in names),
        *_predicted("predictions", asked),
        *_computed("compute", asked),
        *_shadow(spending.only(line="shadow"), shadow),
    ]
    labelled = [(price, one.outcomes) for one in stretches if (price := one.rates.per_outcome_usd) is not None]
    if labelled:
        usd = sum(price * came.count for price, came in labelled)
        error = math.hypot(*(price * came.error for price, came in labelled))
        rows = sum(came.count for _, came in labelled)
        lines.append(CostLine("outcomes", usd, rows, is_shared=True, error_usd=error))
    monthly = [(price, one.lived) for one in stretches if (price := one.rates.per_month_usd) is not None]
    if monthly:
        usd = sum(price * lived.length / _MONTH for price, lived in monthly if lived)
        is_timed = all(lived for _, lived in monthly)
        why = "" if is_timed else "a monthly cost is declared and the predictions have no times"
        lines.append(CostLine("monthly", usd, 1, unknown=why, is_shared=True))
    return [*lines, *_idle(stretches), *_uncosted(lines, stretches)]


def graded(model: Model, arrived: Mapping[str, Came]) -> list[CostLine]:
    """Return a line of the bill for each kind of outcome that costs something, such as the grades of a judge.

    Args:
        model: The declaration.
        arrived: How many outcomes of each kind have arrived.
    """
    priced = [(kind.name, kind.cost_usd) for kind in model.outcomes if kind.cost_usd is not None]
    return [
        CostLine(name, usd * came.count, came.count, is_shared=True, error_usd=usd * came.error)
        for name, usd in priced
        for came in (arrived[name],)
    ]


_Billed = Sequence[tuple[Rates, Usage]]


def _called(name: str, calls: StateTable) -> CostLine:
    unpriced = int(calls.total("unpriced"))
    why = f"{counted(unpriced, 'call')} with no known price" if unpriced else ""
    return CostLine(name, calls.total("usd"), int(calls.total("rows")), unpriced, why, is_shared=name == "judging")


def _predicted(name: str, billed: _Billed) -> list[CostLine]:
    each = [(price, used.predictions) for rates, used in billed if (price := rates.per_prediction_usd) is not None]
    return [CostLine(name, sum(price * n for price, n in each), sum(n for _, n in each))] if each else []


def _computed(name: str, billed: _Billed) -> list[CostLine]:
    each = [(price, used) for rates, used in billed if (price := rates.per_compute_second_usd) is not None]
    if not each:
        return []
    missing = sum(used.without_compute for _, used in each)
    noun = "shadow prediction" if name == "shadow" else "prediction"
    why = f"{counted(missing, noun)} without compute_seconds, which a rate is declared for" if missing else ""
    usd = sum(price * used.compute_seconds for price, used in each)
    return [CostLine(name, usd, sum(used.predictions for _, used in each), missing, why)]


def _idle(stretches: Sequence[Stretch]) -> list[CostLine]:
    """Return the line of the capacity in which nothing was computed: what is declared less what predictions used."""
    priced = [(price, one) for one in stretches if (price := one.rates.per_idle_hour_usd) is not None]
    if not priced:
        return []
    usd, why = 0.0, ""
    for price, one in priced:
        missing = one.asked.without_compute + one.shadow.without_compute
        if one.lived is None:
            why = "a price of idle capacity is declared and the predictions have no times"
        elif missing:
            why = f"{counted(missing, 'prediction')} without compute_seconds, so nobody knows what was idle"
        else:
            there = (one.rates.capacity or 0.0) * one.lived.length / MICROS
            used = one.asked.compute_seconds + one.shadow.compute_seconds
            usd += price * max(there - used, 0.0) / 3600
    return [CostLine("idle", usd, 1, unknown=why, is_shared=True)]


def _shadow(calls: StateTable, billed: _Billed) -> list[CostLine]:
    """Return the one line of shadow rows; none when nothing of theirs is billed."""
    parts = [_called("shadow", calls)] if len(calls) else []
    if any(used.predictions for _, used in billed):
        parts += [*_predicted("shadow", billed), *_computed("shadow", billed)]
    if not parts:
        return []
    # The parts bill the same rows in several ways: rows are predictions once a flat rate bills those.
    told = next((part for part in parts if part.usd is None), parts[-1])
    return [replace(told, at_least_usd=sum(part.at_least_usd for part in parts))]


def _uncosted(lines: Sequence[CostLine], stretches: Sequence[Stretch]) -> list[CostLine]:
    """Return a line of unknown amount for predictions of which neither a call nor a flat rate says the cost."""
    missing = sum(one.unpriced for one in stretches if not one.rates.is_paid)
    if not lines or not missing or any(line.usd is None for line in lines):
        return []
    why = f"{counted(missing, 'prediction')} without any cost: record their calls, or declare a flat rate"
    return [CostLine("uncosted", 0.0, missing, missing, why)]


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
    known, right = known_and_right(state)
    rows = int(known.total("rows"))
    unpriced, predictions = round(known.total("unpriced")), round(known.total("weight"))
    if known.total("unpriced"):
        why = f"{unpriced:,} of {predictions:,} predictions with an outcome have no known price"
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


def known_and_right(state: StateTable) -> tuple[StateTable, StateTable]:
    """Return the rows of which it is known whether they were correct, and those that were."""
    if "success" in state.kind.keys:
        return state.without(success=None), state.only(success=1)
    known = state.without(decision=None).without(outcome=None)
    decision, outcome = np.array(known.key("decision")), np.array(known.key("outcome"))
    return known, known.take(decision == outcome)
