"""How the formats of model files are read and asked, by libraries that are loaded when a file needs them."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from setpoint.connect.loading import first_line, load_estimator, module
from setpoint.core.errors import UsageError
from setpoint.core.spelling import class_name
from setpoint.predictions.reply import Reply
from setpoint.predictions.rows import Value

Rows = Sequence[Sequence[Value]]
Names = tuple[str, ...]


class Loaded(NamedTuple):
    """A model that is ready to be asked.

    Attributes:
        features: The names of its inputs, in its order.
        ask: Gives an answer for each row of values, which are in that order.
    """

    features: Names
    ask: Callable[[Rows], Sequence[object]]


def load(path: Path, content: bytes, given: Names | None) -> Loaded:
    """Read a model.

    Args:
        path: Its file or folder.
        content: What the file holds.
        given: Names of its inputs, should it have none.

    Raises:
        UsageError: It cannot be read, its library is missing, or its inputs have no names.
    """
    if (path / "MLmodel").is_file():
        return _read(path, lambda: _mlflow(path, given))
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        msg = f"not a model that is understood: {path}"
        known = ".joblib, .pkl, .pickle, .txt or .lgb (LightGBM), .json or .ubj (XGBoost), .onnx, a folder with MLmodel"
        raise UsageError(msg, hint=f"known are {known}; anything else can be a function of the inputs")
    return _read(path, lambda: reader(path, content, given))


def _read(path: Path, read: Callable[[], Loaded]) -> Loaded:
    try:
        return read()
    except UsageError:
        raise
    except Exception as error:  # whatever a library raises of a file, the user gets words
        msg = f"cannot load {path}: {first_line(error)}"
        raise UsageError(msg, hint="save it again with the version of the library that is installed here") from error


# Files that joblib or pickle wrote.


def _estimator(path: Path, content: bytes, given: Names | None) -> Loaded:
    model: Any = load_estimator(path, content)
    if hasattr(model, "inplace_predict"):
        return _xgboost(model, given)
    if hasattr(model, "pandas_categorical"):
        return _lightgbm(model, given)
    own = tuple(str(name) for name in getattr(model, "feature_names_in_", ()))
    features = _named(own, given, getattr(model, "n_features_in_", None))
    table = _framed(features) if own and importlib.util.find_spec("pandas") else _matrix
    classes: Any = getattr(model, "classes_", None)
    if isinstance(classes, list):
        msg = f"{path} answers {len(cast('list[object]', classes))} things at once, expected one"
        raise UsageError(msg, hint="save a model for each, and give each an endpoint")
    names: list[object] = [] if classes is None else classes.tolist()
    has_classes = bool(names) and hasattr(model, "predict_proba")
    has_threshold = _has_threshold(model)

    def ask(rows: Rows) -> Sequence[object]:
        found = table(rows)
        if not has_classes:
            return _listed(model.predict(found))
        replies = _classified(model.predict_proba(found).tolist(), names)
        if has_threshold:
            for reply, answer in zip(replies, model.predict(found).tolist(), strict=True):
                reply.prediction = answer
        return replies

    return Loaded(features, ask)


def _has_threshold(model: Any) -> bool:  # noqa: ANN401 — any library's model
    """Return whether a classifier's answer is not always the class with the largest probability."""
    for inner in ("best_estimator_", "steps"):
        if (found := getattr(model, inner, None)) is not None:
            return _has_threshold(found[-1][1] if inner == "steps" else found)
    return type(model).__name__ in {"FixedThresholdClassifier", "NuSVC", "SVC", "TunedThresholdClassifierCV"}


# Boosters.


def _lightgbm_text(path: Path, content: bytes, given: Names | None) -> Loaded:
    return _lightgbm(module("lightgbm", f"{path.name} is read with it").Booster(model_str=content.decode()), given)


def _lightgbm(booster: Any, given: Names | None) -> Loaded:  # noqa: ANN401 — LightGBM's
    if booster.pandas_categorical:
        msg = "a LightGBM model of a table with categories, which its own file does not name by their column"
        raise UsageError(msg, hint="save the fitted LGBMClassifier or pipeline with joblib.dump")
    own = tuple(cast("list[str]", booster.feature_name()))
    is_numbered = own == tuple(f"Column_{n}" for n in range(len(own)))
    features = _named(() if is_numbered else own, given, len(own))
    objective = str(booster.params.get("objective", ""))

    def ask(rows: Rows) -> Sequence[object]:
        return _boosted(booster.predict(_matrix(rows)), objective)

    return Loaded(features, ask)


def _xgboost_file(path: Path, content: bytes, given: Names | None) -> Loaded:
    booster = module("xgboost", f"{path.name} is read with it").Booster()
    booster.load_model(bytearray(content))
    return _xgboost(booster, given)


def _xgboost(booster: Any, given: Names | None) -> Loaded:  # noqa: ANN401 — XGBoost's
    if "c" in (booster.feature_types or ()):
        msg = "an XGBoost model with categories, which take a table"
        raise UsageError(msg, hint="save a pipeline that encodes them with joblib.dump")
    features = _named(tuple(booster.feature_names or ()), given, booster.num_features())
    objective = str(json.loads(booster.save_config())["learner"]["objective"]["name"])
    best = booster.attr("best_iteration")  # where early stopping left off: the trees after that are none of the model
    trees = (0, 0 if best is None else int(best) + 1)

    def ask(rows: Rows) -> Sequence[object]:
        return _boosted(booster.inplace_predict(_matrix(rows), iteration_range=trees), objective)

    return Loaded(features, ask)


def _boosted(found: Any, objective: str) -> Sequence[object]:  # noqa: ANN401 — an array
    """Return a booster's answers: of probabilities the class, which boosters number from 0 on."""
    if objective in {"binary", "binary:logistic"}:
        return [Reply(prediction=int(score > 0.5), score=score) for score in found.tolist()]  # noqa: PLR2004 — as both
    if objective in {"multiclass", "multiclassova", "multi:softprob"}:
        return _classified(found.tolist(), range(found.shape[1]))
    return _listed(found)


# ONNX.

_ONNX_TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


def _onnx(path: Path, content: bytes, given: Names | None) -> Loaded:
    runtime = module("onnxruntime", f"{path.name} is read with it")
    session: Any = runtime.InferenceSession(content, providers=runtime.get_available_providers())
    inputs: list[Any] = session.get_inputs()
    for one in inputs:
        if one.type not in _ONNX_TYPES or len(one.shape) > 2:  # noqa: PLR2004 — rows of a table
            msg = f"{path} takes {one.name} as {one.type} of shape {one.shape}, expected a column or a matrix"
            raise UsageError(msg, hint="call it in a function of your own, and pass that as the version")
    takes_matrix = len(inputs) == 1 and len(inputs[0].shape) == 2 and inputs[0].shape[1] != 1  # noqa: PLR2004 — as above
    if takes_matrix:
        width = inputs[0].shape[1]
        features = _named((), given, width if isinstance(width, int) else None)
    else:
        features = _named(tuple(one.name for one in inputs), given, len(inputs))

    def ask(rows: Rows) -> Sequence[object]:
        parts = [rows] if takes_matrix else list(zip(*rows, strict=True))
        feed: dict[str, object] = {}
        for one, part in zip(inputs, parts, strict=True):
            column = _column(part, _ONNX_TYPES[one.type])
            feed[one.name] = column if takes_matrix else column.reshape(-1, *one.shape[1:])
        return _onnx_answers(session.run(None, feed))

    return Loaded(features, ask)


def _column(values: Sequence[object], kind: Any) -> Any:  # noqa: ANN401 — a type of NumPy, and an array of it
    column = np.array(values, dtype=kind)
    if column.dtype.kind == "O" and None in values:
        msg = "a text is missing"
        raise ValueError(msg)
    if column.dtype.kind == "i" and (column != np.array(values)).any():
        msg = "not a whole number"
        raise ValueError(msg)
    return column


def _onnx_answers(outputs: Sequence[Any]) -> Sequence[object]:
    """Return the one output, or the class and its probabilities: by name of the class, or an unnamed column each."""
    if len(outputs) != 2:  # noqa: PLR2004 — a class and its probabilities
        return _listed(outputs[0])
    labels = _listed(outputs[0])
    if isinstance(outputs[1], list):
        found = cast("list[dict[object, float]]", outputs[1])
        replies = [reply for one in found for reply in _classified([list(one.values())], list(one))]
        for reply, label in zip(replies, labels, strict=True):
            reply.prediction = label
        return replies
    shares = cast("list[list[float]]", outputs[1].tolist())
    if shares and len(shares[0]) == 2 and not isinstance(labels[0], str):  # noqa: PLR2004 — binary
        return [Reply(prediction=label, score=share[1]) for label, share in zip(labels, shares, strict=True)]
    return [Reply(prediction=label, confidence=max(share)) for label, share in zip(labels, shares, strict=True)]


# MLflow.


def _mlflow(path: Path, given: Names | None) -> Loaded:
    pandas = module("pandas", "models of MLflow take tables")
    model: Any = module("mlflow.pyfunc", f"{path} is read with it", install="mlflow").load_model(str(path))
    schema: Any = model.metadata.get_input_schema()
    inputs: list[Any] = schema.inputs if schema is not None and schema.has_input_names() else []
    features = _named(tuple(str(one.name) for one in inputs), given, None)
    numbers = {one.name: kind for one in inputs if (kind := _number_type(one.type)) is not None}
    is_probability = model.metadata.flavors["python_function"].get("predict_fn") == "predict_proba"
    classes: list[object] = model.get_raw_model().classes_.tolist() if is_probability else []
    frame = _framed(features)

    def ask(rows: Rows) -> Sequence[object]:
        found = model.predict(frame(rows).astype(numbers))
        if is_probability:
            return _classified(np.asarray(found).tolist(), classes)
        if isinstance(found, pandas.DataFrame) and len(found.columns) > 1:
            return found.to_dict("records")
        return _listed(np.asarray(found))

    return Loaded(features, ask)


def _number_type(kind: Any) -> Any:  # noqa: ANN401 — MLflow's type, and NumPy's
    """Return what a column of numbers must be, as MLflow takes it as no other; None for other columns."""
    found = kind.to_numpy() if hasattr(kind, "to_numpy") else kind
    return found if getattr(found, "kind", "") in {"f", "i", "b"} else None


# What they share.


def _named(own: Names, given: Names | None, count: int | None) -> Names:
    """Return the names of a model's inputs: its own, else those that were given."""
    if own:
        if given is not None and given != own:
            msg = f"the model takes {', '.join(own)} in this order, and features are {', '.join(given)}"
            raise UsageError(msg, hint="leave features out: the model's own names hold")
        return own
    if given is None:
        msg = f"the model has no names for its {'' if count is None else f'{count} '}inputs"
        raise UsageError(msg, hint='pass them in its order: features=["amount", "age"]')
    if count is not None and count != len(given):
        msg = f"the model takes {count} inputs, and features are {len(given)}: {', '.join(given)}"
        raise UsageError(msg, hint="name each, in the model's order")
    return given


def _matrix(rows: Rows) -> Any:  # noqa: ANN401 — an array
    return np.array(rows, dtype=np.float64)  # None becomes NaN


def _framed(features: Names) -> Callable[[Rows], Any]:
    pandas = module("pandas", "the model was fitted with a table")
    columns = pandas.Index(features)

    def frame(rows: Rows) -> Any:  # noqa: ANN401 — a frame
        filled = [[math.nan if value is None else value for value in row] for row in rows]
        return pandas.DataFrame(filled, columns=columns)

    return frame


def _classified(shares: Sequence[Sequence[float]], classes: Sequence[Any]) -> list[Reply]:
    """Return the most likely class of each row with its probabilities.

    Of two classes that are numbers the second is the positive one. Of two texts nobody knows, as libraries sort them.
    """
    has_score = len(classes) == 2 and not isinstance(classes[0], str)  # noqa: PLR2004 — binary
    names = [class_name(name) for name in classes]
    replies = [Reply(prediction=classes[max(range(len(row)), key=row.__getitem__)]) for row in shares]
    for reply, row in zip(replies, shares, strict=True):
        if has_score:
            reply.score = row[1]
        else:
            reply.scores = dict(zip(names, row, strict=True))
    return replies


def _listed(found: Any) -> Sequence[object]:  # noqa: ANN401 — an array, or a list
    """Return a model's plain answers, one a row."""
    answers = found.tolist() if hasattr(found, "tolist") else list(found)
    if answers and isinstance(answers[0], list):
        if len(answers[0]) != 1:
            msg = f"the model gives {len(answers[0])} numbers a row, expected one"
            raise UsageError(msg, hint="say what they are in a function of your own, and pass that as the version")
        return [answer[0] for answer in answers]
    return answers


_READERS: dict[str, Callable[[Path, bytes, Names | None], Loaded]] = {
    ".joblib": _estimator,
    ".pkl": _estimator,
    ".pickle": _estimator,
    ".txt": _lightgbm_text,
    ".lgb": _lightgbm_text,
    ".json": _xgboost_file,
    ".ubj": _xgboost_file,
    ".onnx": _onnx,
}
