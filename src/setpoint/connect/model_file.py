"""A model in a file as a version: scikit-learn and the like by joblib, LightGBM, XGBoost, ONNX, a folder of MLflow."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from setpoint.connect.model_formats import Loaded, load
from setpoint.core.errors import UsageError
from setpoint.predictions.reply import Reply
from setpoint.predictions.rows import Value


class ModelFile:
    """A version that a model in a file answers.

    What it is, the name says: `.joblib` or `.pkl` (anything with `predict`), `.txt` or `.lgb` (LightGBM), `.json` or
    `.ubj` (XGBoost), `.onnx`, or a folder with an `MLmodel`. The library that wrote it must be installed; pandas only
    for models that were fitted with a table, and for MLflow.

    A classifier answers with its class and the probabilities, any other model with a number. Inputs go by the model's
    own names; one that is missing is NaN where the model takes that, and one too many is left out.

    Unpickling runs code, and so may loading a folder of MLflow: pass the `sha256` of a file that others can write.

    Attributes:
        path: Where it was read.
        sha256: Of what was read; of a folder that of the lines that `sha256sum` prints of its files, sorted by name.
        features: Its inputs, in the model's order.

    Args:
        path: The file, or the folder.
        sha256: What the file must have; it is looked at before anything is loaded.
        features: Names of the inputs in the model's order, where the model has none, as one fitted with an array.
        positive: Of two classes with names, the one whose probability is the score; without it there is no score.
        is_score: Whether a number that it answers is the probability of the positive class.

    Raises:
        UsageError: There is no such file, it is another one, it cannot be read, its library is not installed, or it
            has no names for its inputs and none were given.

    Example:
        >>> import joblib, tempfile
        >>> from sklearn.linear_model import LogisticRegression
        >>> path = tempfile.mkdtemp() + "/fraud.joblib"
        >>> _ = joblib.dump(LogisticRegression().fit([[0.0], [1.0], [9.0], [10.0]], [False, False, True, True]), path)
        >>> version = ModelFile(path, features=["amount"])
        >>> version({"amount": 12.5}).prediction
        True
    """

    def __init__(
        self,
        path: str | Path,
        *,
        sha256: str | None = None,
        features: Sequence[str] | None = None,
        positive: str | None = None,
        is_score: bool = False,
    ) -> None:
        self.path = Path(path)
        content = _content(self.path)
        self.sha256 = hashlib.sha256(content).hexdigest()
        if sha256 is not None and sha256.lower() != self.sha256:
            msg = f"{self.path} has the sha256 {self.sha256}, expected {sha256}: nothing was loaded"
            raise UsageError(msg, hint="it is another file, or was changed")
        self._model: Loaded = load(self.path, content, None if features is None else tuple(features))
        self.features = self._model.features
        self._positive, self._is_score = positive, is_score

    def __call__(self, inputs: Mapping[str, Value]) -> Reply:
        """Return the model's answer.

        Raises:
            UsageError: The model does not answer without the inputs that are missing, which are named.
            Exception: What the model raises of whole inputs.
        """
        answer = self.predict_many([inputs])[0]
        if isinstance(answer, UsageError):
            raise answer
        return answer

    def predict_many(self, rows: Sequence[Mapping[str, Value]]) -> list[Reply | UsageError]:
        """Return the model's answers, asked for at once, each with the error that `__call__` would raise instead.

        Raises:
            UsageError: As `__call__`, when the model takes no row because of one.
            Exception: What the model raises of whole inputs.
        """
        names = self.features
        try:
            answers = self._model.ask([[row.get(name) for name in names] for row in rows])
        except Exception as error:
            if missing := self._missing(rows):
                raise _refused(missing) from error
            raise
        replies = [self._reply(answer) for answer in answers]
        return [
            _refused(missing) if _is_nothing(reply) and (missing := self._missing([row])) else reply
            for row, reply in zip(rows, replies, strict=True)
        ]

    def _reply(self, answer: object) -> Reply:
        reply = Reply.of(answer, is_score=self._is_score)
        if self._positive is not None:
            scores = reply.scores or {}
            if self._positive not in scores:
                msg = f"positive is {self._positive}, and {self.path.name} has the classes {', '.join(scores)}"
                raise UsageError(msg, hint="name one of its classes")
            reply.score = scores[self._positive]
        return reply

    def _missing(self, rows: Sequence[Mapping[str, Value]]) -> list[str]:
        return [name for name in self.features if any(_is_missing(row.get(name)) for row in rows)]


def _content(path: Path) -> bytes:
    """Return what a file holds; of a folder the hashes of its files."""
    if path.is_file():
        return path.read_bytes()
    if not path.is_dir():
        msg = f"no model at {path}"
        raise UsageError(msg, hint="give a file, or the folder that MLflow saved a model in")
    files = sorted(file for file in path.rglob("*") if file.is_file())
    names = [file.relative_to(path).as_posix() for file in files]
    lines = [f"{_sha256(file)}  {name}\n" for file, name in zip(files, names, strict=True)]
    return "".join(lines).encode()


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _refused(missing: Sequence[str]) -> UsageError:
    msg = f"the model does not answer without {', '.join(missing)}"
    return UsageError(msg, hint="pass a value, or put what fills it in before the model")


def _is_nothing(reply: Reply) -> bool:
    """Return whether an answer is no number, as that of a model that reckons with a NaN."""
    found = reply.prediction if reply.score is None else reply.score
    found = next(iter(reply.scores.values())) if reply.scores else found
    return isinstance(found, float) and math.isnan(found)


def _is_missing(value: Value) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
