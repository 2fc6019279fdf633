"""What changed that nobody declared, as changes: a version, a provider's model, a prompt that was not there before.

A version is noted when it is first seen. Providers' models and prompts are told by calls, and there are others side by
side: apps with prompts of their own, a provider that tries two models. So what calls name within a day of the first of
their kind was there from the start, and is no change; and where ids come and go (a date in a system message makes a
prompt of each day) they are no versions. All of it is read off the rows, so that it does not matter when, how often or
by whom it is done.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple, cast

from setpoint.core.clock import DAY
from setpoint.store.engines.duck import literal, rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.lake import LakeTable
from setpoint.store.layout import Layout

_MOST_IDS = 20
"""As many ids of a kind may be new within `_WHILE_DAYS`: of more, none is noted."""
_WHILE_DAYS = 30


class Noticed(NamedTuple):
    """A change that nobody declared.

    Attributes:
        kind: One of `CHANGE_KINDS`.
        subject: What is new: a version, a provider's model with the provider, a prompt's version.
        started_at: When it was first seen.
        recorded_at: When that was recorded.
        note: How it was noticed.
        beside: What it stands beside others in; empty for a version.
    """

    kind: str
    subject: str
    started_at: int
    recorded_at: int
    note: str
    beside: str

    def change_id(self, model: str) -> str:
        """Return under what it is written, whoever notices it."""
        told = f"{model}/{self.subject}" if not self.beside else f"{model}/{self.kind}/{self.subject}/{self.beside}"
        return hashlib.blake2b(told.encode(), digest_size=15).hexdigest()


def unnoted(evidence: RowEvidence) -> list[Noticed]:
    """Return what is new in traffic and no change yet, oldest first."""
    model = evidence.model.name
    known = {row[0] for row in rows(evidence.connection, "SELECT change_id FROM changes")}
    found = [*_versions(evidence), *_of_calls(evidence, _PROVIDER_MODELS), *_of_calls(evidence, _PROMPTS)]
    fresh = (one for one in found if one.change_id(model) not in known)
    return sorted(fresh, key=lambda one: (one.started_at, one.kind, one.subject))


def note(layout: Layout, evidence: RowEvidence, noticed: list[Noticed]) -> None:
    """Write changes; who calls has the lease of the shipper."""
    lake = LakeTable(layout.lake(evidence.model.name, "changes"))
    values = [
        f"({literal(one.change_id(evidence.model.name))}, {literal(one.kind)}, {literal(one.subject)},"
        f" make_timestamptz({one.started_at}), NULL::TIMESTAMPTZ, make_timestamptz({one.recorded_at}), NULL::VARCHAR,"
        f" {literal(one.note)}, 'setpoint', CAST(make_timestamptz({one.recorded_at}) AS DATE), {lake.ship + 1}::BIGINT)"
        for one in noticed
    ]
    names = "change_id, kind, subject, started_at, ended_at, recorded_at, expected, note, author, day, ship"
    lake.append(evidence.connection.sql(f"SELECT * FROM (VALUES {', '.join(values)}) AS seen({names})"), {})


def _versions(evidence: RowEvidence) -> list[Noticed]:
    """Return the versions of predictions that no change names, not even a declared one."""
    found = rows(
        evidence.connection,
        "SELECT version, min(epoch_us(predicted_at)), min(epoch_us(recorded_at)) FROM predictions"
        " WHERE version IS NOT NULL AND version NOT IN"
        " (SELECT subject FROM changes WHERE kind = 'version' AND subject IS NOT NULL)"
        " GROUP BY version ORDER BY 2",
    )
    seen = cast("list[tuple[str, int, int]]", found)
    return [Noticed("version", name, first, recorded, "first seen in traffic", "") for name, first, recorded in seen]


class _Told(NamedTuple):
    """What calls tell: the kind of the change, and in SQL its subject, beside what others, and by which calls."""

    kind: str
    subject: str
    group: str
    where: str
    note: str


_PROVIDER_MODELS = _Told(
    "version",
    "concat_ws('/', provider, provider_model)",
    "concat_ws('/', provider, coalesce(requested_model, provider_model))",
    "provider_model IS NOT NULL AND error IS NULL AND adjusts IS NULL AND purpose IS DISTINCT FROM 'cache'",
    "answers for {group}; before that {before} did",
)
_PROMPTS = _Told(
    "prompt",
    "prompt_version",
    "'calls'",
    "prompt_version IS NOT NULL AND adjusts IS NULL",
    "first seen in {group}; before that {before} was",
)


def _of_calls(evidence: RowEvidence, told: _Told) -> list[Noticed]:
    """Return the ids that calls name only since a day or more after the first of their group, unless there are many."""
    found = rows(
        evidence.connection,
        f"""
        WITH ids AS (
            SELECT {told.subject} AS subject, {told.group} AS told, min(called_at) AS first,
                min(recorded_at) AS recorded
            FROM calls WHERE {told.where} GROUP BY ALL
        ), placed AS (
            SELECT *, min(first) OVER (PARTITION BY told) AS since,
                lag(subject) OVER (PARTITION BY told ORDER BY first, subject) AS before,
                count(*) OVER (PARTITION BY told ORDER BY first
                    RANGE BETWEEN INTERVAL {_WHILE_DAYS} DAY PRECEDING AND CURRENT ROW) AS beside
            FROM ids
        )
        SELECT subject, told, before, epoch_us(first), epoch_us(recorded) FROM placed
        WHERE epoch_us(first) - epoch_us(since) >= {DAY} AND beside <= {_MOST_IDS}
        """,
    )
    return [
        Noticed(told.kind, subject, first, recorded, told.note.format(group=group, before=before), group)
        for subject, group, before, first, recorded in cast("list[tuple[str, str, str, int, int]]", found)
    ]
