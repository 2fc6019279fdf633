"""What a version answers, and what the endpoint makes of it for the caller."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import cast

import msgspec

from setpoint.predictions.calls import UNREADABLE
from setpoint.predictions.rows import Value

Billed = Mapping[str, float | str | None]
"""Fields of `core.events.Call` that a version knows of a call, such as `input_tokens`."""

PLAIN = {float, int, bool, str}
"""Types of answers that are what they are."""


class Reply(msgspec.Struct):
    """One answer. A version fills in what it knows; the endpoint adds who answered and what that took.

    Attributes:
        prediction: A number, a class, or true and false.
        score: Binary: the probability of the positive class, 0 to 1.
        scores: The probability of each class.
        ranking: The items, from the first place on.
        text: What was generated.
        confidence: How sure the version is, 0 to 1; from the scores when left out. A cascade decides by it.
        calls: What providers billed for it.
        upstream_seconds: How long another server was waited for.
        checkpoint: Of a learner that never stops: which of its states answered, such as when it was updated; what is
            recorded is `version@checkpoint`.
        version: Which version answered.
        prediction_id: Under which it is recorded; outcomes can name it.
        latency_seconds: What the caller waited.
        is_fallback: Whether the version that should have answered could not.
        error: Of a row of a batch: why no version answered it; empty when one did.
    """

    prediction: Value = None
    score: float | None = None
    scores: Mapping[str, float] | None = None
    ranking: Sequence[object] | None = None
    text: str | None = None
    confidence: float | None = None
    calls: Sequence[Billed] = ()
    upstream_seconds: float | None = None
    checkpoint: str = ""
    version: str = ""
    prediction_id: str = ""
    latency_seconds: float = 0.0
    is_fallback: bool = False
    error: str = ""

    @classmethod
    def of(cls, result: object, *, is_score: bool = False) -> Reply:
        """Return a version's result as a reply.

        Args:
            result: A reply, a mapping with fields of one, or the answer itself; NumPy's scalars as plain numbers.
            is_score: Whether a plain number is the score, rather than the prediction.

        Example:
            >>> Reply.of({"score": 0.7, "prediction": True}).score, Reply.of(0.7, is_score=True).score
            (0.7, 0.7)
        """
        if isinstance(result, Reply):
            # A copy, as a version may give the same one twice; who fell back for whom inside it is another's affair.
            found = msgspec.structs.replace(result, is_fallback=False)
            if type(found.upstream_seconds) not in _SECONDS or not 0.0 <= (found.upstream_seconds or 0.0) < _YEAR:
                found.upstream_seconds = None  # what is no time is not known, and must not cost the row
            if type(found.checkpoint) is not str:
                found.checkpoint = _spelled(found.checkpoint)
            found.calls = readable(found.calls)
            return found
        if isinstance(result, Generator):  # a version that gives its answer in pieces, asked for the whole
            pieces: list[str] = []
            while True:
                try:
                    pieces.append(str(next(cast("Iterator[object]", result))))
                except StopIteration as stop:
                    return cls.of(stop.value, is_score=is_score).with_text(pieces)
        if isinstance(result, Mapping):
            told = cast("Mapping[str, Value]", result)
            return cls.of(cls(**told)) if _FIELDS.issuperset(told) else cls(prediction=told)  # pyright: ignore[reportArgumentType] — a version's word for it
        plain = cast("Callable[[], Value]", result.item)() if _is_scalar(result) else result  # pyright: ignore[reportAttributeAccessIssue]
        if is_score and isinstance(plain, float | int):
            return cls(score=float(plain))
        return cls(prediction=plain)

    def with_text(self, pieces: Sequence[str]) -> Reply:
        """Return it with what came in pieces as its text, and as its prediction unless it has one."""
        if self.text is None and pieces:
            self.text = "".join(pieces)
        if self.prediction is None and self.score is None:
            self.prediction = self.text
        return self

    @property
    def sureness(self) -> float | None:
        """The confidence, or what the scores say of it; None when nothing does, or what they say is no share."""
        if self.confidence is not None:
            return _share(self.confidence)
        if self.score is not None:
            score = _share(self.score)
            return None if score is None else max(score, 1.0 - score)
        if not isinstance(self.scores, Mapping):
            return None
        shares = [_share(score) for score in self.scores.values()]
        return max((share for share in shares if share is not None), default=None)


def readable(calls: object) -> Sequence[Billed]:
    """Return calls as they can be recorded: something was billed, whatever stands for it, and its cost is unknown."""
    if type(calls) in {tuple, list} and all(isinstance(call, Mapping) for call in cast("list[object]", calls)):
        return cast("Sequence[Billed]", calls)
    if calls is None:
        return ()
    each = cast("list[object]", calls) if isinstance(calls, list | tuple) else [calls]
    return [cast("Billed", call) if isinstance(call, Mapping) else {"error": UNREADABLE} for call in each]


def _share(value: object) -> float | None:
    """Return a number from 0 to 1; None for anything else that a version may give for one."""
    number = cast("Callable[[], object]", value.item)() if _is_scalar(value) else value  # pyright: ignore[reportAttributeAccessIssue]
    return float(number) if isinstance(number, float | int) and 0.0 <= number <= 1.0 else None


def _spelled(value: object) -> str:
    """Return a checkpoint as text, such as the count of a learner's updates; none for what cannot be spelled."""
    try:
        return "" if value is None else str(value)
    except Exception:  # noqa: BLE001 — theirs: an answer is worth more than which state gave it
        return ""


_SECONDS, _YEAR = (float, int, type(None)), 366 * 86_400.0
_FIELDS = {"prediction", "score", "scores", "ranking", "text", "confidence", "calls", "upstream_seconds", "checkpoint"}


def _is_scalar(value: object) -> bool:
    """Return whether a value is one of NumPy's, which the event log does not take."""
    return hasattr(value, "item") and not hasattr(value, "__len__")
