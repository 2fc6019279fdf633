"""Records predictions and outcomes without the caller waiting or failing because of it.

Imports neither NumPy nor DuckDB: it runs inside the service that predicts.
"""

from __future__ import annotations

import inspect
import logging
import os
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar, Unpack, cast

from setpoint.core.clock import QUARTER_HOUR
from setpoint.core.contract_closure import Checked, ContractCheck
from setpoint.core.contract_faults import SEPARATOR
from setpoint.core.errors import UsageError
from setpoint.core.events import Change, InputValue, Outcome, Prediction, Quarantined, Tally
from setpoint.core.expression import compile_predicate, parse
from setpoint.core.ids import keeps
from setpoint.core.model import Model
from setpoint.predictions.calls import priced_call
from setpoint.predictions.details import Details, Moment, RowDetails, add_details, to_micros
from setpoint.predictions.measured import Measured
from setpoint.predictions.protection import Protection
from setpoint.predictions.reactions import say_only_noted
from setpoint.predictions.rows import Value, column, inputs_of, rows_of
from setpoint.store.layout import FORMAT, Layout, Marker, check_name
from setpoint.store.shapes import clean
from setpoint.store.spool import Spool

log = logging.getLogger("setpoint")

P = ParamSpec("P")
R = TypeVar("R")


class Recorder:
    """Records the predictions of one model into a store.

    `record` costs the caller about two microseconds; it never blocks, and what goes wrong inside is
    counted and logged, not raised. Safe to share between threads and across forks.

    Args:
        store: The store's folder; made when it is not there.
        model: The model's name.
        version: The version that answers, unless a call says otherwise.
        endpoint: Where predictions are asked for; the declaration's endpoint by default.

    Raises:
        StoreError: The store cannot be opened. Only construction raises.

    Example:
        >>> import tempfile
        >>> recorder = Recorder(tempfile.mkdtemp() + "/store", model="fraud", version="v13")
        >>> name = recorder.record({"amount": 12.5}, score=0.91, prediction=True, key="txn-8841")
        >>> recorder.outcome(True, key="txn-8841")
        >>> recorder.flush()
        True
    """

    def __init__(
        self,
        store: str | Path | Layout,
        model: str,
        *,
        version: str | None = None,
        endpoint: str | None = None,
        spool: Spool | None = None,
    ) -> None:
        self.layout = store if isinstance(store, Layout) else _layout_at(Path(store))
        self.spool = spool or spool_of(self.layout)
        self.model = check_name(model)
        known = self.layout.declaration(model)
        self.declared = declared = known or Model(name=model)
        self._version = version
        self.endpoint = endpoint or declared.endpoint or None
        self.now = self.layout.clock.now
        self._keep = declared.keep
        self._always_keep = compile_predicate(parse(declared.keep_where)) if declared.keep_where else None
        self._protection = Protection(declared, is_declared=known is not None)
        self._final = declared.final_kind
        self._contract = None if declared.contract is None else ContractCheck(declared.contract)
        self.takes_rows_as_they_are = self._contract is None and not self._protection.is_needed and self._keep >= 1.0
        self.prices = self.layout.price_book()

    def record(
        self,
        inputs: Mapping[str, Value] | None = None,
        *,
        prediction: Value = None,
        score: float | None = None,
        **details: Unpack[RowDetails],
    ) -> str:
        """Record one prediction and return its identifier.

        Args:
            inputs: Value by feature name. Copied.
            prediction: The answer: a number, a class, or true and false.
            score: Binary: the predicted probability of the positive class, 0 to 1.
            **details: See `RowDetails`.
        """
        try:
            now = self.now()
            at = details.get("predicted_at")
            predicted_at = now if at is None else to_micros(at)
            prediction_id = details.get("prediction_id") or self.spool.make_id(predicted_at)
            event = Prediction(
                prediction_id=prediction_id,
                root_id=prediction_id,
                predicted_at=predicted_at,
                recorded_at=now,
                version=self._version,
                endpoint=self.endpoint,
                inputs=dict(inputs) if inputs else {},  # pyright: ignore[reportArgumentType] — as the writer takes them
                prediction=cast("float | str | None", prediction),
                score=score,
            )
            if details:
                add_details(event, details)
            self._put(event)
        except Exception as error:  # the prediction path must not fail because of its own record
            return self._refuse(error, {"prediction": prediction, "score": score, **details}, inputs=inputs)
        return prediction_id

    def record_event(self, event: Prediction) -> None:
        """Record a prediction that is put together already; its inputs are not copied. Never raises."""
        try:
            self._put(event)
        except Exception as error:  # as in `record`
            inputs = cast("dict[str, Value]", event.inputs)
            self._refuse(error, {"prediction": event.prediction, "score": event.score}, inputs=inputs)

    def _put(self, event: Prediction) -> None:
        """Hold a prediction against the contract, protect what it may not tell, and queue it."""
        if self.takes_rows_as_they_are and event.text is None:
            self.spool.put(self.model, event)
            return
        row = cast("dict[str, Value]", event.inputs)
        if self._contract is not None:
            event.contract_violations = self._broken(self._contract, row)
        if self._protection.is_needed:
            self._protection.of_inputs(row)
        if event.text is not None:
            self._protection.of_text(event)
        self.spool.put(self.model, event, is_kept=self._keep >= 1.0 or self._is_kept(event, row))

    def check(self, inputs: Mapping[str, Value] | None = None) -> Checked:
        """Hold a row against the declared contract, before predicting from it: nothing is recorded, and nothing raised.

        Record the row as it came, not the mended one: `record` checks it once more and notes what it broke.

        Args:
            inputs: Value by feature name. What is no mapping breaks `row` and is rejected, if there is a contract.

        Returns:
            What to predict from, the rules that the row broke, and whether the contract says not to predict.
        """
        row: Mapping[str, Value] = {} if inputs is None else inputs
        if self._contract is not None:
            try:
                return self._contract.check(row)
            except Exception as error:  # as in `record`
                self.note_failure(error)
        return Checked(row, (), "accept")

    def _broken(self, contract: ContractCheck, row: Mapping[str, Value]) -> str | None:
        """Return the ids of the rules that a row breaks; None without any. A check that fails loses no row."""
        try:
            broken = contract.violations(row)
        except Exception as error:  # as in `record`
            self.note_failure(error)
            return None
        return SEPARATOR.join(broken) if broken else None

    def _is_kept(self, event: Prediction, row: Mapping[str, Value]) -> bool:
        """Keep errors and declared rare cohorts always, a share of the rest; say at which probability."""
        is_evidence = event.keep_probability == 1.0 or (event.assignment_probability or 1.0) < 1.0
        always = is_evidence or event.error is not None or event.contract_violations is not None
        if always or (self._always_keep is not None and self._always_keep(row) is True):
            return True
        event.keep_probability = self._keep
        return keeps(event.root_id, self._keep)

    def record_many(
        self,
        inputs: Mapping[str, Iterable[Value]] | object,
        *,
        predictions: Iterable[Value] | None = None,
        scores: Iterable[float | Mapping[str, float]] | None = None,
        keys: Iterable[str] | None = None,
        **details: Unpack[Details],
    ) -> list[str]:
        """Record a batch: columns of equal length, or any table with `to_dict`/`to_pydict`/`columns`.

        Args:
            inputs: Columns by feature name, or a polars, pandas or Arrow table.
            predictions: The answers, in order.
            scores: The scores, in order; of a multiclass model the probabilities by class.
            keys: The join keys, in order.
            **details: Shared by all rows. A batch-scoring job passes `run_id`.
        """
        try:
            rows = list(rows_of(inputs))
            count = len(rows)
            answers = column(predictions, count)
            numbers = column(scores, count)
            names = column(keys, count)
        except Exception as error:  # as in `record`
            self.note_failure(error)
            return []
        if not rows and (run := details.get("run_id")) is not None:
            self._tally(run_id=run)  # without rows nothing else would say that it came
        recorded: list[str] = []
        for row, answer, number, name in zip(rows, answers, numbers, names, strict=True):
            of_row = {} if name is None else {"key": str(name)}
            told: dict[str, object] = {"scores" if isinstance(number, Mapping) else "score": number}
            recorded.append(self.record(row, prediction=answer, **cast("RowDetails", {**details, **of_row, **told})))
        return recorded

    def note_unsent(self, version: str, count: int) -> None:
        """Count copies of requests that a version in shadow was too slow for. Never raises."""
        self._tally(version=version, role="shadow", endpoint=self.endpoint, unsent=count)

    def _tally(self, **counted: str | int | None) -> None:
        """Count something of this moment that no row tells."""
        now, spool = self.now(), self.spool
        bucket = now - now % QUARTER_HOUR
        tally = Tally(process=spool.process, sequence=0, bucket_at=bucket, recorded_at=now, **counted)  # pyright: ignore[reportArgumentType] — fields of a Tally
        spool.put(self.model, tally)

    @contextmanager
    def measure(self, inputs: Mapping[str, Value] | None = None, **details: Unpack[RowDetails]) -> Generator[Measured]:
        """Record what happens inside a `with` block: its latency, its answer, its error.

        Example:
            >>> import tempfile
            >>> recorder = Recorder(tempfile.mkdtemp() + "/store", model="fraud", version="v13")
            >>> with recorder.measure({"amount": 3.0}) as measured:
            ...     measured.score = 0.2
            >>> len(measured.prediction_id)
            30
        """
        measured = Measured()
        started = time.perf_counter()
        try:
            yield measured
        except BaseException as error:
            details["error"] = type(error).__name__
            raise
        finally:
            details.setdefault("latency_seconds", time.perf_counter() - started)
            measured.prediction_id = self.record(
                inputs, prediction=measured.prediction, score=measured.score, **details
            )

    def predict(
        self,
        *,
        version: str | None = None,
        key: str | None = None,
        unit: str | None = None,
        score: bool = False,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Return a decorator that records every call of a function and keeps its exact type.

        Arguments become inputs by their names; a mapping or an object with fields is spread out.
        Async functions stay async. A contract is noted only: `check` says what to predict from.

        Args:
            version: The version of this function.
            key: The argument or input that is the join key.
            unit: The argument or input that is the unit.
            score: Whether the returned number is a score rather than the answer itself.
        """
        say_only_noted(self.declared, "Recorder.predict")

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            signature = inspect.signature(function)

            def read(*args: P.args, **kwargs: P.kwargs) -> tuple[dict[str, Value], Details]:
                inputs: dict[str, Value] = {}
                details: Details = {"version": version}
                try:
                    arguments = signature.bind(*args, **kwargs).arguments
                except TypeError:
                    return inputs, details  # a wrong call: the function itself will say so
                try:
                    inputs = inputs_of(arguments)
                    if key is not None and inputs.get(key) is not None:
                        details["key"] = str(inputs[key])
                    if unit is not None and inputs.get(unit) is not None:
                        details["unit"] = str(inputs[unit])
                except Exception as error:  # as in `record`; the prediction counts without them
                    self.note_failure(error)
                return inputs, details

            if inspect.iscoroutinefunction(function):

                @wraps(function)
                async def recorded_async(*args: P.args, **kwargs: P.kwargs) -> object:
                    inputs, details = read(*args, **kwargs)
                    with self.measure(inputs, **details) as measured:
                        result = await function(*args, **kwargs)
                        measured.answer(result, is_score=score)
                    return result

                return cast("Callable[P, R]", recorded_async)

            @wraps(function)
            def recorded(*args: P.args, **kwargs: P.kwargs) -> R:
                inputs, details = read(*args, **kwargs)
                with self.measure(inputs, **details) as measured:
                    result = function(*args, **kwargs)
                    measured.answer(result, is_score=score)
                return result

            return recorded

        return decorate

    def outcome(
        self,
        outcome: Value = None,
        *,
        prediction_id: str | None = None,
        key: str | None = None,
        kind: str | None = None,
        observed_at: Moment | None = None,
        revision: int = 0,
        retracted: bool = False,
        value_usd: float | None = None,
        source: str | None = None,
    ) -> None:
        """Record what really happened, from any process, days later.

        Args:
            outcome: The truth: a number, a class, or true and false; a grade; of a ranking the relevant items,
                as a list, or as a mapping to their gains.
            prediction_id: What `record` returned; or give `key`.
            key: The join key: the latest prediction with it that is not later than `observed_at`.
            kind: The kind of outcome; the final one by default.
            observed_at: When it happened; now by default.
            revision: A later revision of the same outcome wins.
            retracted: True takes the outcome back.
            value_usd: What it was worth.
            source: Who says so.
        """
        try:
            now = self.now()
            if observed_at is None:
                observed_at = now
            event = Outcome(
                outcome_id=self.spool.make_id(now),
                prediction_id=prediction_id,
                key=key,
                kind=kind or self._final,
                observed_at=to_micros(observed_at),
                recorded_at=now,
                revision=revision,
                retracted=retracted,
                outcome=cast("float | str | None", outcome),
                value_usd=value_usd,
                source=source,
            )
            if prediction_id is None and key is None:
                self._quarantine("outcomes", "neither prediction_id nor key", repr(event))
                return
            self.spool.put(self.model, event)
        except Exception as error:  # as in `record`
            self._refuse(error, {"key": key, "prediction_id": prediction_id, "outcome": outcome}, "outcomes")

    def call(
        self,
        prediction_id: str,
        *,
        cost_nano_usd: int | None = None,
        usage: Mapping[str, object] | None = None,
        **fields: float | str | None,
    ) -> None:
        """Record one billed attempt of a prediction; a cost that is not known stays unknown.

        Args:
            prediction_id: The prediction it was made for.
            cost_nano_usd: What was billed, in billionths of a dollar; when left out, what the price book says.
            usage: What the provider reported, as it did: the tokens of each class; see `core.usage.token_fields`.
            **fields: Further fields of `core.events.Call`, such as `provider_model` and `input_tokens`.
        """
        try:
            now = self.now()
            told = {"call_id": self.spool.make_id(now), "prediction_id": prediction_id, "cost_nano_usd": cost_nano_usd}
            told |= {"called_at": now, "recorded_at": now, **fields}
            self.spool.put(self.model, priced_call(self.prices, usage, told))
        except Exception as error:  # as in `record`
            self.note_failure(error)

    def change(
        self,
        kind: str,
        subject: str | None = None,
        *,
        started_at: Moment | None = None,
        ended_at: Moment | None = None,
        expected: str | None = None,
        note: str | None = None,
        author: str | None = None,
    ) -> None:
        """Say what was changed on purpose: answers name it beside what it may explain.

        Args:
            kind: `deploy`, `config`, `feature`, `price`, `prompt`, `policy`, `promotion` or `holiday`.
            subject: What was changed, such as a version.
            started_at: Since when; now by default.
            ended_at: Until when; None for good.
            expected: What it is expected to move.
            note: Anything else.
            author: Who changed it.

        Raises:
            NaiveTimestamp: A time has no zone.
        """
        now = self.now()
        event = Change(
            change_id=self.spool.make_id(now),
            kind=kind,
            subject=subject,
            started_at=now if started_at is None else to_micros(started_at),
            ended_at=None if ended_at is None else to_micros(ended_at),
            recorded_at=now,
            expected=expected,
            note=note,
            author=author,
        )
        self.spool.put(self.model, event)

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all that was recorded so far is on the disk; False when it is not."""
        return self.spool.flush(timeout)

    def close(self) -> bool:
        """Flush and seal; recording again afterwards is fine."""
        return self.spool.close()

    def new_id(self) -> str:
        """Return a fresh identifier, for a prediction that is recorded later under it."""
        return self.spool.make_id(self.now())

    def note_failure(self, error: Exception) -> None:
        """Count something that could not be recorded; only the first is logged."""
        if self.spool.failed == 0:
            log.warning("setpoint could not record an event; the next ones are only counted: %s", error)
        self.spool.note_failure(self.model)

    def _refuse(
        self,
        error: Exception,
        row: Mapping[str, object],
        table: str = "predictions",
        inputs: Mapping[str, Value] | None = None,
    ) -> str:
        """Put aside what cannot be recorded, its inputs under their policies; never raises."""
        try:
            reason = error.message if isinstance(error, UsageError) else f"it cannot be recorded: {error}"
            told = dict(inputs) if isinstance(inputs, Mapping) else {}
            self._protection.of_inputs(told)
            told = clean(cast("dict[str, InputValue]", told), frozenset())
            self._quarantine(table, reason, repr({"inputs": told, **row}))
        except Exception as another:
            self.note_failure(another)
        return ""

    def _quarantine(self, table: str, reason: str, raw: str) -> None:
        now = self.now()
        name = self.spool.make_id(now)
        event = Quarantined(quarantine_id=name, source_table=table, recorded_at=now, reason=reason, raw=raw)
        self.spool.put(self.model, event)


_spools: dict[Path, Spool] = {}


def spool_of(layout: Layout) -> Spool:
    """Return this process's spool for a store: all recorders of a store share one writer thread."""
    root = layout.root.resolve()
    if root not in _spools:
        _spools[root] = Spool(layout)
    return _spools[root]


def _layout_at(root: Path) -> Layout:
    """Return the store at a path, made when it is not there; with recording off nothing is touched."""
    if os.environ.get("SETPOINT_OFF", "") == "1":
        return Layout(root, Marker(FORMAT))
    return Layout.create(root)
