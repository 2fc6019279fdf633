"""What keeps a store in order: ship what is spooled, import history, erase, let go of old days."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from setpoint.core.errors import ColumnError, StoreMissing, UsageError
from setpoint.core.model import Model
from setpoint.project.guess import check_roles, guess, guess_task, look_at, said, warnings
from setpoint.store import shipper
from setpoint.store.engines.duck import connect
from setpoint.store.erasure import Erased, forget
from setpoint.store.files import Mapped, create_views, load, shifted_times
from setpoint.store.imports import Imported, file_token, import_outcomes, import_predictions
from setpoint.store.lake import LakeTable
from setpoint.store.layout import Layout, check_name
from setpoint.store.retention import Collected, collect
from setpoint.store.shipper import Shipment


def ship_if_free(store: Path) -> Shipment | None:
    """Ship the spool when there is a store and no other process ships; None otherwise."""
    try:
        return shipper.ship_if_free(Layout.open(store))
    except StoreMissing:
        return None


def import_file(
    store: Path,
    model: str,
    path: str,
    *,
    outcomes: bool = False,
    columns: Mapping[str, str] | None = None,
    tz: str = "",
    version: str | None = None,
    run_id: str | None = None,
    kind: str = "",
) -> tuple[Imported, list[str]]:
    """Put the history of a file into a store, once.

    Args:
        store: The store's folder; made when it is not there.
        model: The model's name.
        path: A Parquet, CSV or NDJSON file or pattern.
        outcomes: Whether the file holds outcomes rather than predictions.
        columns: Column by role, as `setpoint.read` takes them; guessed when left out.
        tz: The zone of times without one; the declared zone by default.
        version: The version of predictions that carry none.
        run_id: The batch-scoring run whose output it is.
        kind: The kind of outcomes; the final one by default.

    Returns:
        What was done, and what was guessed in words.

    Raises:
        UsageError: The file cannot be read, or its columns do not fit.
        StoreError: The store cannot be written.
    """
    layout = Layout.create(store)
    declared = layout.declaration(check_name(model)) or Model(name=model)
    zone = tz or declared.timezone
    given = dict(columns or {})
    check_roles(given)
    with closing(connect()) as connection:
        types = load(connection, path, "raw_predictions")
        facts = look_at(connection, "raw_predictions", types)
        if outcomes:
            mapped = guess(facts, {"prediction": "", "score": "", "version": "", "endpoint": "", **given}, ())
            notes = _notes(mapped, given, zone)
            if "outcome" not in mapped.roles:
                msg = f"no outcome column among {', '.join(types)}"
                raise UsageError(msg, hint="name it: --map outcome=COLUMN")
            if "time" not in mapped.roles:
                msg = f"no column says when the outcomes were observed: {', '.join(types)}"
                raise ColumnError(msg, hint="name it: --map time=COLUMN")
            if not {"prediction_id", "key"} & set(mapped.roles):
                msg = "nothing says which predictions these outcomes belong to"
                raise UsageError(msg, hint="name the column: --map key=COLUMN or --map prediction_id=COLUMN")
            create_views(
                connection,
                ("raw_predictions", types, Mapped(mapped.roles, ())),
                ("raw_predictions", types, mapped),
                zone,
            )
            done = import_outcomes(
                connection, layout, declared, file_token(_paths(path)), kind=kind or declared.final_kind
            )
            return done, notes
        known = {*LakeTable(layout.lake(model, "predictions")).inputs, *(f.name for f in declared.features)}
        mapped = guess(facts, given, None, known)
        features = create_views(connection, ("raw_predictions", types, mapped), None, zone)
        token = file_token(_paths(path))
        done = import_predictions(connection, layout, declared, features, token, version=version, run_id=run_id)
        if layout.declaration(model) is None:
            task = guess_task(facts, mapped)
            layout.declare(replace(declared, task=task, timezone=zone))
        time = mapped.roles.get("time")
        skipped = shifted_times(connection, "raw_predictions", time, types[time], zone) if time else 0
    notes = [*_notes(mapped, given, zone), f"inputs: {', '.join(mapped.inputs) or 'none'}", *warnings(facts, mapped)]
    if "outcome" in mapped.roles:
        notes.append(f"outcomes in {mapped.roles['outcome']!r} are not imported: import the file again with --outcomes")
    if "cost_usd" in mapped.roles:
        notes.append(f"costs in {mapped.roles['cost_usd']!r} are not imported: declare rates, or record calls")
    if skipped:
        notes.append(f"{skipped:,} times do not exist in {zone} (daylight saving): moved one hour on")
    return done, notes


def forget_unit(store: Path, model: str, *, key: str = "", unit: str = "") -> Erased:
    """Erase all that was recorded of a key or a unit.

    Raises:
        UsageError: Neither or both are given.
        StoreError: The text is still found somewhere in the store.
    """
    if bool(key) == bool(unit):
        msg = "say what to forget: a key or a unit, not both"
        raise UsageError(msg, hint="setpoint forget MODEL --key KEY")
    layout = Layout.open(store)
    return forget(layout, layout.model(model), key=key, unit=unit)


def collect_garbage(store: Path) -> dict[str, Collected]:
    """Let go of what is beyond each model's retention."""
    layout = Layout.open(store)
    shipper.ship_if_free(layout)
    return {name: collect(layout, layout.model(name), layout.clock.now()) for name in layout.models()}


def _notes(mapped: Mapped, given: Mapping[str, str], zone: str) -> list[str]:
    guessed = said(mapped, given)
    notes = [f"columns: {guessed}"] if guessed else []
    return [*notes, f"times without a zone are read as {zone}"]


def _paths(path: str) -> list[Path]:
    if any(letter in path for letter in "*?["):
        return sorted(Path().glob(path)) if not Path(path).is_absolute() else sorted(Path("/").glob(path[1:]))
    return [Path(path)]
