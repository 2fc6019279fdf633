"""The tables of incidents, silences, messages and retrainings, beside those of rollouts."""

from __future__ import annotations

import sqlalchemy as sa

from setpoint.store.control_tables import METADATA

INCIDENTS = sa.Table(
    "incidents",
    METADATA,
    sa.Column("incident_id", sa.String, primary_key=True),
    sa.Column("opened_at", sa.BigInteger, nullable=False),
    sa.Column("details", sa.LargeBinary, nullable=False),
)
INCIDENT_EVENTS = sa.Table(
    "incident_events",
    METADATA,
    sa.Column("incident_id", sa.String, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("said", sa.String, nullable=False),
    sa.Column("key", sa.String, nullable=False),
)
SILENCES = sa.Table(
    "silences",
    METADATA,
    sa.Column("silence_id", sa.String, primary_key=True),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("starts_at", sa.BigInteger, nullable=False),
    sa.Column("ends_at", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
)
MESSAGES = sa.Table(
    "messages",
    METADATA,
    sa.Column("message_id", sa.String, primary_key=True),
    sa.Column("address", sa.String, nullable=False),
    sa.Column("signed_with", sa.String, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("written_at", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("due_at", sa.BigInteger, nullable=False),
    sa.Column("error", sa.String, nullable=False),
)
RETRAININGS = sa.Table(
    "retrainings",
    METADATA,
    sa.Column("retraining_id", sa.String, primary_key=True),
    sa.Column("model", sa.String, nullable=False, index=True),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("begun_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger, nullable=True),
    sa.Column("version", sa.String, nullable=False),
    sa.Column("said", sa.String, nullable=False),
)
