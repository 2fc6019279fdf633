"""What a contract says to do about a row that breaks it, where nobody does it."""

from __future__ import annotations

import logging

from setpoint.core.contract import OnViolation
from setpoint.core.model import Model

log = logging.getLogger("setpoint")

_ACTS = {OnViolation.NULL, OnViolation.DEFAULT, OnViolation.REJECT}


def say_only_noted(model: Model, who: str) -> None:
    """Log a warning where the contract asks for more than a note, and the caller of the model gets no more.

    What stands between an app and its model only looks on: it changes no input, and holds no answer back.

    Args:
        model: Declares the contract, or none.
        who: What only looks on.
    """
    rules = () if model.contract is None else model.contract.rules
    asked = dict.fromkeys(f"{one.field or one.id} {one.on_violation}" for one in rules if one.on_violation in _ACTS)
    if asked:
        log.warning(
            "%s only notes what breaks the contract of %s, which says: %s; call recorder.check before you predict",
            who,
            model.name,
            ", ".join(asked),
        )
