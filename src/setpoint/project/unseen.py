"""What a declaration asks for and nobody can see: features that were never recorded, units of rows that are gone."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from setpoint.core.clock import text
from setpoint.core.events import column_types
from setpoint.core.expression import parse
from setpoint.core.model import Model
from setpoint.declare.problems import did_you_mean
from setpoint.store.evidence import LABELS
from setpoint.store.first_sight import knows_let_go_units, tells_new
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot
from setpoint.store.summaries import Summaries


def unseen_features(layout: Layout | None, model: Model) -> tuple[str, ...]:
    """Return what cohorts, limits and `keep_where` name for nothing, in words.

    A feature may be declared before it is first recorded, so this warns and refuses nothing. Where no
    feature is known at all there is nothing to compare with.

    Args:
        layout: The store; None when there is none yet.
        model: The declaration.
    """
    declared = {feature.name for feature in model.features}
    columns = column_types("predictions").keys()
    named = list(_named(model))
    if all(name in declared or (name in columns and not only_inputs) for _, name, only_inputs in named):
        return ()  # the usual case, without a look at the store
    known = declared if layout is None else declared | _recorded(layout, model.name)
    if not known:
        return ()
    return tuple(
        _said(where, name, known, columns, only_inputs=only_inputs)
        for where, name, only_inputs in named
        if name not in known and (name not in columns or only_inputs)
    )


def unseen_units(layout: Layout | None, model: Model) -> tuple[str, ...]:
    """Return why units may count as new that are not, in words."""
    if not tells_new(model):
        return ()
    said = ["units are known by rows that were kept, or have a key: keep is below 1"] if model.keep < 1 else []
    if layout is not None and not knows_let_go_units(layout, model.name):
        with Summaries.reading(layout.summaries(model.name)) as summaries:
            progress = summaries.progress() if summaries is not None else None
        if progress is not None and progress.let_go_before:
            day = text(progress.let_go_before, "UTC")
            said.append(f"the rows before {day} were let go: their units are new when they come again")
    names = ", ".join(cohort.name for cohort in model.cohorts if cohort.new_for is not None)
    return tuple(f"cohort {names}: {one}" for one in said)


def _named(model: Model) -> Iterator[tuple[str, str, bool]]:
    """Yield where a name stands, the name, and whether it can be nothing but an input."""
    for cohort in model.cohorts:
        names = [cohort.by] if cohort.by else sorted(parse(cohort.where).columns())
        for name in names:
            yield f"cohort {cohort.name}", name.removeprefix("inputs."), name.startswith("inputs.")
    for limit in model.drift_limits:
        if limit.feature and limit.feature not in LABELS.values():
            yield f"drift limit {limit.name}", limit.feature, True
    if model.keep_where:
        for name in sorted(parse(model.keep_where).columns()):
            yield "keep_where", name.removeprefix("inputs."), True  # the recorder has nothing else yet


def _recorded(layout: Layout, name: str) -> set[str]:
    with Snapshot(layout, name, tables=("predictions",)) as snapshot:
        return set(snapshot.columns)


def _said(where: str, name: str, known: Collection[str], columns: Collection[str], *, only_inputs: bool) -> str:
    said = f"{where}: no feature `{name}` is declared or was ever recorded"
    if name in columns:
        return f"{said}, and only features are read here"
    hint = did_you_mean(name, [*known, *([] if only_inputs else columns)])
    return f"{said}; {hint}" if hint else said
