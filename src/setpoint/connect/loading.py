"""Loads packages that are optional, and fitted models that joblib or pickle wrote."""

from __future__ import annotations

import importlib
import importlib.util
import io
import pickle
import types
from pathlib import Path
from typing import Protocol, cast

from setpoint.core.errors import UsageError


class Estimator(Protocol):
    """A fitted model: it has at least one of the two methods."""

    def predict(self, table: object, /) -> object:
        """Return the answer of each row."""
        ...

    def predict_proba(self, table: object, /) -> object:
        """Return the probability of each class, a row each."""
        ...


def load_estimator(path: Path, content: bytes | None = None) -> Estimator:
    """Load a model with joblib, or with pickle where joblib is not installed. Runs code from the file.

    Args:
        path: The file.
        content: What it holds, when that was read already.

    Raises:
        UsageError: There is no such file, it cannot be loaded, or what it holds does not predict.
    """
    if not path.is_file():
        msg = f"no file at {path}"
        raise UsageError(msg, hint="give the file that joblib.dump or pickle.dump wrote")
    file = io.BytesIO(path.read_bytes() if content is None else content)
    try:
        if path.suffix in {".pkl", ".pickle"} and importlib.util.find_spec("joblib") is None:
            found = cast("object", pickle.load(file))  # noqa: S301 — asked for, and said aloud
        else:
            found = cast("object", module("joblib", f"{path.name} is read with it").load(file))
    except UsageError:
        raise
    except ModuleNotFoundError as error:
        msg = f"cannot load {path}: it needs the package {error.name}, which is not installed"
        raise UsageError(msg, hint=f"pip install {error.name}") from error
    except Exception as error:  # unpickling can raise anything
        msg = f"cannot load {path}: {first_line(error)}"
        raise UsageError(
            msg, hint="write it again with joblib.dump(model, path), by the same library versions"
        ) from error
    if not (hasattr(found, "predict") or hasattr(found, "predict_proba")):
        msg = f"{path} holds a {type(found).__name__}, which has neither predict_proba nor predict"
        raise UsageError(msg, hint="save the fitted model or pipeline itself")
    return cast("Estimator", found)


def module(name: str, why: str, *, install: str = "") -> types.ModuleType:
    """Return an optional package.

    Args:
        name: What is imported.
        why: What it is needed for.
        install: What is installed, when that has another name.

    Raises:
        UsageError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        msg = f"{install or name} is not installed: {why}"
        raise UsageError(msg, hint=f"pip install {install or name}") from error


def first_line(error: BaseException) -> str:
    """Return what an error of another library says, in one line."""
    words = str(error).strip().splitlines()
    return f"{type(error).__name__}: {words[0]}" if words else type(error).__name__
