"""The primary business metric: what a prediction was worth, and whether quality moves with it."""

from __future__ import annotations

from typing import cast

import numpy as np

from setpoint.stats.money import MoneyState
from setpoint.store.states import StateTable


def money_state(state: StateTable) -> MoneyState:
    """Return a money state as counts and sums for `stats`; rows of unknown worth are left out."""
    known = state.without(sign=None)
    gains, losses = known.only(sign=1), known.only(sign=-1)
    index = np.unique(np.array([*_bins(gains), *_bins(losses)], dtype=np.int64))

    def per_bin(part: StateTable) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        place = np.searchsorted(index, _bins(part))
        return np.bincount(place, weights=part.column("weight"), minlength=len(index)).astype(np.float64)

    return MoneyState(
        index,
        per_bin(gains),
        per_bin(losses),
        known.total("weight"),
        known.total("weight_squares"),
        gains.total("amount"),
        gains.total("amount_squares"),
        losses.total("amount"),
        losses.total("amount_squares"),
    )


def known_ratio(state: StateTable) -> float | None:
    """Return the share of outcomes that say what they were worth, 0 to 1; None without outcomes."""
    total = state.total("weight")
    return state.without(sign=None).total("weight") / total if total else None


def _bins(part: StateTable) -> list[int]:
    return [cast("int", place) for place in part.key("bin")]
