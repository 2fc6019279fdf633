"""Copies of requests for versions in shadow: sent beside the request, recorded under it, counted where none fits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from functools import partial

import msgspec

from setpoint.core.route_plan import RoutePlan, copies_of
from setpoint.predictions.recorder import Recorder
from setpoint.predictions.request import Request
from setpoint.predictions.shadows import Shadows
from setpoint.predictions.turn_rows import TurnRows
from setpoint.predictions.turns import Attempt, Turns
from setpoint.predictions.versions import Inputs, Versions
from setpoint.store.exits import ask_before_end

_TELL_SECONDS = 5.0


class Copies:
    """Sends copies of requests to versions in shadow.

    Args:
        versions: Who is asked.
        turns: Knows their caps.
        rows: Where it is recorded what they answered.
        recorder: Told how many copies were not sent.
        shadows: Where they run.
    """

    def __init__(self, versions: Versions, turns: Turns, rows: TurnRows, recorder: Recorder, shadows: Shadows) -> None:
        self._versions, self._turns, self._rows = versions, turns, rows
        self._recorder, self._shadows = recorder, shadows
        self._tell_at = 0.0
        ask_before_end(self)
        self.forget_parent()

    def forget_parent(self) -> None:
        """Start afresh in a forked child: what was not sent is the parent's to tell."""
        self._unsent: dict[str, int] = {}
        self._counting = threading.RLock()  # a signal that ends the process may come while it is held

    def due(self, plan: RoutePlan, drawn: str, name: str, served: str, now: float) -> list[str]:
        """Return the versions that take a copy of a request now, and count it for those that should and do not.

        Asked first: for a shadow that hangs nothing is put together or copied. All callers wait for this, so it calls
        little.

        Args:
            plan: The plan that the request is answered by.
            drawn: What its buckets are drawn by.
            name: Under which it is recorded.
            served: The version that answered it.
            now: The time, by the performance counter.
        """
        found: list[str] = []
        for version in plan.copied_always or copies_of(plan, drawn, name, served):
            if version == served:
                continue
            if self._shadows.of(version).has_room(now):
                found.append(version)
            else:
                self._count_unsent(version)
        if self._unsent and now >= self._tell_at:
            self.tell_rest()
        return found

    def send(self, request: Request, inputs: Inputs, due: Sequence[str]) -> None:
        """Send a request to versions that take a copy."""
        for version in due:
            if not self._shadows.of(version).submit(partial(self._ask, version, dict(inputs), request)):
                self._count_unsent(version)

    def tell_rest(self) -> None:
        """Count the copies that found the queue full, a cap reached or the version dead, a few seconds' at once."""
        self._tell_at = time.perf_counter() + _TELL_SECONDS
        with self._counting:
            unsent, self._unsent = self._unsent, {}
        for version, count in unsent.items():
            self._recorder.note_unsent(version, count)

    def _count_unsent(self, version: str) -> None:
        with self._counting:
            self._unsent[version] = self._unsent.get(version, 0) + 1

    def _ask(self, version: str, inputs: Inputs, request: Request) -> None:
        """Ask a version, within its caps, and record what it answered or why it did not."""
        limits = request.plan.route.limits
        if not self._turns.admits_copy(version, limits):
            self._count_unsent(version)
            return
        request = msgspec.structs.replace(request, billed_to=self._recorder.new_id())  # a late bill is the copy's own
        found, started, seconds = Attempt(version), time.perf_counter(), limits.timeout_seconds
        try:
            found.reply = (
                asyncio.run(self._versions.ask_async(request, version, inputs, seconds))
                if self._versions.is_async(version)
                else self._versions.ask(request, version, inputs, seconds)
            )
            found.note(found.reply)
        except BaseException as error:  # theirs: it is what a shadow is there to show
            found.error = error
            found.note(error)
        finally:
            self._turns.end_copy(version, limits, found.calls)
        self._shadows.of(version).note(failed=found.error is not None)
        found.seconds = time.perf_counter() - started
        self._rows.record_child(request, inputs, found, "shadow")
