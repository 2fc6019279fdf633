"""`Log`: predictions and outcomes that can be asked questions, recorded in a store or read from files."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from setpoint.answers.answer import Answer
from setpoint.answers.cost import cost
from setpoint.answers.diff import diff
from setpoint.answers.status import status
from setpoint.core.clock import parse_time
from setpoint.core.errors import UsageError
from setpoint.core.window import Window
from setpoint.store.evidence import RowEvidence
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout
from setpoint.store.summaries import Summaries


class Log:
    """Predictions with their outcomes. Make one with `setpoint.open(store)` or `setpoint.read(files)`.

    Attributes:
        notes: What was guessed or adjusted when the data was read, in words.
    """

    def __init__(self, source: StoreSource | FileSource) -> None:
        self._source = source
        self.notes = source.notes

    def __repr__(self) -> str:
        return "\n".join(["setpoint.Log", *(f"  {note}" for note in self.notes)])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        self._source.close()

    def models(self) -> list[str]:
        """Return the names of the models."""
        return self._source.models()

    def evidence(self, model: str = "", as_of: str | int | None = None) -> AbstractContextManager[RowEvidence]:
        """Open the states that answers about a model are computed from.

        Args:
            model: Its name; may be left out when there is only one.
            as_of: Evidence as if it were this time.
        """
        return self._source.evidence(model, as_of)

    def status(
        self,
        model: str = "",
        *,
        over: str | Window | None = None,
        by: str = "",
        as_of: str | int | None = None,
    ) -> Answer:
        """Is this model still working as expected?

        Args:
            model: Its name; may be left out when there is only one.
            over: The window, such as `7d` or `2013-09-01..2013-10-01`.
            by: `endpoint`, `version` or a cohort.
            as_of: Answer as if it were this time.
        """
        with self._source.evidence(model, as_of) as evidence:
            return status(evidence, window=_window(evidence, over), by=by)

    def diff(
        self,
        model: str = "",
        *,
        current: str | Window | None = None,
        reference: str | Window | None = None,
        by: str = "",
        as_of: str | int | None = None,
    ) -> Answer:
        """What changed in the data between two windows?

        Args:
            model: Its name; may be left out when there is only one.
            current: The later window; the last seven days by default.
            reference: The earlier one; the same length just before by default.
            by: `endpoint`, `version` or a cohort: also what changed inside each group.
            as_of: Answer as if it were this time.
        """
        with self._source.evidence(model, as_of) as evidence:
            return diff(evidence, current=_window(evidence, current), reference=_window(evidence, reference), by=by)

    def cost(
        self,
        model: str = "",
        *,
        over: str | Window | None = None,
        by: str = "",
        as_of: str | int | None = None,
    ) -> Answer:
        """What is our all-in cost per correct prediction?

        Args:
            model: Its name; may be left out when there is only one.
            over: The window; the last 30 days by default.
            by: `endpoint`, `version`, a cohort or `day`.
            as_of: Answer as if it were this time.
        """
        with self._source.evidence(model, as_of) as evidence:
            return cost(evidence, window=_window(evidence, over), by=by)


class StoreSource:
    """A store: evidence comes from kept states where they hold."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.notes: tuple[str, ...] = ()

    def models(self) -> list[str]:
        """Return the models of the store."""
        return self.layout.models()

    @contextmanager
    def evidence(self, model: str, as_of: str | int | None) -> Generator[RowEvidence]:
        """Open the evidence of a model for one question."""
        declared = self.layout.model(model or _only(self.models()))
        now = self.layout.clock.now()
        known = _as_of(as_of, declared.timezone, now)
        with Summaries.reading(self.layout.summaries(declared.name)) as summaries:
            evidence = KeptEvidence(self.layout, declared, known, now, summaries)
            try:
                yield evidence
            finally:
                evidence.close()

    def close(self) -> None:
        """Nothing stays open between questions."""


class FileSource:
    """Files: evidence comes from their rows."""

    def __init__(self, evidence: RowEvidence, notes: tuple[str, ...]) -> None:
        self._evidence = evidence
        self.notes = notes

    def models(self) -> list[str]:
        """Return the one model, when it has a name."""
        return [self._evidence.model.name] if self._evidence.model.name else []

    @contextmanager
    def evidence(self, model: str, as_of: str | int | None) -> Generator[RowEvidence]:
        """Open the evidence of a model for one question."""
        known = self.models()
        if model and model not in known:
            msg = f"no model is called {model!r} in these files"
            raise UsageError(msg, hint="leave the name out: a file is one model")
        self._evidence.as_of = _as_of(as_of, self._evidence.model.timezone, self._end())
        yield self._evidence

    def _end(self) -> int:
        span = self._evidence.span
        return span.end if span else 0

    def close(self) -> None:
        """Let go of the files."""
        self._evidence.connection.close()


def open_log(store: str | Path = "store") -> Log:
    """Open a store to ask it questions. Answers read and never write.

    Args:
        store: The store's folder.

    Raises:
        StoreMissing: There is no store there.
    """
    return Log(StoreSource(Layout.open(Path(store))))


def _only(models: list[str]) -> str:
    if len(models) == 1:
        return models[0]
    msg = "name the model" if models else "the store has no model yet"
    raise UsageError(msg, hint=f"known: {', '.join(models) or 'none'}")


def _as_of(value: str | int | None, zone: str, now: int) -> int:
    if value is None:
        return now
    return value if isinstance(value, int) else parse_time(value, zone)


def _window(evidence: RowEvidence, value: str | Window | None) -> Window | None:
    if value is None or isinstance(value, Window):
        return value
    return Window.parse(value, now=evidence.as_of, zone=evidence.model.timezone)
