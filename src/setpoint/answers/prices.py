"""Which calls have no price, and why?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.core.clock import text
from setpoint.core.metric import counted
from setpoint.core.prices import STANDARD, PriceBook
from setpoint.core.verdict import Verdict
from setpoint.predictions.pricing import recorded_calls
from setpoint.store.engines.duck import rows
from setpoint.store.evidence import RowEvidence

UNPRICED_COLUMNS = (
    "model",
    "provider",
    "provider_model",
    "tier",
    "calls",
    "first_called_at",
    "last_called_at",
    "unknown",
)
_PENDING = "the price book has a price since: `setpoint tick` adds it"


@dataclass(slots=True)
class _Unpriced:
    calls: int
    first_at: int
    last_at: int


def price_check(evidences: Iterable[RowEvidence], book: PriceBook, model: str = "") -> Answer:
    """Return the calls that have no price, by provider model, tier and reason; a breach when there are some.

    Args:
        evidences: The models' rows.
        book: The price book in force.
        model: The model that was asked for; empty for all.
    """
    found: dict[tuple[str, ...], _Unpriced] = {}
    total, as_of = 0, 0
    for evidence in evidences:
        as_of = max(as_of, evidence.as_of)
        total += int(str(rows(evidence.connection, "SELECT count(*) FROM calls")[0][0]))
        for call in recorded_calls(evidence.connection, "cost_nano_usd IS NULL"):
            why = book.cost(call).unknown or _PENDING
            named = (call.provider or "", call.provider_model or "", call.tier or STANDARD)
            group = found.setdefault((evidence.model.name, *named, why), _Unpriced(0, call.called_at, call.called_at))
            group.calls += 1
            group.first_at = min(group.first_at, call.called_at)
            group.last_at = max(group.last_at, call.called_at)
    groups = sorted(found.items(), key=lambda one: (-one[1].calls, one[0]))
    missing = sum(group.calls for group in found.values())
    cells: list[tuple[Cell, ...]] = [
        (*key[:4], group.calls, _time(group.first_at), _time(group.last_at), key[4]) for key, group in groups
    ]
    lines: list[tuple[str, ...]] = [(key[0], f"{group.calls:,}", text(group.first_at), key[4]) for key, group in groups]
    return Answer(
        question="price check",
        model=model,
        verdict=Verdict.BREACH if missing else Verdict.OK,
        headline=_headline(missing, total),
        because=(f"{counted(len(book.prices), 'price')} in force",),
        unknowns=(),
        as_of=as_of,
        zone="UTC",
        tables=(Table("unpriced", UNPRICED_COLUMNS, cells, ("model", "calls", "since (UTC)", "why"), lines),),
    )


def _headline(missing: int, total: int) -> str:
    if not total:
        return "no call was recorded: none lacks a price"
    if not missing:
        return f"every call has a price: {total:,}"
    return f"{missing:,} of {counted(total, 'call')} have no price: what they cost is unknown"


def _time(at: int) -> str:
    return f"{text(at)}Z"
