"""The loop: ship, close hours, run the checks up to now, write findings, decide, act and tell, each exactly once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import duckdb

from setpoint.control.alerts import FAILED_CHECKS, alerts_of, unseen
from setpoint.control.checks import CHECKS, Check
from setpoint.control.guardrails import act
from setpoint.control.incidents import REPORTED, Timeline, about_a_metric, update_incidents
from setpoint.control.noticed import Noticed, note, unnoted
from setpoint.control.paging import ONE_SECONDS, Send, deliver, tell, within
from setpoint.control.retraining import Train, failed_retrainings, give_up_lost
from setpoint.control.rollout_checks import paused_rollouts
from setpoint.control.rollouts import Moved, advance
from setpoint.control.runbooks import Ask, attach_results, run_runbook, runbook_for, runbooks_of
from setpoint.control.tightening import tighten
from setpoint.core.clock import DAY
from setpoint.core.decision import Recorded
from setpoint.core.errors import SetpointError, StoreBusy
from setpoint.core.finding import PAUSED_ROLLOUT, Finding
from setpoint.core.incident import Alert, Incident, IncidentEvent
from setpoint.core.model import Model
from setpoint.core.prices import PriceBook
from setpoint.core.retraining import FAILED_RETRAINING
from setpoint.core.route_plan import RoutePlan
from setpoint.core.window import Window
from setpoint.predictions.pricing import Repriced, reprice
from setpoint.store.evidence import Change, RowEvidence
from setpoint.store.findings import open_findings, read_findings, write_findings
from setpoint.store.heartbeat import Failing, Heartbeat, last_heartbeat, write_heartbeat
from setpoint.store.incidents import incidents_of
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout
from setpoint.store.messages import Message
from setpoint.store.refresh import refresh
from setpoint.store.retrainings import retrainings_of
from setpoint.store.shipper import LEASE as SHIPPING
from setpoint.store.shipper import Shipment, ship
from setpoint.store.snapshot import MANY_QUERIES
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
        incidents: Incidents that were opened, went on or were closed.
        told: Messages that were written.
        delivered: Messages that were tried, and what became of them.
        repriced: Model and what became of its calls that had no price, or cost another amount now.
        failing: Models that it could not look at, and why.
        unheard: Why the address of the heartbeat was not reached; empty when it was, or there is none.
    """

    shipment: Shipment | None = None
    buckets: int = 0
    findings: list[Finding] = field(default_factory=list[Finding])
    decided: list[Recorded] = field(default_factory=list[Recorded])
    noticed: list[tuple[str, Noticed]] = field(default_factory=list[tuple[str, Noticed]])
    tightened: list[RoutePlan] = field(default_factory=list[RoutePlan])
    moved: list[Moved] = field(default_factory=list[Moved])
    incidents: list[Timeline] = field(default_factory=list[Timeline])
    told: list[Message] = field(default_factory=list[Message])
    delivered: list[Message] = field(default_factory=list[Message])
    repriced: list[tuple[str, Repriced]] = field(default_factory=list[tuple[str, Repriced]])
    failing: dict[str, Failing] = field(default_factory=dict[str, Failing])
    unheard: str = ""


def tick(
    layout: Layout,
    *,
    checks: Mapping[str, Check] = CHECKS,
    send: Send | None = None,
    ask: Ask | None = None,
    train: Train | None = None,
    beat: Callable[[str], None] | None = None,
) -> Tick:
    """Run the loop once for every model of a store: sense, decide, act, tell.

    Run it as often as you like: twice, late or in parallel it leaves the same tables. A model that cannot be looked at
    does not keep the others from it; when it fails twice running, that is an incident.

    Args:
        layout: The store.
        checks: What to look for, by the kind of finding.
        send: Delivers messages to people; without it they wait.
        ask: Answers the questions that checks of runbooks ask.
        train: Starts retrainings that are due; without it they wait.
        beat: Asks the address of the heartbeat.

    Raises:
        StoreBusy: Another process runs the loop.
        StoreReadOnly: The store cannot be written.
    """
    done, begun = Tick(), time.monotonic()
    with layout.lease(LEASE):
        apart = _Apart(done, last_heartbeat(layout) or Heartbeat(), layout.clock.now())
        done.shipment = _ship(layout, apart)
        for name in layout.models():
            with apart.of(name):
                done.tightened += [plan] if (plan := tighten(layout, name)) else []
                done.moved += [moved] if (moved := _move(layout, name)) else []
        now = layout.clock.now()
        book = layout.price_book()
        seen = Seen()
        for name in layout.models():
            with apart.of(name):
                done.repriced += [(name, one) for one in _reprice(layout, name, book) if one.calls]
                give_up_lost(layout, name)
                _sense(layout, layout.model(name), checks, now, done, seen)
        for name, failing in done.failing.items():
            seen.alerts += unseen(name, failing, now)
        if train is not None:
            for one in retrainings_of(layout):
                with apart.of(one.model):
                    if one.state == "due":
                        train(one)
        done.incidents = update_incidents(layout, seen.alerts, seen.findings, seen.changes, now, unseen=done.failing)
        _run_checks(layout, apart, ask)
        done.told = tell(layout, incidents_of(layout), layout.contacts(), now)
        if send is not None:
            done.delivered = deliver(layout, send, now)
        write_heartbeat(layout, Heartbeat(time.time(), time.monotonic() - begun, done.failing))
        done.unheard = _beat(layout, beat) if beat is not None and not done.failing else ""
    if apart.mistake is not None:  # not hidden, only told later
        raise apart.mistake
    return done


@dataclass(slots=True)
class _Apart:
    """Keeps what goes wrong with one model from the others.

    Attributes:
        done: Told which models fail.
        before: Which did at the last tick.
        now: Microseconds.
        mistake: What is no fault of data, disk or declaration, but ours.
    """

    done: Tick
    before: Heartbeat
    now: int
    mistake: Exception | None = None

    @contextmanager
    def of(self, model: str) -> Generator[None]:
        """Note what goes wrong in this block, and go on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 — the other models are looked at whatever it is
            if not isinstance(error, SetpointError | OSError | duckdb.Error):
                self.mistake = error
            known = self.before.failing.get(model)
            self.done.failing[model] = Failing(known.since if known else self.now, _words(error))


def _ship(layout: Layout, apart: _Apart) -> Shipment | None:
    """Ship one model after another; None when another process ships."""
    shipped = Shipment()
    for name in layout.models():
        with apart.of(name):
            try:
                shipped.add(ship(layout, models=[name]))
            except StoreBusy:
                return None
    return shipped


def _beat(layout: Layout, beat: Callable[[str], None]) -> str:
    address = layout.contacts().heartbeat
    try:
        if address:
            within(ONE_SECONDS, address, lambda: beat(address))
    except SetpointError as error:
        return error.message
    return ""


def _words(error: Exception) -> str:
    first = str(error).splitlines()[0] if str(error) else ""
    return error.message if isinstance(error, SetpointError) else f"{type(error).__name__}: {first}"


def run(
    layout: Layout,
    *,
    send: Send | None = None,
    ask: Ask | None = None,
    train: Train | None = None,
    beat: Callable[[str], None] | None = None,
    every_seconds: float = 10.0,
    tick_seconds: float = 60.0,
    for_seconds: float | None = None,
    ended: threading.Event,
) -> Iterator[Tick]:
    """Run the loop again and again: rollouts are looked at often, all else at every tick.

    Several processes may run it: who holds the lease does the work, and another takes over as soon as that one ends.

    Args:
        layout: The store.
        send: Delivers messages to people.
        ask: Answers the questions that checks of runbooks ask.
        train: Starts retrainings that are due.
        beat: Asks the address of the heartbeat.
        every_seconds: Between two looks at rollouts.
        tick_seconds: Between two ticks.
        for_seconds: How long in all; None for good.
        ended: Set to end it.

    Yields:
        What each run did; nothing while another process does the work.
    """
    begun = time.monotonic()
    next_tick = begun
    while not ended.is_set() and (for_seconds is None or time.monotonic() - begun < for_seconds):
        is_tick = time.monotonic() >= next_tick
        try:
            yield tick(layout, send=send, ask=ask, train=train, beat=beat) if is_tick else look(layout, send=send)
        except StoreBusy:
            is_tick = False  # it is tried again at the next look
        if is_tick:
            next_tick = time.monotonic() + tick_seconds
        ended.wait(every_seconds)


def look(layout: Layout, *, send: Send | None = None) -> Tick:
    """Look at the rollouts that are under way, and deliver messages; what a tick does besides waits for the next one.

    Raises:
        StoreBusy: Another process runs the loop.
    """
    done = Tick()
    with layout.lease(LEASE):
        apart = _Apart(done, Heartbeat(), layout.clock.now())
        for name in layout.models():
            with apart.of(name):
                done.moved += [moved] if (moved := _move(layout, name)) else []
        if send is not None:
            done.delivered = deliver(layout, send, layout.clock.now())
    if apart.mistake is not None:
        raise apart.mistake
    return done


@dataclass(slots=True)
class Seen:
    """What is wrong in all models.

    Attributes:
        alerts: Of all models.
        findings: Those that are open, by their identifiers.
        changes: By model, what was changed in the last week.
    """

    alerts: list[Alert] = field(default_factory=list[Alert])
    findings: dict[str, Finding] = field(default_factory=dict[str, Finding])
    changes: dict[str, list[Change]] = field(default_factory=dict[str, list[Change]])


def _sense(layout: Layout, model: Model, checks: Mapping[str, Check], now: int, done: Tick, seen: Seen) -> None:
    """Run the checks on one model, act on its guardrails, and add what is wrong to what was seen."""
    name = model.name
    with (
        Summaries.reading(layout.summaries(name)) as summaries,
        closing(KeptEvidence(layout, model, now, now, summaries)) as evidence,
    ):
        evidence.held_bytes = MANY_QUERIES
        done.noticed += [(name, one) for one in _note_changes(layout, evidence)]
        episodes = [episode for check in checks.values() for episode in check(evidence, now)]
        seen.changes[name] = evidence.changes(Window(now - _LATELY, now + 1))
    episodes += paused_rollouts(layout, name) + failed_retrainings(layout, name)
    found = [finding for episode in episodes for finding in episode.findings(name, now)]
    done.findings += write_findings(layout, name, found, kinds={*checks, PAUSED_ROLLOUT, FAILED_RETRAINING}, now=now)
    open_now = open_findings(read_findings(layout, name))
    done.decided += act(layout, model, open_now)
    seen.alerts += alerts_of(model, open_now)
    seen.findings |= {one.finding_id: one for one in open_now}
    done.buckets += refresh(layout, model, now, notes=evidence.notes)


_LATELY = 7 * DAY


def _run_checks(layout: Layout, apart: _Apart, ask: Ask | None) -> None:
    """Run the runbook of each incident that was opened, or became more urgent, and has not had its checks since.

    That is mostly just now; or a crash came between.
    """
    told = {incident.incident_id: (incident, events) for incident, events in apart.done.incidents}
    for incident, events in incidents_of(layout):
        if events[-1].state.is_over or not _is_unchecked(incident, events):
            continue
        with apart.of(incident.models[0]):
            if checked := _check(layout, (incident, events), ask):
                told[incident.incident_id] = checked
    apart.done.incidents = list(told.values())


def _is_unchecked(incident: Incident, events: Sequence[IncidentEvent]) -> bool:
    """Return whether a runbook is to be run; what cannot be looked at cannot be checked, nor what a person saw."""
    kinds = (event.kind for event in reversed(events))
    last = next((kind for kind in kinds if kind in {"check", "verdict", "opened", "raised"}), "")
    return last in {"opened", "raised"} and incident.kind not in {FAILED_CHECKS, REPORTED}


def _check(layout: Layout, timeline: Timeline, ask: Ask | None) -> Timeline | None:
    incident = about_a_metric(layout, *timeline)
    runbook = runbook_for(incident, layout.model(incident.models[0]), runbooks_of(layout))
    if runbook is None:
        return None
    return attach_results(layout, timeline, runbook, *run_runbook(layout, incident, runbook, ask))


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
