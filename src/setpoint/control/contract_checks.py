"""The check of contracts: rules that the predictions of a day broke."""

from __future__ import annotations

import hashlib

import msgspec

from setpoint.control.episode import Episode, stretches
from setpoint.control.reference_days import noted, past_days
from setpoint.core.clock import day_text
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window, shift_days
from setpoint.inputs.kept_contract import kept_rows
from setpoint.store.evidence import RowEvidence

NOTE = "contract"


def broken_contracts(evidence: RowEvidence, now: int) -> list[Episode]:
    """A rule of the contract that the predictions of a local day broke; a day that keeps it ends it.

    Each whole day is a table of its own: its rows are counted, its values must be unique, its times fresh at its end.
    """
    days, zone = _broken_by_day(evidence, now), evidence.model.timezone
    return [
        _episode(rule, *stretch, zone)
        for rule in sorted({rule for broken in days.values() for rule in broken})
        for stretch in stretches(((midnight, broken.get(rule)) for midnight, broken in days.items()), zone)
    ]


def _broken_by_day(evidence: RowEvidence, now: int) -> dict[int, dict[str, str]]:
    """Return what was found of each broken rule, by midnight; days that were judged and are the same, from notes."""
    contract, zone = evidence.model.contract, evidence.model.timezone
    if contract is None:
        return {}
    kept = noted(evidence, NOTE, dict[str, dict[str, str]])
    found: dict[str, dict[str, str]] = {}
    days: dict[int, dict[str, str]] = {}
    past = past_days(evidence, now)
    for midnight, digest in zip(past.midnights, past.prints, strict=True):
        key = hashlib.blake2b(f"{contract.hash}{midnight}{digest}".encode(), digest_size=12).hexdigest()
        window = Window(midnight, shift_days(midnight, 1, zone))
        if key in kept:
            found[key] = kept[key]
        elif evidence.has_rows_of(window):
            results = kept_rows(evidence, contract, window, now=window.end).results
            found[key] = {one.rule.id: one.said for one in results if one.verdict is Verdict.BREACH}
        else:
            continue  # what was let go cannot be judged any more
        days[midnight] = found[key]
    evidence.notes[NOTE] = msgspec.msgpack.encode(found)
    return days


def _episode(rule: str, midnight: int, said: str, ended_at: int | None, zone: str) -> Episode:
    words = f"the contract's rule {rule} is broken on {day_text(midnight, zone)}: {said}; see setpoint check"
    start = shift_days(midnight, 1, zone)
    return Episode("broken_contract", "", rule, start, ended_at, "breach", words, {"rule": rule})
