"""An endpoint: asks the version that the route plan says, and records what each answered and what it took.

Imports neither NumPy nor DuckDB: it runs inside the service that predicts.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias, Unpack, cast

from setpoint.core.errors import Refused, UsageError
from setpoint.core.events import STAGE
from setpoint.core.route_plan import arm_of
from setpoint.predictions.at_once import at_once, finished
from setpoint.predictions.batches import Batches
from setpoint.predictions.calls import known_usd
from setpoint.predictions.copies import Copies
from setpoint.predictions.details import BatchDetails, MoreDetails, RequestDetails, name_by_text, whose
from setpoint.predictions.forks import watch_forks
from setpoint.predictions.late import LateBills
from setpoint.predictions.recorder import Recorder
from setpoint.predictions.reply import Billed, Reply
from setpoint.predictions.request import Request
from setpoint.predictions.router import Router, note_unfollowed
from setpoint.predictions.rows import Value, column, rows_of
from setpoint.predictions.shadows import Shadows
from setpoint.predictions.streams import AsyncStream, Stream, Streams
from setpoint.predictions.turn_rows import TurnRows
from setpoint.predictions.turns import Attempt, Turns, billed
from setpoint.predictions.usual import Usual
from setpoint.predictions.versions import Version, Versions, close, close_async
from setpoint.store.layout import Layout

Ask: TypeAlias = Callable[[Request, str, Mapping[str, Value], float | None], Awaitable[Reply]]


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
        for name, version in versions.items():
            if not callable(version) and not hasattr(version, "predict"):
                msg = f"version {name} of {model} is {version!r:.40}, expected a function of the inputs, or an endpoint"
                raise UsageError(msg, hint='pass what answers: versions={"v1": predict}')
        self.recorder = recorder or Recorder(store, model)
        told = partial(note_unfollowed, self.recorder)
        self.router = Router(self.recorder.layout, model, versions, tell=told)
        self.shadows = Shadows()
        self._models = self._own_models(model, versions)
        self._accept = accept
        self._turns = Turns(versions, self._cost_usd, accept and self._is_accepted)
        self._rows = TurnRows(self.recorder, versions)
        self._late = LateBills(self.recorder, self._turns, self._rows.billed)
        self._versions = Versions(versions, is_score=is_score, late=self._late)
        self._copies = Copies(self._versions, self._turns, self._rows, self.recorder, self.shadows)
        self._ask = self._versions.ask
        self._usual = Usual(self.recorder, self.router, self._versions, self._turns, self._copies, self._of_one)
        self._batches, self._batches_async = self._both_batches()
        self._streams, self._streams_async = self._both_streams()
        watch_forks(self)

    def predict(
        self,
        inputs: Mapping[str, Value],
        *,
        unit: str | None = None,
        key: str | None = None,
        **details: Unpack[MoreDetails],
    ) -> Reply:
        """Return an answer, and record it.

        Args:
            inputs: Value by feature name.
            unit: What is randomised, such as a user: it always gets the same version. Without one each request is
                drawn on its own.
            key: The join key for outcomes.
            **details: See `RequestDetails`.

        Raises:
            Exception: What the version raised, when no other is left to ask.
            UsageError: The version is a coroutine function: use `predict_async`.
        """
        reply = self._usual.answer(inputs, unit, key, details)
        if reply is not None:
            return reply
        return finished(self._in_turns(self._request(whose(unit, key, details)), inputs, at_once(self._ask)))

    def _of_one(self, request: Request, inputs: Mapping[str, Value], read: Callable[[], Reply]) -> Reply:
        """Return what the one version that was asked gave, and record it; ask others when reading it raises."""
        try:
            reply = read()
        except BaseException as error:  # theirs: it is told to the turns
            return finished(self._in_turns(request, inputs, at_once(self._ask), error))
        seconds, upstream = time.perf_counter() - request.started, reply.upstream_seconds or 0.0
        return self._told(request, inputs, Attempt(request.arm.version, reply, None, seconds, upstream, reply.calls))

    async def predict_async(
        self,
        inputs: Mapping[str, Value],
        *,
        unit: str | None = None,
        key: str | None = None,
        **details: Unpack[MoreDetails],
    ) -> Reply:
        """Return an answer, and record it, as `predict`; a version that is no coroutine function runs in a thread."""
        return await self._in_turns(self._request(whose(unit, key, details)), inputs, self._versions.ask_async)

    async def _in_turns(
        self, request: Request, inputs: Mapping[str, Value], ask: Ask, failed: BaseException | None = None
    ) -> Reply:
        """Ask one version after another until one answers; the first is not asked when it is known how it failed."""
        route, version = request.plan.route, request.arm.version
        asking = self._turns.attempts(route, version, was_asked=failed is not None)
        try:
            version = next(asking)
            if failed is not None:
                version = asking.throw(failed)
            while True:
                try:
                    reply = await ask(request, version, inputs, route.limits.timeout_seconds)
                except Exception as error:  # theirs: it is told to the turns
                    version = asking.throw(error)
                else:
                    version = asking.send(reply)
        except StopIteration as stop:
            *stages, served = cast("list[Attempt]", stop.value)
            return self._told(request, inputs, served, stages)
        except BaseException as error:  # the process is to end, or the caller left: told, and no fault of the version
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
        return finished(self._batches.replies(self._requests(inputs, units, keys, details)))

    async def predict_many_async(
        self,
        inputs: Mapping[str, Iterable[Value]] | object,
        *,
        units: Iterable[str] | None = None,
        keys: Iterable[str] | None = None,
        **details: Unpack[BatchDetails],
    ) -> list[Reply]:
        """Return an answer for each row, and record them, as `predict_many`, which says what is taken and given.

        A version's `predict_many` may be a coroutine function; one that is none runs in a thread. Rows that are asked
        for alone are asked for one after another: to ask for many at once, gather what `predict_async` gives. When it
        is cancelled, rows that were not answered yet are not recorded.
        """
        return await self._batches_async.replies(self._requests(inputs, units, keys, details))

    def _requests(
        self,
        inputs: Mapping[str, Iterable[Value]] | object,
        units: Iterable[str] | None,
        keys: Iterable[str] | None,
        details: BatchDetails,
    ) -> Iterator[tuple[Request, Mapping[str, Value]]]:
        """Return a request for each row of a batch, made when it is its turn."""
        try:
            rows = list(rows_of(inputs))
            columns = zip(rows, column(units, len(rows)), column(keys, len(rows)), strict=True)
        except Exception as error:
            msg = f"not the rows of a batch: {error}"
            raise UsageError(msg, hint="pass columns of equal length, or a table") from error
        if not rows:
            self.recorder.record_many({}, **details)  # that a run came, and had none
        return (
            (self._request({**details, "unit": unit, "key": None if key is None else str(key)}), row)  # pyright: ignore[reportArgumentType] — a unit becomes text
            for row, unit, key in columns
        )

    def stream(
        self,
        inputs: Mapping[str, Value],
        *,
        unit: str | None = None,
        key: str | None = None,
        **details: Unpack[MoreDetails],
    ) -> Stream:
        """Return an answer in pieces, and record it at its end, whichever that is.

        A version gives pieces when it is a generator function, or has a method `stream` as an `Upstream` has; what
        it returns is the whole `Reply`. Any other is one piece. Before the first piece a route's fallback is asked
        as in `predict`; after it an error is raised, and what came is recorded with it. A route's timeout is how
        long each piece is waited for. Nothing is asked before the first piece is.

        Args:
            inputs: Value by feature name.
            unit: See `predict`.
            key: See `predict`.
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
        request = self._request(whose(unit, key, details))
        return Stream(request.prediction_id, self._streams.pieces(request, inputs))

    def stream_async(
        self,
        inputs: Mapping[str, Value],
        *,
        unit: str | None = None,
        key: str | None = None,
        **details: Unpack[MoreDetails],
    ) -> AsyncStream:
        """Return an answer in pieces to coroutines, and record it at its end, as `stream`.

        A version may also be an asynchronous generator function, or have one as its `stream`; its `Reply`, if it has
        one, is what it yields last. Pieces of one that is not asynchronous are waited for in a thread.

        Args:
            inputs: Value by feature name.
            unit: See `predict`.
            key: See `predict`.
            **details: See `predict`.

        Example:
            >>> import asyncio, tempfile
            >>> async def count(inputs):
            ...     for piece in ("one", " two"):
            ...         yield piece
            >>> endpoint = Endpoint(tempfile.mkdtemp() + "/store", "counter", {"v1": count})
            >>> async def answer():
            ...     return [piece async for piece in endpoint.stream_async({"to": 2})]
            >>> asyncio.run(answer())
            ['one', ' two']
            >>> endpoint.close()
            True
        """
        request = self._request(whose(unit, key, details))
        return AsyncStream(request.prediction_id, self._streams_async.pieces(request, inputs))

    def _both_batches(self) -> tuple[Batches, Batches]:
        """Return what answers batches in the caller's thread, and what does so for coroutines."""
        versions = self._versions
        made = partial(Batches, self._turns, versions.together, told=self._told)
        return (
            made(ask=at_once(versions.ask), ask_many=at_once(versions.ask_many)),
            made(ask=versions.ask_async, ask_many=versions.ask_many_async),
        )

    def _both_streams(self) -> tuple[Streams, Streams]:
        """Return the same of streams."""
        versions = self._versions
        made = partial(Streams, self._turns, told=self._told)
        return (
            made(
                begin=at_once(versions.begin),
                pull=at_once(versions.pull),
                close=at_once(close),
                ask=at_once(versions.ask),
            ),
            made(begin=versions.begin_async, pull=versions.pull_async, close=close_async, ask=versions.ask_async),
        )

    def _own_models(self, model: str, versions: Mapping[str, Version]) -> frozenset[tuple[Path, str]]:
        """Return the models that are recorded for a request, this one and those of endpoints behind it."""
        own = self.recorder.layout.root.resolve(), model
        inner_ones = [version._models for version in versions.values() if isinstance(version, Endpoint)]  # noqa: SLF001 — of this class
        inner = frozenset[tuple[Path, str]]().union(*inner_ones)
        if own in inner:
            msg = f"an endpoint of {model} with a version that asks {model}"
            raise UsageError(msg, hint="put the versions of one model behind one endpoint")
        return inner | {own}

    def _request(self, details: RequestDetails) -> Request:
        started, now = time.perf_counter(), self.recorder.now()
        name_by_text(details)
        plan, unit = self.router.plan(), details.get("unit")
        name = details.get("prediction_id") or self.recorder.spool.make_id(now)
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
        for one in (self.router, self._turns, self._versions, self._late, self.shadows, self._copies):
            one.forget_parent()

    def close(self, timeout: float = 10.0) -> bool:
        """Wait for what is under way in shadow, flush and seal; False when that could not be done in time."""
        is_done = self.shadows.wait(timeout)
        self._copies.tell_rest()
        self._late.tell_rest()
        return self.recorder.close() and is_done

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
            self._rows.record_served(request, inputs, served, reply, role)
            for stage in stages:
                self._rows.record_child(request, inputs, stage, STAGE)
            if request.plan.has_copies and served.error is None:
                drawn, name = request.drawn, request.prediction_id
                due = self._copies.due(request.plan, drawn, name, version, request.started)
                self._copies.send(request, inputs, due)
        except Exception as error:  # the answer is there: what goes wrong beside it is counted
            self.recorder.note_failure(error)
        if served.error is not None:
            errors = [one.error for one in (*stages, served) if one.error is not None]
            raise next((error for error in errors if not isinstance(error, Refused)), served.error)
        if stages or reply.calls is not served.calls:
            reply.calls = billed((*stages, served))
        return reply
