"""The rate of each kind of outcome: how often a complaint, a click or the final outcome says yes."""

from __future__ import annotations

from setpoint.core.metric import Metric
from setpoint.core.model import OutcomeKind
from setpoint.stats.intervals import effective_size, wilson
from setpoint.store.states import StateTable


def rate(state: StateTable, kind: OutcomeKind) -> Metric:
    """Return the share of predictions of which an outcome of a kind says yes.

    The final kind is counted among the predictions whose outcome has arrived; a proxy among all predictions, since
    most have none: nobody complains of a good answer. Whoever reads the rate of a proxy must know whose it is.

    Args:
        state: An arrivals state of any kinds.
        kind: The kind.
    """
    mine = state.only(kind=kind.name)
    counted = mine.without(outcome=None) if kind.final else mine
    yes = mine.only(outcome=1)
    total, squares = counted.total("weight"), counted.total("weight_squares")
    found = wilson(yes.total("weight"), total, effective_size(total, squares))
    name = f"{kind.name}_rate"
    return Metric(name, found.value, found.low, found.high, "share", "none", int(counted.total("rows")), found.reason)
