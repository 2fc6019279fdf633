"""What a project's declarations would change in its store, what that takes, and putting them in force."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from setpoint.control.limit_checks import Replay
from setpoint.control.loop import LEASE as TICKING
from setpoint.control.route_plans import fault, publish, restore
from setpoint.control.tightening import carried, tighter
from setpoint.core.contacts import Contacts
from setpoint.core.errors import DeclarationError, StoreBusy, StoreError, StoreMissing, UsageError
from setpoint.core.events import DECLARATION, SCHEDULE, Change
from setpoint.core.metric import counted
from setpoint.core.model import Model
from setpoint.core.rates import EVER, repriced
from setpoint.core.runbook import Runbook
from setpoint.core.window import Window
from setpoint.declare.load import load_project
from setpoint.predictions.recorder import spool_of
from setpoint.project.bands import with_edges
from setpoint.project.differences import FieldChange, differences
from setpoint.project.guardrails import watched
from setpoint.project.limits import limits_replayed
from setpoint.project.losses import lost_days
from setpoint.project.price_book import PRICE, BookPlan, planned_prices, price_changes, reprice_all
from setpoint.project.pricing import repricing_text, with_history
from setpoint.project.rollouts import beyond_already, moved_on, unwatched, without_help
from setpoint.project.storage import Storage, estimate
from setpoint.project.unseen import unseen_features, unseen_units
from setpoint.store.layout import Layout
from setpoint.store.retyping import Retyping, retype, survey
from setpoint.store.rollouts import active_rollout, refuse_second
from setpoint.store.route_file import last_plan
from setpoint.store.summaries import basis

CONFIG = "config"
_NOTED = 12


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """What would change for one model.

    Attributes:
        model: The declaration, or the one in force when it is declared no longer.
        is_new: Whether nothing is in force yet.
        is_dropped: Whether it is in force and declared no longer: it is kept.
        changes: Field by field; empty for a model that is new.
        storage: What it takes on disk; None for one that is declared no longer.
        lost: Local days (ISO) whose numbers go: their rows were let go, and their summaries become void.
        doubts: What the declaration names and nobody has seen, and where what is in force is tighter, in words.
        unfed: Guardrails and rollouts that would watch nothing, in words.
        cuts: Where numbers are cut into bands that are frozen now, in words.
        limits: How often each declared limit on drift would have alarmed on the reference.
        retypings: Inputs whose column gets another type, or of which rows come back from quarantine.
        voids: Whether kept summaries are made anew.
        repriced: When other prices are paid than are in force.
        route_fault: Why services cannot read the route in force; empty when they can.
        now: The store's time.
    """

    model: Model
    is_new: bool
    is_dropped: bool
    changes: tuple[FieldChange, ...]
    storage: Storage | None
    lost: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    unfed: tuple[str, ...] = ()
    cuts: tuple[str, ...] = ()
    limits: tuple[Replay, ...] = ()
    retypings: tuple[Retyping, ...] = ()
    voids: bool = False
    repriced: tuple[Window, ...] = ()
    route_fault: str = ""
    now: int = 0

    @property
    def is_changed(self) -> bool:
        """Whether applying does something."""
        is_changed = self.is_new or bool(self.changes) or bool(self.route_fault)
        return is_changed or bool(self.retypings) or bool(self.repriced)

    @property
    def lines(self) -> list[str]:
        """What would change for this model, in lines."""
        name = self.model.name
        if self.is_dropped:
            return [f"- {name}  in force but declared no longer: kept, with all its events"]
        lines = [f"+ model {name}"] if self.is_new else []
        lines += [f"~ {name}.{c.text}{'  (voids kept summaries)' if c.voids else ''}" for c in self.changes]
        lines += [f"~ {name}: {retyping.text}" for retyping in self.retypings]
        lines += [f"~ {name}: {repricing}" for repricing in self.repricings]
        lines += [f"~ {name}: the route is written again: {self.route_fault}"] if self.route_fault else []
        lines += [f"  {name}: {cut}" for cut in self.cuts]
        lines += [f"{'!' if limit.is_frequent else ' '} {name}: {limit.text}" for limit in self.limits]
        if self.voids:
            lines.append(f"  {name}: the next tick makes the summaries anew from rows")
        if self.lost:
            lines.append(f"! {name}: {self.lost_text}, so apply needs --lose-history")
        return lines + [f"! {name}: {doubt}" for doubt in (*self.unfed, *self.doubts)]

    @property
    def has_other_route(self) -> bool:
        """Whether another route comes into force."""
        is_other = self.is_new or any(change.key.split(".")[0] == "route" for change in self.changes)
        return self.model.route is not None and is_other

    @property
    def repricings(self) -> list[str]:
        """When other prices are paid, in words."""
        return [repricing_text(window, self.model.timezone, self.now) for window in self.repriced]

    @property
    def lost_text(self) -> str:
        """How many days are lost, and from when to when."""
        days = " to ".join(dict.fromkeys([*self.lost[:1], *self.lost[-1:]]))
        return f"rows of {counted(len(self.lost), 'day')} ({days}) were let go: their numbers go with the summaries"


@dataclass(frozen=True, slots=True)
class Plan:
    """What applying a project would do.

    Attributes:
        store: The store's folder.
        makes_store: Whether there is none yet.
        models: Each model that is declared or in force, by name.
        prices: The price book.
        contacts: Who is told; None when that stays as it is.
        runbooks: The project's own; None when they stay as they are.
        repriced: Once it is applied: which calls were priced anew, in words.
    """

    store: Path
    makes_store: bool
    models: tuple[ModelPlan, ...]
    prices: BookPlan
    contacts: Contacts | None = None
    runbooks: Mapping[str, Runbook] | None = None
    repriced: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether applying changes nothing."""
        is_changed = self.prices.is_changed or any(model.is_changed for model in self.models)
        return not self.makes_store and not is_changed and self.contacts is None and self.runbooks is None

    @property
    def is_live(self) -> bool:
        """Whether running services follow without starting again: nothing changes but routes."""
        if self.is_empty or self.makes_store or self.prices.is_changed:
            return False
        keys = [change.key for model in self.models for change in model.changes]
        others = any(
            one.is_new or one.retypings or one.repriced or (one.changes and one.model.route is None)
            for one in self.models
        )
        return not others and all(key.startswith("route.") for key in keys)

    def text(self, *, storage: bool = True) -> str:
        """Return the plan in lines, with or without what it takes on disk."""
        lines = [f"+ store {self.store}"] if self.makes_store else []
        for model in self.models:
            lines += model.lines
            if storage and model.storage is not None:
                lines += [f"  {model.model.name}: {line}" for line in model.storage.lines]
        if self.contacts is not None:
            lines.append(f"~ on_call: {', '.join([*self.contacts.people, *self.contacts.rotas]) or 'nobody'}")
            lines += [f"~ heartbeat: {self.contacts.heartbeat}"] if self.contacts.heartbeat else []
        if self.runbooks is not None:
            told = [f"{one.name} (version {one.version})" for one in self.runbooks.values()]
            lines.append(f"~ runbooks: {', '.join(told) or 'only those that are shipped'}")
        lines += [*self.prices.lines, *self.repriced]
        return "\n".join([*lines, "nothing to change"] if self.is_empty else lines)

    def check_history(self) -> None:
        """Refuse a plan that loses the numbers of days whose rows were let go.

        Raises:
            UsageError: A model has such days.
        """
        losing = [model for model in self.models if model.lost]
        if losing:
            keys = dict.fromkeys(change.key for model in losing for change in model.changes if change.voids)
            keys |= {
                f"features.{one.name}.kind": None for model in losing for one in model.retypings if one.changes_type
            }
            msg = "; ".join(f"{model.model.name}: {model.lost_text}" for model in losing)
            raise UsageError(msg, hint=f"leave {', '.join(keys)} as before, or apply with --lose-history")

    def check(self) -> None:
        """Refuse a plan that takes more room than declared, or watches what is not there.

        Raises:
            DeclarationError: One retention window of a model is larger than its `retention.size`, or a guardrail is on
                a metric that no data feeds, or a cohort that never occurs.
        """
        unfed = [f"{one.model.name}: {said}" for one in self.models for said in one.unfed]
        if unfed:
            raise DeclarationError("; ".join(unfed), hint="leave it out until there is something to watch")
        over = [model for model in self.models if model.storage is not None and model.storage.is_over]
        if not over:
            return
        parts = [f"{one.model.name}: {one.storage.lines[-1]}" for one in over if one.storage]
        msg = f"over the declared budget: {'; '.join(parts)}"
        raise DeclarationError(msg, hint="raise retention.size, or lower retention.age or keep")


def plan(folder: Path) -> Plan:
    """Compare a project's declarations with those in force.

    Args:
        folder: Where `setpoint.yaml` is.

    Raises:
        DeclarationError: A declaration does not hold.
        StoreFormatError: A newer version wrote the store.
    """
    project = load_project(folder)
    if "://" in project.store:
        msg = f"the store is at {project.store}"
        raise UsageError(msg, hint="plan and apply know stores in a folder only; set `store: ./store`")
    root = Path(project.store)
    try:
        layout = Layout.open(root)
    except StoreMissing:
        layout = None
    in_force = {name: model for name in (layout.models() if layout else ()) if (model := _in_force(layout, name))}
    found = [_planned(layout, model, in_force.get(name), project.contacts) for name, model in project.models.items()]
    dropped = [
        ModelPlan(model, is_new=False, is_dropped=True, changes=(), storage=None)
        for name, model in in_force.items()
        if name not in project.models
    ]
    models = tuple(sorted([*found, *dropped], key=lambda one: one.model.name))
    told = Contacts() if layout is None else layout.contacts()
    contacts = None if told == project.contacts else project.contacts
    kept = {} if layout is None else layout.runbooks()
    runbooks = None if kept == project.runbooks else project.runbooks
    return Plan(root, layout is None, models, planned_prices(layout, project.prices), contacts, runbooks)


def apply(folder: Path, *, lose_history: bool = False) -> Plan:
    """Put a project's declarations in force, make the store when it is missing, and record each change.

    Args:
        folder: Where `setpoint.yaml` is.
        lose_history: Whether the numbers of days whose rows were let go may be lost.

    Returns:
        What was done; empty when everything was in force already.

    Raises:
        DeclarationError: A declaration does not hold, or takes more room than it declares.
        UsageError: History would be lost, and nobody said that it may.
        StoreBusy: A column gets another type, and another process ships or ticks; or a route changes, and a rollout
            is under way.
        StoreReadOnly: The store cannot be written.
    """
    found = plan(folder)
    found.check()
    if not lose_history:
        found.check_history()
    if found.is_empty:
        return found
    layout = Layout.create(found.store)
    for one in found.models:
        if one.has_other_route:
            refuse_second(active_rollout(layout, one.model.name))
    _retype(layout, [one.model for one in found.models if one.retypings])
    changes = price_changes(layout, found.prices)
    if found.prices.is_changed:
        layout.put_prices(found.prices.book)
    if found.contacts is not None:
        layout.put_contacts(found.contacts)
    if found.runbooks is not None:
        layout.put_runbooks(found.runbooks)
    for one in found.models:
        if one.is_changed:
            _publish(layout, one)  # before it is declared: after a crash it is done again
            layout.declare(one.model)
            changes += [(one.model.name, *told) for told in _changes(one, layout.clock.now())]
    _record(layout, changes)
    return replace(found, repriced=tuple(reprice_all(layout))) if found.prices.is_changed else found


def _publish(layout: Layout, one: ModelPlan) -> None:
    if one.has_other_route and one.model.route is not None:
        before = last_plan(layout, one.model.name)
        route, generation = carried(one.model.route, before), before.generation if before else 0
        publish(layout, one.model.name, route, expected_generation=generation)
    elif one.route_fault:
        restore(layout, one.model.name)


def _record(layout: Layout, changes: Sequence[tuple[str, str, str, int, str]]) -> None:
    spool = spool_of(layout)
    for model, kind, subject, started_at, note in changes:
        now = layout.clock.now()
        change = Change(
            change_id=spool.make_id(now),
            kind=kind,
            subject=subject,
            started_at=started_at,
            recorded_at=now,
            note=note,
            author="setpoint apply",
        )
        spool.put(model, change)
    if not spool.flush():
        why = spool.last_error or "timed out"
        msg = f"the declarations are in force, but the change could not be recorded: {why}"
        raise StoreError(msg, hint="check the disk of the store")


def _changes(one: ModelPlan, now: int) -> list[tuple[str, str, int, str]]:
    """Return what applying a plan changes: kind, subject, start and note."""
    is_new = one.is_new and one.model.schedule is not None
    is_scheduled = is_new or any(change.key.startswith("schedule.") for change in one.changes)
    subjects = (DECLARATION, *([SCHEDULE] if is_scheduled else []))
    prices = "; ".join(change.text for change in one.changes if change.key.startswith("rates."))
    # A price that holds since ever is no change of price.
    starts = [window.start for window in one.repriced if window.start > EVER.start]
    return [
        *((CONFIG, subject, now, _note(one)) for subject in subjects),
        *((PRICE, "rates", start, prices) for start in starts),
    ]


def _retype(layout: Layout, models: Sequence[Model]) -> None:
    if not models:
        return
    try:
        with layout.lease(TICKING):
            for model in models:
                retype(layout, model)
    except StoreBusy as error:
        msg = "a column cannot get another type while another process ships or ticks"
        raise StoreBusy(msg, hint="run it again in a moment") from error


def _note(one: ModelPlan) -> str:
    every = [change.text for change in one.changes] + [retyping.text for retyping in one.retypings]
    every += one.repricings
    if one.is_new:
        every = ["declared for the first time", *every]
    said = every[:_NOTED]
    rest = len(every) - len(said)
    return "; ".join([*said, *([f"{rest} more"] if rest else [])])


def _in_force(layout: Layout | None, name: str) -> Model | None:
    """Return the declaration in force; a damaged one is said, not guessed."""
    try:
        return layout.declaration(name) if layout else None
    except msgspec.MsgspecError as error:
        msg = f"the declaration of {name} in force is damaged: {error}"
        raise StoreError(msg, hint=f"delete models/{name}.json in the store, then apply again") from error


def _strangers(contacts: Contacts, model: Model) -> Iterator[str]:
    """Yield whom an owner names and nobody is called: they would not be told."""
    owner = model.owner
    for key, name in (("on_call", owner.on_call), ("escalate_to", owner.escalate_to)) if owner else ():
        if name and not contacts.knows(name):
            yield f"owner.{key}: nobody is called {name}, so nobody is told: declare on_call in setpoint.yaml"


def _planned(layout: Layout | None, declared: Model, before: Model | None, contacts: Contacts) -> ModelPlan:
    now, seen = 0 if layout is None else layout.clock.now(), watched(layout, declared)
    model = with_history(declared, before, now)
    known = before or Model(declared.name)
    model, cuts = with_edges(layout, model, known)
    changes = () if before is None else tuple(differences(before, model))
    has_summaries = layout is not None and layout.summaries(model.name).exists()
    if not has_summaries:
        changes = tuple(replace(change, voids=False) for change in changes)
    retypings = () if layout is None else survey(layout, model)
    retypes = has_summaries and any(one.changes_type for one in retypings)
    # Another type of a column voids the states even when the declaration stays: as other features would.
    after = replace(model, features=()) if retypes and basis(known) == basis(model) else model
    return ModelPlan(
        model,
        before is None,
        is_dropped=False,
        changes=changes,
        storage=estimate(layout, model),
        lost=() if layout is None else lost_days(layout, known, after),
        doubts=(
            *unseen_features(layout, model),
            *unseen_units(layout, model),
            *_left_route(model, known),
            *_moved_on(layout, model),
            *without_help(layout, model),
            *beyond_already(layout, model),
            *_tighter(layout, model),
            *_strangers(contacts, model),
            *seen.doubts,
        ),
        unfed=(*seen.unfed, *unwatched(layout, model)),
        cuts=cuts,
        limits=limits_replayed(layout, model),
        retypings=retypings,
        voids=retypes or any(change.voids for change in changes),
        repriced=() if before is None else tuple(repriced(model.rates, before.rates)),
        route_fault="" if layout is None or model.route is None else fault(layout, model.name),
        now=now,
    )


def _left_route(model: Model, before: Model) -> Iterator[str]:
    if before.route is not None and model.route is None:
        yield "no route is declared any more, and the last one stays in force: declare `strategy: single` to end it"


def _moved_on(layout: Layout | None, model: Model) -> list[str]:
    said = "" if layout is None else moved_on(layout, model)
    return [f"route: {said}"] if said else []


def _tighter(layout: Layout | None, model: Model) -> list[str]:
    """Return how the route in force is tighter than the declared one, in words."""
    said = "" if layout is None else tighter(model.route, last_plan(layout, model.name))
    return [f"route.cascade: {said}"] if said else []
