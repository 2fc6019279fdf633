"""What a declaration in the place of another does to prices: from when on they hold, and what is priced anew."""

from __future__ import annotations

from dataclasses import replace

from setpoint.core.clock import MICROS, text
from setpoint.core.model import Model
from setpoint.core.rates import EVER, taking_over
from setpoint.core.window import Window
from setpoint.store.evidence import bucket_seconds


def with_history(model: Model, before: Model | None, now: int) -> Model:
    """Return a declaration with the prices that were paid before it.

    Rates without a date are paid from the next full hour on, since states are kept by the hour.
    """
    if before is None:
        return model
    step = bucket_seconds(model.timezone) * MICROS
    return replace(model, rates=taking_over(model.rates, before.rates, -(-now // step) * step))


def repricing_text(window: Window, zone: str, now: int) -> str:
    """Return when other prices are paid, and whether that touches what was priced already.

    Example:
        >>> repricing_text(Window(EVER.start, 0), "UTC", now=5)
        'other prices since ever, until 1970-01-01 00:00: predictions made by now are priced anew'
    """
    start = "since ever" if window.start <= EVER.start else f"from {text(window.start, zone)} on"
    end = "" if window.end >= EVER.end else f", until {text(window.end, zone)}"
    past = ": predictions made by now are priced anew" if window.start < now else ""
    return f"other prices {start}{end}{past}"
