"""Features that a declaration's conditions name, but that nobody declared or recorded."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from setpoint.core.events import column_types
from setpoint.core.expression import parse
from setpoint.core.model import Model
from setpoint.declare.problems import did_you_mean
from setpoint.store.layout import Layout
from setpoint.store.snapshot import Snapshot


def unseen_features(layout: Layout | None, model: Model) -> tuple[str, ...]:
    """Return what cohorts and `keep_where` name for nothing, in words.

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


def _named(model: Model) -> Iterator[tuple[str, str, bool]]:
    """Yield where a name stands, the name, and whether it can be nothing but an input."""
    for cohort in model.cohorts:
        names = [cohort.by] if cohort.by else sorted(parse(cohort.where).columns())
        for name in names:
            yield f"cohort {cohort.name}", name.removeprefix("inputs."), name.startswith("inputs.")
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
