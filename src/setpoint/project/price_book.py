"""The price book of a project: what it would change in the store, putting it in force, and what has no price."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from setpoint.answers.answer import Answer
from setpoint.answers.prices import price_check
from setpoint.core.clock import text
from setpoint.core.errors import StoreBusy, UsageError
from setpoint.core.prices import PriceBook
from setpoint.declare.price_list import PriceList, read_price_list
from setpoint.declare.prices import gaps
from setpoint.predictions.pricing import reprice
from setpoint.project.log import Log, open_log
from setpoint.store.engines.duck import rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot

PRICE = "price"
# A call may name a provider model without its provider.
_CALLED = "SELECT DISTINCT concat_ws('/', provider, provider_model) FROM calls WHERE provider_model IS NOT NULL"


@dataclass(frozen=True, slots=True)
class BookPlan:
    """What a project's prices would change.

    Attributes:
        book: The prices that are declared, or those in force when none are.
        changed: Provider models that are paid otherwise, each with the first time that differs; None: since ever.
        doubts: Where the book has gaps, in words.
        is_dropped: Whether prices are in force and declared no longer: they are kept.
        now: The store's time.
    """

    book: PriceBook
    changed: Mapping[str, int | None]
    doubts: tuple[str, ...] = ()
    is_dropped: bool = False
    now: int = 0

    @property
    def is_changed(self) -> bool:
        """Whether applying does something."""
        return bool(self.changed)

    @property
    def lines(self) -> list[str]:
        """What would change, in lines."""
        if self.is_dropped:
            return ["- prices  in force but declared no longer: kept"]
        lines = [f"~ prices: {self.text(name)}" for name in self.changed]
        return lines + [f"! prices: {doubt}" for doubt in self.doubts]

    def text(self, name: str) -> str:
        """Return what changes for one provider model, in words."""
        since = self.changed[name]
        start = "since ever" if since is None else f"from {text(since)} UTC on"
        past = ": calls made by now are priced anew" if since is None or since < self.now else ""
        return f"{name} is paid otherwise {start}{past}"


def planned_prices(layout: Layout | None, declared: PriceBook | None) -> BookPlan:
    """Compare a declared price book with the one in force."""
    before = PriceBook() if layout is None else layout.price_book()
    now = 0 if layout is None else layout.clock.now()
    if declared is None:
        return BookPlan(before, {}, is_dropped=bool(before.prices), now=now)
    return BookPlan(declared, declared.changed_from(before), tuple(gaps(declared)), now=now)


def price_changes(layout: Layout, plan: BookPlan) -> list[tuple[str, str, str, int, str]]:
    """Return the changes of price that concern each model, by what it calls: model, kind, subject, start and note."""
    found: list[tuple[str, str, str, int, str]] = []
    for model in layout.models() if plan.changed else ():
        with Snapshot(layout, model, tables=("calls",)) as snapshot:
            called = {str(name[0]) for name in rows(snapshot.connection, _CALLED)}
        found += [
            (model, PRICE, name, plan.now if since is None else since, plan.text(name))
            for name, since in plan.changed.items()
            if called & {name, name.partition("/")[2]}
        ]
    return found


def reprice_all(layout: Layout) -> list[str]:
    """Price what has no price yet, or another one now, in every model; what was done in words."""
    book = layout.price_book()
    try:
        done = [(model, one) for model in layout.models() for one in reprice(layout, model, book)]
    except StoreBusy:
        return ["another process ships: the next `setpoint tick` prices the calls anew"]
    return [f"{model}: {one.text}" for model, one in done if one.calls]


def check_prices(store: Path, model: str = "") -> Answer:
    """Return which calls in traffic have no price; of one model, or of all.

    Raises:
        UnknownModel: There is no such model.
    """
    with open_log(store) as log:
        return price_check(_evidences(log, [model] if model else log.models()), Layout.open(store).price_book(), model)


def import_prices(file: Path, *, since: int, only: Sequence[str] = ()) -> PriceList:
    """Read the file of a public price list; see `read_price_list`.

    Raises:
        UsageError: The file cannot be read, or is no such list.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file} cannot be read: {error}"
        raise UsageError(msg, hint="name a price list in the form of LiteLLM's") from error
    return read_price_list(text, since=since, only=only)


def _evidences(log: Log, models: Sequence[str]) -> Iterator[RowEvidence]:
    for name in models:
        with log.evidence(name) as evidence:
            yield evidence
