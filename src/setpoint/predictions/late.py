"""What is billed for answers that nobody waits for any more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import cast

from setpoint.predictions.recorder import Recorder
from setpoint.predictions.reply import Billed, readable
from setpoint.predictions.turns import Turns, tells_no_bill
from setpoint.store.exits import ask_before_end


class LateBills:
    """Records the calls of answers, or of errors, that came too late; they count for the version's cap.

    What never comes, as it was cancelled or the process ends before, is a call of unknown cost, if the version is one
    that is billed.

    Args:
        recorder: Whose predictions they are.
        turns: Whose caps they count for.
        billed: The versions that are known to be billed, by now.
    """

    def __init__(self, recorder: Recorder, turns: Turns, billed: Collection[str]) -> None:
        self._recorder, self._turns, self._billed = recorder, turns, billed
        ask_before_end(self)
        self.forget_parent()

    def forget_parent(self) -> None:
        """Start afresh in a forked child: what is under way is the parent's."""
        self._due: dict[Future[object], tuple[Sequence[str], str]] = {}

    def expect(self, rows: Sequence[str], version: str, found: Future[object], end: Callable[[], None]) -> None:
        """Wait for what a version gives.

        Args:
            rows: The predictions that it is asked for; of several, it gives a list.
            version: Who was asked.
            found: What it gives, at the end.
            end: Tells it that no more is wanted, should it have given a piece.
        """
        self._due[found] = rows, version
        found.add_done_callback(partial(self._came, end))

    def lose(self, rows: Sequence[str], version: str) -> None:
        """Record that nobody will know what a version was billed, if it is at all."""
        for row in rows if version in self._billed else ():
            self._recorder.call(row, error="timeout")

    def tell_rest(self) -> None:
        """Wait no longer for what is still under way."""
        for found in [*self._due]:
            if (due := self._due.pop(found, None)) is not None:
                self.lose(*due)

    def _came(self, end: Callable[[], None], found: Future[object]) -> None:
        rows, version = self._due.pop(found, ((), ""))
        if not rows:  # it was given up
            return
        try:
            told = found.exception() or found.result()
            if isinstance(told, str | Iterator | AsyncIterator):  # a piece of an answer, or the promise of some
                told = _ended(end if isinstance(told, str) else getattr(cast("object", told), "close", end))
                if told is None:
                    self.lose(rows, version)
            answers = cast("Sequence[object]", told) if isinstance(told, list) else [told]
            for row, answer in zip(rows, answers, strict=False):
                self._record(row, version, readable(getattr(answer, "calls", ())))
                if tells_no_bill(answer):
                    self.lose([row], version)
        except Exception as error:  # the request is long over: what goes wrong here is counted
            self._recorder.note_failure(error)

    def _record(self, row: str, version: str, calls: Sequence[Billed]) -> None:
        if calls:
            self._turns.spend(version, calls)
        for call in calls:
            self._recorder.call(row, **{**call, "error": call.get("error") or "timeout"})  # pyright: ignore[reportArgumentType] — fields of a Call


def _ended(end: Callable[[], None]) -> Exception | None:
    """Tell a version that no more of its answer is wanted; return what it raises for that, with what is billed."""
    try:
        end()
    except Exception as error:  # theirs
        return error
    return None
