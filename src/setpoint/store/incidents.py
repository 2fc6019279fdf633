"""Incidents as they are kept: what was known when they were opened, and their timelines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import msgspec
import sqlalchemy as sa

from setpoint.core.incident import Incident, IncidentEvent, Silence
from setpoint.store.control_tables import as_noun, deciding, reading
from setpoint.store.incident_tables import INCIDENT_EVENTS, INCIDENTS, SILENCES
from setpoint.store.layout import Layout


def open_incident(layout: Layout, incident: Incident, events: Sequence[IncidentEvent]) -> None:
    """Write a new incident with what has happened so far.

    Raises:
        StoreBusy: It is there already.
    """
    with deciding(layout) as connection:
        connection.execute(
            sa.insert(INCIDENTS).values(
                incident_id=incident.incident_id,
                opened_at=incident.opened_at,
                details=msgspec.json.encode(incident),
            )
        )
        connection.execute(sa.insert(INCIDENT_EVENTS), [asdict(one) for one in events])


def add_events(layout: Layout, events: Sequence[IncidentEvent]) -> None:
    """Write more entries of a timeline.

    Raises:
        StoreBusy: Somebody else wrote one of this number before.
    """
    if events:
        with deciding(layout) as connection:
            connection.execute(sa.insert(INCIDENT_EVENTS), [asdict(one) for one in events])


def incidents_of(layout: Layout) -> list[tuple[Incident, list[IncidentEvent]]]:
    """Return every incident with its timeline, oldest first."""
    with reading(layout) as connection:
        if connection is None:
            return []
        details = connection.execute(sa.select(INCIDENTS.c["details"]).order_by(INCIDENTS.c["opened_at"])).all()
        found = [msgspec.json.decode(row[0], type=Incident) for row in details]
        timelines: dict[str, list[IncidentEvent]] = {one.incident_id: [] for one in found}
        for row in connection.execute(sa.select(INCIDENT_EVENTS).order_by(INCIDENT_EVENTS.c["seq"])).mappings():
            event = as_noun(row, IncidentEvent)
            timelines[event.incident_id].append(event)
    return [(one, timelines[one.incident_id]) for one in found]


def add_silence(layout: Layout, silence: Silence) -> None:
    """Write a silence."""
    with deciding(layout) as connection:
        connection.execute(sa.insert(SILENCES).values(**asdict(silence)))


def silences_of(layout: Layout) -> list[Silence]:
    """Return every silence, oldest first."""
    with reading(layout) as connection:
        if connection is None:
            return []
        query = sa.select(SILENCES).order_by(SILENCES.c["starts_at"], SILENCES.c["silence_id"])
        return [as_noun(row, Silence) for row in connection.execute(query).mappings()]
