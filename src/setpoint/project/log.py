"""`Log`: predictions and outcomes that can be asked questions, recorded in a store or read from files."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeGuard, cast

from setpoint.answers.answer import Answer
from setpoint.answers.cascade import tune_cascade
from setpoint.answers.causes import is_operational, why_cohort, why_metric
from setpoint.answers.cohorts import cohorts
from setpoint.answers.cost import cost
from setpoint.answers.diff import diff
from setpoint.answers.meter import meter
from setpoint.answers.outcomes import outcomes
from setpoint.answers.quality import quality_in_detail
from setpoint.answers.references import SKEW, TRAINING, is_name
from setpoint.answers.status import status
from setpoint.answers.why import why
from setpoint.answers.worth import worth
from setpoint.core.clock import micros, parse_time
from setpoint.core.contract_closure import ContractCheck
from setpoint.core.errors import UsageError
from setpoint.core.model import Model
from setpoint.core.reference import is_table_file
from setpoint.core.window import Window
from setpoint.project.contracts import check_kept, check_table, contract_of
from setpoint.project.saved_profiles import is_profile_file, saved_reference
from setpoint.project.tables import reference_rows, training_rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.files import Source, known_at
from setpoint.store.frozen import read_frozen, with_frozen
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout
from setpoint.store.summaries import Summaries

When = str | int | datetime | None


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

    def evidence(self, model: str = "", as_of: When = None) -> AbstractContextManager[RowEvidence]:
        """Open the states that answers about a model are computed from.

        Args:
            model: Its name; may be left out when there is only one.
            as_of: Evidence as if it were this time: a text, a time with a zone, or microseconds.
        """
        return self._source.evidence(model, as_of)

    def status(
        self,
        model: str = "",
        *,
        over: str | Window | None = None,
        by: str = "",
        as_of: When = None,
    ) -> Answer:
        """Is this model still working as expected?

        Args:
            model: Its name; may be left out when there is only one.
            over: The window, such as `7d` or `2013-09-01..2013-10-01`.
            by: `endpoint`, `version`, `version_family`, `version_age` or a cohort.
            as_of: Answer as if it were this time.
        """
        with self._source.evidence(model, as_of) as evidence:
            return status(evidence, window=_window(evidence, over), by=by)

    def diff(
        self,
        model: str = "",
        *,
        current: str | Window | None = None,
        reference: str | Window | Source | None = None,
        by: str = "",
        explain: bool = False,
        as_of: When = None,
    ) -> Answer:
        """What changed in the data between two windows?

        Args:
            model: Its name; may be left out when there is only one.
            current: The later window; the last seven days by default.
            reference: The earlier one; rows to compare with, a file or a table; or by name: `training` (what is
                declared), `last-year` (52 weeks before), `same-weekdays` (of the four weeks before) or
                `version:NAME` (of the same time). The declared reference by default, else the same length just before.
            by: `endpoint`, `version`, `version_family`, `version_age` or a cohort: also what changed inside each group.
            explain: Also every answer about every feature, and how the budget of false alarms was spent.
            as_of: Answer as if it were this time.
        """
        with self._source.evidence(model, as_of) as evidence:
            ask = partial(diff, evidence, current=_window(evidence, current), by=by, explain=explain)
            declared = evidence.model.reference_file
            if isinstance(reference, str) and reference == TRAINING and declared:
                with reference_rows(declared, evidence) as rows:
                    answer = ask(reference=rows)
                return replace(answer, because=(*answer.because, SKEW))
            if isinstance(reference, str) and is_name(reference):
                return ask(reference=reference)
            if reference is None and declared:
                return _since_declared(evidence, ask)
            if reference is None or isinstance(reference, Window) or _is_window_text(reference):
                return ask(reference=_window(evidence, reference))
            if is_profile_file(reference):
                return ask(reference=saved_reference(Path(str(reference)), evidence))
            with reference_rows(reference, evidence) as rows:
                return ask(reference=rows)

    def cost(
        self,
        model: str = "",
        *,
        over: str | Window | None = None,
        by: str = "",
        as_of: When = None,
    ) -> Answer:
        """What is our all-in cost per correct prediction?

        Args:
            model: Its name; may be left out when there is only one.
            over: The window; the last 30 days by default.
            by: `endpoint`, `version`, `version_family`, `version_age`, a cohort or `day`.
            as_of: Answer as if it were this time.
        """
        with self._source.evidence(model, as_of) as evidence:
            return cost(evidence, window=_window(evidence, over), by=by)

    def worth(
        self,
        candidate: str,
        *,
        over: str,
        model: str = "",
        value: float | None = None,
        window: str | Window | None = None,
        by: str = "",
        as_of: When = None,
    ) -> Answer:
        """Is +X % quality worth +Y % cost?

        Args:
            candidate: The version in question.
            over: The version it is held against; `none` for no model: a version called `holdout`, or the baseline.
            model: Its name; may be left out when there is only one.
            value: What a correct answer is worth, in dollars.
            window: Predictions of this window; the last 30 days by default.
            by: A cohort: also what each of its groups gains.
            as_of: Answer as if it were this time.
        """
        with self._source.evidence(model, as_of) as evidence:
            found = _window(evidence, window)
            return worth(evidence, candidate, over=over, value_usd=value, window=found, by=by)

    def cascade_tune(
        self,
        model: str = "",
        *,
        cheap: str,
        expensive: str,
        loss: float = 0.01,
        window: str | Window | None = None,
        as_of: When = None,
    ) -> Answer:
        """From which confidence on may the cheap version answer, and what does that save?

        Args:
            model: Its name; may be left out when there is only one.
            cheap: The version that is asked first.
            expensive: The one that is asked when the first is not sure enough.
            loss: How many more of all answers may be wrong than if the expensive version gave each, 0 to 1.
            window: Predictions of this window; the last 30 days by default.
            as_of: Answer as if it were this time.
        """
        with self._source.evidence(model, as_of) as evidence:
            found = _window(evidence, window)
            return tune_cascade(evidence, cheap=cheap, expensive=expensive, loss=loss, window=found)

    def cohorts(
        self,
        model: str = "",
        *,
        over: str | Window | None = None,
        budget: float | None = None,
        as_of: When = None,
    ) -> Answer:
        """Who is under-served?

        Args:
            model: Its name; may be left out when there is only one.
            over: The window; the last 90 days by default, all of a file.
            budget: Share of predictions that can be acted on, such as 0.2: the highest scores. By default those
                that the model itself says yes to.
            as_of: Answer as if it were this time.
        """
        with self._source.evidence(model, as_of) as evidence:
            return cohorts(evidence, window=_window(evidence, over), budget=budget)

    def meter(
        self,
        model: str = "",
        *,
        over: str | Window | None = None,
        by: str = "",
        as_of: When = None,
    ) -> Answer:
        """Where does the time go, what failed, what was used, and do slow answers fare worse?

        Args:
            model: Its name; may be left out when there is only one.
            over: The window; the last seven days by default.
            by: `endpoint`, `version` or a cohort, within which latency is held against success.
            as_of: Answer as if it were this time.
        """
        with self._source.evidence(model, as_of) as evidence:
            return meter(evidence, window=_window(evidence, over), by=by)

    def outcomes(
        self,
        model: str = "",
        *,
        over: str | Window | None = None,
        by: str = "",
        as_of: When = None,
    ) -> Answer:
        """How complete are the outcomes, and when will they be?

        Args:
            model: Its name; may be left out when there is only one.
            over: Predictions of this window; the last 30 days by default.
            by: `endpoint`, `version`, `version_family`, `version_age` or a cohort: also how long the outcomes of
                each group take.
            as_of: Answer as if it were this time.
        """
        with self._source.evidence(model, as_of) as evidence:
            return outcomes(evidence, window=_window(evidence, over), by=by)

    def quality(
        self,
        model: str = "",
        *,
        over: str | Window | None = None,
        by: str = "",
        budget: float | None = None,
        threshold: float | None = None,
        as_of: When = None,
    ) -> Answer:
        """How good is it in detail: where it is acted upon, how honest its scores are, and for whom?

        Args:
            model: Its name; may be left out when there is only one.
            over: The window; the last 30 days by default.
            by: `endpoint`, `version`, `version_family`, `version_age`, a cohort or `day`: the same for each group.
            budget: Share of predictions that can be acted on, the highest scores; between 0 and 1.
            threshold: Score from which on a prediction is acted upon; without a budget the declared one, else 0.5.
            as_of: Answer as if it were this time.
        """
        with self._source.evidence(model, as_of) as evidence:
            window = _window(evidence, over)
            return quality_in_detail(evidence, window=window, by=by, budget=budget, threshold=threshold)

    def declared(self, model: str = "") -> Model:
        """Return the declaration of a model, or the guess that stands in for it.

        Args:
            model: Its name; may be left out when there is only one.
        """
        return self._source.declared(model)

    def contract(self, model: str = "") -> ContractCheck:
        """Return the contract that a model declares, to hold single rows against it.

        Args:
            model: Its name; may be left out when there is only one.

        Raises:
            UsageError: It declares none.
        """
        return ContractCheck(contract_of(self.declared(model)))

    def check(
        self, model: str = "", table: Source | None = None, *, over: str | Window | None = None, as_of: When = None
    ) -> Answer:
        """Do rows keep the contract that a model declares?

        Args:
            model: Its name; may be left out when there is only one.
            table: The rows, a file or a table; by default the predictions that were kept, and then also whether
                the same was noted when they were recorded.
            over: Predictions of this window; the last seven days by default, all of a file.
            as_of: Answer as if it were this time.

        Raises:
            UsageError: It declares no contract, or the table cannot be read.
        """
        if table is not None:
            declared = self.declared(model)
            now = None if as_of is None else _as_of(as_of, declared.timezone, 0)
            return check_table(table, declared, as_of=now)
        with self._source.evidence(model, as_of) as evidence:
            return check_kept(evidence, _window(evidence, over))

    def why(
        self,
        model: str = "",
        metric: str = "",
        *,
        cohort: str = "",
        current: str | Window | None = None,
        reference: str | Window | None = None,
        as_of: When = None,
    ) -> Answer:
        """Why did a metric change: other rows, or something that happened inside each group of them?

        Args:
            model: Its name; when there is only one it may be left out: `why("auc")`.
            metric: Such as `auc`, `rmse`, or the rate of a kind of outcome, `complaint_rate`; of a recorded model
                also `latency_p95_seconds`, `error_ratio` and the like, of which only causes are told.
            cohort: Only of one declared cohort of a recorded model, such as `carrier=VX`: all of its predictions, or
                those of the windows. Says also when nothing changed, and it never was served as well as the rest.
            current: The later window; the last seven days by default.
            reference: The earlier one; the same length just before by default.
            as_of: Answer as if it were this time.
        """
        if not metric:
            model, metric = "", model
        with self._source.evidence(model, as_of) as evidence:
            now, before = _window(evidence, current), _window(evidence, reference)
            if cohort:
                within = now if before is None else Window(before.start, (now or before).end)
                with training_rows(evidence) as training:
                    return why_cohort(evidence, metric, cohort, within=within, training=training)
            if evidence.is_recorded and is_operational(metric):
                return why_metric(evidence, metric, current=now, reference=before)
            return why(evidence, metric, current=now, reference=before)


class StoreSource:
    """A store: evidence comes from kept states where they hold."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.notes: tuple[str, ...] = ()

    def models(self) -> list[str]:
        """Return the models of the store."""
        return self.layout.models()

    def declared(self, model: str) -> Model:
        """Return the declaration of a model."""
        return self.layout.model(model or _only(self.models()))

    @contextmanager
    def evidence(self, model: str, as_of: When) -> Generator[RowEvidence]:
        """Open the evidence of a model for one question."""
        declared = self.layout.model(model or _only(self.models()))
        now = self.layout.clock.now()
        known = _as_of(as_of, declared.timezone, now)
        declared = with_frozen(declared, read_frozen(self.layout, declared.name), known)
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

    def declared(self, model: str) -> Model:
        """Return the declaration, or the guess that stands in for it."""
        with self.evidence(model, None) as evidence:
            return evidence.model

    @contextmanager
    def evidence(self, model: str, as_of: When) -> Generator[RowEvidence]:
        """Open the evidence of a model for one question."""
        known = self.models()
        if model and model not in known:
            msg = f"no model is called {model!r} in these files"
            raise UsageError(msg, hint="leave the name out: a file is one model")
        if as_of is None:
            yield self._evidence
            return
        whole = self._evidence
        if whole.span is None:
            msg = "the rows have no times, so that nothing is known to be later"
            raise UsageError(msg, hint="name the column: time='ts', or leave as_of out")
        now = _as_of(as_of, whole.model.timezone, whole.span.end)
        # Of its own: bins, the span and all else that evidence finds once depend on what was there.
        with closing(known_at(whole.connection, now)) as connection:
            yield RowEvidence(connection, whole.model, whole.inputs, now, is_joined=whole.is_joined, is_recorded=False)

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


def _as_of(value: When, zone: str, now: int) -> int:
    if value is None:
        return now
    if isinstance(value, datetime):
        return micros(value)
    if isinstance(value, str):
        return parse_time(value, zone)
    if isinstance(cast("object", value), int) and not isinstance(value, bool):
        return value
    msg = f"as_of cannot be {type(value).__name__}: {value!r}"
    raise UsageError(msg, hint='write as_of="2026-03-10", or give a datetime with a zone')


def _is_window_text(reference: object) -> TypeGuard[str]:
    return isinstance(reference, str) and not is_table_file(reference) and not is_profile_file(reference)


def _since_declared(evidence: RowEvidence, ask: Callable[..., Answer]) -> Answer:
    """Compare with the declared file; where it cannot be read, with the time before, and say so."""
    try:
        with reference_rows(evidence.model.reference_file, evidence) as rows:
            return ask(reference=rows)
    except UsageError as error:
        answer = ask()
        return replace(answer, because=(*answer.because, f"the declared reference is not used: {error.message}"))


def _window(evidence: RowEvidence, value: str | Window | None) -> Window | None:
    if value is None or isinstance(value, Window):
        return value
    if not isinstance(cast("object", value), str):
        msg = f"a window cannot be {type(value).__name__}: {value!r}"
        raise UsageError(msg, hint='write it as a text: "7d", "last week" or "2026-03-01..2026-03-08"')
    return Window.parse(value, now=evidence.as_of, zone=evidence.model.timezone)
