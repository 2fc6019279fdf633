"""How a fitted model is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from setpoint.connect.loading import Estimator, first_line, module
from setpoint.core.errors import UsageError
from setpoint.core.model import Task

Floats = NDArray[np.float64]
Columns = dict[str, NDArray[np.generic]]


@dataclass(slots=True)
class Fitted:
    """A model from a file, and how it is asked.

    Attributes:
        estimator: Any object with `predict_proba` or `predict`.
        columns: Its inputs, in order.
        positive: Binary: the class that means yes, as text.
        task: What it answers.
        is_named: Whether it takes a frame with named columns.
        values: Values of each text input in the training file, for models that take categories.
        as_categories: Whether text is handed over as categories.
    """

    estimator: Estimator
    columns: tuple[str, ...]
    positive: str
    task: Task
    is_named: bool
    values: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    as_categories: bool = False

    def answers(self, table: Columns) -> Floats:
        """Return the score of each row, or the prediction of a model without scores; of classes the place in `classes`.

        Raises:
            UsageError: The model fails on these rows.
        """
        try:
            found = self._asked(table)
        except Exception as first:  # whatever a model raises, the user gets words
            msg = f"the model cannot answer the file's rows: {first_line(first)}"
            refused = UsageError(msg, hint=f"it was asked with the columns {', '.join(self.columns)}")
            if self.as_categories or not self.values:
                raise refused from first
            self.as_categories = True
            try:
                found = self._asked(table)
            except Exception:  # noqa: BLE001 — the first refusal says more
                raise refused from first
        if self.task is Task.BINARY and not self.has_scores and (self.classes or found.dtype.kind not in "biuf"):
            found = np.array([word(label) == self.positive for label in found.reshape(-1)])
        if self.task is Task.MULTICLASS:
            places = {name: place for place, name in enumerate(self.classes)}
            found = np.array([places.get(word(label), -1) for label in found.reshape(-1)])
        return found.astype(np.float64).reshape(-1)

    def _asked(self, table: Columns) -> NDArray[np.generic]:
        given = self._table({name: table[name] for name in self.columns})
        if not self.has_scores:
            return np.asarray(self.estimator.predict(given))
        found = cast("NDArray[np.generic]", np.asarray(self.estimator.predict_proba(given)))
        place = self.classes.index(self.positive) if self.positive in self.classes else -1
        return found if found.ndim == 1 else found[:, place]

    @property
    def has_scores(self) -> bool:
        """Whether the model gives probabilities."""
        return self.task is Task.BINARY and hasattr(self.estimator, "predict_proba")

    @property
    def classes(self) -> list[str]:
        """The classes of a classifier, as the store compares them; empty for other models."""
        return [word(value) for value in getattr(self.estimator, "classes_", ())]

    def _table(self, table: Columns) -> object:
        if not (self.is_named or any(values.dtype == object for values in table.values())):
            return np.column_stack([values.astype(np.float64) for values in table.values()])
        pandas = module("pandas", "the model takes named columns")
        if self.as_categories:
            known = self.values
            return pandas.DataFrame({n: pandas.Categorical(v, known[n]) if n in known else v for n, v in table.items()})
        return pandas.DataFrame(table)


def word(value: object) -> str:
    """Return a class as the store compares it: 1.0 is 1, True is true."""
    plain = cast("np.generic[object]", value).item() if isinstance(value, np.generic) else value
    if isinstance(plain, bool):
        return "true" if plain else "false"
    return f"{plain:g}" if isinstance(plain, float) else str(plain)
