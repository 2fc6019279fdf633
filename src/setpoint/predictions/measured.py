"""What the block under `recorder.measure()` fills in."""

from __future__ import annotations

from typing import cast

from setpoint.predictions.rows import Value


class Measured:
    """What a `with recorder.measure()` block fills in."""

    def __init__(self) -> None:
        self.prediction: Value = None
        self.score: float | None = None
        self.prediction_id = ""

    def answer(self, result: object, *, is_score: bool) -> None:
        """Take a function's result as the score or as the answer."""
        try:
            self.score = float(cast("float", result)) if is_score else None
        except Exception:  # no number: it is kept as the answer, and the caller gets it as it is
            is_score = False
        if not is_score:
            self.prediction = result
