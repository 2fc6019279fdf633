"""All models of a log in one answer: their status, worst first, and their inventory."""

from __future__ import annotations

from collections.abc import Iterator

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.answers.inventory import QUIET_DAYS, inventory
from setpoint.answers.objectives import objectives
from setpoint.core.errors import SetpointError
from setpoint.core.metric import counted
from setpoint.core.verdict import Verdict, worst
from setpoint.project.log import Log
from setpoint.store.evidence import RowEvidence

COLUMNS = ("model", "verdict", "headline")
_ORDER = list(Verdict)


def overview(log: Log, *, as_of: str | int | None = None) -> Answer:
    """Return the status of every model, worst first; the verdict is the worst.

    Args:
        log: An open log.
        as_of: Answer as if it were this time.
    """
    found = [_status(log, name, as_of) for name in log.models()]
    found.sort(key=lambda one: (-_ORDER.index(one.verdict), one.model))
    verdict = worst([one.verdict for one in found])
    unknown = [one for one in found if one.verdict is Verdict.UNKNOWN]
    rows: list[tuple[Cell, ...]] = [(one.model, one.verdict.value, one.headline) for one in found]
    lines: list[tuple[str, ...]] = [(_mark(one), one.model, _without_name(one)) for one in found]
    zones = {one.zone for one in found}
    return Answer(
        question="status",
        model="",
        verdict=verdict,
        headline=_headline(found),
        because=(),
        unknowns=() if found else ("the store has no model yet",),
        as_of=max((one.as_of for one in found), default=0),
        zone=zones.pop() if len(zones) == 1 else "UTC",
        tables=(Table("models", COLUMNS, rows, ("", "model", "status"), lines),),
        is_silent=bool(unknown) and all(one.is_silent for one in unknown),
    )


def models_answer(log: Log, *, debt: bool = False, days: int = QUIET_DAYS, as_of: str | int | None = None) -> Answer:
    """Return the inventory of a log's models.

    Args:
        log: An open log.
        debt: Only what is missing, with what to do about it.
        days: After how many days without a prediction or an outcome a model counts as quiet.
        as_of: Answer as if it were this time.
    """
    return inventory(_evidences(log, as_of), debt=debt, days=days)


def objectives_answer(log: Log, model: str = "", *, as_of: str | int | None = None) -> Answer:
    """Return how much of each error budget is left.

    Args:
        log: An open log.
        model: Only of this one.
        as_of: Answer as if it were this time.
    """
    return objectives(_evidences(log, as_of, model))


def _evidences(log: Log, as_of: str | int | None, model: str = "") -> Iterator[RowEvidence]:
    """Open one model after the other, so that a thousand of them need no thousand files."""
    for name in [model] if model else log.models():
        with log.evidence(name, as_of) as evidence:
            yield evidence


def _status(log: Log, name: str, as_of: str | int | None) -> Answer:
    """Return a model's status; one that cannot be read must not hide the others."""
    try:
        return log.status(name, as_of=as_of)
    except SetpointError as error:
        said = f"{name}: cannot be read: {error.message}"
        return Answer("status", name, Verdict.UNKNOWN, said, (), (error.hint,), 0, "UTC", ())


def _mark(answer: Answer) -> str:
    return answer.mark


def _without_name(answer: Answer) -> str:
    return answer.headline.removeprefix(f"{answer.model}: ")


def _headline(found: list[Answer]) -> str:
    if not found:
        return "no model yet"
    counts = [(verdict, sum(one.verdict is verdict for one in found)) for verdict in reversed(Verdict)]
    told = ", ".join(f"{count} {verdict.value}" for verdict, count in counts if count)
    return f"{counted(len(found), 'model')}: {told}"
