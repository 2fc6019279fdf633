"""What a project's declarations would change in its store, what that takes, and putting them in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import cast

import msgspec

from setpoint.control.loop import LEASE as TICKING
from setpoint.core.clock import DAY, HOUR, MICROS, duration_text
from setpoint.core.errors import DeclarationError, StoreBusy, StoreError, StoreMissing, UsageError
from setpoint.core.events import DECLARATION, SCHEDULE, TABLES, Change
from setpoint.core.metric import counted
from setpoint.core.model import Expectation, Model
from setpoint.declare.load import load_project
from setpoint.declare.source import read_text
from setpoint.declare.write import size_spelling, to_yaml
from setpoint.feedback.expectation import lowers
from setpoint.predictions.recorder import spool_of
from setpoint.project.bands import with_edges
from setpoint.project.losses import lost_days
from setpoint.project.unseen import unseen_features, unseen_units
from setpoint.store.engines.duck import rows
from setpoint.store.evidence import bucket_seconds, horizon
from setpoint.store.lake import LakeTable
from setpoint.store.layout import Layout
from setpoint.store.measures import COHORT_VALUES, TRAFFIC
from setpoint.store.retyping import Retyping, retype, survey
from setpoint.store.snapshot import Snapshot
from setpoint.store.summaries import Kept, Summaries, basis

CONFIG = "config"
MONTH = 30 * DAY
_FIXED_BYTES, _NUMERIC_BYTES, _TEXT_BYTES = 80, 9, 4
# What a feature takes in the kept states: an hour of them, and a day of one value of a cohort.
_HOUR_BYTES, _DAY_BYTES = 1_000, 1_500
_FAR = 1 << 62
_FEWEST_ROWS = 1_000
_KEY_OF = {"expectations": "quality"}
_NOTED = 12
_UNSET = "not set"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One key of a declaration that would change.

    Attributes:
        key: Dotted, as in the YAML file.
        before: What is in force, in words.
        after: What is declared, in words.
        voids: Whether kept summaries depend on it, so that they are made anew.
    """

    key: str
    before: str
    after: str
    voids: bool = False

    @property
    def text(self) -> str:
        """The change in one line."""
        lower = ", lowers the bar" if self._lowers else ""
        return f"{self.key}: {self.before} -> {self.after}{lower}"

    @property
    def _lowers(self) -> bool:
        """Whether a bar of quality asks less than before."""
        _, _, end = self.key.rpartition(".")
        if end not in {"at_least", "at_most"} or self.before == _UNSET:
            return False
        least = end == "at_least"
        sides = [None if side == _UNSET else float(side) for side in (self.before, self.after)]
        before, after = (
            Expectation("", at_least=side if least else None, at_most=None if least else side) for side in sides
        )
        return lowers(before, after)


@dataclass(frozen=True, slots=True)
class Storage:
    """An estimate of what a model takes on disk.

    Attributes:
        bytes_per_prediction: With its outcome and calls.
        is_measured: Whether that comes from the lake, not from the declared features.
        rows_per_day: Predictions a day, before `keep`; None before any.
        seen: How long traffic was seen for, microseconds.
        keep: Share of the rows that is kept.
        summary_bytes_per_day: What the kept states take.
        window: How long rows must be kept: the retention's age, and never less than outcomes may take.
        budget: The declared size; None without one.
    """

    bytes_per_prediction: float
    is_measured: bool
    rows_per_day: float | None
    seen: int
    keep: float
    summary_bytes_per_day: float
    window: int
    budget: int | None

    def bytes_of(self, length: int) -> float:
        """Return the bytes of a stretch of time."""
        daily = (self.rows_per_day or 0.0) * self.keep * self.bytes_per_prediction
        return (daily + self.summary_bytes_per_day) * length / DAY

    @property
    def is_over(self) -> bool:
        """Whether one window takes more than the declared size."""
        return self.budget is not None and self.bytes_of(self.window) > self.budget

    @property
    def lines(self) -> list[str]:
        """The estimate in words."""
        source = "measured in the lake" if self.is_measured else "an estimate from the declared features"
        first = f"storage: about {counted(self.bytes_per_prediction, 'byte')} a prediction ({source})"
        if self.rows_per_day is None:
            traffic = "no traffic was seen yet: rows a day are unknown"
        else:
            kept = f", {self.keep:g} of them kept" if self.keep < 1.0 else ""
            over = f" (seen over {duration_text(self.seen)})" if self.seen < DAY else ""
            traffic = f"{counted(self.rows_per_day, 'prediction')} a day{over}{kept}"
        summaries = f"summaries {_size(self.summary_bytes_per_day)} a day"
        what = " without the rows" if self.rows_per_day is None else ""
        month = f"about {_size(self.bytes_of(MONTH))} a month{what}"
        found = [first, f"storage: {traffic}; {summaries}; {month}"]
        if self.budget is not None:
            said = f"{_size(self.bytes_of(self.window))} in {duration_text(self.window)}"
            found.append(f"storage: {said} of {size_spelling(self.budget)} declared in retention.size")
        return found


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
        doubts: What the declaration names and nobody has seen, in words.
        cuts: Where numbers are cut into bands that are frozen now, in words.
        retypings: Inputs whose column gets another type, or of which rows come back from quarantine.
        voids: Whether kept summaries are made anew.
    """

    model: Model
    is_new: bool
    is_dropped: bool
    changes: tuple[FieldChange, ...]
    storage: Storage | None
    lost: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    cuts: tuple[str, ...] = ()
    retypings: tuple[Retyping, ...] = ()
    voids: bool = False

    @property
    def is_changed(self) -> bool:
        """Whether applying does something."""
        return self.is_new or bool(self.changes) or bool(self.retypings)

    @property
    def lines(self) -> list[str]:
        """What would change for this model, in lines."""
        name = self.model.name
        if self.is_dropped:
            return [f"- {name}  in force but declared no longer: kept, with all its events"]
        lines = [f"+ model {name}"] if self.is_new else []
        lines += [f"~ {name}.{c.text}{'  (voids kept summaries)' if c.voids else ''}" for c in self.changes]
        lines += [f"~ {name}: {retyping.text}" for retyping in self.retypings]
        lines += [f"  {name}: {cut}" for cut in self.cuts]
        if self.voids:
            lines.append(f"  {name}: the next tick makes the summaries anew from rows")
        if self.lost:
            lines.append(f"! {name}: {self.lost_text}, so apply needs --lose-history")
        return lines + [f"! {name}: {doubt}" for doubt in self.doubts]

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
    """

    store: Path
    makes_store: bool
    models: tuple[ModelPlan, ...]

    @property
    def is_empty(self) -> bool:
        """Whether applying changes nothing."""
        return not self.makes_store and not any(model.is_changed for model in self.models)

    def text(self, *, storage: bool = True) -> str:
        """Return the plan in lines, with or without what it takes on disk."""
        lines = [f"+ store {self.store}"] if self.makes_store else []
        for model in self.models:
            lines += model.lines
            if storage and model.storage is not None:
                lines += [f"  {model.model.name}: {line}" for line in model.storage.lines]
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
        """Refuse a plan that takes more room than declared.

        Raises:
            DeclarationError: One retention window of a model is larger than its `retention.size`.
        """
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
    found = [_planned(layout, model, in_force.get(name)) for name, model in project.models.items()]
    dropped = [
        ModelPlan(model, is_new=False, is_dropped=True, changes=(), storage=None)
        for name, model in in_force.items()
        if name not in project.models
    ]
    return Plan(root, layout is None, tuple(sorted([*found, *dropped], key=lambda one: one.model.name)))


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
        StoreBusy: A column gets another type, and another process ships or ticks.
        StoreReadOnly: The store cannot be written.
    """
    found = plan(folder)
    found.check()
    if not lose_history:
        found.check_history()
    if found.is_empty:
        return found
    layout = Layout.create(found.store)
    _retype(layout, [one.model for one in found.models if one.retypings])
    spool = spool_of(layout)
    for one in found.models:
        if not one.is_changed:
            continue
        layout.declare(one.model)
        now = layout.clock.now()
        is_new = one.is_new and one.model.schedule is not None
        is_scheduled = is_new or any(change.key.startswith("schedule.") for change in one.changes)
        for subject in (DECLARATION, *([SCHEDULE] if is_scheduled else [])):
            change = Change(
                change_id=spool.make_id(now),
                kind=CONFIG,
                subject=subject,
                started_at=now,
                recorded_at=now,
                note=_note(one),
                author="setpoint apply",
            )
            spool.put(one.model.name, change)
    if not spool.flush():
        why = spool.last_error or "timed out"
        msg = f"the declarations are in force, but the change could not be recorded: {why}"
        raise StoreError(msg, hint="check the disk of the store")
    return found


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


def _planned(layout: Layout | None, model: Model, before: Model | None) -> ModelPlan:
    known = before or Model(model.name)
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
        doubts=(*unseen_features(layout, model), *unseen_units(layout, model)),
        cuts=cuts,
        retypings=retypings,
        voids=retypes or any(change.voids for change in changes),
    )


def differences(before: Model, after: Model) -> list[FieldChange]:
    """Return the keys in which two declarations of a model differ, as the YAML file spells them.

    Example:
        >>> [change.text for change in differences(Model("a", keep=0.5), Model("a", positive="late"))]
        ['keep: 0.5 -> not set', 'positive: not set -> late']
    """
    if before == after:
        return []
    voiding = {
        _KEY_OF.get(field.name, field.name)
        for field in fields(Model)
        if basis(replace(before, **{field.name: getattr(after, field.name)})) != basis(before)
    }
    old, new = _flat(before), _flat(after)
    return [
        FieldChange(key, old.get(key, _UNSET), new.get(key, _UNSET), _voids(key, voiding))
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]


def _voids(key: str, voiding: set[str]) -> bool:
    return key.split(".", maxsplit=1)[0] in voiding and not (key.startswith("features.") and not key.endswith(".kind"))


def _flat(model: Model) -> dict[str, str]:
    """Return a declaration as words by dotted key; keys at their default are left out."""
    found = {f"features.{feature.name}": "declared" for feature in model.features}
    _flatten(read_text(to_yaml(model, {}), model.name).data, "", found)
    return found


def _flatten(value: object, at: str, found: dict[str, str]) -> None:
    if isinstance(value, dict):
        for key, part in cast("Mapping[str, object]", value).items():
            _flatten(part, f"{at}.{key}" if at else key, found)
    elif isinstance(value, list):
        for part in cast("list[object]", value):
            if isinstance(part, (int, float)):
                found[at] = f"{found[at]}, {part:g}" if at in found else f"{part:g}"
                continue
            named = cast("dict[str, object]", part) if isinstance(part, dict) else {"name": part}
            _flatten({k: v for k, v in named.items() if k != "name"} or "declared", f"{at}.{named['name']}", found)
    else:
        found[at] = "true" if value is True else "false" if value is False else str(value)


def estimate(layout: Layout | None, model: Model) -> Storage:
    """Return what a model takes on disk: from its lake when that has rows, else from its features."""
    per_row = _FIXED_BYTES + sum(
        _NUMERIC_BYTES if feature.kind in {"numeric", "integer", None} else _TEXT_BYTES for feature in model.features
    )
    measured = _measured_bytes(layout, model.name) if layout else None
    per_day, seen = _rows_per_day(layout, model.name) if layout else (None, 0)
    buckets = 86_400 // bucket_seconds(model.timezone)
    values = 2 + sum(COHORT_VALUES if cohort.by else 2 for cohort in model.cohorts)  # a version and an endpoint
    kept = _measured_summaries(layout, model.name) if layout else None
    return Storage(
        bytes_per_prediction=per_row if measured is None else measured,
        is_measured=measured is not None,
        rows_per_day=per_day,
        seen=seen,
        keep=model.keep,
        summary_bytes_per_day=(
            float(len(model.features) * (buckets * _HOUR_BYTES + values * _DAY_BYTES)) if kept is None else kept
        ),
        window=max(model.retention.age or 0, horizon(model)),
        budget=model.retention.size_bytes,
    )


def _measured_bytes(layout: Layout, name: str) -> float | None:
    """Return the bytes a row of the lake takes in all tables; None below a thousand, where overhead rules."""
    files = {table: LakeTable(layout.lake(name, table)).files() for table in TABLES}
    if not files["predictions"]:
        return None
    with Snapshot(layout, name, tables=("predictions",)) as snapshot:
        count = cast("int", rows(snapshot.connection, "SELECT count(ship) FROM predictions")[0][0])
    if count < _FEWEST_ROWS:
        return None
    return sum(Path(file).stat().st_size for listed in files.values() for file in listed) / count


def _measured_summaries(layout: Layout, name: str) -> float | None:
    """Return the bytes that a day of kept states takes; None before there is one."""
    path = layout.summaries(name)
    with Summaries.reading(path) as summaries:
        days = 0 if summaries is None else len(summaries.starts(Kept(TRAFFIC), "day", 0, _FAR))
    return path.stat().st_size / days if days else None


def _rows_per_day(layout: Layout, name: str) -> tuple[float | None, int]:
    """Return the requests a day that were seen, and how long they were seen for."""
    with Snapshot(layout, name, tables=("tallies",)) as snapshot:
        sql = "SELECT sum(requests), min(epoch_us(bucket_at)), max(epoch_us(bucket_at)) FROM tallies WHERE requests > 0"
        total, first, last = cast("tuple[float | None, int, int]", rows(snapshot.connection, sql)[0])
    if not total:
        return None, 0
    seen = max(last - first + 900 * MICROS, HOUR)
    return float(total) * DAY / seen, seen


def _size(size: float) -> str:
    for name, unit in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size:.0f} B"
