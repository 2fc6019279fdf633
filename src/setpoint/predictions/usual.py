"""The usual request, written out: one version that is a function answers it, with a plain value.

All of it is said elsewhere too, for requests of every kind: in `Endpoint`, `Versions` and `TurnRows`. But this is what
services wait for, and a third of their time went into calling those. A test holds the rows of both ways against each
other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from typing import Any, NoReturn

from setpoint.core.events import Prediction
from setpoint.predictions.copies import Copies
from setpoint.predictions.details import MoreDetails, whose
from setpoint.predictions.recorder import Recorder
from setpoint.predictions.reply import PLAIN, Reply
from setpoint.predictions.request import Request
from setpoint.predictions.router import Router
from setpoint.predictions.turn_rows import add_request
from setpoint.predictions.turns import Turns
from setpoint.predictions.versions import Inputs, Versions


class Usual:
    """Answers requests that are usual.

    Args:
        recorder: Takes the rows.
        router: Knows the plan.
        versions: Who is asked.
        turns: Knows whether anything stands against one.
        copies: Sent to versions in shadow.
        go_on: Told of a request whose version gave anything else, and how to read that: it raises what the version did.
    """

    def __init__(
        self,
        recorder: Recorder,
        router: Router,
        versions: Versions,
        turns: Turns,
        copies: Copies,
        go_on: Callable[[Request, Inputs, Callable[[], Reply]], Reply],
    ) -> None:
        self._recorder, self._router = recorder, router
        self._now, self._put = recorder.now, recorder.spool.put
        self._versions, self._functions, self._is_score = versions, versions.functions, versions.is_score
        self._gates, self._copies, self._go_on = turns.gates, copies, go_on

    def answer(  # noqa: C901 — written out on purpose
        self, inputs: Inputs, unit: str | None, key: str | None, details: MoreDetails
    ) -> Reply | None:
        """Return the answer to a request, recorded; None when it is not usual, and nobody was asked."""
        started, router, recorder = perf_counter(), self._router, self._recorder
        plan = router.known if started < router.look_at else router.plan()
        given: object = inputs
        if not plan.is_plain or (type(given) is not dict and not isinstance(given, Mapping)):  # pyright: ignore[reportUnnecessaryIsInstance] — a caller's word for it
            return None
        at, name = self._now(), details.get("prediction_id")
        if not ((unit is None or type(unit) is str) and (name is None or type(name) is str)):
            return None
        name = name or recorder.spool.make_id(at)
        drawn = name if unit is None else unit
        arm = plan.draw(drawn)
        version = arm.version
        function = self._functions.get(version)
        if function is None or self._gates[version].failures:
            return None
        result: Any = None
        failed: BaseException | None = None
        own = inputs  # a copy for the version is made as `Versions` does
        try:
            result = function(own.copy() if type(own) is dict else own)  # pyright: ignore[reportUnknownArgumentType]
        except BaseException as error:  # theirs: others may be asked
            failed = error
        if failed is not None or type(result) not in PLAIN:
            read = partial(self._versions.read, version, result) if failed is None else partial(_raise, failed)
            request = Request(plan, name, unit, drawn, whose(unit, key, details), arm, at, started)
            return self._go_on(request, inputs, read)
        prediction, score = result, None
        if self._is_score and type(prediction) is not str:
            prediction, score = None, float(prediction)
        seconds = perf_counter() - started
        try:
            event = Prediction(  # of more than 15 keywords Python makes a dictionary first: twice as long in all
                prediction_id=name,
                root_id=name,
                key=key,
                unit=unit,
                predicted_at=at,
                recorded_at=at,
                version=version,
                endpoint=recorder.endpoint,
                role=arm.role,
                assignment_probability=arm.share,
                inputs=dict(inputs),  # pyright: ignore[reportArgumentType] — as the writer takes them
                prediction=prediction,
                score=score,
                latency_seconds=seconds,
                compute_seconds=seconds,
            )
            if plan.keeps_all:
                event.keep_probability = 1.0
            if details:
                add_request(recorder, event, unit, details)
            if recorder.takes_rows_as_they_are:
                self._put(recorder.model, event)
            else:
                recorder.record_event(event)
            if plan.has_copies and (due := self._copies.due(plan, drawn, name, version, started)):
                request = Request(plan, name, unit, drawn, whose(unit, key, details), arm, at, started)
                self._copies.send(request, inputs, due)
        except Exception as error:  # the answer is there: what goes wrong beside it is counted
            recorder.note_failure(error)
        return Reply(prediction, score, version=version, prediction_id=name, latency_seconds=seconds)


def _raise(error: BaseException) -> NoReturn:
    raise error
