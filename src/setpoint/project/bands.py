"""Where a number is cut into bands of about as many rows: once, from the reference, and then not again."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

from setpoint.core.errors import UsageError
from setpoint.core.model import Cohort, Model
from setpoint.core.window import Window
from setpoint.project.tables import table
from setpoint.store.engines.duck import rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.layout import Layout
from setpoint.store.matching import windowed
from setpoint.store.snapshot import Snapshot


def with_edges(layout: Layout | None, model: Model, before: Model) -> tuple[Model, tuple[str, ...]]:
    """Return a model whose quantile bands have their edges, and what was decided about them in words.

    Edges in force stay as long as the cohort is declared as before: a band is the same rows for good.

    Args:
        layout: The store; None when there is none yet.
        model: The declaration.
        before: What is in force.
    """
    known = {replace(one, edges=()): one for one in before.cohorts if one.quantiles}
    model = replace(model, cohorts=tuple(one if one.edges else known.get(one, one) for one in model.cohorts))
    if layout is None:
        return model, tuple(f"cohort {one.name}: apply again when there are rows to cut it by" for one in _open(model))
    if not _open(model):
        return model, ()
    try:
        with _reference(layout, model) as evidence:
            cut = with_edges_of(evidence, model)
    except UsageError as error:
        return model, tuple(f"cohort {one.name}: its edges cannot be found: {error.message}" for one in _open(model))
    found = {one.name: one for one in cut.cohorts}
    return cut, tuple(_said(found[one.name]) for one in _open(model))


def with_edges_of(evidence: RowEvidence, model: Model) -> Model:
    """Return a model whose quantile bands are cut by the rows of its reference window; by all without one."""
    window = None
    if evidence.is_timed and model.reference and not model.reference_file:
        window = Window.parse(model.reference, now=evidence.as_of, zone=model.timezone)
    cut = (replace(one, edges=_edges(evidence, one, window)) if one in _open(model) else one for one in model.cohorts)
    return replace(model, cohorts=tuple(cut))


def _open(model: Model) -> list[Cohort]:
    return [one for one in model.cohorts if one.quantiles and not one.edges]


def _edges(evidence: RowEvidence, cohort: Cohort, window: Window | None) -> tuple[float, ...]:
    """Return the quantiles of a column, rounded to what their names tell; fewer where many rows share a value."""
    number = f"TRY_CAST({evidence.column(cohort.by)} AS DOUBLE)"
    shares = [n / cohort.quantiles for n in range(1, cohort.quantiles)]
    where = f"parent_id IS NULL AND isfinite({number}){windowed('p.predicted_at', window)}"
    wanted = f"min({number}), quantile_disc({number}, {shares})"
    low, quantiles = rows(evidence.connection, f"SELECT {wanted} FROM predictions AS p WHERE {where}")[0]
    if low is None:
        return ()
    told = {float(f"{edge:g}") for edge in cast("list[float]", quantiles)}
    return tuple(sorted(edge for edge in told if edge > cast("float", low)))


@contextmanager
def _reference(layout: Layout, model: Model) -> Generator[RowEvidence]:
    """Open the rows that a model's bands are cut by: its reference file, or what was recorded."""
    if model.reference_file:
        with table(model.reference_file, None, model) as evidence:
            yield evidence
        return
    with Snapshot(layout, model.name) as snapshot:
        yield RowEvidence(snapshot.connection, model, snapshot.columns, layout.clock.now())


def _said(cohort: Cohort) -> str:
    if not cohort.edges:
        return f"cohort {cohort.name}: no edges, because {cohort.by} has no two numbers yet; apply again when it has"
    return f"cohort {cohort.name}: {cohort.by} is cut at {', '.join(f'{edge:g}' for edge in cohort.edges)}"
