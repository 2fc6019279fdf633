"""Admits events to their tables: counts them, and makes sure that each row can be written and read back.

Nothing odd is lost: a row that cannot stand in its table goes to the quarantine with the reason, and
a number that is not finite is spelled out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from types import NoneType
from typing import cast

from setpoint.core.events import TABLE_OF, Event, InputValue, Outcome, Prediction, Unkept
from setpoint.core.model import Model, Task
from setpoint.core.spelling import class_name, outcome_words
from setpoint.store.counting import Counting, has_parts
from setpoint.store.kinds import Misfit, cast_value, declared_types
from setpoint.store.runs import RUN_ROWS, Run, run_of
from setpoint.store.shapes import (
    REDACTED,
    SPELLED,
    TEXT_LIMIT,
    Shape,
    Types,
    clean,
    column_type,
    fits,
    is_plain,
    name_fault,
    no_numbers,
    scalar,
    spell_out,
)

Item = tuple[str, Event, bool]
"""The model of an event, the event, and whether its row is kept."""
Batches = dict[str, list[Event]]


class Known:
    """The columns that a table is known to have: the types seen so far.

    Attributes:
        fixed: Types of the columns that the data decides.
        inputs: Types of the inputs.
        have_changed: Whether some came since this was last asked: the header of a segment names them.
    """

    def __init__(self) -> None:
        self.fixed: Types = {}
        self.inputs: Types = {}
        self.have_changed = False


class Admission:
    """Admits the events of one model in this process, and knows the types of its rows."""

    def __init__(self, declared: Model, counting: Counting, quarantined: Callable[[str, Event, str], Event]) -> None:
        """Start with what is declared.

        Args:
            declared: The declaration.
            counting: Where predictions are counted.
            quarantined: Makes of a table, an event and a reason the event that is put aside.
        """
        self.counting = counting
        self._quarantined = quarantined
        self._columns: dict[str, Known] = {}
        self._shapes: dict[object, Shape] = {}
        self._standing: dict[tuple[object, ...], bool] = {}
        self._integers = frozenset(f.name for f in declared.features if f.kind == "integer")
        # A bad first value must not decide: a declared number is one from the first row on.
        self._declared = declared_types(declared)
        self._kept_texts = frozenset(f.name for f in declared.features if f.policy == "keep")
        self._keeps_all_texts = declared.free_text == "keep"
        self._task = declared.task

    def columns(self, table: str) -> Known:
        """Return the columns that a table is known to have."""
        return self._columns.setdefault(table, Known())

    def admit(self, items: list[Item]) -> tuple[Batches, int]:
        """Count events and make them encodable; return them by table, and how many could not be recorded."""
        batches: Batches = {}
        failed = 0
        for run, is_kept in _runs(items):
            if not self._admit_run(run, batches, is_kept=is_kept):
                failed += self._admit_each(run, batches, is_kept=is_kept)
        return batches, failed

    def _admit_run(self, events: list[Event], batches: Batches, *, is_kept: bool) -> bool:
        """Admit events that look alike at once; False, with nothing done, when they are to be looked at one by one."""
        try:
            is_run = type(events[0]) is Prediction and not any(map(has_parts, cast("list[Prediction]", events)))
            run = run_of(cast("list[Prediction]", events)) if is_run else None
        except Exception:  # an odd value may raise anything: one by one, its row alone is put aside
            run = None
        if (
            run is None
            or self._must_spell(run)
            or (is_kept and not self._stands(run, cast("list[Prediction]", events)))
        ):
            return False
        self.counting.count_run(run, kept=is_kept)
        if is_kept:
            batches.setdefault("predictions", []).extend(events)
        else:
            _leave(cast("list[Prediction]", events), batches)
        return True

    def _must_spell(self, run: Run) -> bool:
        """Return whether answers are classes that are not texts yet."""
        return self._task is Task.MULTICLASS and not run.answers <= {str, NoneType}

    def _stands(self, run: Run, events: list[Prediction]) -> bool:
        """Return whether rows of a run can stand in the table as they are."""
        key = (*run.types.items(), run.answers)
        found = self._standing.get(key)
        if found is None:
            if len(self._standing) >= _SHAPES_LIMIT:
                self._standing.clear()
            is_declared = all(fits(kind, self._declared.get(name)) for name, kind in run.types.items())
            answers = [event.prediction for event in events if type(event.prediction) in run.answers]
            kinds = {_value_type(answer) for answer in answers}
            found = is_declared and not name_fault(tuple(run.types))
            found = found and not any(self._fit("predictions", {"prediction": kind}, run.types) for kind in kinds)
            self._standing[key] = found
        return found and not (self._integers and any(self._fraction(event.inputs or {}) for event in events))

    def _admit_each(self, events: list[Event], batches: Batches, *, is_kept: bool) -> int:
        failed = 0
        for event in events:
            try:
                self._admit(event, batches, is_kept=is_kept)
            except Exception as error:  # one bad event must not take the thread or its neighbours down
                failed += 1
                aside = self._quarantined(TABLE_OF[type(event)], event, f"it cannot be recorded: {error}")
                batches.setdefault("quarantine", []).append(aside)
        return failed

    def _admit(self, event: Event, batches: Batches, *, is_kept: bool) -> None:
        """Count an event, make it encodable and put it to the batch of its table."""
        reason = ""
        if isinstance(event, Prediction):
            reason = self._admit_prediction(event, is_kept=is_kept)
            if not is_kept:
                _leave([event], batches)
                return
        elif isinstance(event, Outcome):
            told = outcome_words(event.outcome) if self._task.in_words else event.outcome
            event.outcome = cast("float | str | None", scalar(told))
            event.value_usd = cast("float | None", scalar(event.value_usd))
            reason = self._fit("outcomes", {"outcome": _value_type(event.outcome)}, {})
        table = TABLE_OF[type(event)]
        if reason:
            event = self._quarantined(table, event, reason)
            table = "quarantine"
        batches.setdefault(table, []).append(event)

    def _admit_prediction(self, event: Prediction, *, is_kept: bool) -> str:
        inputs = event.inputs or {}
        key = (*inputs, *map(type, inputs.values()))
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) >= _SHAPES_LIMIT:
                self._shapes.clear()
            shape = self._shapes[key] = Shape(inputs)
            shape.casts = tuple(n for n, kind in shape.types.items() if not fits(kind, self._declared.get(n)))
            shape.types.update({name: self._declared[name] for name in shape.casts})
        odd = "" if is_plain(event) else spell_out(event)
        if self._task is Task.MULTICLASS and event.prediction is not None:
            event.prediction = class_name(event.prediction)
        if type(event.prediction) is str and len(event.prediction) > TEXT_LIMIT and not self._keeps_all_texts:
            event.prediction = REDACTED
        is_ready = shape.is_ready(inputs)
        missing = shape.missing if is_ready else (*shape.missing, *no_numbers(inputs))
        self.counting.count(event, missing, kept=is_kept)
        if not is_kept or shape.fault or odd:
            return shape.fault or odd
        if not is_ready:
            inputs = event.inputs = clean(inputs, frozenset(inputs) if self._keeps_all_texts else self._kept_texts)
        if shape.casts:
            inputs = event.inputs = dict(inputs)
            reason = self._cast(inputs, shape.casts)
            if reason:
                return reason
        prediction = event.prediction
        kind = float if prediction in SPELLED else type(prediction)
        found = shape.verdicts.get(kind)
        if found is None:
            found = self._fit("predictions", {"prediction": _value_type(prediction)}, shape.types)
            shape.verdicts[kind] = found
        return found or (self._fraction(inputs) if self._integers else "")

    def _cast(self, inputs: dict[str, InputValue], names: tuple[str, ...]) -> str:
        """Make values what they are declared to be; return why one cannot be."""
        for name in names:
            try:
                inputs[name] = cast_value(inputs[name], self._declared[name])
            except Misfit:
                holds = _WORDS[str(column_type(type(inputs[name])))]
                return f"inputs.{name} is {_WORDS[self._declared[name]]} and this row holds {holds}"
        return ""

    def _fraction(self, inputs: Mapping[str, InputValue]) -> str:
        for name in self._integers:
            value = inputs.get(name)
            if isinstance(value, float) and not (math.isfinite(value) and value.is_integer()):
                return f"inputs.{name} is declared integer and holds {value!r}"
            if value in {"Infinity", "-Infinity"} or (isinstance(value, int | float) and abs(value) > _WHOLE_LIMIT):
                return f"inputs.{name} is declared integer and {value} is too large for one"
        return ""

    def _fit(self, table: str, types: Types, inputs: Types) -> str:
        """Return why rows of some types cannot stand in the table; widen its columns when they can."""
        known = self.columns(table)
        spelled = {name.lower(): name for name in known.inputs}
        for name in inputs:
            if spelled.get(name.lower(), name) != name:
                return f"inputs.{name} differs from {spelled[name.lower()]} only in upper and lower case"
        for column, kind in {**types, **{f"inputs.{name}": kind for name, kind in inputs.items()}}.items():
            name = column.removeprefix("inputs.")
            have = known.fixed.get(column) if column in types else known.inputs.get(name) or self._declared.get(name)
            if not fits(kind, have):
                return f"{column} is {_WORDS[str(have)]} and this row holds {_WORDS[str(kind)]}"
        if _widen(known.fixed, types, frozenset()) | _widen(known.inputs, inputs, self._integers):
            known.have_changed = True
        return ""


def _runs(events: list[Item]) -> Iterator[tuple[list[Event], bool]]:
    """Yield events of one kind, kept or not, that may look alike: those of two versions never do."""
    kinds: dict[tuple[type, bool, tuple[str | None, str | None] | None], list[Event]] = {}
    for _, event, is_kept in events:
        whose = (event.version, event.role) if type(event) is Prediction else None
        try:
            kinds.setdefault((type(event), is_kept, whose), []).append(event)
        except TypeError:  # an odd version, which is put aside for that
            kinds.setdefault((type(event), is_kept, None), []).append(event)
    for (_, is_kept, _), alike in kinds.items():
        for start in range(0, len(alike), RUN_ROWS):
            yield alike[start : start + RUN_ROWS], is_kept


def _leave(events: list[Prediction], batches: Batches) -> None:
    """Note what is left of rows that are not kept."""
    left = [Unkept.of(e) for e in events if e.key is not None or e.parent_id is not None or e.role == "shadow"]
    if left:
        batches.setdefault("unkept", []).extend(left)


_WHOLE_LIMIT = (1 << 63) - 1
_SHAPES_LIMIT = 4096
_WORDS = {
    "DOUBLE": "a number",
    "BIGINT": "a whole number",
    "VARCHAR": "text",
    "BOOLEAN": "true or false",
    "None": "null",
}


def _value_type(value: object) -> str | None:
    """Return the column type of a prediction or an outcome: true and false are 1 and 0."""
    kind = column_type(type(value))
    return "DOUBLE" if kind == "BOOLEAN" or value in SPELLED else kind


def _widen(columns: Types, found: Types, integers: frozenset[str]) -> bool:
    """Add columns and types seen for the first time; return whether any were."""
    changed = False
    for name, kind in found.items():
        if columns.get(name) is None and kind is not None:
            columns[name] = "BIGINT" if name in integers and kind == "DOUBLE" else kind
            changed = True
    return changed
