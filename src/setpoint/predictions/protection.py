"""What happens to inputs and texts before they are queued: kept, hashed, redacted or dropped, as declared."""

from __future__ import annotations

import hashlib

from setpoint.core.events import Prediction
from setpoint.core.model import Model, Task
from setpoint.predictions.rows import Value


class Protection:
    """The policies of a model's fields.

    Attributes:
        is_needed: Whether any input has a policy other than to be kept.

    Example:
        >>> from setpoint.core.model import Feature
        >>> row = {"name": "Ada", "age": 36}
        >>> Protection(Model("m", features=(Feature("name", policy="redact"),))).of_inputs(row)
        >>> row
        {'name': '[redacted]', 'age': 36}
    """

    def __init__(self, model: Model, *, is_declared: bool = True) -> None:
        self._policies = {one.name: one.policy for one in model.features if one.policy != "keep"}
        self._free_text = model.free_text
        self._says_classes = is_declared and model.task in {Task.BINARY, Task.MULTICLASS}
        self.is_needed = bool(self._policies)

    def of_inputs(self, row: dict[str, Value]) -> None:
        """Change what a row of inputs may not hold."""
        for name, policy in self._policies.items():
            if name in row:
                if policy == "drop":
                    del row[name]
                elif row[name] is not None:
                    row[name] = "[redacted]" if policy == "redact" else _hashed(row[name])

    def of_text(self, event: Prediction) -> None:
        """Change what was generated as `free_text` says; as the prediction it is kept where it is a class."""
        if not self._says_classes and event.prediction == event.text:
            event.prediction = None
        if event.text is None or self._free_text == "keep":
            return
        if self._free_text == "drop":
            event.text = None
        else:
            event.text = "[redacted]" if self._free_text == "redact" else _hashed(event.text)


def _hashed(value: Value) -> str:
    return hashlib.sha256(str(value).encode()).hexdigest()[:24]  # SHA-256, so that an import in SQL gives the same
