"""Rows that were put aside: they count in no number, so an answer that counts rows says how many they are."""

from __future__ import annotations

from setpoint.answers.answer import Table
from setpoint.core.metric import counted
from setpoint.store.evidence import RowEvidence

QUARANTINE_COLUMNS = ("quarantined_rows",)


def aside_lines(evidence: RowEvidence) -> list[str]:
    """Return what to say of the rows in quarantine, and what to do about them; nothing when there are none."""
    count = evidence.quarantined
    if not count:
        return []
    lies, counts = ("lies", "counts") if count == 1 else ("lie", "count")
    said = f"{counted(count, 'row')} {lies} in quarantine and {counts} in no number here: `setpoint doctor` says why"
    return [f"{said}; rows that do not fit a column come back once its declared kind fits them"]


def aside_tables(evidence: RowEvidence) -> list[Table]:
    """Return how many rows are in quarantine, for `--json`; nothing when there are none."""
    return [Table("quarantine", QUARANTINE_COLUMNS, [(evidence.quarantined,)])] if evidence.quarantined else []
