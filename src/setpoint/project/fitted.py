"""A fitted model from a file, and how it is asked."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from setpoint.core.errors import UsageError
from setpoint.core.model import Task

Floats = NDArray[np.float64]
Columns = dict[str, NDArray[np.generic]]


class Estimator(Protocol):
    """A fitted model: it has at least one of the two methods."""

    def predict(self, table: object, /) -> object:
        """Return the answer of each row."""
        ...

    def predict_proba(self, table: object, /) -> object:
        """Return the probability of each class, a row each."""
        ...


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
            msg = f"the model cannot answer the file's rows: {_first_line(first)}"
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
        pandas = _module("pandas", "the model takes named columns")
        if self.as_categories:
            known = self.values
            return pandas.DataFrame({n: pandas.Categorical(v, known[n]) if n in known else v for n, v in table.items()})
        return pandas.DataFrame(table)


def load_estimator(path: Path) -> Estimator:
    """Load a model with joblib, or with pickle where joblib is not installed. Runs code from the file.

    Raises:
        UsageError: There is no such file, it cannot be loaded, or what it holds does not predict.
    """
    if not path.is_file():
        msg = f"no file at {path}"
        raise UsageError(msg, hint="give the file that joblib.dump or pickle.dump wrote")
    try:
        if path.suffix in {".pkl", ".pickle"} and importlib.util.find_spec("joblib") is None:
            with path.open("rb") as file:
                found = cast("object", pickle.load(file))  # noqa: S301 — asked for, and said aloud
        else:
            found = cast("object", _module("joblib", f"{path.name} is read with it").load(path))
    except UsageError:
        raise
    except ModuleNotFoundError as error:
        msg = f"cannot load {path}: it needs the package {error.name}, which is not installed"
        raise UsageError(msg, hint=f"pip install {error.name}") from error
    except Exception as error:  # unpickling can raise anything
        msg = f"cannot load {path}: {_first_line(error)}"
        raise UsageError(
            msg, hint="write it again with joblib.dump(model, path), by the same library versions"
        ) from error
    if not (hasattr(found, "predict") or hasattr(found, "predict_proba")):
        msg = f"{path} holds a {type(found).__name__}, which has neither predict_proba nor predict"
        raise UsageError(msg, hint="save the fitted model or pipeline itself")
    return cast("Estimator", found)


def _module(name: str, why: str) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        msg = f"{name} is not installed: {why}"
        raise UsageError(msg, hint=f"pip install {name}") from error


def word(value: object) -> str:
    """Return a class as the store compares it: 1.0 is 1, True is true."""
    plain = cast("np.generic[object]", value).item() if isinstance(value, np.generic) else value
    if isinstance(plain, bool):
        return "true" if plain else "false"
    return f"{plain:g}" if isinstance(plain, float) else str(plain)


def _first_line(error: BaseException) -> str:
    words = str(error).strip().splitlines()
    return f"{type(error).__name__}: {words[0]}" if words else type(error).__name__
