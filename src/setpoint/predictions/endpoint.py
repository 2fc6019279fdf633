"""An endpoint: asks the version that the route plan says, and records what each answered and what it took.

Imports neither NumPy nor DuckDB: it runs inside the service that predicts.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias, Unpack, cast
from weakref import ref

from setpoint.core.errors import Refused, UsageError
from setpoint.core.events import STAGE, Prediction
from setpoint.core.route_plan import arm_of
from setpoint.predictions.batches import Answer, Batches, TakesMany
from setpoint.predictions.calls import known_usd
from setpoint.predictions.details import BatchDetails, RequestDetails, add_details
from setpoint.predictions.late import record_late
from setpoint.predictions.recorder import Recorder
from setpoint.predictions.reply import PLAIN, Billed, Reply
from setpoint.predictions.request import Request
from setpoint.predictions.router import Router
from setpoint.predictions.rows import Value, column, is_missing, rows_of
from setpoint.predictions.shadows import Shadows
from setpoint.predictions.streams import Pieces, Stream, Streams, pieces_of
from setpoint.predictions.threads import Late, Threads
from setpoint.predictions.turns import Attempt, Turns, billed
from setpoint.store.layout import Layout

Version: TypeAlias = "Callable[[Mapping[str, Value]], object] | Endpoint"
"""Anything that takes inputs by name and gives an answer, a `Reply`, or an awaitable of one; or another endpoint."""

_TELL_SECONDS = 5.0


class Endpoint:
    """Answers from the versions of a model as its route plan says, and records every prediction.

    What a version raises is raised to the caller only when no other version is left to ask. Nothing of our own is:
    a plan that cannot be read or a record that cannot be written changes no answer. Safe to share between threads and
    across forks.

    Args:
        store: The store's folder; made when it is not there.
        model: The model's name.
        versions: By name, what answers: a function of the inputs, a coroutine function, or the endpoint of another
            model. The first one answers all while no route was published.
        is_score: Whether plain numbers are scores rather than predictions.
        accept: Of a cascade: whether a cheap answer is taken; by its confidence when left out.

    Raises:
        UsageError: There is no version, or one is an endpoint that asks this model.
        StoreError: The store cannot be opened. Only construction raises.

    Example:
        >>> import tempfile
        >>> versions = {"v1": lambda inputs: inputs["amount"] > 100, "v2": lambda inputs: inputs["amount"] > 120}
        >>> endpoint = Endpoint(tempfile.mkdtemp() + "/store", "fraud", versions)
        >>> reply = endpoint.predict({"amount": 130.0}, unit="user-7", key="txn-1")
        >>> reply.prediction, reply.version
        (True, 'v1')
        >>> endpoint.close()
        True
    """

    def __init__(
        self,
        store: str | Path | Layout,
        model: str,
        versions: Mapping[str, Version],
        *,
        is_score: bool = False,
        accept: Callable[[Reply], bool] | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        if not versions:
            msg = f"an endpoint of {model} without a version"
            raise UsageError(msg, hint='pass at least one: versions={"v1": predict}')
        self.recorder = recorder or Recorder(store, model)
        self.router = Router(self.recorder.layout, model, versions)
        self.shadows = Shadows()
        self._versions = dict(versions)
        self._models = self._own_models(model)
        self._threads = {name: Threads() for name in versions}
        self._is_async = {name: _is_async(version) for name, version in versions.items()}
        self._accept = accept
        self._turns = Turns(versions, self._cost_usd, accept and self._is_accepted)
        self._is_score = is_score
        together = [name for name, version in versions.items() if _takes_many(version)]
        self._batches = Batches(self._turns, together, ask=self._ask, ask_many=self._ask_many, told=self._told)
        self._streams = Streams(self._turns, begin=self._begin, ask=self._ask, told=self._told)
        os.register_at_fork(after_in_child=partial(self._after_fork, ref(self)))
        self._unsent: dict[str, int] = {}
        self._tell_at = 0.0

    def predict(self, inputs: Mapping[str, Value], **details: Unpack[RequestDetails]) -> Reply:
        """Return an answer, and record it.

        Args:
            inputs: Value by feature name.
            **details: See `RequestDetails`. `unit` is what is randomised, such as a user: it always gets the same
                version; without one each request is drawn on its own. `key` is the join key for outcomes.

        Raises:
            Exception: What the version raised, when no other is left to ask.
            UsageError: The version is a coroutine function: use `predict_async`.
        """
        request = self._request(details)
        route, version = request.plan.route, request.arm.version
        failed: BaseException | None = None
        if request.plan.is_plain and self._turns.is_quiet(version):  # the usual case: no turns to give
            try:
                reply = self._ask(request, version, inputs, None)
            except BaseException as error:  # theirs: it is told to the turns
                failed = error
            else:
                seconds = time.perf_counter() - request.started
                upstream = reply.upstream_seconds or 0.0
                return self._told(request, inputs, Attempt(version, reply, None, seconds, upstream, reply.calls))
        asking = self._turns.attempts(route, version)
        try:
            version = next(asking)
            if failed is not None:
                version = asking.throw(failed)
            while True:
                try:
                    reply = self._ask(request, version, inputs, route.limits.timeout_seconds)
                except Exception as error:  # as above
                    version = asking.throw(error)
                else:
                    version = asking.send(reply)
        except StopIteration as stop:
            *stages, served = cast("list[Attempt]", stop.value)
            return self._told(request, inputs, served, stages)
        except BaseException as error:  # the process is to end, which is no fault of the version: told as that
            asking.close()
            return self._told(request, inputs, Attempt(version, None, error))

    async def predict_async(self, inputs: Mapping[str, Value], **details: Unpack[RequestDetails]) -> Reply:
        """Return an answer, and record it, as `predict`; a version that is no coroutine function runs in a thread."""
        request = self._request(details)
        route, version = request.plan.route, request.arm.version
        asking = self._turns.attempts(route, version)
        try:
            version = next(asking)
            while True:
                try:
                    reply = await self._ask_async(request, version, inputs, route.limits.timeout_seconds)
                except Exception as error:  # as in `predict`
                    version = asking.throw(error)
                else:
                    version = asking.send(reply)
        except StopIteration as stop:
            *stages, served = cast("list[Attempt]", stop.value)
            return self._told(request, inputs, served, stages)
        except BaseException as error:  # as in `predict`, or the caller left
            asking.close()
            return self._told(request, inputs, Attempt(version, None, error))

    def predict_many(
        self,
        inputs: Mapping[str, Iterable[Value]] | object,
        *,
        units: Iterable[str] | None = None,
        keys: Iterable[str] | None = None,
        **details: Unpack[BatchDetails],
    ) -> list[Reply]:
        """Return an answer for each row, and record them as `predict` does, each routed by its own unit.

        A version with a method `predict_many`, as a `ModelFile` has, is asked once for all of its rows: it takes a
        list of inputs by name and returns as many answers, or an error in the place of one. When it raises instead,
        it is asked for each row alone. Any other version is asked for one row after another.

        Args:
            inputs: Columns by feature name, rows, or a polars, pandas or Arrow table.
            units: What is randomised, in order; without them each row is drawn on its own.
            keys: The join keys for outcomes, in order.
            **details: Shared by all rows. A batch-scoring job passes `run_id`.

        Returns:
            A reply for each row. One that no version answered has its `error` and no prediction, and nothing is raised.

        Raises:
            UsageError: What was given are no rows, or not as many units or keys.
        """
        try:
            rows = list(rows_of(inputs))
            columns = zip(rows, column(units, len(rows)), column(keys, len(rows)), strict=True)
        except Exception as error:
            msg = f"not the rows of a batch: {error}"
            raise UsageError(msg, hint="pass columns of equal length, or a table") from error
        if not rows:
            self.recorder.record_many({}, **details)  # that a run came, and had none
        return self._batches.replies(
            (self._request({**details, "unit": unit, "key": None if key is None else str(key)}), row)  # pyright: ignore[reportArgumentType] — a unit becomes text
            for row, unit, key in columns
        )

    def stream(self, inputs: Mapping[str, Value], **details: Unpack[RequestDetails]) -> Stream:
        """Return an answer in pieces, and record it at its end, whichever that is.

        A version gives pieces when it is a generator function, or has a method `stream` as an `Upstream` has; what
        it returns is the whole `Reply`. Any other is one piece. Before the first piece a route's fallback is asked
        as in `predict`; after it an error is raised, and what came is recorded with it. A route's timeout is how
        long each piece is waited for. Nothing is asked before the first piece is.

        Args:
            inputs: Value by feature name.
            **details: See `predict`.

        Example:
            >>> import tempfile
            >>> def count(inputs):
            ...     yield from ("one", " two")
            >>> endpoint = Endpoint(tempfile.mkdtemp() + "/store", "counter", {"v1": count})
            >>> stream = endpoint.stream({"to": 2})
            >>> list(stream), stream.reply.text
            (['one', ' two'], 'one two')
            >>> endpoint.close()
            True
        """
        request = self._request(details)
        return Stream(request.prediction_id, self._streams.pieces(request, inputs))

    def _begin(
        self, request: Request, version: str, inputs: Mapping[str, Value], timeout_seconds: float | None
    ) -> Pieces:
        function = self._versions[version]
        if isinstance(function, Endpoint):
            return pieces_of(function.stream(inputs, **request.passed_on()), next)
        pull = next if timeout_seconds is None else partial(self._pull, version, timeout_seconds)
        result = getattr(function, "stream", function)(_own(inputs))
        _refuse_coroutine(version, result)
        return pieces_of(result, pull, is_score=self._is_score)

    def _pull(self, version: str, timeout_seconds: float, coming: Iterator[object]) -> object:
        return self._threads[version].result(partial(next, coming), timeout_seconds)

    def _own_models(self, model: str) -> frozenset[tuple[Path, str]]:
        """Return the models that are recorded for a request, this one and those of endpoints behind it."""
        own = self.recorder.layout.root.resolve(), model
        inner_ones = [version._models for version in self._versions.values() if isinstance(version, Endpoint)]  # noqa: SLF001 — of this class
        inner = frozenset[tuple[Path, str]]().union(*inner_ones)
        if own in inner:
            msg = f"an endpoint of {model} with a version that asks {model}"
            raise UsageError(msg, hint="put the versions of one model behind one endpoint")
        return inner | {own}

    def _request(self, details: RequestDetails) -> Request:
        started, now = time.perf_counter(), self.recorder.now()
        plan, unit = self.router.plan(), details.get("unit")
        name = details.get("prediction_id") or self.recorder.spool.make_id(now)
        if unit is not None:
            unit = None if is_missing(unit) else str(unit)
        drawn = name if unit is None else unit
        return Request(plan, name, unit, drawn, details, arm_of(plan, drawn), now, started)

    def _cost_usd(self, calls: Sequence[Billed]) -> float:
        try:
            return known_usd(self.recorder.prices, calls, self.recorder.now())
        except Exception as error:  # a call that cannot be read has no known cost, and must not cost the answer
            self.recorder.note_failure(error)
            return 0.0

    def _is_accepted(self, reply: Reply) -> bool:
        try:
            return self._accept is not None and bool(self._accept(reply))
        except Exception as error:  # who cannot say that an answer will do has not taken it
            self.recorder.note_failure(error)
            return False

    def forget_parent(self) -> None:
        """Start afresh in a forked child, which has none of its parent's threads."""
        self._unsent = {}
        self.router.forget_parent()
        self._turns.forget_parent()
        for threads in self._threads.values():
            threads.forget_parent()
        self.shadows.forget_parent()

    @staticmethod
    def _after_fork(endpoint: ref[Endpoint]) -> None:
        if (alive := endpoint()) is not None:
            alive.forget_parent()

    def close(self, timeout: float = 10.0) -> bool:
        """Wait for what is under way in shadow, flush and seal; False when that could not be done in time."""
        is_done = self.shadows.wait(timeout)
        self._tell_unsent()
        return self.recorder.close() and is_done

    def _tell_unsent(self) -> None:
        """Count the copies that found the queue of the shadows full, a few seconds' at once."""
        self._tell_at = time.monotonic() + _TELL_SECONDS
        for version in list(self._unsent):
            self.recorder.note_unsent(version, self._unsent.pop(version, 0))

    def _ask(self, request: Request, version: str, inputs: Mapping[str, Value], timeout_seconds: float | None) -> Reply:
        function, inputs = self._versions[version], _own(inputs)
        if isinstance(function, Endpoint):
            function = partial(function.predict, **request.passed_on())
        if timeout_seconds is None:
            result = function(inputs)
        else:
            work, late = partial(function, inputs), self._late(request, version)
            result = self._threads[version].result(work, timeout_seconds, late)
        if type(result) in PLAIN and not self._is_score:  # most of them: nothing to look at
            return Reply(result)
        _refuse_coroutine(version, result)
        return Reply.of(result, is_score=self._is_score)

    async def _ask_async(
        self, request: Request, version: str, inputs: Mapping[str, Value], timeout_seconds: float | None
    ) -> Reply:
        function, inputs = self._versions[version], _own(inputs)
        if isinstance(function, Endpoint):
            told: object = function.predict_async(inputs, **request.passed_on())
        elif self._is_async[version]:
            told = function(inputs)
        else:
            begun = self._threads[version].begin(partial(function, inputs))
            try:
                result = await asyncio.wait_for(asyncio.wrap_future(begun), timeout_seconds)
            except (TimeoutError, asyncio.CancelledError):
                if not begun.done():
                    begun.add_done_callback(self._late(request, version))
                raise
            return Reply.of(result, is_score=self._is_score)
        result = await asyncio.wait_for(cast("asyncio.Future[object]", told), timeout_seconds)
        return Reply.of(result, is_score=self._is_score)

    def _late(self, request: Request, version: str) -> Late:
        return partial(record_late, self.recorder, self._turns, request.prediction_id, version)

    def _ask_many(
        self, version: str, rows: Sequence[Mapping[str, Value]], timeout_seconds: float | None
    ) -> list[Answer]:
        ask = partial(cast("TakesMany", self._versions[version]).predict_many, [_own(row) for row in rows])
        found = ask() if timeout_seconds is None else self._threads[version].result(ask, timeout_seconds)
        answers = cast("Iterable[object]", found)
        return [one if isinstance(one, Exception) else Reply.of(one, is_score=self._is_score) for one in answers]

    def _told(
        self, request: Request, inputs: Mapping[str, Value], served: Attempt, stages: Sequence[Attempt] = ()
    ) -> Reply:
        """Record a request and send its copies; return the caller's reply, or raise what the version raised.

        Args:
            request: The request.
            inputs: Its inputs.
            served: Whose answer or error the caller gets.
            stages: Those who were asked before.
        """
        arm, version, reply = request.arm, served.version, served.reply or Reply()
        role: str = arm.role
        reply.version, reply.prediction_id = version, request.prediction_id
        reply.latency_seconds = time.perf_counter() - request.started
        if version != arm.version:
            cascade = request.plan.route.cascade
            reply.is_fallback = cascade is None or version != cascade.expensive
            role = "candidate" if version in request.plan.candidates else "stable"
        try:
            event = self._event(request, inputs, served, reply, role)
            event.latency_seconds = reply.latency_seconds
            if not _DRAWN.issuperset(request.details):
                add_details(event, request.details)
                event.unit = request.unit
                event.latency_seconds += (event.queue_seconds or 0.0) + (event.features_seconds or 0.0)
            self.recorder.record_event(event)
            if served.calls:
                self._record_calls(event, served.calls)
            for stage in stages:
                self._record_child(request, inputs, stage, STAGE)
            if request.plan.has_copies and served.error is None:
                self._send_copies(request, inputs, version)
        except Exception as error:  # the answer is there: what goes wrong beside it is counted
            self.recorder.note_failure(error)
        if served.error is not None:
            errors = [one.error for one in (*stages, served) if one.error is not None]
            raise next((error for error in errors if not isinstance(error, Refused)), served.error)
        if stages or reply.calls is not served.calls:
            reply.calls = billed((*stages, served))
        return reply

    def _send_copies(self, request: Request, inputs: Mapping[str, Value], served: str) -> None:
        for version in request.copied_to(served):
            # Looked at first: of a shadow that hangs nothing is copied.
            is_sent = self.shadows.has_room and self.shadows.submit(partial(self._copy, version, dict(inputs), request))
            if not is_sent:
                self._unsent[version] = self._unsent.get(version, 0) + 1
        if self._unsent and time.monotonic() >= self._tell_at:
            self._tell_unsent()

    def _copy(self, version: str, inputs: Mapping[str, Value], request: Request) -> None:
        """Ask a version in shadow, and record what it answered or why it did not."""
        found, started = Attempt(version), time.perf_counter()
        try:
            is_async = self._is_async[version]
            found.reply = (
                asyncio.run(self._ask_async(request, version, inputs, None))
                if is_async
                else self._ask(request, version, inputs, None)
            )
            found.note(found.reply)
        except BaseException as error:  # theirs: it is what a shadow is there to show
            found.error = error
            found.note(error)
        found.seconds = time.perf_counter() - started
        self._record_child(request, inputs, found, "shadow")

    def _event(
        self, request: Request, inputs: Mapping[str, Value], attempt: Attempt, reply: Reply, role: str
    ) -> Prediction:
        """Return a version's turn as it is recorded for the caller."""
        arm, name, at, score = request.arm, request.prediction_id, request.at, reply.score
        event = Prediction(  # of more than 15 keywords Python makes a dictionary first: twice as long in all
            prediction_id=name,
            root_id=name,
            key=request.details.get("key"),
            unit=request.unit,
            predicted_at=at,
            recorded_at=at,
            version=attempt.version,
            endpoint=self.recorder.endpoint,
            role=role,
            # What answered in another's place was not drawn: it is no evidence for who was.
            assignment_probability=arm.share if attempt.version == arm.version else None,
            inputs=dict(inputs),  # pyright: ignore[reportArgumentType] — as the writer takes them
            prediction=reply.prediction,  # pyright: ignore[reportArgumentType] — as above
            score=reply.confidence if score is None and reply.scores is None else score,
            latency_seconds=attempt.seconds or None,  # who was refused was not asked
            compute_seconds=attempt.seconds or None,
        )
        if reply.text is not None:
            event.text = reply.text
        if request.plan.keeps_all:
            event.keep_probability = 1.0
        if attempt.error is not None:
            event.error = _kind(attempt.error)
        if attempt.first_chunk_seconds is not None:
            event.first_chunk_seconds = attempt.first_chunk_seconds
        if attempt.upstream_seconds:
            event.compute_seconds = max(attempt.seconds - attempt.upstream_seconds, 0.0)
            event.upstream_seconds = attempt.upstream_seconds
        if reply.scores is not None or reply.ranking is not None:
            add_details(event, {"scores": reply.scores, "ranking": reply.ranking})
        return event

    def _record_child(self, request: Request, inputs: Mapping[str, Value], attempt: Attempt, role: str) -> None:
        """Record a version's turn of which the caller got nothing, under what the caller got."""
        event = self._event(request, inputs, attempt, attempt.reply or _NOTHING, role)
        event.prediction_id, event.parent_id, event.key = self.recorder.new_id(), event.root_id, None
        if role == "shadow":
            event.assignment_probability = None
        self.recorder.record_event(event)
        self._record_calls(event, attempt.calls)

    def _record_calls(self, event: Prediction, calls: Sequence[Billed]) -> None:
        for n, call in enumerate(calls):
            self.recorder.call(event.prediction_id, **{"attempt": n + 1, **call})  # pyright: ignore[reportArgumentType] — fields of a Call


def _refuse_coroutine(version: str, result: object) -> None:
    if inspect.iscoroutine(result):
        result.close()
        msg = f"version {version} is asynchronous"
        raise UsageError(msg, hint="await endpoint.predict_async(...)")


def _own(inputs: Mapping[str, Value]) -> Mapping[str, Value]:
    """Return inputs that a version may change: who is asked after it gets them, and they are recorded, as they came."""
    return cast("dict[str, Value]", inputs).copy() if type(inputs) is dict else inputs


def _takes_many(version: Version) -> bool:
    """Return whether a version is asked for several rows at once; an endpoint is not, as each row has its own unit."""
    return not isinstance(version, Endpoint) and callable(getattr(version, "predict_many", None))


def _is_async(version: Version) -> bool:
    if isinstance(version, Endpoint):
        return True
    return inspect.iscoroutinefunction(version) or inspect.iscoroutinefunction(type(version).__call__)


def _kind(error: BaseException) -> str:
    """Return what errors are counted by: what the error calls its kind, else its class."""
    if isinstance(error, Refused):
        return error.message
    return str(getattr(error, "kind", "")) or type(error).__name__


_NOTHING = Reply()
_DRAWN = {"unit", "key"}  # what an event has already
