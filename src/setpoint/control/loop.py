"""The loop: ship, close hours, run the checks up to now, write findings exactly once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field

from setpoint.control.checks import CHECKS, Check
from setpoint.control.guardrails import act
from setpoint.control.noticed import Noticed, note, unnoted
from setpoint.control.rollouts import Moved, advance
from setpoint.control.tightening import tighten
from setpoint.core.decision import Recorded
from setpoint.core.errors import StoreBusy
from setpoint.core.finding import Finding
from setpoint.core.prices import PriceBook
from setpoint.core.route_plan import RoutePlan
from setpoint.predictions.pricing import Repriced, reprice
from setpoint.store.evidence import RowEvidence
from setpoint.store.findings import open_findings, read_findings, write_findings
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout
from setpoint.store.refresh import refresh
from setpoint.store.shipper import LEASE as SHIPPING
from setpoint.store.shipper import Shipment, ship
from setpoint.store.summaries import Summaries

LEASE = "tick"


@dataclass(slots=True)
class Tick:
    """What one run of the loop did.

    Attributes:
        shipment: What was shipped; None when another process ships.
        buckets: Hours that were closed or recomputed.
        findings: Rows that were added to the findings.
        decided: What was decided about guardrails that are crossed.
        noticed: Model and what was new in its traffic, and is now a change.
        tightened: Plans that were published since a cascade lost more than it may.
        moved: What became of each rollout that is under way.
        repriced: Model and what became of its calls that had no price, or cost another amount now.
    """

    shipment: Shipment | None = None
    buckets: int = 0
    findings: list[Finding] = field(default_factory=list[Finding])
    decided: list[Recorded] = field(default_factory=list[Recorded])
    noticed: list[tuple[str, Noticed]] = field(default_factory=list[tuple[str, Noticed]])
    tightened: list[RoutePlan] = field(default_factory=list[RoutePlan])
    moved: list[Moved] = field(default_factory=list[Moved])
    repriced: list[tuple[str, Repriced]] = field(default_factory=list[tuple[str, Repriced]])


def tick(layout: Layout, *, checks: Mapping[str, Check] = CHECKS) -> Tick:
    """Run the loop once for every model of a store.

    Run it as often as you like: twice, late or in parallel it leaves the same tables.

    Args:
        layout: The store.
        checks: What to look for, by the kind of finding.

    Raises:
        StoreBusy: Another process runs the loop.
        StoreReadOnly: The store cannot be written.
    """
    done = Tick()
    with layout.lease(LEASE):
        try:
            done.shipment = ship(layout)
        except StoreBusy:
            done.shipment = None
        done.tightened = [plan for name in layout.models() if (plan := tighten(layout, name))]
        done.moved = [moved for name in layout.models() if (moved := _move(layout, name))]
        now = layout.clock.now()
        book = layout.price_book()
        for name in layout.models():
            model = layout.model(name)
            done.repriced += [(name, one) for one in _reprice(layout, name, book) if one.calls]
            with (
                Summaries.reading(layout.summaries(name)) as summaries,
                closing(KeptEvidence(layout, model, now, now, summaries)) as evidence,
            ):
                done.noticed += [(name, one) for one in _note_changes(layout, evidence)]
                found = [
                    finding
                    for check in checks.values()
                    for episode in check(evidence, now)
                    for finding in episode.findings(name, now)
                ]
            done.findings += write_findings(layout, name, found, kinds=checks.keys(), now=now)
            done.decided += act(layout, model, open_findings(read_findings(layout, name)))
            done.buckets += refresh(layout, model, now, notes=evidence.notes)
    return done


def _move(layout: Layout, model: str) -> Moved | None:
    try:
        return advance(layout, model)
    except StoreBusy:  # somebody moves it at this moment: the next tick looks again
        return None


def _reprice(layout: Layout, model: str, book: PriceBook) -> list[Repriced]:
    try:
        return reprice(layout, model, book)
    except StoreBusy:  # as with new versions: the next tick does it
        return []


def _note_changes(layout: Layout, evidence: RowEvidence) -> list[Noticed]:
    """Write a change for each version, provider's model and prompt in traffic that none names yet."""
    noticed = unnoted(evidence)
    if not noticed:
        return []
    try:
        with layout.lease(SHIPPING):
            note(layout, evidence, noticed)
    except StoreBusy:  # whoever ships would write into the same table: the next tick notes them
        return []
    return noticed
