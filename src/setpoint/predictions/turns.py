"""Whose turn it is in a request: the version that is to answer, a cascade's next one, one to fall back to."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TypeVar, cast

import msgspec

from setpoint.core.errors import Refused, SetpointError
from setpoint.core.route_plan import Cascade, Limits, Route
from setpoint.predictions.gate import IN, Gate, RetryBudget
from setpoint.predictions.reply import Billed, Reply, readable

Done = TypeVar("Done")
Asking = Generator[str, Reply, Done]
"""Yields the version to ask, and is sent its reply or thrown its error: the same for calls and for coroutines."""


class Attempt(msgspec.Struct):
    """One version's turn in a request.

    Attributes:
        version: Who.
        reply: What it answered; None when it could not.
        error: Why not.
        seconds: How long that took, all tries together.
        upstream_seconds: How much of it was waited for another server, as far as that was told.
        calls: What providers billed for it, failed tries too.
        first_chunk_seconds: When the first piece of its answer came, since the request did; None without pieces.
        untold: The kinds of errors that said nothing of a bill: of a version that is billed, nobody knows what.
    """

    version: str
    reply: Reply | None = None
    error: BaseException | None = None
    seconds: float = 0.0
    upstream_seconds: float = 0.0
    calls: Sequence[Billed] = ()
    first_chunk_seconds: float | None = None
    untold: Sequence[str] = ()

    def note(self, told: object) -> Sequence[Billed]:
        """Add what a reply or an error says that a try took; return what it was billed."""
        billed = readable(getattr(told, "calls", ()))
        self.calls = (*self.calls, *billed)
        if tells_no_bill(told):
            self.untold = (*self.untold, kind_of(cast("Exception", told)))
        self.upstream_seconds += getattr(told, "upstream_seconds", None) or 0.0
        return billed


def tells_no_bill(told: object) -> bool:
    """Return whether it is an error of a version's own that does not say what was billed all the same, by `calls`."""
    return isinstance(told, Exception) and not isinstance(told, SetpointError) and not hasattr(told, "calls")


def kind_of(error: BaseException) -> str:
    """Return what errors are counted by: what the error calls its kind, else its class."""
    if isinstance(error, Refused):
        return error.message
    return str(getattr(error, "kind", "")) or type(error).__name__


def billed(attempts: Iterable[Attempt]) -> list[Billed]:
    """Return what providers billed for a request, whoever answered it."""
    return [call for one in attempts for call in one.calls]


class Turns:
    """Gives the turns of the requests of one process.

    Attributes:
        gates: Of each version, whether it may be asked.

    Args:
        versions: All that may be asked.
        cost_usd: What calls cost together, as far as that is known.
        accept: Whether a cascade takes a cheap answer; by its confidence when None.
    """

    def __init__(
        self,
        versions: Iterable[str],
        cost_usd: Callable[[Sequence[Billed]], float],
        accept: Callable[[Reply], bool] | None = None,
    ) -> None:
        self.gates = {name: Gate() for name in versions}
        self._budget = RetryBudget()
        self._cost_usd = cost_usd
        self._accept = accept

    def forget_parent(self) -> None:
        """Start afresh in a forked child."""
        for gate in self.gates.values():
            gate.forget_parent()

    def spend(self, version: str, calls: Sequence[Billed]) -> None:
        """Count what a version was billed for after its turn had ended."""
        self.gates[version].spend(self._cost_usd(calls))

    def admits_copy(self, version: str, limits: Limits) -> bool:
        """Let a copy for a version in shadow in, unless a cap is reached."""
        return self.gates[version].admits_copy(limits)

    def end_copy(self, version: str, limits: Limits, calls: Sequence[Billed]) -> None:
        """Say that a copy has ended, and what it was billed."""
        self.gates[version].end_copy(limits, self._cost_usd(calls) if calls else 0.0)

    def attempts(self, route: Route, version: str, *, was_asked: bool = False) -> Asking[list[Attempt]]:
        """Ask one version after another until one answers.

        Args:
            route: Of the plan in force when the request came.
            version: The one that is to answer.
            was_asked: Whether it was let in and asked already: what came of that is told at once.

        Returns:
            Every version's turn, the one whose answer or error the caller gets last.
        """
        self._budget.earn(route.limits.retry_ratio)
        if route.cascade is None:
            found = [(yield from self._turn(version, route.limits, was_asked=was_asked))]
        else:
            found = yield from self._cascaded(route.cascade, route.limits)
        for fallback in route.fallback:
            if found[-1].reply is not None:
                break
            if all(fallback != one.version for one in found):
                found.append((yield from self._turn(fallback, route.limits)))
        return found

    def _cascaded(self, cascade: Cascade, limits: Limits) -> Asking[list[Attempt]]:
        if cascade.threshold is None:
            expensive = yield from self._turn(cascade.expensive, limits)
            return (
                [expensive]
                if expensive.reply is not None
                else [expensive, (yield from self._turn(cascade.cheap, limits))]
            )
        cheap = yield from self._turn(cascade.cheap, limits)
        if cheap.reply is not None and self._is_accepted(cheap.reply, cascade):
            return [cheap]
        expensive = yield from self._turn(cascade.expensive, limits)
        # A cheap answer of which nobody is sure is better than none.
        return [cheap, expensive] if expensive.reply is not None or cheap.reply is None else [expensive, cheap]

    def _is_accepted(self, reply: Reply, cascade: Cascade) -> bool:
        sureness, threshold = reply.sureness, cascade.threshold
        is_sure = sureness is not None and threshold is not None and sureness >= threshold
        if self._accept is None:
            return is_sure
        # A function of the user's stands in for the declared threshold, not for one that a lost promise raised.
        return (is_sure or cascade.tightening is None) and bool(self._accept(reply))

    def _turn(self, version: str, limits: Limits, *, was_asked: bool = False) -> Asking[Attempt]:
        """Ask a version, again while that may help."""
        gate, found = self.gates[version], Attempt(version)
        for n in range(limits.attempts):
            if n and not self._budget.take():
                break
            entry = IN if was_asked and not n else gate.enter(limits)
            if entry.refused:
                found.error = found.error or Refused(
                    entry.refused, hint="declare a fallback, or raise the limit of the route"
                )
                break
            started, billed, failed = time.perf_counter(), cast("Sequence[Billed]", ()), cast("bool | None", None)
            try:
                found.reply, found.error = (yield version), None
                billed, failed = found.note(found.reply), False
            except Exception as error:  # theirs: told once every way out is tried
                found.error, billed, failed = error, found.note(error), True
            finally:  # also when the caller is interrupted: who was let in must leave
                found.seconds += time.perf_counter() - started
                gate.leave(limits, entry, failed=failed, usd=self._cost_usd(billed) if billed else 0.0)
            if found.reply is not None:
                break
        return found
